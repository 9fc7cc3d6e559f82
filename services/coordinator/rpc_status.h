// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/support/status.h>

#include "kernels/status.h"

namespace hatchery::coordinator {

// The status of a call: code and message, and for programs, where `status` names its subject, the
// details of docs/api.md.
grpc::Status ToGrpc(const Status& status);

}  // namespace hatchery::coordinator

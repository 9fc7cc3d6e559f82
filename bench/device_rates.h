// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What bounds a GPU's work, measured in the same run as the work: int8 products by the CUDA
// Toolkit's cuBLASLt and copies within device memory. Medians; on the current device.
#pragma once

#include <cstdint>

#include "kernels/status.h"

namespace hatchery {

// int8 products of random values, sums in int32: `outputs` x `inputs` weights times `inputs` x
// `members` activations. Multiplications and additions a second. kNotFound if this program was
// built without cuBLASLt.
StatusOr<double> MeasureProduct(uint32_t outputs, uint32_t inputs, uint32_t members);

// Bytes a second, read and written, of copies of 2 GiB, or of less where memory is short.
StatusOr<double> MeasureCopy();

}  // namespace hatchery

// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// No call of NCCL blocks (its config says so): they return while they go on, and what a dead or
// failed rank would keep waiting for ever is polled and given up.
#include "services/gang/nccl_link.h"

#include <nccl.h>

#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include "kernels/cuda/device.h"

namespace hatchery {
namespace {

using Clock = std::chrono::steady_clock;
using Check = std::function<Status()>;
using cuda::FromCuda;
static_assert(sizeof(NcclLink::Id) == sizeof(ncclUniqueId));

constexpr std::chrono::minutes kMeetWithin{2};  // hundreds of ranks take seconds

Status FromNccl(ncclResult_t result, const char* what) {
  if (result == ncclSuccess) return {};
  return InternalError(std::string("NCCL could not ") + what + ": " + ncclGetErrorString(result));
}

class Link : public NcclLink {
 public:
  explicit Link(int device) : device_(device) {}
  ~Link() override {
    cudaSetDevice(device_);
    // Abort, not destroy: it does not wait for ranks that are dead.
    if (comm_ != nullptr) ncclCommAbort(comm_);
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  Status Meet(const Id& id, uint32_t rank, uint32_t ranks, const Check& check) {
    HATCHERY_RETURN_IF_ERROR(FromCuda(cudaSetDevice(device_), "select the device"));
    // A stream that waits for the copies on the default one.
    HATCHERY_RETURN_IF_ERROR(FromCuda(cudaStreamCreate(&stream_), "make a stream"));
    ncclUniqueId unique;
    std::memcpy(&unique, id.data(), sizeof(unique));
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    return Finish(ncclCommInitRankConfig(&comm_, static_cast<int>(ranks), unique,
                                         static_cast<int>(rank), &config),
                  "join the ranks", check);
  }

  Status AllGather(std::span<const int32_t> mine, std::span<int32_t> all,
                   const Check& check) override {
    HATCHERY_RETURN_IF_ERROR(FromCuda(cudaSetDevice(device_), "select the device"));
    if (mine_.size() < mine.size())
      HATCHERY_RETURN_IF_ERROR(mine_.Allocate(mine.size(), "a rank's scores"));
    if (all_.size() < all.size())
      HATCHERY_RETURN_IF_ERROR(all_.Allocate(all.size(), "the gang's scores"));
    HATCHERY_RETURN_IF_ERROR(mine_.CopyFrom(mine));
    HATCHERY_RETURN_IF_ERROR(
        Finish(ncclAllGather(mine_.data(), all_.data(), mine.size(), ncclInt32, comm_, stream_),
               "gather the scores", check));
    HATCHERY_RETURN_IF_ERROR(Wait(check));
    return all_.CopyTo(all);
  }

 private:
  // Until the call that answered `result` is through: none may follow before, and what it was to
  // put on the stream may not be there yet.
  Status Finish(ncclResult_t result, const char* what, const Check& check) {
    while (result == ncclInProgress) {
      HATCHERY_RETURN_IF_ERROR(check());
      std::this_thread::yield();
      HATCHERY_RETURN_IF_ERROR(FromNccl(ncclCommGetAsyncError(comm_, &result), what));
    }
    return FromNccl(result, what);
  }

  // Until the stream is empty.
  Status Wait(const Check& check) {
    while (true) {
      const cudaError_t state = cudaStreamQuery(stream_);
      if (state == cudaSuccess) return {};
      if (state != cudaErrorNotReady) return FromCuda(state, "gather the scores");
      HATCHERY_RETURN_IF_ERROR(Finish(ncclInProgress, "gather the scores", check));
    }
  }

  const int device_;
  ncclComm_t comm_ = nullptr;
  cudaStream_t stream_ = nullptr;
  cuda::Buffer<int32_t> mine_, all_;
};

}  // namespace

StatusOr<NcclLink::Id> NcclLink::MakeId() {
  ncclUniqueId unique;
  HATCHERY_RETURN_IF_ERROR(FromNccl(ncclGetUniqueId(&unique), "start"));
  Id id;
  std::memcpy(id.data(), &unique, sizeof(unique));
  return id;
}

StatusOr<std::unique_ptr<NcclLink>> NcclLink::Open(const Id& id, uint32_t rank, uint32_t ranks,
                                                   int device, std::stop_token stop) {
  const auto deadline = Clock::now() + kMeetWithin;
  const auto check = [&]() -> Status {
    if (stop.stop_requested()) return Cancelled("stopped before NCCL had joined the ranks");
    if (Clock::now() < deadline) return {};
    return Unavailable("NCCL did not join the ranks within two minutes");
  };
  auto link = std::make_unique<Link>(device);
  HATCHERY_RETURN_IF_ERROR(link->Meet(id, rank, ranks, check));
  return std::unique_ptr<NcclLink>(std::move(link));
}

}  // namespace hatchery

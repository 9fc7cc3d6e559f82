// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/gang/nccl_link.h"

#include <nccl.h>

#include <cstring>
#include <string>
#include <thread>

#include "kernels/cuda/device.h"

namespace hatchery {
namespace {

using cuda::FromCuda;
static_assert(sizeof(NcclLink::Id) == sizeof(ncclUniqueId));

Status FromNccl(ncclResult_t result, const char* what) {
  if (result == ncclSuccess || result == ncclInProgress) return {};
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

  Status Meet(const Id& id, uint32_t rank, uint32_t ranks) {
    HATCHERY_RETURN_IF_ERROR(FromCuda(cudaSetDevice(device_), "select the device"));
    // A stream that waits for the copies on the default one.
    HATCHERY_RETURN_IF_ERROR(FromCuda(cudaStreamCreate(&stream_), "make a stream"));
    ncclUniqueId unique;
    std::memcpy(&unique, id.data(), sizeof(unique));
    return FromNccl(
        ncclCommInitRank(&comm_, static_cast<int>(ranks), unique, static_cast<int>(rank)),
        "join the ranks");
  }

  Status AllGather(std::span<const int32_t> mine, std::span<int32_t> all,
                   const std::function<Status()>& check) override {
    HATCHERY_RETURN_IF_ERROR(FromCuda(cudaSetDevice(device_), "select the device"));
    if (mine_.size() < mine.size())
      HATCHERY_RETURN_IF_ERROR(mine_.Allocate(mine.size(), "a rank's scores"));
    if (all_.size() < all.size())
      HATCHERY_RETURN_IF_ERROR(all_.Allocate(all.size(), "the gang's scores"));
    HATCHERY_RETURN_IF_ERROR(mine_.CopyFrom(mine));
    HATCHERY_RETURN_IF_ERROR(
        FromNccl(ncclAllGather(mine_.data(), all_.data(), mine.size(), ncclInt32, comm_, stream_),
                 "gather the scores"));
    HATCHERY_RETURN_IF_ERROR(Wait(check));
    return all_.CopyTo(all);
  }

 private:
  Status Wait(const std::function<Status()>& check) {
    while (true) {
      const cudaError_t state = cudaStreamQuery(stream_);
      if (state == cudaSuccess) return {};
      if (state != cudaErrorNotReady) return FromCuda(state, "gather the scores");
      ncclResult_t result = ncclSuccess;
      HATCHERY_RETURN_IF_ERROR(FromNccl(ncclCommGetAsyncError(comm_, &result), "report"));
      HATCHERY_RETURN_IF_ERROR(FromNccl(result, "gather the scores"));
      HATCHERY_RETURN_IF_ERROR(check());
      std::this_thread::yield();
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
                                                   int device) {
  auto link = std::make_unique<Link>(device);
  HATCHERY_RETURN_IF_ERROR(link->Meet(id, rank, ranks));
  return std::unique_ptr<NcclLink>(std::move(link));
}

}  // namespace hatchery

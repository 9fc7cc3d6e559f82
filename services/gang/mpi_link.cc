// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/gang/mpi_link.h"

#include <mpi.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <thread>

namespace hatchery {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kGiveUpTag = 1;
constexpr size_t kBytesAtOnce = size_t{1} << 30;  // MPI counts in int
constexpr std::chrono::milliseconds kCheckEvery{10};
constexpr size_t kMostDevices = 64;  // of a host; others are not used

Status FromMpi(int error, const char* what) {
  if (error == MPI_SUCCESS) return {};
  char text[MPI_MAX_ERROR_STRING] = {};
  int size = 0;
  MPI_Error_string(error, text, &size);
  return Unavailable(std::string("MPI could not ") + what + ": " + text);
}

// What a rank tells the others about itself at the start.
struct Introduction {
  char version[32] = {};
  char host[MPI_MAX_PROCESSOR_NAME] = {};
  int pid = 0;
  cpu_set_t processors = {};
  uint32_t devices = 0;
  DeviceId device[kMostDevices] = {};
};

Introduction IntroduceMyself(const std::vector<DeviceId>& devices) {
  Introduction mine;
  std::strncpy(mine.version, HATCHERY_VERSION, sizeof(mine.version) - 1);
  int size = 0;
  MPI_Get_processor_name(mine.host, &size);
  mine.pid = getpid();
  sched_getaffinity(0, sizeof(mine.processors), &mine.processors);
  mine.devices = static_cast<uint32_t>(std::min(devices.size(), kMostDevices));
  std::copy_n(devices.begin(), mine.devices, mine.device);
  return mine;
}

LocalPlace PlaceAmong(const std::vector<Introduction>& all, size_t self) {
  const Introduction& mine = all[self];
  LocalPlace place{mine.host, 0, 0, static_cast<uint32_t>(CPU_COUNT(&mine.processors)), 0, {}};
  for (size_t i = 0; i < all.size(); ++i) {
    if (std::strcmp(all[i].host, mine.host) != 0) continue;
    ++place.ranks;
    if (i < self) ++place.rank;
    if (CPU_EQUAL(&all[i].processors, &mine.processors)) ++place.sharers;
    place.devices.emplace_back(all[i].device, all[i].device + all[i].devices);
  }
  return place;
}

// Waits longer the longer it has waited: a sixteenth of that, at most a millisecond.
class Pause {
 public:
  void Next() {
    const auto waited = Clock::now() - start_;
    if (waited < std::chrono::milliseconds(1))
      std::this_thread::yield();
    else
      std::this_thread::sleep_for(
          std::min<Clock::duration>(waited / 16, std::chrono::milliseconds(1)));
  }

 private:
  const Clock::time_point start_ = Clock::now();
};

bool Exists(int pid) { return kill(pid, 0) == 0 || errno == EPERM; }

}  // namespace

struct MpiLink::Mpi {
  ~Mpi() {
    if (!usable) return;  // a dead rank would never come to the end
    if (comm != MPI_COMM_NULL) MPI_Comm_free(&comm);
    MPI_Finalize();
  }
  MPI_Comm comm = MPI_COMM_NULL;
  bool usable = false;
};

MpiLink::MpiLink() : mpi_(std::make_unique<Mpi>()) {}

MpiLink::~MpiLink() {
  if (!lost_.ok()) mpi_->usable = false;
}

StatusOr<std::unique_ptr<MpiLink>> MpiLink::Open(const std::vector<DeviceId>& devices) {
  std::unique_ptr<MpiLink> link(new MpiLink);
  int level = MPI_THREAD_SINGLE;
  HATCHERY_RETURN_IF_ERROR(
      FromMpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &level), "start"));
  link->mpi_->usable = true;
  if (level < MPI_THREAD_SERIALIZED)
    return FailedPrecondition(
        "this MPI cannot be called from more than one thread (MPI_THREAD_SERIALIZED); use another");
  HATCHERY_RETURN_IF_ERROR(
      FromMpi(MPI_Comm_dup(MPI_COMM_WORLD, &link->mpi_->comm), "make a communicator"));
  MPI_Comm_set_errhandler(link->mpi_->comm, MPI_ERRORS_RETURN);
  int rank = 0, size = 0;
  MPI_Comm_rank(link->mpi_->comm, &rank);
  MPI_Comm_size(link->mpi_->comm, &size);
  link->rank_ = static_cast<uint32_t>(rank);
  link->size_ = static_cast<uint32_t>(size);
  if (link->size_ != RanksLaunched())
    return FailedPrecondition("started as one of " + std::to_string(RanksLaunched()) +
                              " ranks, but MPI sees " + std::to_string(size) +
                              "; use the mpirun of the MPI that this was built with");
  HATCHERY_RETURN_IF_ERROR(link->Introduce(devices));
  return link;
}

Status MpiLink::Introduce(const std::vector<DeviceId>& devices) {
  const Introduction mine = IntroduceMyself(devices);
  std::vector<Introduction> all(size_);
  HATCHERY_RETURN_IF_ERROR(
      AllGather(std::as_bytes(std::span(&mine, 1)), std::as_writable_bytes(std::span(all))));
  for (uint32_t i = 0; i < size_; ++i)
    if (std::strcmp(all[i].version, mine.version) != 0)
      return FailedPrecondition("rank " + std::to_string(i) + " on " + all[i].host +
                                " is of version " + all[i].version + ", rank " +
                                std::to_string(rank_) + " of " + mine.version +
                                "; install the same version everywhere");
  place_ = PlaceAmong(all, rank_);
  for (uint32_t i = 0; i < (rank_ == 0 ? size_ : 1); ++i)
    if (i != rank_ && place_.host == all[i].host && Exists(all[i].pid))
      watched_.push_back({i, all[i].host, all[i].pid});
  return {};
}

Status MpiLink::Lose(Status status, uint32_t rank) {
  if (lost_.ok()) {
    lost_ = std::move(status);
    lost_rank_ = rank;
  }
  return lost_;
}

Status MpiLink::CheckPeers() {
  HATCHERY_RETURN_IF_ERROR(lost_);
  const auto now = Clock::now();
  if (now < next_check_) return {};
  next_check_ = now + kCheckEvery;
  for (const Peer& peer : watched_)
    if (!Exists(peer.pid))
      return Lose(Unavailable("its process " + std::to_string(peer.pid) + " on " + peer.host +
                              " has ended, and the gang with it; nothing that was journalled is "
                              "lost: start it again"),
                  peer.rank);
  return {};
}

Status MpiLink::Wait(void* request, const char* what, const Idle& idle) {
  Pause pause;
  while (true) {
    int done = 0;
    const int error = MPI_Test(static_cast<MPI_Request*>(request), &done, MPI_STATUS_IGNORE);
    if (error != MPI_SUCCESS) return Lose(FromMpi(error, what), 0);
    if (done != 0) return {};
    if (idle) idle();
    HATCHERY_RETURN_IF_ERROR(CheckPeers());
    pause.Next();
  }
}

Status MpiLink::Broadcast(std::span<std::byte> bytes, const Idle& idle) {
  HATCHERY_RETURN_IF_ERROR(lost_);
  for (size_t at = 0; at < bytes.size(); at += kBytesAtOnce) {
    const auto part = bytes.subspan(at, std::min(kBytesAtOnce, bytes.size() - at));
    MPI_Request request = MPI_REQUEST_NULL;
    const int error =
        MPI_Ibcast(part.data(), static_cast<int>(part.size()), MPI_BYTE, 0, mpi_->comm, &request);
    if (error != MPI_SUCCESS) return Lose(FromMpi(error, "broadcast"), 0);
    HATCHERY_RETURN_IF_ERROR(Wait(&request, "broadcast", idle));
  }
  return {};
}

Status MpiLink::AllGather(std::span<const std::byte> mine, std::span<std::byte> all,
                          const Idle& idle) {
  HATCHERY_RETURN_IF_ERROR(lost_);
  MPI_Request request = MPI_REQUEST_NULL;
  const int size = static_cast<int>(mine.size());
  const int error =
      MPI_Iallgather(mine.data(), size, MPI_BYTE, all.data(), size, MPI_BYTE, mpi_->comm, &request);
  if (error != MPI_SUCCESS) return Lose(FromMpi(error, "gather"), 0);
  return Wait(&request, "gather", idle);
}

void MpiLink::SendGiveUp(uint32_t sequence) {
  // Four bytes go at once; they do not wait for the receiver.
  const uint32_t begin = rank_ == 0 ? 1 : 0, end = rank_ == 0 ? size_ : 1;
  for (uint32_t to = begin; to < end && lost_.ok(); ++to)
    MPI_Send(&sequence, 1, MPI_UINT32_T, static_cast<int>(to), kGiveUpTag, mpi_->comm);
}

bool MpiLink::GiveUpCame(uint32_t sequence) {
  int waiting = 0;
  bool came = false;
  MPI_Status of;
  while (lost_.ok() &&
         MPI_Iprobe(MPI_ANY_SOURCE, kGiveUpTag, mpi_->comm, &waiting, &of) == MPI_SUCCESS &&
         waiting != 0) {
    uint32_t given_up = 0;
    MPI_Recv(&given_up, 1, MPI_UINT32_T, of.MPI_SOURCE, kGiveUpTag, mpi_->comm, MPI_STATUS_IGNORE);
    came |= given_up == sequence;
  }
  return came;
}

}  // namespace hatchery

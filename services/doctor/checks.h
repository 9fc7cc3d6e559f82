// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What can be wrong with a machine, each question by itself; none changes anything but a temporary
// file in the directory that it is asked about. What needs a coordinator is in
// services/client/doctor_command.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/status.h"
#include "metal/device.h"

namespace hatchery::doctor {

enum class Verdict {
  kOk,
  kWarn,  // works, but slowly or at a risk
  kBad,   // will not work
};

// One line for people.
struct Check {
  Verdict verdict;
  std::string what;         // "cpu", "disk /data", "port 7070"
  std::string text;         // what was found
  std::string remedy = {};  // unless all is well
};
using Checks = std::vector<Check>;

// machine.cc
Checks CheckCpu();     // instruction sets, the product that is chosen for them, cores
Checks CheckMemory();  // that is available
Checks CheckLimits();  // open files

// accelerators.cc; the place of every backend besides the CPU's.
Checks CheckCuda();   // driver, runtime, each device
Checks CheckMetal();  // the GPU of an Apple machine: its kernels compiled, its products tried
Checks CheckGang();   // MPI and NCCL

// clock.cc; takes a quarter of a second.
Checks CheckClock();

// disk.cc: free space, and what writing and an fsync take.
Checks CheckDisk(const std::string& directory);

// ports.cc: whether a program can listen on 127.0.0.1:`port`; `what` would like to. `who` is asked
// who answers there if it cannot; empty: nobody that we know.
Checks CheckPort(uint16_t port, const std::string& what, const std::function<std::string()>& who);

// ---- Judgements, apart from how their numbers were got ------------------------------------------

Check JudgeCpu(const std::string& cpuinfo, const std::string& backend);
Check JudgeCores(unsigned hardware_threads, unsigned allowed, double quota);  // quota: 0: none
Check JudgeFreeSpace(const std::string& directory, uint64_t free_bytes);
Check JudgeSync(const std::string& directory, double median_seconds, double longest_seconds);
// `info`: what Metal says of the GPU once it is opened as a replica opens it.
Check JudgeMetal(const StatusOr<apple::DeviceInfo>& info, bool apple_machine);
// `seconds`: the coordinator's clock minus ours, give or take `margin`.
Check JudgeOffset(double seconds, double margin);

}  // namespace hatchery::doctor

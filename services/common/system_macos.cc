// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <mach/mach.h>
#include <sys/resource.h>
#include <sys/sysctl.h>

#include "services/common/system.h"

namespace hatchery {
namespace {

bool HasFeature(const char* name) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}

}  // namespace

// What is free, and what the system gives back when it is asked for.
uint64_t AvailableMemory() {
  const host_t host = mach_host_self();
  vm_size_t page = 0;
  vm_statistics64_data_t pages = {};
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  const bool told = host_page_size(host, &page) == KERN_SUCCESS &&
                    host_statistics64(host, HOST_VM_INFO64, reinterpret_cast<host_info64_t>(&pages),
                                      &count) == KERN_SUCCESS;
  mach_port_deallocate(mach_task_self(), host);
  if (!told) return UINT64_MAX;
  return (uint64_t{pages.free_count} + pages.inactive_count + pages.purgeable_count) * page;
}

std::string CpuInfo() {
  char model[256] = {};
  size_t size = sizeof model - 1;
  if (sysctlbyname("machdep.cpu.brand_string", model, &size, nullptr, 0) != 0) return "";
  std::string text = std::string("model name: ") + model + "\nFeatures:";
  if (HasFeature("hw.optional.AdvSIMD")) text += " asimd";
  if (HasFeature("hw.optional.arm.FEAT_DotProd")) text += " asimddp";
  return text + "\n";
}

std::optional<MemoryUse> OwnMemory() {
  mach_task_basic_info_data_t info = {};
  mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
  if (task_info(mach_task_self(), MACH_TASK_BASIC_INFO, reinterpret_cast<task_info_t>(&info),
                &count) != KERN_SUCCESS)
    return std::nullopt;
  return MemoryUse{info.virtual_size, info.resident_size};
}

void YieldToOtherThreads() { setpriority(PRIO_DARWIN_THREAD, 0, PRIO_DARWIN_BG); }

}  // namespace hatchery

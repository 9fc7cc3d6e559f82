// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// What system_macos.cc uses of the Mach kernel's interface, declared by us from Apple's manual.
#pragma once

#include <cstdint>

using natural_t = unsigned int;
using integer_t = int;
using kern_return_t = int;
using mach_port_t = natural_t;
using host_t = mach_port_t;
using task_t = mach_port_t;
using mach_msg_type_number_t = natural_t;
using vm_size_t = uintptr_t;
using mach_vm_size_t = uint64_t;
using host_info64_t = integer_t*;
using task_info_t = integer_t*;

constexpr kern_return_t KERN_SUCCESS = 0;
constexpr int HOST_VM_INFO64 = 4;
constexpr unsigned MACH_TASK_BASIC_INFO = 20;

struct vm_statistics64_data_t {
  natural_t free_count, active_count, inactive_count, wire_count, purgeable_count;
};
struct mach_task_basic_info_data_t {
  mach_vm_size_t virtual_size, resident_size;
};
constexpr mach_msg_type_number_t HOST_VM_INFO64_COUNT = sizeof(vm_statistics64_data_t) / 4;
constexpr mach_msg_type_number_t MACH_TASK_BASIC_INFO_COUNT =
    sizeof(mach_task_basic_info_data_t) / 4;

mach_port_t mach_host_self();
task_t mach_task_self();
kern_return_t mach_port_deallocate(mach_port_t task, mach_port_t name);
kern_return_t host_page_size(host_t host, vm_size_t* size);
kern_return_t host_statistics64(host_t host, int flavor, host_info64_t info,
                                mach_msg_type_number_t* count);
kern_return_t task_info(task_t task, unsigned flavor, task_info_t info,
                        mach_msg_type_number_t* count);

# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
# What the system provides. Optional parts that are missing are skipped with one line each.
find_package(Threads REQUIRED)

# oneDNN: int8 products of the CPU backend, on x86 with VNNI.
find_package(dnnl QUIET CONFIG)
if(NOT dnnl_FOUND)
  message(STATUS "hatchery: oneDNN not found; the CPU backend uses its portable products only")
endif()

# Debian ships Highway with pkg-config files.
find_package(PkgConfig REQUIRED)
pkg_check_modules(highway REQUIRED IMPORTED_TARGET libhwy)

if(HATCHERY_SERVICES)
  # Newer ones need libraries that only their own CMake files name; Debian's has no such files.
  find_package(Protobuf QUIET CONFIG)
  if(NOT Protobuf_FOUND)
    find_package(Protobuf REQUIRED)
  endif()
  pkg_check_modules(grpc REQUIRED IMPORTED_TARGET grpc++)
  find_library(GRPC_REFLECTION grpc++_reflection REQUIRED)  # it comes without a pkg-config file
  pkg_check_modules(prometheus REQUIRED IMPORTED_TARGET prometheus-cpp-pull)
  pkg_check_modules(httplib REQUIRED IMPORTED_TARGET cpp-httplib)  # the coordinator's page
  pkg_check_modules(sqlite REQUIRED IMPORTED_TARGET sqlite3)
  pkg_check_modules(yaml REQUIRED IMPORTED_TARGET yaml-cpp)
  find_package(OpenSSL REQUIRED)
  find_package(CLI11 REQUIRED CONFIG)
  find_package(nlohmann_json REQUIRED CONFIG)
  find_package(spdlog REQUIRED CONFIG)
  find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
  # PNG files of `hatchery plot`.
  pkg_check_modules(rsvg QUIET IMPORTED_TARGET librsvg-2.0)
  if(NOT rsvg_FOUND)
    message(STATUS "hatchery: librsvg not found; hatchery plot writes SVG but no PNG")
  endif()
endif()

if(HATCHERY_TESTS)
  find_package(GTest REQUIRED)
endif()
if(HATCHERY_BENCH)
  find_package(benchmark QUIET CONFIG)
  if(NOT benchmark_FOUND)
    message(STATUS "hatchery: Google Benchmark not found; skipping cpu_bench")
  endif()
endif()

# Gangs under mpirun.
if(HATCHERY_MPI)
  set(MPI_CXX_SKIP_MPICXX ON)  # we call the C functions
  find_package(MPI QUIET COMPONENTS CXX)
  if(NOT MPI_CXX_FOUND)
    message(STATUS "hatchery: MPI not found; skipping gangs under mpirun")
    set(HATCHERY_MPI OFF)
  endif()
endif()

# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
# Finds the CUDA compiler. Without a recent one HATCHERY_CUDA becomes OFF and all else still builds.
include(CheckLanguage)

if(HATCHERY_CUDA)
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX} AND EXISTS /usr/local/cuda/bin/nvcc)
    set(CMAKE_CUDA_COMPILER /usr/local/cuda/bin/nvcc)
  endif()
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    # Machine code for Ampere, and for Hopper with its own instructions; PTX for what comes after.
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES "80-real;90a-real;90-virtual")
    endif()
    if(NOT CMAKE_CUDA_ARCHITECTURES MATCHES "90a")  # "native" and "all" never say it
      message(STATUS "hatchery: CMAKE_CUDA_ARCHITECTURES has no 90a; "
                     "on Hopper the slower kernels for any device will run")
    endif()
    # Kernels and kernels/core are C++17: CMake 3.25 knows no later standard of nvcc.
    set(CMAKE_CUDA_STANDARD 17)
    enable_language(CUDA)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.4)
      message(STATUS "hatchery: CUDA ${CMAKE_CUDA_COMPILER_VERSION} is older than 12.4; "
                     "skipping the CUDA backend")
      set(HATCHERY_CUDA OFF)
    else()
      find_package(CUDAToolkit QUIET)
      if(NOT CUDAToolkit_FOUND)
        message(STATUS "hatchery: ${CMAKE_CUDA_COMPILER} is there, the CUDA Toolkit's libraries are not; "
                       "skipping the CUDA backend")
        set(HATCHERY_CUDA OFF)
      endif()
    endif()
  else()
    message(STATUS "hatchery: no CUDA compiler found; skipping the CUDA backend")
    set(HATCHERY_CUDA OFF)
  endif()
endif()

# Scores between GPUs under mpirun. The CUDA Toolkit may bring it.
set(HATCHERY_NCCL OFF)
if(HATCHERY_CUDA AND HATCHERY_MPI)
  find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  find_library(NCCL_LIBRARY nccl HINTS ${CUDAToolkit_LIBRARY_DIR} ${CUDAToolkit_LIBRARY_ROOT}/lib)
  mark_as_advanced(NCCL_INCLUDE_DIR NCCL_LIBRARY)
  if(NCCL_INCLUDE_DIR AND NCCL_LIBRARY)
    set(HATCHERY_NCCL ON)
    add_library(hatchery_nccl UNKNOWN IMPORTED)
    set_target_properties(hatchery_nccl PROPERTIES
      IMPORTED_LOCATION "${NCCL_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${NCCL_INCLUDE_DIR}")
  else()
    message(STATUS "hatchery: NCCL not found; gangs of GPUs exchange scores through MPI")
  endif()
endif()

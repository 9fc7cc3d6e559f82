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
    # Kernels and kernels/core are C++17: CMake 3.25 knows no later standard of nvcc.
    set(CMAKE_CUDA_STANDARD 17)
    enable_language(CUDA)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.4)
      message(STATUS "hatchery: CUDA ${CMAKE_CUDA_COMPILER_VERSION} is older than 12.4; "
                     "skipping the CUDA backend")
      set(HATCHERY_CUDA OFF)
    else()
      find_package(CUDAToolkit REQUIRED)
    endif()
  else()
    message(STATUS "hatchery: no CUDA compiler found; skipping the CUDA backend")
    set(HATCHERY_CUDA OFF)
  endif()
endif()

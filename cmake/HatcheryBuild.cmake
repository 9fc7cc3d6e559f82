# Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
# Compiler settings that hold for every target of the project.
include(GNUInstallDirs)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
# Assertions guard the exactness of runs; they stay on in release builds.
string(REPLACE "-DNDEBUG" "" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")
string(REPLACE "-DNDEBUG" "" CMAKE_CXX_FLAGS_RELWITHDEBINFO "${CMAKE_CXX_FLAGS_RELWITHDEBINFO}")

if(HATCHERY_SANITIZE)
  add_compile_options(-fsanitize=${HATCHERY_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${HATCHERY_SANITIZE})
endif()

if(HATCHERY_FUZZ)  # every line tells libFuzzer that it was reached
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# Everything that we write compiles without warnings; generated code is exempt.
add_library(hatchery_build INTERFACE)
target_include_directories(hatchery_build INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(hatchery_build INTERFACE HATCHERY_VERSION="${PROJECT_VERSION}")
target_compile_options(hatchery_build INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wnon-virtual-dtor>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${HATCHERY_WERROR}>>:-Werror>)
if(HATCHERY_SANITIZE)
  # GCC's warning is wrong about std::variant in instrumented code.
  target_compile_options(hatchery_build INTERFACE
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-maybe-uninitialized>)
endif()

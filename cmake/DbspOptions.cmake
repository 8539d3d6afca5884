# SPDX-License-Identifier: Apache-2.0
# Options, the compiler's settings as one interface target, and packages from the system.

option(DBSP_WERROR "Treat warnings as errors" OFF)
option(DBSP_DCHECKS "Keep DBSP_DCHECK in inner loops" OFF)
option(DBSP_BUILD_TESTS "Build the tests" ON)
option(DBSP_BUILD_BENCHMARKS "Build the benchmarks" ON)
option(DBSP_PCH "Compile the headers that most sources include once" ON)
option(DBSP_UNITY "Compile the sources of a library together: a build from nothing is faster" OFF)
option(DBSP_CLANG_TIDY "Run clang-tidy beside the compiler" OFF)
option(DBSP_FUZZ "Link the targets of tests/fuzz with libFuzzer (clang)" OFF)
set(DBSP_SANITIZE "" CACHE STRING "Sanitizers for -fsanitize=, for example address,undefined")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

find_program(DBSP_CCACHE ccache)
if(DBSP_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER "${DBSP_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${DBSP_CCACHE}")
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${DBSP_CCACHE}")
endif()

# What every user of a dbsp library needs, also of an installed one.
add_library(dbsp_settings INTERFACE)
target_include_directories(dbsp_settings INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/generated>
  $<INSTALL_INTERFACE:include/dbsp>)
target_compile_features(dbsp_settings INTERFACE cxx_std_20)

# What only this build needs: warnings, sanitizers, checks in inner loops. These are options of this
# directory and the ones below it, because they are no part of an installed library's interface.
add_compile_options(
  "$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wno-sign-conversion;-Wnon-virtual-dtor>"
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${DBSP_WERROR}>>:-Werror>)
add_compile_definitions($<$<BOOL:${DBSP_DCHECKS}>:DBSP_DCHECKS=1>)
# Hardening of a distribution's packages; a sanitizer brings its own checks. The tools read files and
# connections that others made.
if(NOT DBSP_SANITIZE)
  add_compile_options(
    "$<$<AND:$<COMPILE_LANGUAGE:C,CXX>,$<NOT:$<CONFIG:Debug>>>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=3>"
    "$<$<COMPILE_LANGUAGE:C,CXX>:-fstack-protector-strong;-fstack-clash-protection>")
  add_link_options(LINKER:-z,relro LINKER:-z,now LINKER:-z,noexecstack)
  include(CheckPIESupported)
  check_pie_supported(LANGUAGES CXX)
endif()
if(DBSP_SANITIZE)
  # nvcc takes no -fsanitize; the presets with sanitizers build without CUDA.
  add_compile_options($<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:-fsanitize=${DBSP_SANITIZE}>
                      $<$<NOT:$<COMPILE_LANGUAGE:CUDA>>:-fno-omit-frame-pointer>)
  add_link_options(-fsanitize=${DBSP_SANITIZE})
  if(DBSP_SANITIZE MATCHES "undefined")
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize-recover=undefined>)
  endif()
endif()
if(DBSP_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(DBSP_PCH AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)  # ccache asks for it
endif()
if(DBSP_CLANG_TIDY)
  find_program(DBSP_CLANG_TIDY_EXE clang-tidy REQUIRED)
  set(CMAKE_CXX_CLANG_TIDY "${DBSP_CLANG_TIDY_EXE}")
endif()

# Every package here is one that Debian 12 ships; docs/dependencies.md says why each was chosen.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(valijson REQUIRED)
find_package(CLI11 REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(Eigen3 REQUIRED NO_MODULE)
find_package(PkgConfig REQUIRED)
pkg_check_modules(libzip REQUIRED IMPORTED_TARGET libzip)
pkg_check_modules(libzstd REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(libxxhash REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(libhwy REQUIRED IMPORTED_TARGET libhwy)
pkg_check_modules(nettle REQUIRED IMPORTED_TARGET nettle)
if(DBSP_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()
if(DBSP_BUILD_BENCHMARKS)
  find_package(benchmark REQUIRED)
endif()

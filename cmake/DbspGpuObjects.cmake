# SPDX-License-Identifier: Apache-2.0
# dbsp_gpu_objects(NAME ARCHITECTURES 80-real... SOURCES a.cu...)
# Makes the object library dbsp_gpu_NAME. Each compilation goes through scripts/lib/ptxas-gate,
# which refuses spills and serialised wgmma and keeps registers and shared memory of every kernel in
# OBJECT.ptxas beside the object.
function(dbsp_gpu_objects name)
  cmake_parse_arguments(ARG "" "" "ARCHITECTURES;SOURCES" ${ARGN})
  set(target dbsp_gpu_${name})
  add_library(${target} OBJECT ${ARG_SOURCES})
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_include_directories(${target} SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  # --expt-relaxed-constexpr: the host and device share constexpr functions of the standard library.
  target_compile_options(${target} PRIVATE
    -Werror=all-warnings --expt-relaxed-constexpr "SHELL:-Xptxas -v,-warn-spills")
  set_target_properties(${target} PROPERTIES
    CUDA_ARCHITECTURES "${ARG_ARCHITECTURES}"
    CUDA_RUNTIME_LIBRARY Static
    POSITION_INDEPENDENT_CODE ON
    CUDA_COMPILER_LAUNCHER "${PROJECT_SOURCE_DIR}/scripts/lib/ptxas-gate;${CMAKE_CUDA_COMPILER_LAUNCHER}")
endfunction()

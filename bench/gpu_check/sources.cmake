# SPDX-License-Identifier: Apache-2.0
# gpu_check's own sources, and what it takes of dbsp's modules. It is built without fmt and the
# other libraries (shim/), so these files use nothing of them but fmt::format with plain formats.
set(DBSP_GPU_CHECK_HOST_SOURCES
  check_cases.cpp compare.cpp lists.cpp options.cpp results.cpp sla_cases.cpp speed_groups.cpp)
set(DBSP_GPU_CHECK_DEVICE_SOURCES
  check_attention.cpp check_list_builders.cpp check_memory.cpp check_sla.cpp device_case.cpp
  main.cpp memory_speed.cpp repeat.cpp serve.cpp speed.cpp)
list(TRANSFORM DBSP_GPU_CHECK_HOST_SOURCES PREPEND "${CMAKE_CURRENT_LIST_DIR}/")
list(TRANSFORM DBSP_GPU_CHECK_DEVICE_SOURCES PREPEND "${CMAKE_CURRENT_LIST_DIR}/")

set(DBSP_GPU_CHECK_SHARED_SOURCES
  core/block_mask.cpp core/error.cpp core/statistics.cpp
  kernels/key_lists.cpp kernels/key_predictors.cpp kernels/sla.cpp
  planner/workload/rules/radial_mask.cpp planner/workload/rules/sta_mask.cpp
  profiler/gpu/device_measure.cpp profiler/gpu/device_timer.cpp
  runtime/clock.cpp runtime/cuda/cuda_buffer.cpp runtime/cuda/cuda_check.cpp runtime/cuda/cuda_device.cpp
  runtime/cuda/cuda_driver.cpp runtime/cuda/cuda_event.cpp runtime/cuda/cuda_stream.cpp runtime/dynamic_library.cpp)
list(TRANSFORM DBSP_GPU_CHECK_SHARED_SOURCES PREPEND "${CMAKE_CURRENT_LIST_DIR}/../../")

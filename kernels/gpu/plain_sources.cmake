# SPDX-License-Identifier: Apache-2.0
# C++ sources of the GPU kernels that need no CUDA header and are in every build: checks, orders, tables.
set(DBSP_GPU_PLAIN_SOURCES
  check_call.cpp
  device_lists.cpp
  gather/list_builders.cpp
  gather/gather_variants.cpp
  memory.cpp
  sla/check.cpp
  sm80/sm80_variants.cpp
  sm90/sm90_variants.cpp
  tile_order.cpp
  gpu_variants.cpp)
list(TRANSFORM DBSP_GPU_PLAIN_SOURCES PREPEND "${CMAKE_CURRENT_LIST_DIR}/")

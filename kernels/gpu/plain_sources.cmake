# SPDX-License-Identifier: Apache-2.0
# C++ of the GPU kernels that needs no CUDA header and is in every build: checks, orders, tables.
set(DBSP_GPU_PLAIN_SOURCES
  check_call.cpp
  device_lists.cpp
  gather/list_builders.cpp
  gather/variants.cpp
  memory.cpp
  sla/check.cpp
  sm80/variants.cpp
  sm90/variants.cpp
  tile_order.cpp
  variants.cpp)
list(TRANSFORM DBSP_GPU_PLAIN_SOURCES PREPEND "${CMAKE_CURRENT_LIST_DIR}/")

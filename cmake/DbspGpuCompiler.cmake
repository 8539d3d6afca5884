# SPDX-License-Identifier: Apache-2.0
# Which nvcc and which architectures; before the CUDA language is enabled.
find_program(DBSP_NVCC nvcc HINTS /usr/local/cuda/bin ENV CUDA_PATH PATH_SUFFIXES bin)
if(DBSP_NVCC AND NOT CMAKE_CUDA_COMPILER)
  set(CMAKE_CUDA_COMPILER "${DBSP_NVCC}")
endif()
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  # 80 without a suffix is machine code and PTX.
  set(CMAKE_CUDA_ARCHITECTURES 80 90a-real)
endif()

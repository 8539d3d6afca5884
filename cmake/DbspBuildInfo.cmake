# SPDX-License-Identifier: Apache-2.0
# build_config.h: what was found, for --version and provenance. The commit is asked at build time
# (not at configure time), so that a rebuilt binary never names an older commit.
configure_file("${PROJECT_SOURCE_DIR}/cmake/build_config.h.in"
               "${PROJECT_BINARY_DIR}/generated/build_config.h" @ONLY)
add_custom_target(dbsp_git_info
  COMMAND "${CMAKE_COMMAND}" -DSOURCE_DIR=${PROJECT_SOURCE_DIR}
          -DOUTPUT=${PROJECT_BINARY_DIR}/generated/git_info.h
          -P "${PROJECT_SOURCE_DIR}/cmake/git_info.cmake"
  BYPRODUCTS "${PROJECT_BINARY_DIR}/generated/git_info.h"
  COMMENT "Reading the git commit" VERBATIM)

function(dbsp_print_summary)
  message(STATUS "dbsp ${PROJECT_VERSION}, ${CMAKE_BUILD_TYPE}, ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
  foreach(vendor CUDA CUPTI NCCL NVML)
    if(DBSP_HAVE_${vendor})
      set(word "yes")
    else()
      set(word "no")
    endif()
    message(STATUS "  ${vendor}: ${word} (DBSP_ENABLE_${vendor}=${DBSP_ENABLE_${vendor}})")
  endforeach()
endfunction()

# SPDX-License-Identifier: Apache-2.0
include(GoogleTest)

# dbsp_add_module(NAME SOURCES a.cpp... [DEPS core ...] [LIBS target...] [PRIVATE_LIBS target...])
# Makes the static library dbsp_NAME (alias dbsp::NAME). DEPS name modules and are public.
function(dbsp_add_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS;PRIVATE_LIBS" ${ARGN})
  add_library(dbsp_${name} STATIC ${ARG_SOURCES})
  add_library(dbsp::${name} ALIAS dbsp_${name})
  set_target_properties(dbsp_${name} PROPERTIES EXPORT_NAME ${name} OUTPUT_NAME dbsp_${name}
    UNITY_BUILD ${DBSP_UNITY} UNITY_BUILD_BATCH_SIZE 12)
  # GCC takes a source that is included for a header, whose types outlive its unnamed namespace.
  if(DBSP_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(dbsp_${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>)
  endif()
  list(TRANSFORM ARG_DEPS PREPEND dbsp::)
  target_link_libraries(dbsp_${name} PUBLIC dbsp_settings ${ARG_DEPS} ${ARG_LIBS} PRIVATE ${ARG_PRIVATE_LIBS})
  set_property(GLOBAL APPEND PROPERTY DBSP_MODULES dbsp_${name})
  dbsp_precompile(dbsp_${name} dbsp_core algorithm cstdint functional map memory optional span
                  string string_view utility vector fmt/format.h)
endfunction()

# dbsp_precompile(TARGET OWNER HEADER...): the target reads the headers in compiled form. They are
# compiled once, for OWNER, and used by every target that is compiled with the same flags.
function(dbsp_precompile target owner)
  if(NOT DBSP_PCH OR DBSP_CLANG_TIDY)
    return()
  endif()
  if(target STREQUAL owner)
    list(TRANSFORM ARGN REPLACE "(.+)" "$<$<COMPILE_LANGUAGE:CXX>:<\\1$<ANGLE-R>>" OUTPUT_VARIABLE headers)
    target_precompile_headers(${target} PRIVATE ${headers})
  else()
    target_precompile_headers(${target} REUSE_FROM ${owner})
  endif()
endfunction()

# dbsp_add_tool(dbsp-NAME SOURCES main.cpp DEPS modules...)
function(dbsp_add_tool name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES UNITY_BUILD ${DBSP_UNITY})
  list(TRANSFORM ARG_DEPS PREPEND dbsp::)
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} CLI11::CLI11)
  # scripts/bundle puts the libraries there. The old kind of tag, because it also holds for what
  # the libraries need themselves.
  set_target_properties(${name} PROPERTIES
    BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN/../lib")
  target_link_options(${name} PRIVATE LINKER:--disable-new-dtags)
  set_property(GLOBAL APPEND PROPERTY DBSP_TOOLS ${name})
endfunction()

# dbsp_add_hosted_tool(NAME SOURCES hosted.cpp DEPS modules...)
# The shared library lib/dbsp/NAME.so: a tool that a Python interpreter loads (runtime/python_host.h).
function(dbsp_add_hosted_tool name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} MODULE ${ARG_SOURCES})
  list(TRANSFORM ARG_DEPS PREPEND dbsp::)
  target_link_libraries(${name} PRIVATE dbsp_settings ${ARG_DEPS})
  # Only dbsp_hosted_main is exported: the interpreter may have other versions of the same libraries.
  target_link_options(${name} PRIVATE LINKER:--exclude-libs,ALL LINKER:-Bsymbolic)
  set_target_properties(${name} PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/lib/dbsp"
    BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN/..")
  set_property(GLOBAL APPEND PROPERTY DBSP_HOSTED_TOOLS ${name})
endfunction()

# dbsp_add_test(NAME SOURCES x_test.cpp... DEPS modules... [LIBS ...])
# One executable per call; every TEST in it becomes a ctest with its folder's name as label
# (ctest -L planner), and the target tests_FOLDER builds the tests of a folder. Tests are compiled with -O1: gtest's macros take the optimiser a third of all
# build time. Kernels that run on the emulator keep the build's own optimisation.
function(dbsp_add_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;LIBS" ${ARGN})
  # The emulator switches stacks on one thread: ThreadSanitizer has nothing to find there and needs
  # minutes to follow the fibers.
  if(ARG_DEPS MATCHES "gpu_emulator|emulated_" AND DBSP_SANITIZE MATCHES "thread")
    return()
  endif()
  add_executable(${name} ${ARG_SOURCES})
  if(NOT ARG_DEPS MATCHES "gpu_emulator|emulated_")
    target_compile_options(${name} PRIVATE $<$<NOT:$<CONFIG:Debug>>:-O1>)
    dbsp_precompile(${name} dbsp_test_headers)
  endif()
  list(TRANSFORM ARG_DEPS PREPEND dbsp::)
  target_link_libraries(${name} PRIVATE dbsp_settings ${ARG_DEPS} ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  cmake_path(GET CMAKE_CURRENT_SOURCE_DIR FILENAME label)
  if(NOT TARGET tests_${label})
    add_custom_target(tests_${label})
  endif()
  add_dependencies(tests_${label} ${name})
  gtest_discover_tests(${name} DISCOVERY_TIMEOUT 60 PROPERTIES LABELS "${label}" TIMEOUT 600)
endfunction()

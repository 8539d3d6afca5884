# SPDX-License-Identifier: Apache-2.0
# Three components. "tools": the programs, and "python": python/dbsp; cpack packs each into a .deb.
# "development": the libraries that other programs may link (core, planner, db), their headers under
# include/dbsp/ and a package file, so that find_package(dbsp) gives dbsp::planner etc. The other
# libraries measure and replay; they are used through the tools.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
get_property(dbsp_tools GLOBAL PROPERTY DBSP_TOOLS)
set(dbsp_public core planner_workload planner_timeline planner_placement planner db)
list(TRANSFORM dbsp_public PREPEND dbsp_)
set_target_properties(dbsp_settings PROPERTIES EXPORT_NAME settings)
install(TARGETS ${dbsp_tools} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT tools)
get_property(dbsp_hosted_tools GLOBAL PROPERTY DBSP_HOSTED_TOOLS)
install(TARGETS ${dbsp_hosted_tools} LIBRARY DESTINATION lib/dbsp COMPONENT tools)
install(FILES "${PROJECT_SOURCE_DIR}/kernels/kernel_plugin.h" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/dbsp
        COMPONENT development)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/python/dbsp" DESTINATION lib/python3/dist-packages COMPONENT python
        FILES_MATCHING PATTERN "*.py" PATTERN "__pycache__" EXCLUDE)
install(TARGETS dbsp_settings ${dbsp_public} EXPORT dbsp
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
# Public headers, and the headers that they include; tests/build/consumer compiles them as installed.
set(dbsp_public_headers
  core/arrays/array.h core/baseline.h core/block_mask.h core/counter_record.h core/error.h core/file.h
  core/fine_mask.h core/ledger.h core/list_statistics.h core/matrix.h core/partition.h core/plan.h core/records.h
  core/segment_id.h core/shape.h core/statistics.h core/status.h core/strategy.h
  core/strategy_name.h core/units.h core/video_time.h core/workload.h
  planner/workload/distinct_masks.h planner/workload/fine_features.h planner/workload/layer_counts.h
  planner/workload/mask_counts.h planner/workload/mask_flag.h planner/workload/mask_source.h
  planner/workload/mask_sum.h
  planner/workload/popcount.h planner/workload/presets.h planner/workload/row_loads.h
  planner/workload/token_layout.h
  planner/timeline/barrier.h planner/timeline/chunks.h planner/timeline/contract.h
  planner/timeline/costs.h planner/timeline/layer_durations.h planner/timeline/layer_volumes.h
  planner/timeline/moved_bytes.h planner/timeline/peak_bytes.h planner/timeline/schedule.h
  planner/timeline/timeline.h planner/timeline/validate.h
  planner/placement/balanced.h planner/placement/chunked.h planner/placement/drift.h
  planner/placement/families.h planner/placement/move_price.h
  planner/placement/partition_options.h planner/placement/placed.h
  planner/placement/placed_options.h planner/placement/reuse.h
  db/database.h db/open_mode.h)
foreach(header ${dbsp_public_headers})
  get_filename_component(folder "${header}" DIRECTORY)
  install(FILES "${PROJECT_SOURCE_DIR}/${header}" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/dbsp/${folder}
          COMPONENT development)
endforeach()
set(dbsp_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/dbsp)
install(EXPORT dbsp NAMESPACE dbsp:: DESTINATION ${dbsp_cmake_dir} FILE dbspTargets.cmake COMPONENT development)
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/dbspConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/generated/dbspConfig.cmake" INSTALL_DESTINATION ${dbsp_cmake_dir})
write_basic_package_version_file("${PROJECT_BINARY_DIR}/generated/dbspConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/generated/dbspConfig.cmake"
              "${PROJECT_BINARY_DIR}/generated/dbspConfigVersion.cmake"
        DESTINATION ${dbsp_cmake_dir} COMPONENT development)

# cpack --config build/release/CPackConfig.cmake: one .deb of the tools and one of python/dbsp.
# dpkg-shlibdeps names the Debian packages that the tools need.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME dbsp)
set(CPACK_PACKAGE_VENDOR "dbsp")
set(CPACK_PACKAGE_CONTACT "the dbsp developers")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_DIRECTORY "${PROJECT_BINARY_DIR}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL tools python)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME dbsp)
set(CPACK_DEBIAN_PYTHON_PACKAGE_NAME python3-dbsp)
set(CPACK_DEBIAN_PYTHON_PACKAGE_ARCHITECTURE all)
set(CPACK_DEBIAN_PYTHON_PACKAGE_SHLIBDEPS OFF)
set(CPACK_DEBIAN_PYTHON_PACKAGE_DEPENDS "python3 (>= 3.9), python3-numpy")
set(CPACK_DEBIAN_PYTHON_DESCRIPTION "reads dbsp's plans in a runtime")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_STRIP_FILES ON)
include(CPack)

# SPDX-License-Identifier: Apache-2.0
# Tools, libraries, headers and a package file, so that find_package(dbsp) gives dbsp::planner etc.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
get_property(dbsp_tools GLOBAL PROPERTY DBSP_TOOLS)
get_property(dbsp_modules GLOBAL PROPERTY DBSP_MODULES)
set_target_properties(dbsp_settings PROPERTIES EXPORT_NAME settings)
install(TARGETS ${dbsp_tools} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS dbsp_settings ${dbsp_modules} EXPORT dbsp ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(folder core runtime kernels planner db profiler tuner replay reports)
  install(DIRECTORY "${PROJECT_SOURCE_DIR}/${folder}" DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/dbsp
          FILES_MATCHING PATTERN "*.h" PATTERN "page" EXCLUDE)
endforeach()
set(dbsp_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/dbsp)
install(EXPORT dbsp NAMESPACE dbsp:: DESTINATION ${dbsp_cmake_dir} FILE dbspTargets.cmake)
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/dbspConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/generated/dbspConfig.cmake" INSTALL_DESTINATION ${dbsp_cmake_dir})
write_basic_package_version_file("${PROJECT_BINARY_DIR}/generated/dbspConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/generated/dbspConfig.cmake"
              "${PROJECT_BINARY_DIR}/generated/dbspConfigVersion.cmake" DESTINATION ${dbsp_cmake_dir})

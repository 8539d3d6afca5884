# SPDX-License-Identifier: Apache-2.0
# Bundles the page with npm's packages into a C++ source, all inside the build folder.
# Sets DBSP_PAGE_SOURCE, and DBSP_PAGE_MODULES (folder of the packages) when the page is built.
set(DBSP_ENABLE_PAGE AUTO CACHE STRING "Bundle the page of dbsp-report (needs npm): AUTO, ON or OFF")
set_property(CACHE DBSP_ENABLE_PAGE PROPERTY STRINGS AUTO ON OFF)
set(DBSP_PAGE_SOURCE "${CMAKE_CURRENT_SOURCE_DIR}/page_absent.cpp")
set(DBSP_PAGE_MODULES "")

find_program(DBSP_NPM npm)
find_program(DBSP_NODE NAMES node nodejs)
if(DBSP_ENABLE_PAGE STREQUAL "ON" AND NOT (DBSP_NPM AND DBSP_NODE))
  message(FATAL_ERROR "DBSP_ENABLE_PAGE=ON needs npm and node (18 or newer): install them or set it to AUTO or OFF")
endif()

if(NOT DBSP_ENABLE_PAGE STREQUAL "OFF" AND DBSP_NPM AND DBSP_NODE)
  set(page_source "${CMAKE_CURRENT_SOURCE_DIR}/page")
  set(page_build "${CMAKE_CURRENT_BINARY_DIR}/page")
  set(DBSP_PAGE_MODULES "${page_build}/node_modules")
  set(DBSP_PAGE_SOURCE "${page_build}/page_bundle.cpp")
  file(GLOB page_files CONFIGURE_DEPENDS "${page_source}/src/*")

  # The stamp depends on the lock alone: packages are installed again only when it changes.
  add_custom_command(
    OUTPUT "${page_build}/packages.stamp"
    COMMAND "${CMAKE_COMMAND}" -E make_directory "${page_build}"
    COMMAND "${CMAKE_COMMAND}" -E copy "${page_source}/package.json" "${page_source}/package-lock.json" "${page_build}"
    COMMAND "${CMAKE_COMMAND}" -E env PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1
            "${DBSP_NPM}" ci --prefix "${page_build}" --ignore-scripts --no-audit --no-fund --loglevel=error
    COMMAND "${CMAKE_COMMAND}" -E touch "${page_build}/packages.stamp"
    DEPENDS "${page_source}/package.json" "${page_source}/package-lock.json"
    WORKING_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}"
    COMMENT "Installing the page's npm packages (without a registry: DBSP_ENABLE_PAGE=OFF)" VERBATIM)
  add_custom_command(
    OUTPUT "${DBSP_PAGE_SOURCE}"
    COMMAND "${DBSP_NODE}" "${page_source}/build.mjs" "${page_source}/src" "${DBSP_PAGE_MODULES}" "${DBSP_PAGE_SOURCE}"
    DEPENDS "${page_build}/packages.stamp" "${page_source}/build.mjs" ${page_files}
    COMMENT "Bundling the page" VERBATIM)
endif()
set_property(GLOBAL PROPERTY DBSP_PAGE_MODULES "${DBSP_PAGE_MODULES}")

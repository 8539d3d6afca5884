# SPDX-License-Identifier: Apache-2.0
include(GNUInstallDirs)
get_property(dbsp_tools GLOBAL PROPERTY DBSP_TOOLS)
if(dbsp_tools)
  install(TARGETS ${dbsp_tools} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

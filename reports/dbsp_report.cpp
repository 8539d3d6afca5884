// SPDX-License-Identifier: Apache-2.0
#include "core/cli.h"
#include "reports/report_tool.h"

int main(int argc, char** argv) {
  return dbsp::ToolMain("dbsp-report", argc, argv, dbsp::reports::ReportMain);
}

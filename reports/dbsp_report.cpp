// SPDX-License-Identifier: Apache-2.0
#include "reports/report_tool.h"

int main(int argc, char** argv) { return dbsp::reports::ReportMain(argc, argv); }

// SPDX-License-Identifier: Apache-2.0
#include "core/cli.h"
#include "db/db_tool.h"

int main(int argc, char** argv) { return dbsp::ToolMain("dbsp-db", argc, argv, dbsp::db::DbMain); }

// SPDX-License-Identifier: Apache-2.0
#include "core/cli.h"
#include "replay/replay_tool.h"

int main(int argc, char** argv) {
  return dbsp::ToolMain("dbsp-replay", argc, argv, dbsp::replay::ReplayMain);
}

// SPDX-License-Identifier: Apache-2.0
#include "replay/replay_tool.h"

int main(int argc, char** argv) { return dbsp::replay::ReplayMain(argc, argv); }

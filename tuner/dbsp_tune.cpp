// SPDX-License-Identifier: Apache-2.0
#include "tuner/tune_tool.h"

int main(int argc, char** argv) { return dbsp::tuner::TuneMain(argc, argv); }

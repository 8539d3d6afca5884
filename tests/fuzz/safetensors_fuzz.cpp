// SPDX-License-Identifier: Apache-2.0
// A .safetensors file.
#include "tests/fuzz/fuzz_target.h"
#include "tests/fuzz/read_arrays.h"

DBSP_FUZZ_TARGET() { dbsp::fuzz::ReadArrays(bytes, ".safetensors"); }

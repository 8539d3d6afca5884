// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace dbsp::fuzz {

/// Reads every array of a file with these bytes: its first slice, then all of it.
void ReadArrays(std::string_view bytes, const std::string& suffix);

}  // namespace dbsp::fuzz

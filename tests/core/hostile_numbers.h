// SPDX-License-Identifier: Apache-2.0
// Numbers at the limits of integer types, as texts of files and flags.
#pragma once

#include <string>
#include <vector>

namespace dbsp::testing {

/// Integers of both signs around 2^31, 2^32, 2^53, 2^63 and 2^64, a fraction and a huge float.
inline std::vector<std::string> HostileNumbers() {
  return {"-9223372036854775808",
          "-1",
          "0",
          "2147483647",
          "2147483648",
          "4294967296",
          "9007199254740992",
          "9223372036854775807",
          "18446744073709551615",
          "18446744073709551616",
          "1.5",
          "1e300"};
}

}  // namespace dbsp::testing

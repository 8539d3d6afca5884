// SPDX-License-Identifier: Apache-2.0
// The check of flags that hold a number.
#pragma once

namespace CLI {
class App;
}

namespace dbsp {

/// Checks the numbers that the user gave to `app` and its subcommands. A number is decimal and an
/// integer has no leading zero; it must fit its type, and a floating-point number must be finite.
/// CLI11 reads 010 as 8, takes -1 and 10^20 for the largest unsigned number, and its ranges accept
/// NaN, which is neither below nor above a bound.
/// errors  Error{kInvalidArgument} "--tolerance: expected a finite number, found 'nan'"
void CheckNumberFlags(const CLI::App& app);

}  // namespace dbsp

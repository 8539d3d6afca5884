// SPDX-License-Identifier: Apache-2.0
// dbsp-db: works on database files: merge, check, vacuum, export, import, compare.
#pragma once

namespace dbsp::db {

/// The tool's main(): flags, run, exit code.
int DbMain(int argc, const char* const* argv);

}  // namespace dbsp::db

// SPDX-License-Identifier: Apache-2.0
// How a database file is opened.
#pragma once

#include <cstdint>

namespace dbsp::db {

/// Database::Open says what each mode does.
enum class OpenMode : std::uint8_t { kReadOnly, kReadWrite, kCreate };

}  // namespace dbsp::db

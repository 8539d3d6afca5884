// SPDX-License-Identifier: Apache-2.0
// Faults of libzip that are no faults of the archive.
#pragma once

#include <zip.h>
#include <zlib.h>

#include <new>

namespace dbsp::internal {

/// Throws std::bad_alloc when the error says that memory ran out.
inline void ThrowIfOutOfMemory(const zip_error_t* error) {
  const int code = ::zip_error_code_zip(error);
  const bool in_zlib = code == ZIP_ER_ZLIB && ::zip_error_code_system(error) == Z_MEM_ERROR;
  if (code == ZIP_ER_MEMORY || in_zlib) throw std::bad_alloc();
}

}  // namespace dbsp::internal

// SPDX-License-Identifier: Apache-2.0
// Owner of an open file, socket or pipe.
#pragma once

#include <unistd.h>

#include "runtime/unique_handle.h"

namespace dbsp::runtime {

struct FileDescriptorTraits {
  using Type = int;
  static constexpr Type kNull = -1;
  static void Close(Type file) noexcept { (void)::close(file); }
};
using FileDescriptor = UniqueHandle<FileDescriptorTraits>;

}  // namespace dbsp::runtime

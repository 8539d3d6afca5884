// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/read_arrays.h"

#include "core/arrays/array.h"
#include "tests/fuzz/fuzz_target.h"

namespace dbsp::fuzz {

void ReadArrays(std::string_view bytes, const std::string& suffix) {
  const std::filesystem::path path = InputFile(bytes, suffix);
  for (const ArrayInfo& info : ListArrays(path)) {
    ExpectResultOrError([&] {
      const ArrayFile file(path, info.name);
      std::int64_t slices = 1;
      if (!file.shape().empty()) {
        const std::int64_t first[] = {0};
        slices = file.shape().front();
        if (slices > 0) (void)file.Slice(first);
      }
      const Array whole = file.Slice();
      if (static_cast<std::int64_t>(whole.bytes.size()) != whole.size() * BytesOf(whole.type)) {
        ReportFault("the bytes of '" + info.name + "' do not fit its shape");
      }
      for (std::int64_t i = 0; i < whole.size() && i < 100; ++i) (void)whole.Double(i);
    });
  }
}

}  // namespace dbsp::fuzz

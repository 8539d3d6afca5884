// SPDX-License-Identifier: Apache-2.0
// The page that was bundled at build time: template, style and script.
#pragma once

#include <optional>
#include <string_view>

namespace dbsp::reports {

struct PageBundle {
  std::string_view html;  ///< template with the placeholders @TITLE@, @STYLE@, @SCRIPT@, @DATA@,
                          ///< @STREAMS@, @ENCODING@
  std::string_view style;
  std::string_view script;
};

/// The bundle. Empty when npm was missing at build time or DBSP_ENABLE_PAGE was OFF.
[[nodiscard]] std::optional<PageBundle> BuiltPage();

}  // namespace dbsp::reports

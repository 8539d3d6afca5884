// SPDX-License-Identifier: Apache-2.0
// The data document as the page stores it: what is large is packed into streams of its own, which
// the script unpacks when a view needs them. docs/formats/report.md has the layout.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "reports/html.h"
#include "reports/inputs.h"
#include "reports/limits.h"

namespace dbsp::reports {

/// Size of a page's data that is not exceeded: 3 MB with template, script and style.
inline constexpr std::size_t kPageDataBytes = 2'550'000;

/// The data document of a page. One that is larger than `plain_bytes` is packed: masks are kept
/// before timelines, and timelines of the cells with most time before others. What does not fit
/// into `budget` bytes of the HTML file is left out, and the cell says so. errors  as
/// ReportDocument
[[nodiscard]] PageData ReportPage(const ReportInputs& inputs,
                                  const ReportLimits& limits = {},
                                  std::size_t plain_bytes = kPlainDataBytes,
                                  std::size_t budget = kPageDataBytes);

}  // namespace dbsp::reports

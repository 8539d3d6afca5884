// SPDX-License-Identifier: Apache-2.0
// Replaces the bundle in a build without npm.
#include "reports/page_bundle.h"

namespace dbsp::reports {

std::optional<PageBundle> BuiltPage() { return std::nullopt; }

}  // namespace dbsp::reports

// SPDX-License-Identifier: Apache-2.0
// The check of a report's data document against docs/formats/report.schema.json, which is compiled
// into the tool. A document that the page cannot draw is never written.
#pragma once

#include "core/json.h"

namespace dbsp::reports {

/// errors   Error{kInternal} with the first key that differs from the schema
/// threads  pure, safe concurrently
void CheckDocument(const Json& document);

}  // namespace dbsp::reports

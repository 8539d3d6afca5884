// SPDX-License-Identifier: Apache-2.0
#include "reports/document_check.h"

#include <fmt/format.h>

#include <exception>
#include <new>
#include <string>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "core/error.h"
#include "reports/report_schema.h"

namespace dbsp::reports {
namespace {

using Adapter = valijson::adapters::NlohmannJsonAdapter;

class ReportSchema {
 public:
  ReportSchema() : json_(Json::parse(kReportSchema)) {
    valijson::SchemaParser(valijson::SchemaParser::kDraft7).populateSchema(Adapter(json_), schema_);
  }
  [[nodiscard]] const valijson::Schema& schema() const { return schema_; }

 private:
  Json json_;
  valijson::Schema schema_;
};

/// "plans[0].verdict" of {"<root>", "[plans]", "[0]", "[verdict]"}.
std::string PathOf(const std::vector<std::string>& context) {
  std::string path;
  for (std::size_t i = 1; i < context.size(); ++i) {
    const std::string name = context[i].substr(1, context[i].size() - 2);
    const bool index = name.find_first_not_of("0123456789") == std::string::npos;
    path += index ? fmt::format("[{}]", name) : (path.empty() ? "" : ".") + name;
  }
  return path.empty() ? "the document" : path;
}

/// While it lives, an allocation that fails ends the process with the tool's line and exit code.
/// valijson allocates without exceptions and uses what it gets unchecked.
class EndWhereMemoryEnds {
 public:
  EndWhereMemoryEnds() : before_(std::set_new_handler(End)) {}
  ~EndWhereMemoryEnds() { std::set_new_handler(before_); }
  EndWhereMemoryEnds(const EndWhereMemoryEnds&) = delete;
  EndWhereMemoryEnds& operator=(const EndWhereMemoryEnds&) = delete;

 private:
  static void End() {
    try {
      throw std::bad_alloc();
    } catch (const std::bad_alloc&) {
      std::terminate();  // the tools' handler prints the line
    }
  }
  std::new_handler before_;
};

bool IsValid(const Json& document, valijson::ValidationResults& results) {
  const EndWhereMemoryEnds guard;
  static const ReportSchema schema;
  valijson::Validator validator(valijson::Validator::kStrongTypes);
  return validator.validate(schema.schema(), Adapter(document), &results);
}

}  // namespace

void CheckDocument(const Json& document) {
  valijson::ValidationResults results;
  if (IsValid(document, results)) return;
  // The innermost place comes first.
  valijson::ValidationResults::Error error;
  const bool found = results.popError(error);
  Fail(ErrorCode::kInternal,
       "the report's data is not valid dbsp.report/1: {}: {} Nothing was written. This is a fault "
       "of dbsp-report: report it with the database and the plans",
       found ? PathOf(error.context) : "the document",
       found ? error.description : "no reason was given.");
}

}  // namespace dbsp::reports

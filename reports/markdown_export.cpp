// SPDX-License-Identifier: Apache-2.0
// The report as a comment for a pull request.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "core/terminal_text.h"
#include "reports/document_parts.h"
#include "reports/exports.h"

namespace dbsp::reports {
namespace {

/// Text without a meaning in Markdown or HTML: no name can add a row, a link or a mention.
std::string Plain(const std::string& text) {
  std::string out;
  for (const char c : TerminalLine(text)) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '@') {
      out += "&#64;";  // GitHub mentions people also after a backslash
    } else {
      if (std::string_view("\\`*_{}[]#|>~!").find(c) != std::string_view::npos) out += '\\';
      out += c;
    }
  }
  // Bare addresses become links; the text must not.
  for (std::size_t at = 0; (at = out.find("://", at)) != std::string::npos;) {
    out.replace(at, 1, "&#58;");
  }
  return out;
}

std::string TimeOrNone(const Json& ms) {
  return ms.is_number() ? TimeText(ms.get<double>()) : std::string("-");
}

std::string Sentence(const Json& verdict, const char* topic) {
  for (const Json& sentence : verdict["sentences"]) {
    if (sentence["topic"] == topic) return Plain(sentence["text"].get<std::string>());
  }
  return "";
}

/// One row per plain strategy: predicted and replayed time, and the plan's gain by the best
/// evidence, which comes first in the document.
std::string BaselineRow(const Json& verdict, const std::string& family) {
  const Json* headline = nullptr;
  Json predicted = nullptr, replayed = nullptr;
  for (const Json& gain : verdict["baselines"]) {
    if (gain["family"] != family) continue;
    if (headline == nullptr) headline = &gain;
    if (gain["kind"] == "predicted") {
      predicted = gain["baseline_ms"];
    } else if (gain["cells"] == gain["cells_total"] && replayed.is_null()) {
      replayed = gain["baseline_ms"];
    }
  }
  std::string text = "not known";
  if (headline != nullptr) {
    text = fmt::format("{:.2f}×", (*headline)["gain"].get<double>());
    if ((*headline)["gain_low"].is_number() && (*headline)["gain_high"].is_number()) {
      text += fmt::format(" \\[{:.2f}, {:.2f}\\]",
                          (*headline)["gain_low"].get<double>(),
                          (*headline)["gain_high"].get<double>());
    }
    text += fmt::format(", {}, {}",
                        (*headline)["kind"].get<std::string>(),
                        (*headline)["verdict"].get<std::string>());
  }
  return fmt::format(
      "| plain {} | {} | {} | {} |", family, TimeOrNone(predicted), TimeOrNone(replayed), text);
}

/// Times of the plain strategies, the plan and the bound.
void AddLadder(const Json& plan, std::vector<std::string>& lines) {
  const Json& verdict = plan["verdict"];
  lines.emplace_back("| strategy | predicted | replayed | gain of the plan |");
  lines.emplace_back("|---|--:|--:|---|");
  for (const Family family : kBaselineFamilies) {
    lines.push_back(BaselineRow(verdict, NameOf(family)));
  }
  const bool replayed = verdict["headline"]["source"] != "predicted";
  lines.push_back(fmt::format("| this plan | {} | {} | |",
                              TimeOrNone(verdict["predicted_ms"]),
                              replayed ? TimeOrNone(verdict["headline"]["ms"]) : "-"));
  lines.push_back(fmt::format("| lower bound | {} | | |", TimeOrNone(verdict["lower_bound_ms"])));
}

std::size_t Warnings(const Json& notices) {
  return static_cast<std::size_t>(
      std::ranges::count_if(notices, [](const Json& notice) { return notice["level"] != "note"; }));
}

/// A document without plans: what the database holds.
void AddDatabase(const Json& document, std::vector<std::string>& lines) {
  if (document["database"].is_null()) {
    lines.emplace_back("There is no plan and no database, so nothing is known about times.");
    return;
  }
  const Json& database = document["database"];
  lines.push_back(fmt::format("{} trials, {} plans, {} replays; there is no plan to show.",
                              document["trials_total"].get<std::int64_t>(),
                              database["plans"].get<std::int64_t>(),
                              database["replays"].get<std::int64_t>()));
  lines.emplace_back("");
  lines.push_back("Next: make a plan, dbsp-tune --workload WORKLOAD --db " +
                  Plain(database["name"].get<std::string>()) + " -o plan.json.");
}

void AddPlan(const Json& document, const Json& plan, std::vector<std::string>& lines) {
  const Json& verdict = plan["verdict"];
  lines.push_back("**" + Sentence(verdict, "answer") + "**");
  lines.emplace_back("");
  lines.push_back(Sentence(verdict, "run"));
  lines.emplace_back("");
  AddLadder(plan, lines);
  lines.emplace_back("");
  std::string sure = Sentence(verdict, "sure");
  const std::size_t warnings = Warnings(document["notices"]) + Warnings(plan["notices"]);
  if (warnings > 0) {
    sure += fmt::format(" {} {}; the page shows {}.",
                        warnings,
                        warnings == 1 ? "warning" : "warnings",
                        warnings == 1 ? "it" : "them");
  }
  lines.push_back(sure);
  lines.emplace_back("");
  lines.push_back("Next: " + Sentence(verdict, "next"));
  const std::size_t others = document["plans"].size() - 1;
  if (others > 0) {
    lines.emplace_back("");
    lines.push_back(fmt::format("This comment is about {}, the first of {} plans.",
                                Plain(plan["name"].get<std::string>()),
                                others + 1));
  }
}

/// At most kMostComparisons lines and the rule.
void AddComparisons(const Json& document, std::vector<std::string>& lines) {
  constexpr std::size_t kMostComparisons = 3;
  const Json& all = document["comparisons"];
  if (all.empty()) return;
  lines.emplace_back("");
  for (std::size_t i = 0; i < std::min(kMostComparisons, all.size()); ++i) {
    const Json& one = all[i];
    std::string text = fmt::format("- {} instead of {}: ",
                                   Plain(one["other"].get<std::string>()),
                                   Plain(one["base"].get<std::string>()));
    if (one["problem"].is_string()) {
      text += "not comparable, " + Plain(one["problem"].get<std::string>()) + ".";
    } else if (one["total"].is_null()) {
      text += "no cell is in both plans.";
    } else {
      const Json& total = one["total"];
      text += fmt::format("**{}**, {} instead of {}",
                          total["verdict"].get<std::string>(),
                          TimeOrNone(total["other_ms"]),
                          TimeOrNone(total["base_ms"]));
      text += fmt::format(", gain {:.2f}×", total["gain"].get<double>());
      if (total["gain_low"].is_number() && total["gain_high"].is_number()) {
        text += fmt::format(" \\[{:.2f}, {:.2f}\\]",
                            total["gain_low"].get<double>(),
                            total["gain_high"].get<double>());
      }
      text += ". Cells:";
      for (const char* verdict : {"FASTER", "SLOWER", "SAME", "AMBIGUOUS"}) {
        text += fmt::format(" {} {}", one["counts"][verdict].get<std::int64_t>(), verdict);
      }
      text += ".";
    }
    lines.push_back(text);
  }
  std::string rule = Plain(all[0]["rule"].get<std::string>());
  if (all.size() > kMostComparisons) {
    rule = fmt::format("{} more comparisons are not shown. ", all.size() - kMostComparisons) + rule;
  }
  lines.emplace_back("");
  lines.push_back(rule);
}

}  // namespace

std::string MarkdownText(const Json& document, const std::string& title) {
  std::vector<std::string> lines{"### " + Plain(title), ""};
  if (document["plans"].empty()) {
    AddDatabase(document, lines);
  } else {
    AddPlan(document, document["plans"][0], lines);
    AddComparisons(document, lines);
  }
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

}  // namespace dbsp::reports

// SPDX-License-Identifier: Apache-2.0
#include "replay/options.h"

#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <utility>

#include "core/error.h"
#include "core/suggest.h"

namespace dbsp::replay {
namespace {

constexpr std::array<const char*, 3> kTransports{"serial", "threads", "nccl"};
constexpr std::array<const char*, 3> kGraphModes{"auto", "on", "off"};

std::optional<int> ParseInt(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

const char* NameOf(TransportKind transport) {
  return kTransports.at(static_cast<std::size_t>(transport));
}

TransportKind ParseTransport(std::string_view name) {
  for (std::size_t i = 0; i < kTransports.size(); ++i) {
    if (name == kTransports[i]) return static_cast<TransportKind>(i);
  }
  const std::vector<std::string> known(kTransports.begin(), kTransports.end());
  throw Error(ErrorCode::kInvalidArgument, UnknownName("transport", name, known));
}

const char* NameOf(GraphMode mode) { return kGraphModes.at(static_cast<std::size_t>(mode)); }

GraphMode ParseGraphMode(std::string_view name) {
  for (std::size_t i = 0; i < kGraphModes.size(); ++i) {
    if (name == kGraphModes[i]) return static_cast<GraphMode>(i);
  }
  const std::vector<std::string> known(kGraphModes.begin(), kGraphModes.end());
  throw Error(ErrorCode::kInvalidArgument, UnknownName("--graph mode", name, known));
}

void RequireTransport(TransportKind transport, const runtime::DeviceSpec& device) {
  const bool cuda = device.kind == runtime::DeviceKind::kCuda;
  switch (transport) {
    case TransportKind::kSerial:
      return;
    case TransportKind::kThreads:
      if (!cuda) return;
      Fail(ErrorCode::kUnavailable,
           "--transport threads: unavailable: it runs every rank on a core of the CPU; with "
           "--device cuda use serial, or nccl with one GPU per rank");
    case TransportKind::kNccl:
      if (cuda) return;
      Fail(ErrorCode::kUnavailable,
           "--transport nccl: unavailable: it needs --device cuda and one GPU per rank; use "
           "threads or serial");
  }
}

CellSelection ParseCells(const std::string& text) {
  using Kind = CellSelection::Kind;
  if (text == "all") return {.kind = Kind::kAll};
  if (text == "distinct") return {.kind = Kind::kDistinct};
  constexpr std::string_view kFirst = "first:";
  if (text.starts_with(kFirst)) {
    const auto count = ParseInt(std::string_view(text).substr(kFirst.size()));
    if (count && *count >= 1) return {.kind = Kind::kFirst, .first = *count};
  }
  const std::size_t comma = text.find(',');
  if (comma != std::string::npos) {
    const auto step = ParseInt(std::string_view(text).substr(0, comma));
    const auto layer = ParseInt(std::string_view(text).substr(comma + 1));
    if (step && layer && *step >= 0 && *layer >= 0) {
      return {.kind = Kind::kOne, .first = 0, .step = *step, .layer = *layer};
    }
  }
  Fail(ErrorCode::kInvalidArgument,
       "--cells '{}': expected all, distinct, first:N with N >= 1, or STEP,LAYER",
       text);
}

std::vector<SelectedCell> SelectCells(const Plan& plan, const CellSelection& selection) {
  std::vector<SelectedCell> selected;
  std::map<std::pair<int, int>, std::size_t> seen;
  for (std::size_t i = 0; i < plan.cells.size(); ++i) {
    const PlanCell& cell = plan.cells[i];
    switch (selection.kind) {
      case CellSelection::Kind::kAll:
        selected.push_back({i, 1});
        break;
      case CellSelection::Kind::kFirst:
        if (static_cast<int>(i) < selection.first) selected.push_back({i, 1});
        break;
      case CellSelection::Kind::kOne:
        if (cell.step == selection.step && cell.layer == selection.layer) {
          selected.push_back({i, 1});
        }
        break;
      case CellSelection::Kind::kDistinct: {
        const auto [at, fresh] =
            seen.try_emplace({cell.strategy, cell.prediction}, selected.size());
        if (fresh) {
          selected.push_back({i, 1});
        } else {
          ++selected[at->second].multiplicity;
        }
        break;
      }
    }
  }
  if (!selected.empty()) return selected;
  if (selection.kind == CellSelection::Kind::kOne) {
    Fail(ErrorCode::kInvalidArgument,
         "--cells {},{}: the plan has no cell for step {}, layer {}",
         selection.step,
         selection.layer,
         selection.step,
         selection.layer);
  }
  Fail(ErrorCode::kInvalidArgument, "the plan has no cells");
}

}  // namespace dbsp::replay

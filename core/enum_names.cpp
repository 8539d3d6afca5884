// SPDX-License-Identifier: Apache-2.0
// Names of the enums in core, one table each: to text and back.
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/plan.h"
#include "core/records.h"
#include "core/strategy.h"
#include "core/suggest.h"

namespace dbsp {
namespace {

template <typename E, std::size_t N>
using Table = std::array<std::pair<E, const char*>, N>;

constexpr Table<Family, 6> kFamilies{{{Family::kUlysses, "ulysses"},
                                      {Family::kRing, "ring"},
                                      {Family::kUsp, "usp"},
                                      {Family::kDbsp, "dbsp"},
                                      {Family::kBalanced, "balanced"},
                                      {Family::kPlaced, "placed"}}};
constexpr Table<Exchange, 4> kExchanges{{{Exchange::kAllToAll, "alltoall"},
                                         {Exchange::kRing, "ring"},
                                         {Exchange::kAllGather, "allgather"},
                                         {Exchange::kNeeded, "needed"}}};
constexpr Table<SegmentKind, 6> kKinds{{{SegmentKind::kPack, "pack"},
                                        {SegmentKind::kExchange, "exchange"},
                                        {SegmentKind::kUnpack, "unpack"},
                                        {SegmentKind::kAttention, "attention"},
                                        {SegmentKind::kHop, "hop"},
                                        {SegmentKind::kMerge, "merge"}}};
constexpr Table<CostSource, 4> kSources{{{CostSource::kMeasured, "measured"},
                                         {CostSource::kFitted, "fitted"},
                                         {CostSource::kPublished, "published"},
                                         {CostSource::kAnalytic, "analytic"}}};
constexpr Table<TrialOutcome, 5> kOutcomes{{{TrialOutcome::kOk, "ok"},
                                            {TrialOutcome::kWrong, "wrong"},
                                            {TrialOutcome::kFailed, "failed"},
                                            {TrialOutcome::kTimeout, "timeout"},
                                            {TrialOutcome::kUnavailable, "unavailable"}}};
constexpr Table<TimedSide, 2> kTimedSides{
    {{TimedSide::kAttention, "attention"}, {TimedSide::kExchange, "exchange"}}};

template <typename E, std::size_t N>
const char* Name(const Table<E, N>& table, E value) {
  for (const auto& [entry, name] : table) {
    if (entry == value) return name;
  }
  Fail(ErrorCode::kInternal, "enum value {} has no name", static_cast<int>(value));
}

template <typename E, std::size_t N>
E Parse(const Table<E, N>& table, const char* what, std::string_view text) {
  std::vector<std::string> known;
  for (const auto& [entry, name] : table) {
    if (text == name) return entry;
    known.emplace_back(name);
  }
  throw Error(ErrorCode::kInvalidArgument, UnknownName(what, text, known));
}

}  // namespace

const char* NameOf(Family family) { return Name(kFamilies, family); }
const char* NameOf(Exchange exchange) { return Name(kExchanges, exchange); }
const char* NameOf(SegmentKind kind) { return Name(kKinds, kind); }
const char* NameOf(CostSource source) { return Name(kSources, source); }
const char* NameOf(TrialOutcome outcome) { return Name(kOutcomes, outcome); }
const char* NameOf(TimedSide side) { return Name(kTimedSides, side); }
Family ParseFamily(std::string_view name) { return Parse(kFamilies, "family", name); }
Exchange ParseExchange(std::string_view name) { return Parse(kExchanges, "exchange", name); }
SegmentKind ParseSegmentKind(std::string_view name) { return Parse(kKinds, "segment kind", name); }
CostSource ParseCostSource(std::string_view name) { return Parse(kSources, "cost source", name); }
TrialOutcome ParseTrialOutcome(std::string_view name) { return Parse(kOutcomes, "outcome", name); }
TimedSide ParseTimedSide(std::string_view name) { return Parse(kTimedSides, "timed side", name); }

}  // namespace dbsp

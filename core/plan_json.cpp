// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/plan.h"
#include "core/plan_check.h"
#include "core/plan_tuning_json.h"
#include "core/units.h"

namespace dbsp {
namespace {

constexpr const char* kSchema = "dbsp.plan/2";
constexpr const char* kSchemaBefore = "dbsp.plan/1";  // without contracts, baselines and chunks
constexpr const char* kContentHash = "content_hash";
constexpr int kMaxInt = std::numeric_limits<int>::max();

int IntAt(const JsonView& view, int low = 0, int high = kMaxInt) {
  return static_cast<int>(view.Int(low, high));
}

std::vector<int> IntsAt(const JsonView& view) {
  std::vector<int> values;
  values.reserve(view.size());
  for (const JsonView& item : view.Items()) values.push_back(IntAt(item));
  return values;
}

std::vector<std::int64_t> CountsAt(const JsonView& view) {
  std::vector<std::int64_t> counts;
  counts.reserve(view.size());
  for (const JsonView& item : view.Items()) counts.push_back(item.Int(0));
  return counts;
}

/// A name through one of the Parse functions of core; its error gains the file and the key.
template <typename E>
E EnumAt(const JsonView& view, E (*parse)(std::string_view)) {
  const std::string name = view.String();
  try {
    return parse(name);
  } catch (const Error& error) {
    view.Wrong(fmt::format("a known name ({})", error.what()));
  }
}

// --- owner lists -------------------------------------------------------------------------------

/// Run-length pairs [[owner, count], ...] when there are at most a third as many runs as entries,
/// else the plain list. A pair takes about three times the characters of an entry.
Json OwnersToJson(const std::vector<int>& owners) {
  Json runs = Json::array();
  for (const int owner : owners) {
    if (!runs.empty() && runs.back()[0] == owner) {
      runs.back()[1] = runs.back()[1].get<int>() + 1;
    } else {
      runs.push_back({owner, 1});
    }
  }
  return runs.size() * 3 <= owners.size() ? runs : Json(owners);
}

/// Reads either form. `expected` limits the entries of this list, `budget` those of the whole plan.
std::vector<int> OwnersFromJson(const JsonView& view, int expected, std::int64_t& budget) {
  if (view.size() == 0 || !view[0].raw().is_array()) return IntsAt(view);
  std::vector<int> owners;
  for (const JsonView& run : view.Items()) {
    if (run.size() != 2) run.Wrong("a pair [owner, count]");
    const int owner = IntAt(run[0]);
    const int count = IntAt(run[1], 1);
    const auto left =
        static_cast<std::int64_t>(expected) - static_cast<std::int64_t>(owners.size());
    if (count > left) run[1].Wrong(fmt::format("at most {} of {} entries", left, expected));
    budget -= count;
    if (budget < 0) run.Wrong(fmt::format("at most {} owners in a plan", kMaxPlanOwners));
    owners.insert(owners.end(), static_cast<std::size_t>(count), owner);
  }
  return owners;
}

// --- parts of a plan ---------------------------------------------------------------------------

Json ToJson(const Partition& partition) {
  Json groups = Json::array();
  for (const HeadGroup& group : partition.groups) {
    groups.push_back({{"heads", group.heads},
                      {"ranks", group.ranks},
                      {"row_owner", OwnersToJson(group.row_owner)},
                      {"col_owner", OwnersToJson(group.col_owner)}});
  }
  return {{"ranks", partition.ranks},
          {"heads", partition.heads},
          {"q_blocks", partition.q_blocks},
          {"k_blocks", partition.k_blocks},
          {"groups", std::move(groups)},
          {"chunk_of_head", partition.chunk_of_head}};
}

Partition PartitionFrom(const JsonView& view, bool chunks, std::int64_t& budget) {
  view.RefuseOtherKeys({"ranks", "heads", "q_blocks", "k_blocks", "groups", "chunk_of_head"});
  Partition partition;
  partition.ranks = IntAt(view["ranks"], 1, kMaxPlanRanks);
  partition.heads = IntAt(view["heads"], 1, kMaxPlanHeads);
  partition.q_blocks = IntAt(view["q_blocks"], 1, kMaxPlanBlocks);
  partition.k_blocks = IntAt(view["k_blocks"], 1, kMaxPlanBlocks);
  for (const JsonView& item : view["groups"].Items()) {
    item.RefuseOtherKeys({"heads", "ranks", "row_owner", "col_owner"});
    HeadGroup group;
    group.heads = IntsAt(item["heads"]);
    group.ranks = IntsAt(item["ranks"]);
    group.row_owner = OwnersFromJson(item["row_owner"], partition.q_blocks, budget);
    group.col_owner = OwnersFromJson(item["col_owner"], partition.k_blocks, budget);
    partition.groups.push_back(std::move(group));
  }
  if (chunks) partition.chunk_of_head = IntsAt(view["chunk_of_head"]);
  return partition;
}

Json ToJson(const Strategy& strategy) {
  return {{"family", NameOf(strategy.family)},
          {"cfg_degree", strategy.cfg_degree},
          {"ulysses_degree", strategy.ulysses_degree},
          {"ring_degree", strategy.ring_degree},
          {"exchange", NameOf(strategy.exchange)},
          {"chunks", strategy.chunks},
          {"layout", strategy.layout},
          {"partition", strategy.partition},
          {"kernel", strategy.kernel}};
}

Strategy StrategyFrom(const JsonView& view) {
  view.RefuseOtherKeys({"family",
                        "cfg_degree",
                        "ulysses_degree",
                        "ring_degree",
                        "exchange",
                        "chunks",
                        "layout",
                        "partition",
                        "kernel"});
  Strategy strategy;
  strategy.family = EnumAt(view["family"], ParseFamily);
  strategy.cfg_degree = IntAt(view["cfg_degree"], 1);
  strategy.ulysses_degree = IntAt(view["ulysses_degree"], 1);
  strategy.ring_degree = IntAt(view["ring_degree"], 1);
  strategy.exchange = EnumAt(view["exchange"], ParseExchange);
  strategy.chunks = IntAt(view["chunks"], 1);
  strategy.layout = IntAt(view["layout"]);
  strategy.partition = IntAt(view["partition"]);
  strategy.kernel = view["kernel"].String();
  return strategy;
}

Json ToJson(const Prediction& prediction) {
  Json segments = Json::array();
  for (const Segment& s : prediction.segments) {
    segments.push_back({s.rank, NameOf(s.kind), s.index, s.start_ns, s.duration_ns, s.bytes});
    if (s.alone_ns) segments.back().push_back(*s.alone_ns);
  }
  Json out = {{"total_ns", prediction.total_ns},
              {"low_ns", prediction.low_ns},
              {"high_ns", prediction.high_ns},
              {"compute_ns", prediction.compute_ns},
              {"exchange_ns", prediction.exchange_ns},
              {"lower_bound_ns", prediction.lower_bound_ns},
              {"rho_barrier", prediction.rho_barrier},
              {"rho_timeline", prediction.rho_timeline},
              {"bytes_per_rank", prediction.bytes_per_rank},
              {"moved_fraction", prediction.moved_fraction},
              {"segments", std::move(segments)}};
  if (!prediction.active_blocks.empty()) out["active_blocks"] = prediction.active_blocks;
  return out;
}

Segment SegmentFrom(const JsonView& view) {
  if (view.size() != 6 && view.size() != 7) {
    view.Wrong("[rank, kind, index, start_ns, duration_ns, bytes] or the same with alone_ns added");
  }
  return {IntAt(view[0]),
          EnumAt(view[1], ParseSegmentKind),
          IntAt(view[2]),
          view[3].Int(0),
          view[4].Int(0),
          view[5].Int(0),
          view.size() == 7 ? std::optional(view[6].Int(0)) : std::nullopt};
}

Prediction PredictionFrom(const JsonView& view) {
  view.RefuseOtherKeys({"total_ns",
                        "low_ns",
                        "high_ns",
                        "compute_ns",
                        "exchange_ns",
                        "lower_bound_ns",
                        "rho_barrier",
                        "rho_timeline",
                        "bytes_per_rank",
                        "moved_fraction",
                        "segments",
                        "active_blocks"});
  Prediction prediction;
  prediction.total_ns = view["total_ns"].Int(0);
  prediction.low_ns = view["low_ns"].Int(0);
  prediction.high_ns = view["high_ns"].Int(0);
  prediction.compute_ns = view["compute_ns"].Int(0);
  prediction.exchange_ns = view["exchange_ns"].Int(0);
  prediction.lower_bound_ns = view["lower_bound_ns"].Int(0);
  prediction.rho_barrier = view["rho_barrier"].Number(0);
  prediction.rho_timeline = view["rho_timeline"].Number(0);
  prediction.bytes_per_rank = view["bytes_per_rank"].Int(0);
  prediction.moved_fraction = view["moved_fraction"].Number(0);
  const JsonView segments = view["segments"];
  prediction.segments.reserve(segments.size());
  for (const JsonView& item : segments.Items()) prediction.segments.push_back(SegmentFrom(item));
  if (view.Has("active_blocks")) prediction.active_blocks = CountsAt(view["active_blocks"]);
  return prediction;
}

Json ToJson(const Contract& contract) {
  Json shares = Json::array();
  for (const HeadShares& head : contract.shares) shares.push_back({head.head, head.share});
  return {{"rho_limit", contract.rho_limit},
          {"fallback", contract.fallback},
          {"shares", std::move(shares)}};
}

Contract ContractFrom(const JsonView& view) {
  view.RefuseOtherKeys({"rho_limit", "fallback", "shares"});
  Contract contract{view["rho_limit"].Number(0), IntAt(view["fallback"]), {}};
  for (const JsonView& item : view["shares"].Items()) {
    if (item.size() != 2) item.Wrong("a pair [head, [share, ...]]");
    HeadShares head{IntAt(item[0]), {}};
    for (const JsonView& share : item[1].Items()) head.share.push_back(share.Number(0));
    contract.shares.push_back(std::move(head));
  }
  return contract;
}

PlanCell CellFrom(const JsonView& view, bool contracts) {
  if (view.size() != (contracts ? 5U : 4U)) {
    view.Wrong(contracts ? "[step, layer, strategy, prediction, contract or null]"
                         : "[step, layer, strategy, prediction]");
  }
  PlanCell cell{IntAt(view[0]), IntAt(view[1]), IntAt(view[2]), IntAt(view[3])};
  if (contracts && !view[4].raw().is_null()) cell.contract = IntAt(view[4]);
  return cell;
}

void ReadWorkloadPart(const JsonView& view, Plan& plan) {
  view.RefuseOtherKeys({"hash", "name", "directory", "text"});
  plan.workload_hash = view["hash"].String();
  plan.workload_name = view["name"].String();
  plan.workload_directory = view["directory"].String();
  plan.workload_json = view["text"].String();
}

void ReadShape(const JsonView& document, Plan& plan) {
  plan.ranks = IntAt(document["ranks"], 1, kMaxPlanRanks);
  plan.passes = IntAt(document["passes"], 1, 2);
  const std::string dtype = document["dtype"].String();
  if (dtype != NameOf(DType::kF32) && dtype != NameOf(DType::kBf16)) {
    document["dtype"].Wrong("\"f32\" or \"bf16\"");
  }
  plan.dtype = dtype == NameOf(DType::kF32) ? DType::kF32 : DType::kBf16;
  const JsonView shape = document["shape"];
  shape.RefuseOtherKeys({"heads", "head_dim", "tokens", "block"});
  const JsonView block = shape["block"];
  if (block.size() != 2) block.Wrong("a pair [query tokens, key tokens]");
  plan.shape = {IntAt(shape["heads"], 1),
                IntAt(shape["head_dim"], 1),
                shape["tokens"].Int(1),
                {IntAt(block[0], 1), IntAt(block[1], 1)}};
}

void ReadLists(const JsonView& document, bool second, Plan& plan) {
  for (const JsonView& item : document["layouts"].Items()) {
    item.RefuseOtherKeys({"name", "block_order"});
    plan.layouts.push_back({item["name"].String(), IntsAt(item["block_order"])});
  }
  std::int64_t budget = kMaxPlanOwners;
  for (const JsonView& item : document["partitions"].Items()) {
    plan.partitions.push_back(PartitionFrom(item, second, budget));
  }
  for (const JsonView& item : document["strategies"].Items()) {
    plan.strategies.push_back(StrategyFrom(item));
  }
  for (const JsonView& item : document["predictions"].Items()) {
    plan.predictions.push_back(PredictionFrom(item));
  }
  if (second) {
    for (const JsonView& item : document["contracts"].Items()) {
      plan.contracts.push_back(ContractFrom(item));
    }
  }
  for (const JsonView& item : document["cells"].Items()) {
    plan.cells.push_back(CellFrom(item, second));
  }
}

/// Text of the document with the hash of the rest. errors Error{kInvalidArgument} beyond JsonLimits
std::string TextWithHash(Json& document) {
  document[kContentHash] = HashBytes(DumpJson(document));
  std::string text = DumpJson(document) + "\n";
  const JsonLimits limits;
  const std::size_t values = CountJsonValues(document);
  if (text.size() > limits.max_bytes || values > limits.max_values) {
    Fail(ErrorCode::kInvalidArgument,
         "the plan has {} bytes and {} values, but a plan file holds at most {} and {}; plan fewer "
         "steps or layers at once",
         text.size(),
         values,
         limits.max_bytes,
         limits.max_values);
  }
  return text;
}

/// Removes the hash of the rest from the document and compares it. Returns whether there is one.
bool TakeContentHash(Json& document, const std::string& origin) {
  const auto found = document.find(kContentHash);
  if (found == document.end()) return false;
  const std::string stored = JsonView(document, origin)[kContentHash].String();
  document.erase(found);
  const std::string computed = HashBytes(DumpJson(document));
  if (stored == computed) return true;
  Fail(ErrorCode::kCorruptInput,
       "{}: key '{}': expected {}, the hash of the rest of the plan, found {}; the file is damaged "
       "or was edited: to use an edited plan, remove the member '{}'",
       origin,
       kContentHash,
       computed,
       stored,
       kContentHash);
}

bool IsCompressed(const std::filesystem::path& path) { return path.extension() == ".zst"; }

}  // namespace

double Plan::total_ms() const {
  double total_ns = 0;
  for (const PlanCell& cell : cells) {
    total_ns += static_cast<double>(predictions[cell.prediction].total_ns);
  }
  return total_ns * sequential_waves() / kNsPerMs;
}

std::string PlanToJson(const Plan& plan) {
  CheckPlan(plan, "plan to write", ErrorCode::kInternal);
  Json document = {{"schema", kSchema},
                   {"workload",
                    {{"hash", plan.workload_hash},
                     {"name", plan.workload_name},
                     {"directory", plan.workload_directory},
                     {"text", plan.workload_json}}},
                   {"database_hash", plan.database_hash},
                   {"cluster", plan.cluster},
                   {"device", plan.device},
                   {"created_utc", plan.created_utc},
                   {"generator", plan.generator},
                   {"costs", NameOf(plan.costs)},
                   {"ranks", plan.ranks},
                   {"passes", plan.passes},
                   {"dtype", NameOf(plan.dtype)},
                   {"shape",
                    {{"heads", plan.shape.heads},
                     {"head_dim", plan.shape.head_dim},
                     {"tokens", plan.shape.tokens},
                     {"block", {plan.shape.block.q, plan.shape.block.k}}}}};
  for (const char* list :
       {"layouts", "partitions", "strategies", "predictions", "contracts", "cells"}) {
    document[list] = Json::array();
  }
  for (const TokenLayout& layout : plan.layouts) {
    document["layouts"].push_back({{"name", layout.name}, {"block_order", layout.block_order}});
  }
  for (const Partition& item : plan.partitions) document["partitions"].push_back(ToJson(item));
  for (const Strategy& item : plan.strategies) document["strategies"].push_back(ToJson(item));
  for (const Prediction& item : plan.predictions) document["predictions"].push_back(ToJson(item));
  for (const Contract& item : plan.contracts) document["contracts"].push_back(ToJson(item));
  for (const PlanCell& cell : plan.cells) {
    const Json contract = cell.contract ? Json(*cell.contract) : Json(nullptr);
    document["cells"].push_back({cell.step, cell.layer, cell.strategy, cell.prediction, contract});
  }
  WriteTuning(plan, document);
  return TextWithHash(document);
}

Plan PlanFromJson(std::string_view text, const std::string& origin) {
  Json json = ParseJson(text, origin);
  const JsonView document(json, origin);
  const bool second = document["schema"].String() != kSchemaBefore;
  if (second) document.RequireSchema(kSchema);
  for (const char* member : {"contracts", "baselines", "notes", "fits", "close_calls", "rest"}) {
    if (second || !document.Has(member)) continue;
    document[member].Wrong(fmt::format("no such member in \"{}\"", kSchemaBefore));
  }
  const bool hashed = TakeContentHash(json, origin);
  document.RefuseOtherKeys(
      {"schema",    "workload",   "database_hash", "cluster",     "device",    "created_utc",
       "generator", "costs",      "ranks",         "passes",      "dtype",     "shape",
       "layouts",   "partitions", "strategies",    "predictions", "contracts", "baselines",
       "cells",     "notes",      "fits",          "close_calls", "rest"});
  Plan plan;
  plan.hashed = hashed;
  ReadWorkloadPart(document["workload"], plan);
  plan.database_hash = document["database_hash"].String();
  plan.cluster = document["cluster"].String();
  plan.device = document["device"].String();
  plan.created_utc = document["created_utc"].String();
  plan.generator = document["generator"].String();
  plan.costs = EnumAt(document["costs"], ParseCostSource);
  ReadShape(document, plan);
  CheckPlanShape(plan, origin, ErrorCode::kCorruptInput);
  ReadLists(document, second, plan);
  ReadTuning(document, plan);
  CheckPlan(plan, origin, ErrorCode::kCorruptInput);
  return plan;
}

void WritePlan(const Plan& plan, const std::filesystem::path& path) {
  const std::string text = PlanToJson(plan);
  WriteFileAtomically(path, IsCompressed(path) ? ZstdCompress(text) : text);
}

Plan ReadPlan(const std::filesystem::path& path) {
  const std::string bytes = ReadFile(path, kMaxTextBytes);
  const std::string origin = path.string();
  if (!IsCompressed(path)) return PlanFromJson(bytes, origin);
  const std::int64_t limit = JsonLimits{}.max_bytes;
  Plan plan = PlanFromJson(ZstdDecompress(bytes, origin, limit), origin);
  // A flipped bit of compressed data often gives other numbers.
  if (!plan.hashed && !ZstdHasChecksums(bytes)) {
    Fail(ErrorCode::kCorruptInput,
         "{}: neither the zstd data nor the plan has a checksum, so damage would not be noticed; "
         "make the plan again with dbsp-tune, or decompress it with 'zstd -d' and check it",
         origin);
  }
  return plan;
}

}  // namespace dbsp

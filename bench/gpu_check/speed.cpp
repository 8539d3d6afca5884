// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_check/speed.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "bench/gpu_check/compare.h"
#include "bench/gpu_check/device_data.h"
#include "core/cli.h"
#include "core/error.h"
#include "core/statistics.h"
#include "planner/workload/rules/prng.h"
#include "runtime/clock.h"

namespace dbsp::gpu_check {
namespace {

using kernels::gpu::AttentionCall;
using kernels::gpu::Variant;
using profiler::DeviceMeasurement;

constexpr int kSpotRows = 96;

/// Result of one runner for the table.
struct Row {
  const Runner* runner = nullptr;
  Quartiles time;
  double tflops = 0.0;
  double of_dense = 0.0;  ///< 0 = the group has no dense item
};

Json LineOf(const char* part,
            const SpeedGroup& group,
            const Row& row,
            const DeviceMeasurement& measured) {
  const Runner& runner = *row.runner;
  return {{"part", part},
          {"group", group.name},
          {"mask", runner.item->mask},
          {"kernel", runner.variant->name},
          {"tokens", group.shape.q_tokens},
          {"heads", group.shape.heads},
          {"head_dim", group.shape.head_dim},
          {"pairs", runner.pairs},
          {"median_ns", row.time.median},
          {"q1_ns", row.time.first},
          {"q3_ns", row.time.third},
          {"tflops", row.tflops},
          {"of_dense", row.of_dense},
          {"expected_of_dense", runner.item->expected_of_dense},
          {"expected_tflops", runner.item->expected_tflops},
          {"spot_error", runner.spot_error},
          {"stop", measured.stop_reason},
          {"slow_clock_kept", measured.slow_kept},
          {"slow_clock_discarded_ns", measured.slow_ns},
          {"samples_ns", measured.samples_ns}};
}

/// The cell of the column "expected"; counts the expectation in `context`.
std::string Expectation(const Row& row, Context& context) {
  const SpeedItem& item = *row.runner->item;
  if (item.expected_tflops > 0) {
    const bool reached = row.tflops >= item.expected_tflops;
    context.CountSpeed(reached);
    return fmt::format(">= {:.0f} TFLOP/s: {}", item.expected_tflops, reached ? "yes" : "no");
  }
  if (item.expected_of_dense > 0 && row.of_dense > 0) {
    const bool reached = row.of_dense >= item.expected_of_dense;
    context.CountSpeed(reached);
    return fmt::format(">= {:.2f}: {}", item.expected_of_dense, reached ? "yes" : "no");
  }
  return "";
}

std::vector<Row> RowsOf(const PreparedGroup& group,
                        const std::vector<DeviceMeasurement>& measured) {
  std::vector<Row> rows;
  double dense = 0.0;
  for (std::size_t i = 0; i < measured.size(); ++i) {
    Row row;
    row.runner = &group.runners()[i];
    row.time = QuartilesOf(measured[i].samples_ns);
    row.tflops = Tflops(row.runner->pairs, group.group().shape.head_dim, row.time.median);
    if (row.runner->item->mask == "dense") dense = std::max(dense, row.tflops);
    rows.push_back(row);
  }
  for (Row& row : rows) row.of_dense = dense > 0.0 ? row.tflops / dense : 0.0;
  return rows;
}

std::vector<std::string> CellsOf(const SpeedGroup& group, const Row& row, Context& context) {
  return {group.name,
          row.runner->item->mask,
          row.runner->variant->name,
          fmt::format("{:.3f}", row.time.median * 1e-6),
          fmt::format("{:.3f}", row.time.first * 1e-6),
          fmt::format("{:.3f}", row.time.third * 1e-6),
          fmt::format("{:.1f}", row.tflops),
          fmt::format("{:.3f}", row.of_dense),
          Expectation(row, context)};
}

/// Times one group, writes its result lines and appends its rows to `table`. Returns whether the
/// spot checks were right.
bool MeasureGroup(const char* part,
                  const SpeedGroup& group,
                  Context& context,
                  std::vector<std::vector<std::string>>& table) {
  const PreparedGroup prepared(group, context);
  std::vector<profiler::DeviceCandidate> candidates;
  bool all_right = true;
  for (const Runner& runner : prepared.runners()) {
    all_right = all_right && runner.spot_error <= kMaxRelativeError;
    candidates.push_back({runner.label(), [&] { return prepared.Sample(runner, context); }});
  }
  if (candidates.empty()) return true;
  profiler::DeviceLimits limits;
  limits.min_time_ns = 300'000'000;
  limits.max_time_ns = 4'000'000'000;
  limits.budget_ns =
      std::clamp<std::int64_t>(context.RemainingNs(), 1, 1 + group.budget_s * 1'000'000'000LL);
  const auto measured = profiler::MeasureInTurns(limits, candidates, runtime::SteadyNs);
  const std::vector<Row> rows = RowsOf(prepared, measured);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    context.results.Write(LineOf(part, group, rows[i], measured[i]));
    table.push_back(CellsOf(group, rows[i], context));
  }
  return all_right;
}

/// Whether a kernel of `usable` takes an item of the group.
bool HasKernels(const SpeedGroup& group, std::span<const Variant* const> usable) {
  return std::ranges::any_of(group.items, [&](const SpeedItem& item) {
    return !MatchingVariants(item.kernels, group.shape.head_dim, usable).empty();
  });
}

bool MeasureAll(const char* part, const std::vector<SpeedGroup>& groups, Context& context) {
  std::vector<std::vector<std::string>> table{
      {"group", "mask", "kernel", "ms", "q1", "q3", "TFLOP/s", "of dense", "expected"}};
  const auto usable = UsableVariants(context);
  if (usable.empty()) return true;  // --filter chose a check
  bool all_right = true;
  for (const SpeedGroup& group : groups) {
    if (!HasKernels(group, usable)) continue;
    if (context.RemainingNs() <= 0) {
      WriteStdout(fmt::format("the budget ended before: {}\n", group.name));
      context.cut_off = true;
      continue;
    }
    try {
      all_right = MeasureGroup(part, group, context, table) && all_right;
    } catch (const Error& error) {
      // The other groups still run when one group fails, for example for lack of memory.
      WriteStdout(fmt::format("{}: {}\n", group.name, error.what()));
      context.results.Write({{"part", part}, {"group", group.name}, {"error", error.what()}});
      all_right = false;
    }
  }
  WriteStdout(TableText(table));
  if (context.speeds_expected > 0) {
    WriteStdout(fmt::format(
        "{} of {} expected speeds reached\n", context.speeds_reached, context.speeds_expected));
  }
  return all_right;
}

}  // namespace

std::string Runner::label() const { return fmt::format("{} | {}", item->mask, variant->name); }

double Tflops(std::int64_t pairs, int head_dim, double ns) {
  return 4.0 * head_dim * static_cast<double>(pairs) / ns * 1e-3;
}

PreparedGroup::PreparedGroup(const SpeedGroup& group, Context& context)
    : group_(&group), tensors_(group.shape, Layout::kHeadsFirst, 5, context.stream()) {
  const auto usable = UsableVariants(context);
  for (const SpeedItem& item : group.items) {
    for (const Variant* variant : MatchingVariants(item.kernels, group.shape.head_dim, usable)) {
      const Blocks blocks = BlocksOf(*variant, group.shape);
      Lists lists = item.make_lists(blocks, group.shape.heads);
      const std::int64_t pairs = ActivePairs(lists, blocks);
      kernels::gpu::DeviceLists on_device = OnDevice(*variant, lists, context.stream());
      runners_.push_back({&item, variant, std::move(lists), pairs, std::move(on_device), 0.0});
      SpotCheck(runners_.back(), context);
    }
  }
}

profiler::DeviceReading PreparedGroup::Sample(const Runner& runner, Context& context) const {
  const AttentionCall call = runner.on_device.Over(tensors_.Call(), context.stream());
  return context.timer.Cold([&](void*) { runner.variant->launch(call); }, runner.variant->name);
}

void PreparedGroup::SpotCheck(Runner& runner, Context& context) const {
  const AttentionCall call = runner.on_device.Over(tensors_.Call(), context.stream());
  tensors_.Poison(context.stream());
  context.timer.WarmUp([&](void*) { runner.variant->launch(call); }, runner.variant->name);
  planner::Prng prng(context.options.seed);
  const std::int64_t all = std::int64_t{call.shape.heads} * call.shape.q_tokens;
  std::set<std::int64_t> drawn{0, all - 1};
  while (static_cast<int>(drawn.size()) < kSpotRows) {
    drawn.insert(static_cast<std::int64_t>(prng.Uniform() * static_cast<double>(all)));
  }
  const std::vector<std::int64_t> rows(drawn.begin(), drawn.end());
  const auto numbers =
      runtime::ToDevice(std::span<const std::int64_t>(rows), "row numbers", context.stream());
  Reference reference;
  reference.o.resize(rows.size() * static_cast<std::size_t>(call.shape.head_dim));
  reference.lse.resize(rows.size());
  const runtime::CudaBuffer o(8 * reference.o.size(), "the reference's outputs");
  const runtime::CudaBuffer lse(8 * rows.size(), "the reference's log-sum-exp");
  ReferenceOnDevice(call,
                    runner.variant->q_block,
                    runner.variant->k_block,
                    numbers.As<std::int64_t>(),
                    static_cast<std::int64_t>(rows.size()),
                    o.As<double>(),
                    lse.As<double>(),
                    call.stream);
  context.stream().Synchronize("the fp64 reference");
  o.Download(reference.o.data(), o.bytes(), context.stream());
  lse.Download(reference.lse.data(), lse.bytes(), context.stream());
  const Tensors::Output output = tensors_.ReadRows(rows, context.stream());
  const Verdict verdict =
      Compare(output.o, output.lse, reference.o, reference.lse, call.shape.head_dim);
  runner.spot_error = verdict.relative_error;
  if (!verdict.IsRight()) {
    WriteStdout(fmt::format(
        "wrong: {} over {}: {}\n", runner.variant->name, runner.item->mask, verdict.Text()));
  }
}

bool MeasureSpeed(Context& context) {
  const bool memory = MeasureMemory(context);
  return MeasureAll("speed", SpeedGroups(context.options.smoke), context) && memory;
}
bool MeasureCurve(Context& context) {
  return MeasureAll("curve", CurveGroups(context.options.smoke), context);
}

}  // namespace dbsp::gpu_check

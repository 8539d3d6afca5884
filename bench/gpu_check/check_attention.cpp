// SPDX-License-Identifier: Apache-2.0
#include "bench/gpu_check/check_attention.h"

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <thread>

#include "bench/gpu_check/compare.h"
#include "bench/gpu_check/context.h"
#include "bench/gpu_check/device_data.h"
#include "core/error.h"
#include "kernels/gpu/gpu_variants.h"

namespace dbsp::gpu_check {
namespace {

using kernels::gpu::AttentionCall;
using kernels::gpu::Variant;

constexpr int kRepeats = 3;
/// Cases whose fp64 reference is also computed on the CPU: they hold the device's reference.
constexpr int kCpuCases = 3;
constexpr int kSmallCases = 4;
constexpr int kMostCases = 40;
/// Cases of each kernel that a run promises; further ones are as many as the time gives.
constexpr int kPromisedCases = 8;

struct CaseResult {
  Verdict verdict;
  bool identical = true;
  bool references_agree = true;
  std::int64_t between_rows = 0;
  [[nodiscard]] bool Good(const Variant& variant) const {
    return verdict.good() && references_agree && between_rows == 0 &&
           (identical || !variant.deterministic);
  }
};

Reference ReferenceOf(const AttentionCall& call, const Variant& variant, const Context& context) {
  const auto count = static_cast<std::size_t>(call.shape.batch) * call.shape.heads *
                     static_cast<std::size_t>(call.shape.q_tokens);
  std::vector<std::int64_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0);
  const auto rows =
      runtime::ToDevice(std::span<const std::int64_t>(numbers), "row numbers", context.stream());
  Reference reference;
  reference.o.resize(count * static_cast<std::size_t>(call.shape.head_dim));
  reference.lse.resize(count);
  const runtime::CudaBuffer o(8 * reference.o.size(), "the reference's outputs");
  const runtime::CudaBuffer lse(8 * count, "the reference's log-sum-exp");
  ReferenceOnDevice(call,
                    variant.q_block,
                    variant.k_block,
                    rows.As<std::int64_t>(),
                    static_cast<std::int64_t>(count),
                    o.As<double>(),
                    lse.As<double>(),
                    call.stream);
  runtime::SynchronizeCudaDevice("the fp64 reference");
  o.Download(reference.o.data(), o.bytes(), context.stream());
  lse.Download(reference.lse.data(), lse.bytes(), context.stream());
  return reference;
}

/// The device's reference against the CPU's, head by head; rounding apart they are the same sums.
bool ReferencesAgree(const Reference& device,
                     const Tensors& tensors,
                     const CheckCase& one,
                     const Variant& variant,
                     const Lists& lists,
                     const Context& context) {
  const Blocks blocks = BlocksOf(variant, one.shape);
  const int threads = std::max(1U, std::thread::hardware_concurrency());
  double worst = 0.0;
  for (int head = 0; head < one.shape.batch * one.shape.heads; ++head) {
    const auto input = [&](int which) {
      return tensors.Input(which, head / one.shape.heads, head % one.shape.heads, context.stream());
    };
    const auto q = input(0);
    const auto k = input(1);
    const auto v = input(2);
    const Reference cpu = ReferenceOnCpu({q, k, v},
                                         one.shape.head_dim,
                                         static_cast<double>(one.shape.scale),
                                         lists,
                                         std::int64_t{head} * lists.q_blocks,
                                         blocks,
                                         threads);
    const std::size_t first = static_cast<std::size_t>(head) * cpu.lse.size();
    for (std::size_t i = 0; i < cpu.o.size(); ++i) {
      const double apart = std::abs(cpu.o[i] - device.o[first * one.shape.head_dim + i]);
      worst = std::max(worst, apart == apart ? apart : std::numeric_limits<double>::infinity());
    }
    for (std::size_t i = 0; i < cpu.lse.size(); ++i) {
      if (cpu.lse[i] == device.lse[first + i]) continue;  // both -infinity
      worst = std::max(worst, std::abs(cpu.lse[i] - device.lse[first + i]));
    }
  }
  return worst < 1e-9;
}

CaseResult RunCase(const Variant& variant, const CheckCase& one, bool with_cpu, Context& context) {
  const Lists lists = ListsOf(one, variant);
  const Tensors tensors(one.shape, one.layout, one.seed, context.stream());
  const kernels::gpu::DeviceLists on_device = OnDevice(variant, lists, context.stream());
  const AttentionCall call = on_device.Over(tensors.Call(), context.stream());
  CaseResult result;
  Tensors::Output first;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    tensors.Poison(context.stream());
    variant.launch(call);
    runtime::SynchronizeCudaDevice(variant.name);
    Tensors::Output output = tensors.Read(context.stream());
    if (repeat == 0) {
      first = std::move(output);
    } else {
      const bool same_o = first.o == output.o;
      const auto bits = [](const Tensors::Output& of) {
        return std::span(reinterpret_cast<const std::byte*>(of.lse.data()), 4 * of.lse.size());
      };
      const bool same_lse = std::ranges::equal(bits(first), bits(output));
      result.identical = result.identical && same_o && same_lse;
    }
  }
  const Reference reference = ReferenceOf(call, variant, context);
  if (with_cpu) {
    result.references_agree = ReferencesAgree(reference, tensors, one, variant, lists, context);
  }
  result.between_rows = tensors.WrittenBetweenRows(first);
  result.verdict =
      Compare(tensors.Rows(first), first.lse, reference.o, reference.lse, one.shape.head_dim);
  return result;
}

JsonLine LineOf(const char* part,
                const Variant& variant,
                int index,
                const CheckCase& one,
                const CaseResult& result) {
  JsonLine line;
  line.Add("part", part)
      .Add("kernel", variant.name)
      .Add("case", index)
      .Add("batch", one.shape.batch)
      .Add("heads", one.shape.heads)
      .Add("q_tokens", one.shape.q_tokens)
      .Add("k_tokens", one.shape.k_tokens)
      .Add("layout", NameOf(one.layout))
      .Add("density", one.density)
      .Add("run", one.run)
      .Add("relative_error", result.verdict.relative_error)
      .Add("lse_error", result.verdict.lse_error)
      .Add("wrong_empty_rows", result.verdict.wrong_empty_rows)
      .Add("written_between_rows", result.between_rows)
      .Add("bit_identical", result.identical)
      .Add("references_agree", result.references_agree)
      .Add("ok", result.Good(variant));
  return line;
}

JsonLine ErrorLineOf(const char* part, const Variant& variant, int index, const Error& error) {
  JsonLine line;
  line.Add("part", part)
      .Add("kernel", variant.name)
      .Add("case", index)
      .Add("error", error.what())
      .Add("ok", false);
  return line;
}

/// One row of the table at the end.
struct Total {
  int cases = 0;
  int wrong = 0;
  double relative_error = 0.0;
  double lse_error = 0.0;
  bool identical = true;
};

bool PrintTotals(const std::map<std::string, Total>& totals) {
  std::vector<std::vector<std::string>> rows{
      {"kernel", "cases", "wrong", "worst error", "worst LSE", "bit-identical"}};
  bool good = true;
  for (const auto& [name, total] : totals) {
    rows.push_back({name,
                    fmt::format("{}", total.cases),
                    fmt::format("{}", total.wrong),
                    fmt::format("{:.2e}", total.relative_error),
                    fmt::format("{:.2e}", total.lse_error),
                    total.identical ? "yes" : "no"});
    good = good && total.wrong == 0;
  }
  std::printf("%s", TableText(rows).c_str());
  return good;
}

/// Case after case over all kernels, so that a cut-off leaves every kernel with some.
bool RunCases(const char* part, int cases, bool small, Context& context) {
  std::map<std::string, Total> totals;
  for (int index = 0; index < cases; ++index) {
    if (context.RemainingNs() <= 0) {
      context.cut_off = context.cut_off || index < std::min(cases, kPromisedCases);
      break;
    }
    for (const Variant* variant : UsableVariants(context)) {
      const CheckCase one = CaseOf(*variant, index, context.options.seed, small);
      const bool with_cpu = !small && index < kCpuCases;
      Total& total = totals[variant->name];
      CaseResult result;
      try {
        result = RunCase(*variant, one, with_cpu, context);
      } catch (const Error& error) {
        // A kernel that refuses a case must not cost the others theirs.
        std::printf("failed: %s, case %d: %s\n", variant->name, index, error.what());
        context.results.Write(ErrorLineOf(part, *variant, index, error));
        ++total.cases;
        ++total.wrong;
        continue;
      }
      context.results.Write(LineOf(part, *variant, index, one, result));
      ++total.cases;
      total.wrong += result.Good(*variant) ? 0 : 1;
      total.relative_error = std::max(total.relative_error, result.verdict.relative_error);
      total.lse_error = std::max(total.lse_error, result.verdict.lse_error);
      total.identical = total.identical && result.identical;
      if (!result.Good(*variant)) {
        std::printf(
            "wrong: %s, case %d: %s\n", variant->name, index, result.verdict.Words().c_str());
      }
      std::fflush(stdout);
    }
  }
  return PrintTotals(totals);
}

}  // namespace

bool CheckAttention(Context& context) {
  // What takes seconds comes first: attention's cases go on until the budget is spent.
  const bool memory = CheckMemory("correct", 12, context);
  const bool lists = CheckListBuilders("correct", 6, context);
  const bool sla = CheckSlaKernels("correct", false, context);
  return RunCases("correct", kMostCases, false, context) && memory && lists && sla;
}

bool CheckAttentionSmall(Context& context) {
  const bool attention = RunCases("small", kSmallCases, true, context);
  const bool memory = CheckMemory("small", 2, context);
  const bool sla = CheckSlaKernels("small", true, context);
  return CheckListBuilders("small", 1, context) && sla && memory && attention;
}

}  // namespace dbsp::gpu_check

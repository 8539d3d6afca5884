// SPDX-License-Identifier: Apache-2.0
// Compares SLA on the device, the exact part plus the linear part, with fp64 on the CPU.
#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "bench/gpu_check/case_report.h"
#include "bench/gpu_check/compare.h"
#include "bench/gpu_check/device_case.h"
#include "bench/gpu_check/sla_cases.h"
#include "core/bf16.h"
#include "core/cli.h"
#include "kernels/gpu/gpu_variants.h"
#include "kernels/gpu/sla.h"

namespace dbsp::gpu_check {
namespace {

using kernels::gpu::AttentionCall;
using kernels::gpu::SlaCall;
using kernels::gpu::Variant;
using runtime::CudaBuffer;

constexpr int kRepeats = 3;
constexpr std::size_t kGuardBytes = 256;  ///< behind each scratch buffer; must keep the poison

std::vector<float> Floats(const std::vector<std::uint16_t>& values) {
  std::vector<float> floats;
  floats.reserve(values.size());
  for (const std::uint16_t value : values) floats.push_back(FromBf16(value));
  return floats;
}

std::vector<SlaHead> HeadsOf(const SlaCase& sla_case,
                             const Tensors& tensors,
                             const Context& context) {
  std::vector<SlaHead> heads;
  for (int pass = 0; pass < sla_case.passes(); ++pass) {
    const auto input = [&](int which) {
      return Floats(tensors.Input(
          which, pass / sla_case.shape.heads, pass % sla_case.shape.heads, context.stream()));
    };
    heads.push_back({input(0), input(1), input(2)});
  }
  return heads;
}

/// Scratch memory of the linear part with a guard behind it.
struct Scratch {
  Scratch(std::int64_t size, const char* what)
      : bytes(static_cast<std::size_t>(size)), buffer(bytes + kGuardBytes, what) {}
  [[nodiscard]] bool GuardIsPoison(const Context& context) const {
    std::vector<std::uint8_t> guard(kGuardBytes);
    buffer.Download(guard.data(), kGuardBytes, context.stream(), bytes);
    return std::ranges::all_of(guard, [](std::uint8_t byte) { return byte == 0xFF; });
  }
  std::size_t bytes;
  CudaBuffer buffer;
};

struct SlaResult {
  SlaVerdict verdict;
  bool identical = true;
  bool in_scratch = true;
  std::int64_t written_between_rows = 0;
  [[nodiscard]] bool IsRight() const {
    return verdict.IsRight() && identical && in_scratch && written_between_rows == 0;
  }
};

/// The call of the linear part without its scratch.
SlaCall CallOf(const SlaCase& sla_case, const AttentionCall& exact) {
  SlaCall call;
  call.shape = sla_case.shape;
  call.q = exact.q;
  call.k = exact.k;
  call.v = exact.v;
  call.o = exact.o;
  call.q_block = sla_case.q_block;
  call.k_block = sla_case.k_block;
  call.features = sla_case.features;
  call.stream = exact.stream;
  return call;
}

SlaResult RunSla(const SlaCase& sla_case, const Variant& variant, Context& context) {
  const Tensors tensors(sla_case.shape, sla_case.layout, sla_case.seed, context.stream());
  const std::vector<SlaHead> heads = HeadsOf(sla_case, tensors, context);
  const SlaMasks masks = SlaMasksOf(sla_case, heads);
  const std::vector<std::uint16_t> projection = SlaProjectionOf(sla_case);
  const kernels::gpu::DeviceLists lists = OnDevice(variant, masks.critical, context.stream());
  const AttentionCall exact = lists.Over(tensors.Call(), context.stream());
  const CudaBuffer marginal = runtime::ToDevice(
      std::span<const std::uint64_t>(masks.marginal), "marginal blocks", context.stream());
  const CudaBuffer p = runtime::ToDevice(
      std::span<const std::uint16_t>(projection), "SLA's projection", context.stream());
  SlaCall call = CallOf(sla_case, exact);
  call.marginal = marginal.As<std::uint64_t>();
  call.projection = p.data();
  const Scratch states(SlaStateBytes(call), "SLA's states");
  const Scratch sums(SlaSumBytes(call), "SLA's sums");
  call.states = states.buffer.data();
  call.sums = sums.buffer.data();

  SlaResult result;
  Tensors::Output first;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    tensors.Poison(context.stream());
    for (const Scratch* scratch : {&states, &sums}) scratch->buffer.Fill(0xFF, context.stream());
    variant.launch(exact);
    LaunchSla(call);
    context.stream().Synchronize("SLA");
    Tensors::Output output = tensors.Read(context.stream());
    if (repeat == 0) {
      first = std::move(output);
    } else {
      result.identical = result.identical && first.o == output.o;
    }
    result.in_scratch =
        result.in_scratch && states.GuardIsPoison(context) && sums.GuardIsPoison(context);
  }
  const int threads = std::min(sla_case.passes(),
                               static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  result.written_between_rows = tensors.WrittenBetweenRows(first);
  result.verdict = CompareSla(tensors.Rows(first),
                              SlaReferenceOf(sla_case, heads, projection, masks, threads),
                              sla_case.shape.head_dim);
  return result;
}

std::string Description(const SlaCase& sla_case, const Variant& variant, const SlaResult& result) {
  return fmt::format(
      "{} x {} heads, {} queries, {} keys, {}, exact part by {}: relative error {:.2e}, {} rows "
      "not 0 as expected, {} elements written between rows{}{}",
      sla_case.shape.batch,
      sla_case.shape.heads,
      sla_case.shape.q_tokens,
      sla_case.shape.k_tokens,
      NameOf(sla_case.layout),
      variant.name,
      result.verdict.relative_error,
      result.verdict.wrong_zero_rows,
      result.written_between_rows,
      result.in_scratch ? "" : ", written beyond the scratch",
      result.identical ? "" : ", not bit-identical over runs");
}

/// All kernels of the device. --filter does not choose among them, because it names SLA as a whole.
std::vector<const Variant*> DeviceVariants(const Context& context) {
  std::vector<const Variant*> usable;
  for (const Variant& variant : kernels::gpu::Variants()) {
    if (RunsOnDevice(variant, context)) usable.push_back(&variant);
  }
  return usable;
}

/// Whether DBSP_SKIP_KERNELS leaves no kernel for the exact part; prints a line then.
bool LeftOut(const SlaCase& sla_case, std::span<const Variant* const> usable) {
  if (kernels::gpu::SkippedKernels().empty() || !ExactVariants(sla_case, usable).empty())
    return false;
  WriteStdout(fmt::format("sla: {} is left out, as every kernel of its blocks\n", sla_case.Name()));
  return true;
}

}  // namespace

bool CheckSlaKernels(const char* part, bool small, Context& context) {
  if (!context.FilterMatches("sla")) return true;
  CaseReport report(part, "SLA", context);
  const std::vector<const Variant*> usable = DeviceVariants(context);
  int cases = small ? kSmallSlaCases : kSlaCases;
  if (context.options.cases > 0) cases = context.options.cases;
  for (int index = 0; index < cases && report.HasTime(); ++index) {
    const SlaCase sla_case = SlaCaseOf(index, context.options.seed, small);
    if (LeftOut(sla_case, usable)) continue;
    report.Run(sla_case.Name(), index, [&] {
      // The choice among the fitting kernels changes after each round of all eight SLA kernels.
      const Variant& variant = ExactVariantOf(sla_case, usable, index / kSmallSlaCases);
      const SlaResult result = RunSla(sla_case, variant, context);
      return std::pair(result.IsRight(), Description(sla_case, variant, result));
    });
  }
  return report.Finish();
}

}  // namespace dbsp::gpu_check

// SPDX-License-Identifier: Apache-2.0
// SLA on the device, the exact part and the linear one behind it, against fp64 on the CPU.
#include <algorithm>
#include <thread>

#include "bench/gpu_check/case_report.h"
#include "bench/gpu_check/compare.h"
#include "bench/gpu_check/device_case.h"
#include "bench/gpu_check/sla_cases.h"
#include "core/bf16.h"
#include "kernels/gpu/gpu_variants.h"
#include "kernels/gpu/sla.h"

namespace dbsp::gpu_check {
namespace {

using kernels::gpu::AttentionCall;
using kernels::gpu::SlaCall;
using kernels::gpu::Variant;
using runtime::CudaBuffer;

constexpr int kRepeats = 3;
constexpr std::size_t kGuardBytes = 256;  ///< behind each scratch, which must stay poison

std::vector<float> Floats(const std::vector<std::uint16_t>& values) {
  std::vector<float> floats;
  floats.reserve(values.size());
  for (const std::uint16_t value : values) floats.push_back(FromBf16(value));
  return floats;
}

std::vector<SlaHead> HeadsOf(const SlaCase& one, const Tensors& tensors, const Context& context) {
  std::vector<SlaHead> heads;
  for (int pass = 0; pass < one.passes(); ++pass) {
    const auto input = [&](int which) {
      return Floats(
          tensors.Input(which, pass / one.shape.heads, pass % one.shape.heads, context.stream()));
    };
    heads.push_back({input(0), input(1), input(2)});
  }
  return heads;
}

/// States or sums, and the guard behind them.
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
  std::int64_t between_rows = 0;
  [[nodiscard]] bool Good() const {
    return verdict.good() && identical && in_scratch && between_rows == 0;
  }
};

/// The linear call but for its scratch.
SlaCall CallOf(const SlaCase& one, const AttentionCall& exact) {
  SlaCall call;
  call.shape = one.shape;
  call.q = exact.q;
  call.k = exact.k;
  call.v = exact.v;
  call.o = exact.o;
  call.q_block = one.q_block;
  call.k_block = one.k_block;
  call.features = one.features;
  call.stream = exact.stream;
  return call;
}

SlaResult RunSla(const SlaCase& one, const Variant& variant, Context& context) {
  const Tensors tensors(one.shape, one.layout, one.seed, context.stream());
  const std::vector<SlaHead> heads = HeadsOf(one, tensors, context);
  const SlaMasks masks = SlaMasksOf(one, heads);
  const std::vector<std::uint16_t> projection = SlaProjectionOf(one);
  const kernels::gpu::DeviceLists lists = OnDevice(variant, masks.critical, context.stream());
  const AttentionCall exact = lists.Over(tensors.Call(), context.stream());
  const CudaBuffer marginal = runtime::ToDevice(
      std::span<const std::uint64_t>(masks.marginal), "marginal blocks", context.stream());
  const CudaBuffer p = runtime::ToDevice(
      std::span<const std::uint16_t>(projection), "SLA's projection", context.stream());
  SlaCall call = CallOf(one, exact);
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
    runtime::SynchronizeCudaDevice("SLA");
    Tensors::Output output = tensors.Read(context.stream());
    if (repeat == 0) {
      first = std::move(output);
    } else {
      result.identical = result.identical && first.o == output.o;
    }
    result.in_scratch =
        result.in_scratch && states.GuardIsPoison(context) && sums.GuardIsPoison(context);
  }
  const int threads =
      std::min(one.passes(), static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  result.between_rows = tensors.WrittenBetweenRows(first);
  result.verdict = CompareSla(tensors.Rows(first),
                              SlaReferenceOf(one, heads, projection, masks, threads),
                              one.shape.head_dim);
  return result;
}

std::string WordsOf(const SlaCase& one, const Variant& variant, const SlaResult& result) {
  return fmt::format(
      "{} x {} heads, {} queries, {} keys, {}, exact part by {}: relative error {:.2e}, {} rows "
      "not 0 that are, {} elements written between rows{}{}",
      one.shape.batch,
      one.shape.heads,
      one.shape.q_tokens,
      one.shape.k_tokens,
      NameOf(one.layout),
      variant.name,
      result.verdict.relative_error,
      result.verdict.wrong_zero_rows,
      result.between_rows,
      result.in_scratch ? "" : ", written beyond the scratch",
      result.identical ? "" : ", not bit-identical over runs");
}

/// Whatever --filter names: SLA's kernels are not in the table that it chooses from.
std::vector<const Variant*> VariantsOfDevice(const Context& context) {
  std::vector<const Variant*> usable;
  for (const Variant& variant : kernels::gpu::Variants()) {
    if (RunsHere(variant, context)) usable.push_back(&variant);
  }
  return usable;
}

}  // namespace

bool CheckSlaKernels(const char* part, bool small, Context& context) {
  if (!context.Named("sla")) return true;
  CaseReport report(part, "SLA", context);
  const std::vector<const Variant*> usable = VariantsOfDevice(context);
  const int cases = small ? kSmallSlaCases : kSlaCases;
  for (int index = 0; index < cases && report.HasTime(); ++index) {
    const SlaCase one = SlaCaseOf(index, context.options.seed, small);
    report.Run(one.Name(), index, [&] {
      // The table lists a device's kernels family by family; turns are by rounds of all eight.
      const Variant& variant = ExactVariantOf(one, usable, index / kSmallSlaCases);
      const SlaResult result = RunSla(one, variant, context);
      return std::pair(result.Good(), WordsOf(one, variant, result));
    });
  }
  return report.Finish();
}

}  // namespace dbsp::gpu_check

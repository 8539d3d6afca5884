// SPDX-License-Identifier: Apache-2.0
#include "kernels/gpu/check_call.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "core/error.h"
#include "kernels/gpu/embedded_code.h"

namespace dbsp::kernels::gpu {
namespace {

constexpr std::int64_t kRowSlack = 512;  ///< rows a box may reach past the last token
constexpr std::int64_t kAlign = 16;  ///< bytes, of TMA and of 16-byte copies
constexpr std::int64_t kElement = 2;  ///< bytes of a bf16
constexpr std::int64_t kMaxStride = (std::int64_t{1} << 40) / kElement;  ///< elements, of TMA

void Require(
    bool good, const Variant& variant, const char* what, std::int64_t value, const char* expected) {
  if (good) return;
  Fail(ErrorCode::kInvalidArgument,
       "{}: {} is {}, expected {}",
       variant.name,
       what,
       value,
       expected);
}

void RequirePointer(const Variant& variant,
                    const void* pointer,
                    const char* what,
                    std::int64_t align) {
  if (pointer == nullptr) {
    Fail(ErrorCode::kInvalidArgument, "{}: {} is null, expected device memory", variant.name, what);
  }
  if (reinterpret_cast<std::uintptr_t>(pointer) % static_cast<std::uintptr_t>(align) != 0) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: {} is at {}, expected a multiple of {} bytes",
         variant.name,
         what,
         pointer,
         align);
  }
}

void CheckShape(const Variant& variant, const AttentionShape& shape) {
  Require(shape.head_dim == variant.head_dim,
          variant,
          "head_dim",
          shape.head_dim,
          variant.head_dim == 64 ? "64; take a variant of this head dimension"
                                 : "128; take a variant of this head dimension");
  Require(shape.batch >= 1, variant, "batch", shape.batch, "at least 1");
  Require(shape.heads >= 1, variant, "heads", shape.heads, "at least 1");
  // Row coordinates are 32-bit, and the last box reaches past the last token.
  const char* const tokens = "1 to 2^31 - 513";
  Require(shape.q_tokens >= 1 && shape.q_tokens < kMaxInt - kRowSlack,
          variant,
          "q_tokens",
          shape.q_tokens,
          tokens);
  Require(shape.k_tokens >= 1 && shape.k_tokens < kMaxInt - kRowSlack,
          variant,
          "k_tokens",
          shape.k_tokens,
          tokens);
  if (!(shape.scale > 0.0F) || !std::isfinite(shape.scale)) {
    Fail(ErrorCode::kInvalidArgument,
         "{}: scale is {}, expected a finite number above 0: maxima are taken before it is applied",
         variant.name,
         shape.scale);
  }
}

void CheckView(const Variant& variant,
               const TensorView& view,
               const char* name,
               const AttentionShape& shape,
               int tokens) {
  RequirePointer(variant, view.data, name, kAlign);
  struct Axis {
    const char* name;
    std::int64_t stride;
    std::int64_t extent;
  };
  for (const Axis& axis : {Axis{"token_stride", view.token_stride, tokens},
                           Axis{"head_stride", view.head_stride, shape.heads},
                           Axis{"batch_stride", view.batch_stride, shape.batch}}) {
    if (axis.extent == 1) continue;  // never stepped over
    if (axis.stride < shape.head_dim || axis.stride >= kMaxStride ||
        axis.stride % (kAlign / kElement) != 0) {
      Fail(ErrorCode::kInvalidArgument,
           "{}: {}.{} is {} elements, expected a multiple of 8 from head_dim = {} to below 2^39",
           variant.name,
           name,
           axis.name,
           axis.stride,
           shape.head_dim);
    }
  }
}

}  // namespace

int QBlocks(const Variant& variant, const AttentionShape& shape) {
  return (shape.q_tokens - 1) / variant.q_block + 1;
}

int BlocksPerEntry(const Variant& variant) {
  return variant.tile_m > variant.q_block ? variant.tile_m / variant.q_block : 1;
}

void CheckCall(const Variant& variant, const AttentionCall& call) {
  CheckShape(variant, call.shape);
  CheckView(variant, call.q, "q", call.shape, call.shape.q_tokens);
  CheckView(variant, call.k, "k", call.shape, call.shape.k_tokens);
  CheckView(variant, call.v, "v", call.shape, call.shape.k_tokens);
  CheckView(variant, call.o, "o", call.shape, call.shape.q_tokens);
  RequirePointer(variant, call.lse, "lse", alignof(float));
  RequirePointer(variant, call.begin, "begin", alignof(std::int32_t));
  RequirePointer(variant, call.counter, "counter", alignof(std::int32_t));
  const int q_blocks = QBlocks(variant, call.shape);
  const std::int64_t heads = std::int64_t{call.shape.batch} * call.shape.heads;
  Require(heads < kMaxInt && heads * q_blocks < kMaxInt,
          variant,
          "batch * heads * query blocks",
          heads * q_blocks,
          "at most 2^31 - 2");
  const int per_entry = BlocksPerEntry(variant);
  const std::int64_t entries = heads * ((q_blocks - 1) / per_entry + 1);
  Require(call.ordered_tiles >= 0 && call.ordered_tiles <= entries,
          variant,
          "ordered_tiles",
          call.ordered_tiles,
          "0 to the entries TileOrder returns");
  if (call.ordered_tiles > 0) {
    RequirePointer(variant, call.list, "list", alignof(std::int32_t));
    RequirePointer(variant, call.order, "order", alignof(std::int32_t));
  }
  Require(call.sm_count >= 0, variant, "sm_count", call.sm_count, "0 or the thread blocks wanted");
}

std::optional<std::string> WhyNotOn(const Variant& variant, int arch) {
  const bool hopper = variant.min_arch == 90;
  if (hopper ? arch != 90 : arch < variant.min_arch) {
    return fmt::format("needs compute capability {}.{}{}, but the device has {}.{}",
                       variant.min_arch / 10,
                       variant.min_arch % 10,
                       hopper ? "" : " or higher",
                       arch / 10,
                       arch % 10);
  }
  if (!hopper && !CodeRunsOn(PortableArchitectures(), arch)) {
    return fmt::format(
        "has no code for compute capability {}.{} in this build (CMAKE_CUDA_ARCHITECTURES is {})",
        arch / 10,
        arch % 10,
        PortableArchitectures());
  }
  return std::nullopt;
}

bool RunsOn(const Variant& variant, int arch) { return !WhyNotOn(variant, arch); }

void CheckArch(const Variant& variant, int arch) {
  if (const auto reason = WhyNotOn(variant, arch)) {
    Fail(ErrorCode::kUnavailable, "{} {}; take another variant", variant.name, *reason);
  }
}

}  // namespace dbsp::kernels::gpu

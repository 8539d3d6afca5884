// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "kernels/plugin.h"
#include "runtime/clock.h"

namespace dbsp::kernels {
namespace {

/// The mask of a call in the kernel's form. It must outlive prepare.
struct MaskArrays {
  std::vector<std::int64_t> begin;
  std::vector<std::int32_t> index;
  std::vector<std::int32_t> count;
  std::vector<std::uint8_t> dense;
  std::int32_t width = 0;
};

std::size_t Rows(const AttentionArgs& args, int heads) {
  return static_cast<std::size_t>(heads) * static_cast<std::size_t>(args.q_blocks);
}

std::span<const int> RowOf(const AttentionArgs& args, std::size_t row) {
  const auto first = static_cast<std::size_t>(args.list_begin[row] - args.list_begin[0]);
  const auto last = static_cast<std::size_t>(args.list_begin[row + 1] - args.list_begin[0]);
  return args.list.subspan(first, last - first);
}

MaskArrays MaskOf(std::uint32_t form, const AttentionArgs& args, int heads) {
  const std::size_t rows = Rows(args, heads);
  MaskArrays mask;
  for (std::size_t row = 0; form == DBSP_MASK_PADDED && row < rows; ++row) {
    mask.width = std::max(mask.width, static_cast<std::int32_t>(RowOf(args, row).size()));
  }
  mask.begin.push_back(0);
  if (form == DBSP_MASK_DENSE) {
    mask.dense.resize(rows * static_cast<std::size_t>(args.k_blocks));
  }
  for (std::size_t row = 0; row < rows; ++row) {
    const std::span<const int> list = RowOf(args, row);
    if (form == DBSP_MASK_DENSE) {
      for (const int j : list) mask.dense[row * static_cast<std::size_t>(args.k_blocks) + j] = 1;
      continue;
    }
    for (const int j : list) {
      if (form != DBSP_MASK_KEY_CSR) {
        mask.index.push_back(j);
        continue;
      }
      for (int key = 0; key < args.k_tokens[j]; ++key) {
        mask.index.push_back(j * args.block.k + key);
      }
    }
    mask.count.push_back(static_cast<std::int32_t>(list.size()));
    if (form == DBSP_MASK_PADDED) {
      mask.index.resize((row + 1) * static_cast<std::size_t>(mask.width), -1);
    }
    mask.begin.push_back(static_cast<std::int64_t>(mask.index.size()));
  }
  return mask;
}

void RequireShape(const PluginKernel& kernel, const AttentionArgs& args) {
  const auto takes = [](int only, int found) { return only == 0 || only == found; };
  if (!takes(kernel.head_dim, args.head_dim) || !takes(kernel.q_block, args.block.q) ||
      !takes(kernel.k_block, args.block.k)) {
    const auto shown = [](int size) { return size == 0 ? "any" : std::to_string(size); };
    Fail(ErrorCode::kInvalidArgument,
         "{} takes head_dim {} and {}x{} blocks; the call has {} and {}x{}",
         kernel.id,
         shown(kernel.head_dim),
         shown(kernel.q_block),
         shown(kernel.k_block),
         args.head_dim,
         args.block.q,
         args.block.k);
  }
  if (kernel.Has(DBSP_KERNEL_VARIABLE_BLOCKS)) return;
  const auto check = [&](std::span<const int> tokens, int whole, const char* side) {
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
      if (tokens[i] == whole) continue;
      Fail(ErrorCode::kUnavailable,
           "{}: {} block {} of {} has {} of {} tokens; the kernel takes a short block only at the "
           "end (it lacks DBSP_KERNEL_VARIABLE_BLOCKS)",
           kernel.id,
           side,
           i,
           tokens.size(),
           tokens[i],
           whole);
    }
  };
  check(args.q_tokens, args.block.q, "query");
  check(args.k_tokens, args.block.k, "key");
}

[[noreturn]] void FailCall(const PluginKernel& kernel, const char* what, const std::string& text) {
  Fail(ErrorCode::kMeasurement, "{}: {} failed: {}", kernel.id, what, text);
}

}  // namespace

PluginCall::PluginCall(const PluginKernel& kernel, const AttentionArgs& args, int heads)
    : kernel_(&kernel),
      head_dim_(args.head_dim),
      q_rows_(std::int64_t{args.q_blocks} * args.block.q),
      k_rows_(std::int64_t{args.k_blocks} * args.block.k) {
  RequireShape(kernel, args);
  const MaskArrays mask = MaskOf(kernel.mask_form, args, heads);
  dbsp_kernel_call call{};
  call.size = sizeof(call);
  call.heads = heads;
  call.head_dim = args.head_dim;
  call.q_block = args.block.q;
  call.k_block = args.block.k;
  call.q_blocks = args.q_blocks;
  call.k_blocks = args.k_blocks;
  call.scale = args.scale;
  call.q_tokens = args.q_tokens.data();
  call.k_tokens = args.k_tokens.data();
  call.mask_form = kernel.mask_form;
  call.width = mask.width;
  if (kernel.mask_form == DBSP_MASK_DENSE) {
    call.dense = mask.dense.data();
  } else {
    call.index = mask.index.data();
    if (kernel.mask_form == DBSP_MASK_PADDED) {
      call.count = mask.count.data();
    } else {
      call.begin = mask.begin.data();
    }
  }
  PluginErrorText error;
  const std::int64_t begin = runtime::SteadyNs();
  if (kernel.table->prepare(kernel.index, &call, &state_, error.get()) != 0) {
    FailCall(kernel, "prepare", error.text());
  }
  prepare_ns_ = runtime::SteadyNs() - begin;
}

PluginCall::~PluginCall() { kernel_->table->release(state_); }

void PluginCall::Launch(
    const float* q, const float* k, const float* v, float* o, float* lse) const {
  const auto view = [&](const float* data, std::int64_t rows) {
    return dbsp_tensor{const_cast<float*>(data), rows * head_dim_, head_dim_};
  };
  dbsp_kernel_tensors tensors{};
  tensors.size = sizeof(tensors);
  tensors.q = view(q, q_rows_);
  tensors.k = view(k, k_rows_);
  tensors.v = view(v, k_rows_);
  tensors.o = view(o, q_rows_);
  tensors.lse = kernel_->Has(DBSP_KERNEL_LSE) ? lse : nullptr;
  PluginErrorText error;
  if (kernel_->table->launch(state_, &tensors, error.get()) != 0) {
    FailCall(*kernel_, "launch", error.text());
  }
}

}  // namespace dbsp::kernels

// SPDX-License-Identifier: Apache-2.0
// A sequence of launches that is recorded once and launched as a whole.
#pragma once

#include <functional>

#include "runtime/unique_handle.h"

struct CUgraph_st;
struct CUgraphExec_st;

namespace dbsp::runtime {

class CudaStream;

struct CudaGraphTraits {
  using Type = CUgraph_st*;
  static constexpr Type kNull = nullptr;
  static void Close(Type graph) noexcept;
};
struct CudaGraphExecTraits {
  using Type = CUgraphExec_st*;
  static constexpr Type kNull = nullptr;
  static void Close(Type graph) noexcept;
};

/// threads  one thread at a time
class CudaGraph {
 public:
  /// Records the work that `enqueue` puts on `stream`, without running it.
  /// errors  as CheckCuda (runtime/cuda/cuda_check.h); errors of `enqueue`, after which the stream
  ///         no longer records
  CudaGraph(const CudaStream& stream, const std::function<void()>& enqueue);
  /// Enqueues the whole graph. errors as CheckCuda
  void Launch(const CudaStream& stream) const;

 private:
  UniqueHandle<CudaGraphTraits> graph_;
  UniqueHandle<CudaGraphExecTraits> executable_;
};

}  // namespace dbsp::runtime

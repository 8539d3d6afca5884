// SPDX-License-Identifier: Apache-2.0
// A sequence of launches recorded once and launched as one.
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
  /// Records what `enqueue` puts on `stream`; nothing runs. An error out of `enqueue` ends the
  /// recording and goes on to the caller.
  /// errors  as CheckCuda (runtime/cuda/cuda_check.h)
  CudaGraph(const CudaStream& stream, const std::function<void()>& enqueue);
  /// Enqueues all of it. errors as CheckCuda
  void Launch(const CudaStream& stream) const;

 private:
  UniqueHandle<CudaGraphTraits> graph_;
  UniqueHandle<CudaGraphExecTraits> executable_;
};

}  // namespace dbsp::runtime

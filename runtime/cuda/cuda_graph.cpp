// SPDX-License-Identifier: Apache-2.0
#include "runtime/cuda/cuda_graph.h"

#include <cuda_runtime.h>

#include "runtime/cuda/cuda_check.h"
#include "runtime/cuda/cuda_stream.h"

namespace dbsp::runtime {

void CudaGraphTraits::Close(Type graph) noexcept { (void)cudaGraphDestroy(graph); }
void CudaGraphExecTraits::Close(Type graph) noexcept { (void)cudaGraphExecDestroy(graph); }

CudaGraph::CudaGraph(const CudaStream& stream, const std::function<void()>& enqueue) {
  DBSP_CUDA(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal));
  cudaGraph_t graph = nullptr;
  try {
    enqueue();
  } catch (...) {
    // A stream that still records would refuse all later work.
    (void)cudaStreamEndCapture(stream.get(), &graph);
    graph_.Reset(graph);
    (void)cudaGetLastError();
    throw;
  }
  DBSP_CUDA(cudaStreamEndCapture(stream.get(), &graph));
  graph_.Reset(graph);
  cudaGraphExec_t executable = nullptr;
  DBSP_CUDA(cudaGraphInstantiate(&executable, graph, 0));
  executable_.Reset(executable);
}

void CudaGraph::Launch(const CudaStream& stream) const {
  DBSP_CUDA(cudaGraphLaunch(executable_.get(), stream.get()));
}

}  // namespace dbsp::runtime

// SPDX-License-Identifier: Apache-2.0
// NCCL's functions, for the sources in runtime/ that include nccl.h.
#pragma once

#include <nccl.h>

#include <string>

#include "runtime/dynamic_library.h"

namespace dbsp::runtime::internal {

/// Opens NCCL. errors as NcclLibrary::Load
inline DynamicLibrary OpenNccl(const std::string& name) {
  return DynamicLibrary::Search(
      name,
      "NCCL: unavailable",
      "install NCCL 2 (pip install nvidia-nccl-cu13) or put its folder on DBSP_LIBRARY_PATH");
}

/// errors  of the constructor: Error{kUnavailable} as NcclLibrary::Load
struct NcclApi {
  explicit NcclApi(const std::string& name) : library(OpenNccl(name)) {}

  template <typename Function>
  Function* Get(const char* name) const {
    return library.Get<Function>(name);
  }

  DynamicLibrary library;
  decltype(::ncclGetErrorString)* ErrorString =
      Get<decltype(::ncclGetErrorString)>("ncclGetErrorString");
  decltype(::ncclGetUniqueId)* GetUniqueId = Get<decltype(::ncclGetUniqueId)>("ncclGetUniqueId");
  decltype(::ncclCommInitRankConfig)* InitRank =
      Get<decltype(::ncclCommInitRankConfig)>("ncclCommInitRankConfig");
  decltype(::ncclCommGetAsyncError)* AsyncError =
      Get<decltype(::ncclCommGetAsyncError)>("ncclCommGetAsyncError");
  decltype(::ncclCommFinalize)* Finalize = Get<decltype(::ncclCommFinalize)>("ncclCommFinalize");
  decltype(::ncclCommDestroy)* Destroy = Get<decltype(::ncclCommDestroy)>("ncclCommDestroy");
  decltype(::ncclCommAbort)* Abort = Get<decltype(::ncclCommAbort)>("ncclCommAbort");
  decltype(::ncclGroupStart)* GroupStart = Get<decltype(::ncclGroupStart)>("ncclGroupStart");
  decltype(::ncclGroupEnd)* GroupEnd = Get<decltype(::ncclGroupEnd)>("ncclGroupEnd");
  decltype(::ncclSend)* Send = Get<decltype(::ncclSend)>("ncclSend");
  decltype(::ncclRecv)* Recv = Get<decltype(::ncclRecv)>("ncclRecv");
  decltype(::ncclAllGather)* AllGather = Get<decltype(::ncclAllGather)>("ncclAllGather");
  decltype(::ncclReduceScatter)* ReduceScatter =
      Get<decltype(::ncclReduceScatter)>("ncclReduceScatter");
};

}  // namespace dbsp::runtime::internal

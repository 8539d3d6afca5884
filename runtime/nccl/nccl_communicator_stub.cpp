// SPDX-License-Identifier: Apache-2.0
// Exchanges of a build without nccl.h: CMake sets DBSP_NOT_BUILT to the reason.
#include "core/error.h"
#include "runtime/nccl/nccl_communicator.h"

namespace dbsp::runtime {

class NcclFailures {};

NcclId NcclCommunicator::MakeId(const std::string&) {
  Fail(ErrorCode::kUnavailable, "NCCL: unavailable: not built: {}", DBSP_NOT_BUILT);
}

std::unique_ptr<NcclCommunicator> NcclCommunicator::Join(
    const NcclId&, int, int, NcclQueue, const NcclOptions&, std::shared_ptr<NcclFailures>) {
  Fail(ErrorCode::kUnavailable, "NCCL: unavailable: not built: {}", DBSP_NOT_BUILT);
}

void RunNcclRanks(int,
                  const NcclOptions&,
                  const std::function<NcclQueue(int rank)>&,
                  const std::function<void(NcclCommunicator&)>&) {
  Fail(ErrorCode::kUnavailable, "NCCL: unavailable: not built: {}", DBSP_NOT_BUILT);
}

}  // namespace dbsp::runtime

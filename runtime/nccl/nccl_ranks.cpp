// SPDX-License-Identifier: Apache-2.0
// Ranks as threads of one process, with one GPU each.
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

#include "core/error.h"
#include "runtime/nccl/nccl_communicator.h"
#include "runtime/nccl/nccl_failures.h"

namespace dbsp::runtime {
namespace {

/// Runs one rank from start to end. Never throws. After the first failure the other ranks' errors
/// only repeat it, so the caller rethrows the first one.
void RunRank(int rank,
             NcclFailures& failures,
             std::exception_ptr& failure,
             const std::function<void()>& run) noexcept {
  try {
    run();
  } catch (const std::exception& error) {
    failure = std::current_exception();
    failures.Report(rank, error.what());
  } catch (...) {
    failure = std::current_exception();
    failures.Report(rank, "an exception of unknown type");
  }
}

}  // namespace

void RunNcclRanks(int ranks,
                  const NcclOptions& options,
                  const std::function<NcclQueue(int rank)>& queue_of,
                  const std::function<void(NcclCommunicator&)>& body) {
  if (ranks < 1) Fail(ErrorCode::kInvalidArgument, "RunNcclRanks: {} ranks; at least 1", ranks);
  const NcclId id = NcclCommunicator::MakeId(options.library);
  const auto failures = std::make_shared<NcclFailures>();
  std::vector<std::exception_ptr> errors(ranks);
  std::vector<std::thread> threads;
  threads.reserve(ranks);
  try {
    for (int r = 0; r < ranks; ++r) {
      threads.emplace_back([&, r] {
        RunRank(r, *failures, errors[r], [&] {
          const auto communicator =
              NcclCommunicator::Join(id, r, ranks, queue_of(r), options, failures);
          try {
            body(*communicator);
          } catch (const std::exception& error) {
            // Abort at once and not in the destructor, because the other ranks wait for this one.
            communicator->Abort(error.what());
            throw;
          }
        });
      });
    }
  } catch (const std::system_error& error) {
    failures->Report(static_cast<int>(threads.size()), error.what());
    for (std::thread& thread : threads) thread.join();
    Fail(ErrorCode::kUnavailable, "cannot start {} threads: {}", ranks, error.what());
  }
  for (std::thread& thread : threads) thread.join();
  const auto first = failures->rank();
  if (first && errors[*first]) std::rethrow_exception(errors[*first]);
  if (first) throw Error(ErrorCode::kMeasurement, failures->Message());
}

}  // namespace dbsp::runtime

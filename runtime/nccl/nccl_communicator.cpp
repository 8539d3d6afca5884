// SPDX-License-Identifier: Apache-2.0
#include "runtime/nccl/nccl_communicator.h"

#include <fmt/format.h>

#include <chrono>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"
#include "runtime/clock.h"
#include "runtime/nccl/nccl_api.h"
#include "runtime/nccl/nccl_failures.h"
#include "runtime/ranks/exchange.h"

namespace dbsp::runtime {
namespace {

using internal::NcclApi;

static_assert(sizeof(NcclId) == sizeof(ncclUniqueId), "NcclId has the bytes of ncclUniqueId");

/// Phases of a wait. A group end of a non-blocking communicator takes some 10 us on a thread of
/// NCCL, and a sleep at least 50 us more than asked, so sleeping at once would make every exchange
/// below 100 us a measurement of the host's timer.
constexpr std::int64_t kSpinNs = 20'000;  ///< polls only
constexpr std::int64_t kYieldNs = 1'000'000;  ///< lets other threads of this core run between polls
constexpr auto kPollEvery = std::chrono::microseconds(20);  ///< afterwards sleeps between polls

/// Lets time pass between two polls of a wait that began `waited_ns` ago.
void Pause(std::int64_t waited_ns) {
  if (waited_ns < kSpinNs) return;
  if (waited_ns < kYieldNs) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(kPollEvery);
  }
}

class NcclRank final : public NcclCommunicator {
 public:
  NcclRank(int rank,
           int size,
           NcclQueue queue,
           const NcclOptions& options,
           std::shared_ptr<NcclFailures> failures)
      : api_(options.library),
        rank_(rank),
        size_(size),
        queue_(std::move(queue)),
        deadline_ns_(options.deadline_ns),
        must_stop_(options.must_stop),
        failures_(failures ? std::move(failures) : std::make_shared<NcclFailures>()) {}

  ~NcclRank() override {
    if (comm_ == nullptr) return;
    // Finalizing is a collective. After the failure of a rank only an abort does not wait for it.
    if (failures_->rank() || !FinalizeInTime()) {
      (void)api_.Abort(comm_);
    } else {
      (void)api_.Destroy(comm_);
    }
  }
  NcclRank(const NcclRank&) = delete;
  NcclRank& operator=(const NcclRank&) = delete;

  void JoinAs(const NcclId& id, int most_ctas) {
    ncclUniqueId unique{};
    std::memcpy(unique.internal, id.data(), id.size());
    if (most_ctas != 0 && !IsNcclCtas(most_ctas)) {
      Fail(ErrorCode::kInvalidArgument,
           "NCCL: at most {} thread blocks: NCCL takes powers of two up to {}",
           most_ctas,
           kMostNcclCtas);
    }
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    if (most_ctas > 0) config.maxCTAs = most_ctas;
    Finish(api_.InitRank(&comm_, size_, unique, rank_, &config), "ncclCommInitRankConfig");
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }

  void EnqueueAllToAllV(std::span<const std::byte> send,
                        std::span<const std::int64_t> send_counts,
                        std::span<const std::int64_t> send_offsets,
                        std::span<std::byte> recv,
                        std::span<const std::int64_t> recv_counts,
                        std::span<const std::int64_t> recv_offsets) override {
    RequireParts("AllToAllV send", rank_, size_, send_counts, send_offsets, send.size());
    RequireParts("AllToAllV recv", rank_, size_, recv_counts, recv_offsets, recv.size());
    const auto steps = AllToAllSteps(rank_, send_counts, send_offsets, recv_counts, recv_offsets);
    EnqueueSteps("AllToAllV", send, steps, recv);
  }

  void EnqueueAllGatherV(std::span<const std::byte> send,
                         std::span<std::byte> recv,
                         std::span<const std::int64_t> counts,
                         std::span<const std::int64_t> offsets) override {
    RequireParts("AllGatherV", rank_, size_, counts, offsets, recv.size());
    if (!IsEven(counts, offsets)) {
      EnqueueSteps(
          "AllGatherV", send, AllGatherSteps(rank_, std::ssize(send), counts, offsets), recv);
      return;
    }
    Begin("AllGatherV");
    Finish(api_.AllGather(send.data(), recv.data(), send.size(), ncclInt8, comm_, stream()),
           "ncclAllGather");
  }

  void EnqueueReduceScatter(std::span<const float> send, std::span<float> recv) override {
    RequireSums(rank_, size_, send.size(), recv.size());
    Begin("ReduceScatter");
    Finish(api_.ReduceScatter(
               send.data(), recv.data(), recv.size(), ncclFloat32, ncclSum, comm_, stream()),
           "ncclReduceScatter");
  }

  void Wait() override {
    WaitFor("the exchange", [&] { return queue_.idle(); });
    waiting_for_ = "";
  }

  void AllToAllV(std::span<const std::byte> send,
                 std::span<const std::int64_t> send_counts,
                 std::span<const std::int64_t> send_offsets,
                 std::span<std::byte> recv,
                 std::span<const std::int64_t> recv_counts,
                 std::span<const std::int64_t> recv_offsets) override {
    EnqueueAllToAllV(send, send_counts, send_offsets, recv, recv_counts, recv_offsets);
    Wait();
  }

  void AllGatherV(std::span<const std::byte> send,
                  std::span<std::byte> recv,
                  std::span<const std::int64_t> counts,
                  std::span<const std::int64_t> offsets) override {
    EnqueueAllGatherV(send, recv, counts, offsets);
    Wait();
  }

  void ReduceScatter(std::span<const float> send, std::span<float> recv) override {
    EnqueueReduceScatter(send, recv);
    Wait();
  }

  void EnqueueSendRecv(std::span<const std::byte> send,
                       int dst,
                       std::span<std::byte> recv,
                       int src) override {
    const Transfer hop = HopOf(rank_, size_, send, dst, recv, src);
    EnqueueSteps("SendRecv", send, std::span(&hop, 1), recv);
  }

  void StartSendRecv(std::span<const std::byte> send,
                     int dst,
                     std::span<std::byte> recv,
                     int src) override {
    if (hop_in_flight_) {
      Fail(ErrorCode::kInternal,
           "StartSendRecv on rank {}: an exchange is already in flight; call WaitSendRecv first",
           rank_);
    }
    EnqueueSendRecv(send, dst, recv, src);
    hop_in_flight_ = true;
  }

  void WaitSendRecv() override {
    if (!hop_in_flight_) {
      Fail(ErrorCode::kInternal, "WaitSendRecv on rank {}: no StartSendRecv before it", rank_);
    }
    hop_in_flight_ = false;
    Wait();
  }

  void EnqueueBarrier() override {
    // A rank receives every rank's float only after every rank has arrived.
    Begin("Barrier");
    Finish(api_.AllGather(queue_.scratch + rank_, queue_.scratch, 1, ncclFloat32, comm_, stream()),
           "ncclAllGather");
  }

  void Barrier() override {
    EnqueueBarrier();
    Wait();
  }

  void Abort(const std::string& reason) noexcept override {
    failures_->Report(rank_, reason);
    if (comm_ != nullptr) (void)api_.Abort(std::exchange(comm_, nullptr));
  }

 private:
  [[nodiscard]] cudaStream_t stream() const { return static_cast<cudaStream_t>(queue_.stream); }
  static std::size_t Count(std::int64_t count) { return static_cast<std::size_t>(count); }

  /// Enqueues all steps in one group: NCCL starts its sends and receives together, so that their
  /// order cannot cause a deadlock.
  void EnqueueSteps(const char* call,
                    std::span<const std::byte> send,
                    std::span<const Transfer> steps,
                    std::span<std::byte> recv) {
    Begin(call);
    Require(api_.GroupStart(), "ncclGroupStart");
    ncclResult_t result = ncclSuccess;
    for (const Transfer& step : steps) {
      if (step.send_count > 0 && Usable(result)) {
        result = api_.Send(send.data() + step.send_offset,
                           Count(step.send_count),
                           ncclInt8,
                           step.send_to,
                           comm_,
                           stream());
      }
      if (step.recv_count > 0 && Usable(result)) {
        result = api_.Recv(recv.data() + step.recv_offset,
                           Count(step.recv_count),
                           ncclInt8,
                           step.receive_from,
                           comm_,
                           stream());
      }
    }
    // The group must end after a failure as well, or it would include this thread's next calls.
    const ncclResult_t ended = api_.GroupEnd();
    Require(result, "ncclSend or ncclRecv");
    Finish(ended, "ncclGroupEnd");
  }

  void Begin(const char* call) {
    ThrowIfFailed();
    if (comm_ == nullptr) {
      Fail(ErrorCode::kMeasurement, "rank {}: {} after the communicator was aborted", rank_, call);
    }
    waiting_for_ = call;
  }

  static bool Usable(ncclResult_t result) {
    return result == ncclSuccess || result == ncclInProgress;
  }

  void Require(ncclResult_t result, const char* call) {
    if (Usable(result)) return;
    GiveUp(fmt::format(
        "NCCL: {}: {} (NCCL error {})", call, api_.ErrorString(result), static_cast<int>(result)));
  }

  /// Waits until a call of the non-blocking communicator has finished on the host.
  void Finish(ncclResult_t result, const char* call) {
    Require(result, call);
    if (result == ncclInProgress) WaitFor(call, [] { return true; });
  }

  /// Waits until done() and NCCL has no call in progress on the host.
  template <typename Done>
  void WaitFor(const char* what, Done done) {
    const std::int64_t begin = SteadyNs();
    for (;;) {
      ThrowIfFailed();
      if (comm_ == nullptr) {
        Fail(ErrorCode::kMeasurement, "rank {}: the communicator was aborted", rank_);
      }
      ncclResult_t state = ncclSuccess;
      Require(api_.AsyncError(comm_, &state), "ncclCommGetAsyncError");
      Require(state, what);
      if (state == ncclSuccess && done()) return;
      const std::int64_t waited = SteadyNs() - begin;
      if (waited > deadline_ns_) {
        GiveUp(fmt::format(
            "{}{}{} took more than {:g} s; a rank is gone, or the counts of two ranks differ",
            what,
            waiting_for_.empty() ? "" : " of ",
            waiting_for_,
            static_cast<double>(deadline_ns_) * 1e-9));
      }
      Pause(waited);
    }
  }

  /// Throws the reason of another rank's failure, if there is one.
  void ThrowIfFailed() {
    std::optional<std::string> message;
    if (failures_->rank()) message = failures_->Message();
    if (!message && must_stop_) message = must_stop_();
    if (!message) return;
    Abort(*message);
    throw Error(ErrorCode::kMeasurement, *message);
  }

  [[noreturn]] void GiveUp(const std::string& reason) {
    Abort(reason);
    throw Error(ErrorCode::kMeasurement, fmt::format("rank {}: {}", rank_, reason));
  }

  /// Returns false when the other ranks do not finalize before the deadline.
  bool FinalizeInTime() noexcept {
    ncclResult_t state = api_.Finalize(comm_);
    const std::int64_t deadline = SteadyNs() + deadline_ns_;
    while (state == ncclInProgress && SteadyNs() < deadline && !failures_->rank() &&
           !(must_stop_ && must_stop_())) {
      std::this_thread::sleep_for(kPollEvery);
      if (api_.AsyncError(comm_, &state) != ncclSuccess) return false;
    }
    return state == ncclSuccess;
  }

  NcclApi api_;
  ncclComm_t comm_ = nullptr;
  int rank_;
  int size_;
  NcclQueue queue_;
  std::int64_t deadline_ns_;
  std::function<std::optional<std::string>()> must_stop_;
  std::shared_ptr<NcclFailures> failures_;
  std::string waiting_for_;  ///< name of the call whose work is enqueued
  bool hop_in_flight_ = false;
};

}  // namespace

NcclId NcclCommunicator::MakeId(const std::string& library) {
  const NcclApi api(library);
  ncclUniqueId unique{};
  const ncclResult_t result = api.GetUniqueId(&unique);
  if (result != ncclSuccess) {
    Fail(ErrorCode::kUnavailable,
         "NCCL: unavailable: ncclGetUniqueId: {} (NCCL error {})",
         api.ErrorString(result),
         static_cast<int>(result));
  }
  NcclId id{};
  std::memcpy(id.data(), unique.internal, id.size());
  return id;
}

std::unique_ptr<NcclCommunicator> NcclCommunicator::Join(const NcclId& id,
                                                         int rank,
                                                         int size,
                                                         NcclQueue queue,
                                                         const NcclOptions& options,
                                                         std::shared_ptr<NcclFailures> failures) {
  if (size < 1 || rank < 0 || rank >= size) {
    Fail(ErrorCode::kInvalidArgument, "NCCL: rank {} is not one of {} ranks", rank, size);
  }
  auto joined =
      std::make_unique<NcclRank>(rank, size, std::move(queue), options, std::move(failures));
  joined->JoinAs(id, options.most_ctas);
  return joined;
}

}  // namespace dbsp::runtime

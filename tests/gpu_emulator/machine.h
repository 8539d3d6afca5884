// SPDX-License-Identifier: Apache-2.0
// State of the emulator. A Machine has the resident blocks; a Block has its shared memory, barriers
// and threads. Everything runs on one thread of the operating system, so there are no locks.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "tests/gpu_emulator/barrier_state.h"
#include "tests/gpu_emulator/emulator.h"
#include "tests/gpu_emulator/fiber.h"
#include "tests/gpu_emulator/random.h"
#include "tests/gpu_emulator/shared_memory.h"
#include "tests/gpu_emulator/warp_state.h"
#include "tests/gpu_emulator/wgmma_state.h"

namespace dbsp::kernels::gpu::isa::emulator {

inline constexpr int kWarpLanes = 32;
inline constexpr int kWarpgroupThreads = 128;

class Machine;
struct Block;

/// Returns a text that names the condition of a waiting thread. Called only for a deadlock.
using Describe = std::function<std::string()>;

/// A group of a thread's TMA stores (cp.async.bulk group).
struct StoreGroup {
  int unread = 0;  ///< stores that have not read shared memory yet
  int unwritten = 0;  ///< stores that have not written global memory yet
  std::vector<SharedSpan> claimed;  ///< must not be written before the thread has waited
};

/// A thread's cp.async operations, numbered in order.
struct CopyState {
  std::uint64_t issued = 0;
  std::vector<std::uint64_t> outstanding;  ///< numbers of unfinished operations, ascending
  std::vector<std::uint64_t> group_ends;  ///< of committed groups: `issued` at the commit
  struct Arrival {
    std::uint64_t after = 0;  ///< arrives when no operation below this number is outstanding
    int offset = 0;  ///< of the mbarrier
  };
  std::vector<Arrival> arrivals;
  WaitList waiters;
};

struct Thread {
  enum class State : std::uint8_t { kReady, kWaiting, kDone };

  Machine* machine = nullptr;
  Block* block = nullptr;
  int index = 0;
  State state = State::kReady;
  std::unique_ptr<Fiber> fiber;
  const Describe* waiting_for = nullptr;
  std::deque<StoreGroup> store_groups;  ///< the last one is open
  WaitList store_waiters;
  CopyState copies;
  WgmmaThread wgmma;
  std::uint64_t rank = 0;  ///< of its warp in the order of rank_epoch (Machine::Rank)
  std::uint64_t rank_epoch = 0;

  [[nodiscard]] int lane() const { return index % kWarpLanes; }
  [[nodiscard]] int warp() const { return index / kWarpLanes; }
  [[nodiscard]] int group() const { return index / kWarpgroupThreads; }
  [[nodiscard]] std::string Name() const;

  /// Suspends until `ready()` is true. It is tested again whenever `waiters` is woken.
  void WaitFor(WaitList& waiters, const std::function<bool()>& ready, const Describe& describe);
  /// Suspends at random, so that other threads run. Operations that other threads can observe call
  /// it.
  void MaybeYield();
  /// Checks the conditions that must hold when the thread has returned. errors those of Refuse
  void CheckEnd() const;
  /// Ends the run with a message.
  /// errors  Error{kInternal}, always
  template <typename... Args>
  [[noreturn]] void Refuse(fmt::format_string<Args...> format, Args&&... args) const {
    Fail(ErrorCode::kInternal, "{}: {}", Name(), fmt::format(format, std::forward<Args>(args)...));
  }
};

/// An operation that takes effect after the instruction that started it.
struct AsyncOperation {
  Block* block = nullptr;
  std::function<void()> run;
};

struct Block {
  Block(Machine* machine, int index, int threads, int shared_bytes);

  Machine* machine = nullptr;
  int index = 0;
  SharedMemory shared;
  std::vector<Thread> threads;
  std::vector<WarpState> warps;
  std::vector<WarpgroupState> warpgroups;
  std::array<NamedBarrier, 16> named;
  std::map<int, Mbarrier> mbarriers;  ///< by offset
  RegisterPool registers;
  int running = 0;  ///< threads that have not returned
  int async = 0;  ///< asynchronous operations in flight

  [[nodiscard]] std::string Name() const;
};

class Machine {
 public:
  Machine(int grid, int threads, int shared_bytes, const RunOptions& options);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  RunReport Run(const std::function<void()>& body);

  [[nodiscard]] int grid() const { return grid_; }
  [[nodiscard]] int threads() const { return threads_; }
  [[nodiscard]] const RunOptions& options() const { return options_; }
  [[nodiscard]] RunReport& report() { return report_; }
  [[nodiscard]] Random& random() { return random_; }

  void MakeReady(Thread& thread) {
    thread.state = Thread::State::kReady;
    ready_.push_back(&thread);
  }
  /// Makes every thread of the list test its condition again.
  void Wake(WaitList& waiters) {
    for (Thread* thread : waiters.TakeAll()) MakeReady(*thread);
  }
  /// Starts an asynchronous operation. With Completion::kEarly it takes effect before Start
  /// returns.
  void Start(Block& block, std::function<void()> run);
  [[nodiscard]] bool YieldNow();
  [[nodiscard]] int elected_lane() const { return elected_lane_; }

 private:
  /// Fills free slots with blocks. Returns true when any block is resident.
  bool Admit(const std::function<void()>& body);
  void CompleteOne();
  void RunThread(Thread& thread);
  void Retire(Block& block);
  std::uint64_t Rank(Thread& thread) const;
  Thread* Pick();
  [[noreturn]] void Deadlock() const;

  int grid_;
  int threads_;
  int shared_bytes_;
  RunOptions options_;
  RunReport report_;
  Random random_;
  int elected_lane_ = 0;
  int yield_one_in_ = 0;  ///< 0: never
  int complete_one_in_ = 1;
  int complete_order_ = 0;  ///< how CompleteOne chooses
  int order_ = 0;  ///< how Pick chooses
  std::uint64_t rank_epoch_ = 1;  ///< number of the current warp order
  std::vector<Thread*> ready_;
  std::deque<AsyncOperation> async_;
  std::vector<int> launch_order_;  ///< of blocks
  std::size_t launched_ = 0;
  StackPool stacks_;  ///< `threads` for each slot
  std::vector<std::unique_ptr<Block>> slots_;  ///< null where no block is resident
};

/// The running thread.
/// errors  Error{kInternal} outside of RunGrid
Thread& Self(const char* operation);

}  // namespace dbsp::kernels::gpu::isa::emulator

// SPDX-License-Identifier: Apache-2.0
// A fiber: a function that runs on a stack of its own and can be suspended. The emulator gives
// every GPU thread one fiber. All fibers and the scheduler share one thread of the operating
// system.
#pragma once

#include <boost/context/fiber.hpp>
#include <cstddef>
#include <exception>
#include <functional>

namespace dbsp::kernels::gpu::isa::emulator {

/// Address space for the stacks of `count` fibers. A page takes memory when it is first touched.
class StackPool {
 public:
  explicit StackPool(std::size_t count);
  ~StackPool();
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;

  static constexpr std::size_t kStackBytes = std::size_t{256} * 1024;
  [[nodiscard]] std::byte* stack(std::size_t i) const { return base_ + i * kStackBytes; }

 private:
  std::byte* base_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Thrown by Suspend to unwind the stack of a fiber that was cancelled.
struct Cancelled {};

class Fiber {
 public:
  /// `stack` has StackPool::kStackBytes. `stack` and `body` must outlive the fiber.
  Fiber(std::byte* stack, const std::function<void()>* body);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Runs the body until it suspends or ends. Called by the scheduler.
  /// errors  the exception that the body threw; Error{kInternal} when the body used more stack than
  ///         it has
  void Resume();
  /// Returns to the caller of Resume. Called by the body.
  /// errors  throws Cancelled after a call of Cancel
  void Suspend();
  /// Unwinds a body that has started and not ended. Called by the scheduler.
  void Cancel();
  [[nodiscard]] bool done() const { return done_; }

 private:
  void Start();
  void Run();
  void SwitchIn();
  void SwitchOut();
  void LeaveForCaller();

  std::byte* stack_ = nullptr;
  const std::function<void()>* body_ = nullptr;
  std::exception_ptr error_;
  bool started_ = false;
  bool done_ = false;
  bool cancelled_ = false;
  boost::context::fiber own_;  ///< the suspended body
  boost::context::fiber caller_;  ///< the suspended caller of Resume or Cancel
  // Arguments of AddressSanitizer's fiber interface; unused in other builds.
  void* own_fake_stack_ = nullptr;
  void* caller_fake_stack_ = nullptr;
  const void* caller_stack_ = nullptr;
  std::size_t caller_stack_bytes_ = 0;
};

}  // namespace dbsp::kernels::gpu::isa::emulator

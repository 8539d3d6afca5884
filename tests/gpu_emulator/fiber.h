// SPDX-License-Identifier: Apache-2.0
// A stack and the place its code stopped at. The emulator gives each GPU thread one and switches
// between them and the scheduler, all on one thread of the operating system.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>

namespace dbsp::kernels::gpu::isa::emulator {

/// Address space for the stacks of `count` fibers; pages cost memory once they are touched.
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

/// Thrown out of Suspend to unwind a body whose run is over.
struct Cancelled {};

class Fiber {
 public:
  /// `stack` has StackPool::kStackBytes and outlives the fiber, as `body` does.
  Fiber(std::byte* stack, const std::function<void()>* body);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Runs the body until it suspends or ends. Called by the scheduler.
  /// errors  what the body threw; Error{kInternal} when it overran its stack
  void Resume();
  /// Back to Resume's caller. Called by the body. errors  Cancelled when Cancel was called
  void Suspend();
  /// Unwinds a body that has started and not ended; called by the scheduler.
  void Cancel();
  [[nodiscard]] bool done() const { return done_; }

 private:
  static void Start();
  void Run();
  void SwitchIn();
  void SwitchOut();

  std::byte* stack_ = nullptr;
  const std::function<void()>* body_ = nullptr;
  std::exception_ptr error_;
  bool started_ = false;
  bool done_ = false;
  bool cancelled_ = false;
  void* own_context_ = nullptr;  ///< where the body stopped
  void* caller_context_ = nullptr;  ///< where Resume stopped
  // What AddressSanitizer asks to be told; unused without it.
  void* own_fake_stack_ = nullptr;
  void* caller_fake_stack_ = nullptr;
  const void* caller_stack_ = nullptr;
  std::size_t caller_stack_bytes_ = 0;
};

}  // namespace dbsp::kernels::gpu::isa::emulator

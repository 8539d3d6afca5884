// SPDX-License-Identifier: Apache-2.0
#include "tests/gpu_emulator/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "core/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace dbsp::kernels::gpu::isa::emulator {
namespace {

/// Value of the lowest word of every stack. A body that overruns its stack overwrites the word.
constexpr std::uint64_t kCanary = 0x5AFE57ACC0FFEE11ULL;

/// Stack allocator for Boost.Context: the stacks belong to the StackPool.
struct StackOfPool {
  void deallocate(boost::context::stack_context& /*stack*/) noexcept {}  // NOLINT: Boost's name
};

}  // namespace

StackPool::StackPool(std::size_t count) : bytes_(count * kStackBytes) {
  void* memory = mmap(
      nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    Fail(ErrorCode::kUnavailable,
         "emulator: no address space for {} stacks of {} bytes; run fewer blocks at once",
         count,
         kStackBytes);
  }
  base_ = static_cast<std::byte*>(memory);
}

StackPool::~StackPool() { munmap(base_, bytes_); }

Fiber::Fiber(std::byte* stack, const std::function<void()>* body) : stack_(stack), body_(body) {
  *reinterpret_cast<std::uint64_t*>(stack_) = kCanary;
}

void Fiber::Start() {
  boost::context::stack_context stack;
  stack.sp = stack_ + StackPool::kStackBytes;  // stacks grow downwards
  stack.size = StackPool::kStackBytes;
  own_ = boost::context::fiber(std::allocator_arg,
                               boost::context::preallocated(stack.sp, stack.size, stack),
                               StackOfPool{},
                               [this](boost::context::fiber&& caller) {
#if defined(__SANITIZE_ADDRESS__)
                                 __sanitizer_finish_switch_fiber(
                                     nullptr, &caller_stack_, &caller_stack_bytes_);
#endif
                                 caller_ = std::move(caller);
                                 Run();
                                 done_ = true;
                                 LeaveForCaller();
                                 return std::move(caller_);
                               });
  started_ = true;
}

void Fiber::SwitchIn() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&caller_fake_stack_, stack_, StackPool::kStackBytes);
#endif
  own_ = std::move(own_).resume();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(caller_fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::LeaveForCaller() {
#if defined(__SANITIZE_ADDRESS__)
  // A null pointer tells AddressSanitizer that the fiber has ended and its fake stack can be freed.
  __sanitizer_start_switch_fiber(
      done_ ? nullptr : &own_fake_stack_, caller_stack_, caller_stack_bytes_);
#endif
}

void Fiber::SwitchOut() {
  LeaveForCaller();
  caller_ = std::move(caller_).resume();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(own_fake_stack_, &caller_stack_, &caller_stack_bytes_);
#endif
}

void Fiber::Resume() {
  if (!started_) Start();
  SwitchIn();
  if (*reinterpret_cast<const std::uint64_t*>(stack_) != kCanary) {
    Fail(ErrorCode::kInternal,
         "emulator: a thread used more than {} bytes of stack; keep large arrays out of the kernel",
         StackPool::kStackBytes);
  }
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Fiber::Suspend() {
  SwitchOut();
  if (cancelled_) throw Cancelled{};
}

void Fiber::Cancel() {
  if (!started_ || done_) return;
  cancelled_ = true;
  SwitchIn();
}

void Fiber::Run() {
  try {
    (*body_)();
  } catch (const Cancelled&) {
    return;  // the run is over: nobody reads the outcome
  } catch (...) {
    error_ = std::current_exception();
  }
}

}  // namespace dbsp::kernels::gpu::isa::emulator

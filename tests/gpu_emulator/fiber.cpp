// SPDX-License-Identifier: Apache-2.0
#include "tests/gpu_emulator/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <utility>

#include "core/error.h"
#include "tests/gpu_emulator/switch_context.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace dbsp::kernels::gpu::isa::emulator {
namespace {

constexpr std::uint64_t kCanary = 0x5AFE57ACC0FFEE11ULL;

thread_local Fiber* starting = nullptr;

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
  own_context_ = NewContext(stack_, StackPool::kStackBytes, &Fiber::Start);
}

Fiber::~Fiber() {
#if !defined(__x86_64__)
  DeleteContext(caller_context_);
#endif
  DeleteContext(own_context_);
}

void Fiber::SwitchIn() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&caller_fake_stack_, stack_, StackPool::kStackBytes);
#endif
  SwitchContext(&caller_context_, own_context_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(caller_fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::SwitchOut() {
#if defined(__SANITIZE_ADDRESS__)
  // A fiber that has ended gives up its fake stack.
  __sanitizer_start_switch_fiber(
      done_ ? nullptr : &own_fake_stack_, caller_stack_, caller_stack_bytes_);
#endif
  SwitchContext(&own_context_, caller_context_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(own_fake_stack_, &caller_stack_, &caller_stack_bytes_);
#endif
}

void Fiber::Resume() {
  starting = this;
  started_ = true;
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

void Fiber::Start() {
  Fiber* self = starting;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &self->caller_stack_, &self->caller_stack_bytes_);
#endif
  self->Run();
  self->done_ = true;
  self->SwitchOut();
}

void Fiber::Run() {
  try {
    (*body_)();
  } catch (const Cancelled&) {
    return;  // nobody asks how it ended
  } catch (...) {
    error_ = std::current_exception();
  }
}

}  // namespace dbsp::kernels::gpu::isa::emulator

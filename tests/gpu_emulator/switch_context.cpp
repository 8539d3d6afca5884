// SPDX-License-Identifier: Apache-2.0
#include "tests/gpu_emulator/switch_context.h"

#include <cstdint>

#if defined(__x86_64__)

// What the System V ABI makes a callee keep: rbx, rbp, r12 to r15 and the stack pointer. The
// control words of x87 and SSE are never changed here.
__asm__(
    ".text\n"
    ".p2align 4\n"
    ".hidden dbsp_emulator_switch\n"
    ".globl dbsp_emulator_switch\n"
    ".type dbsp_emulator_switch, @function\n"
    "dbsp_emulator_switch:\n"
    "  pushq %rbp\n"
    "  pushq %rbx\n"
    "  pushq %r12\n"
    "  pushq %r13\n"
    "  pushq %r14\n"
    "  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n"
    "  popq %r14\n"
    "  popq %r13\n"
    "  popq %r12\n"
    "  popq %rbx\n"
    "  popq %rbp\n"
    "  ret\n"
    ".size dbsp_emulator_switch, .-dbsp_emulator_switch\n");
extern "C" void dbsp_emulator_switch(void** from, void* to);

namespace dbsp::kernels::gpu::isa::emulator {

void* NewContext(std::byte* stack, std::size_t bytes, void (*start)()) {
  auto* top = reinterpret_cast<std::uint64_t*>(stack + bytes);
  // A function is entered with the stack 8 below a multiple of 16, at its return address; 0 ends a
  // backtrace.
  *--top = 0;
  *--top = reinterpret_cast<std::uint64_t>(start);
  for (int i = 0; i < 6; ++i) *--top = 0;
  return top;
}
void DeleteContext(void* /*context*/) {}
void SwitchContext(void** from, void* to) { dbsp_emulator_switch(from, to); }

}  // namespace dbsp::kernels::gpu::isa::emulator

#else

#include <ucontext.h>

namespace dbsp::kernels::gpu::isa::emulator {

void* NewContext(std::byte* stack, std::size_t bytes, void (*start)()) {
  auto* context = new ucontext_t;
  getcontext(context);
  context->uc_stack.ss_sp = stack;
  context->uc_stack.ss_size = bytes;
  context->uc_link = nullptr;
  makecontext(context, start, 0);
  return context;
}
void DeleteContext(void* context) { delete static_cast<ucontext_t*>(context); }
void SwitchContext(void** from, void* to) {
  // The context a switch leaves is stored on first use and then used again.
  if (*from == nullptr) *from = new ucontext_t;
  swapcontext(static_cast<ucontext_t*>(*from), static_cast<ucontext_t*>(to));
}

}  // namespace dbsp::kernels::gpu::isa::emulator

#endif

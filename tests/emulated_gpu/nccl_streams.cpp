// SPDX-License-Identifier: Apache-2.0
#include "runtime/dynamic_library.h"
#include "tests/emulated_gpu/emulated_runtime.h"

namespace dbsp::emulated_gpu {

void UseFakeNccl(const std::string& library) {
  using Start = void (*)(void*);
  using Done = int (*)(void*);
  using Enqueue = void (*)(void*, Start, Done, void*);
  static const runtime::DynamicLibrary fake(library, "no fake NCCL");
  const Enqueue enqueue = [](void* stream, Start start, Done done, void* work) {
    EmulatedRuntime::Get().Launched("ncclDevKernel_SendRecv", stream, false);
    EmulatedRuntime::Get().Enqueue(stream,
                                   {.start = [start, work] { start(work); },
                                    .done = [done, work] { return done(work) != 0; }});
  };
  fake.Get<void(Enqueue)>("FakeNcclSetStreams")(enqueue);
}

}  // namespace dbsp::emulated_gpu

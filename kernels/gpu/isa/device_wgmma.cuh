// SPDX-License-Identifier: Apache-2.0
// wgmma.mma_async m64nNk16 for every N that the kernels use. An asm statement needs an explicit
// list of its N / 2 accumulator operands, so macros generate eight at a time. The sizes differ in
// nothing else. Only device.cuh includes this file.
#pragma once

#include "kernels/gpu/isa/types.h"

// Operand names "%0, %1, ...": DBSP_NAMES_n has the first n names.
#define DBSP_NAMES8(a, b, c, d, e, f, g, h) \
  "%" #a ", %" #b ", %" #c ", %" #d ", %" #e ", %" #f ", %" #g ", %" #h
#define DBSP_NAMES_32                                              \
  DBSP_NAMES8(0, 1, 2, 3, 4, 5, 6, 7)                              \
  ", " DBSP_NAMES8(8, 9, 10, 11, 12, 13, 14, 15) ", " DBSP_NAMES8( \
      16, 17, 18, 19, 20, 21, 22, 23) ", " DBSP_NAMES8(24, 25, 26, 27, 28, 29, 30, 31)
#define DBSP_NAMES_40 DBSP_NAMES_32 ", " DBSP_NAMES8(32, 33, 34, 35, 36, 37, 38, 39)
#define DBSP_NAMES_48 DBSP_NAMES_40 ", " DBSP_NAMES8(40, 41, 42, 43, 44, 45, 46, 47)
#define DBSP_NAMES_56 DBSP_NAMES_48 ", " DBSP_NAMES8(48, 49, 50, 51, 52, 53, 54, 55)
#define DBSP_NAMES_64 DBSP_NAMES_56 ", " DBSP_NAMES8(56, 57, 58, 59, 60, 61, 62, 63)
#define DBSP_NAMES_72 DBSP_NAMES_64 ", " DBSP_NAMES8(64, 65, 66, 67, 68, 69, 70, 71)
#define DBSP_NAMES_80 DBSP_NAMES_72 ", " DBSP_NAMES8(72, 73, 74, 75, 76, 77, 78, 79)
#define DBSP_NAMES_88 DBSP_NAMES_80 ", " DBSP_NAMES8(80, 81, 82, 83, 84, 85, 86, 87)
#define DBSP_NAMES_96 DBSP_NAMES_88 ", " DBSP_NAMES8(88, 89, 90, 91, 92, 93, 94, 95)
#define DBSP_NAMES_104 DBSP_NAMES_96 ", " DBSP_NAMES8(96, 97, 98, 99, 100, 101, 102, 103)
#define DBSP_NAMES_112 DBSP_NAMES_104 ", " DBSP_NAMES8(104, 105, 106, 107, 108, 109, 110, 111)
#define DBSP_NAMES_120 DBSP_NAMES_112 ", " DBSP_NAMES8(112, 113, 114, 115, 116, 117, 118, 119)
#define DBSP_NAMES_128 DBSP_NAMES_120 ", " DBSP_NAMES8(120, 121, 122, 123, 124, 125, 126, 127)

// The operands: DBSP_FLOATS_n has the first n accumulators.
#define DBSP_FLOATS8(r, i)                                                                      \
  "+f"((r)[i]), "+f"((r)[(i) + 1]), "+f"((r)[(i) + 2]), "+f"((r)[(i) + 3]), "+f"((r)[(i) + 4]), \
      "+f"((r)[(i) + 5]), "+f"((r)[(i) + 6]), "+f"((r)[(i) + 7])
#define DBSP_FLOATS_32(r) \
  DBSP_FLOATS8(r, 0), DBSP_FLOATS8(r, 8), DBSP_FLOATS8(r, 16), DBSP_FLOATS8(r, 24)
#define DBSP_FLOATS_40(r) DBSP_FLOATS_32(r), DBSP_FLOATS8(r, 32)
#define DBSP_FLOATS_48(r) DBSP_FLOATS_40(r), DBSP_FLOATS8(r, 40)
#define DBSP_FLOATS_56(r) DBSP_FLOATS_48(r), DBSP_FLOATS8(r, 48)
#define DBSP_FLOATS_64(r) DBSP_FLOATS_56(r), DBSP_FLOATS8(r, 56)
#define DBSP_FLOATS_72(r) DBSP_FLOATS_64(r), DBSP_FLOATS8(r, 64)
#define DBSP_FLOATS_80(r) DBSP_FLOATS_72(r), DBSP_FLOATS8(r, 72)
#define DBSP_FLOATS_88(r) DBSP_FLOATS_80(r), DBSP_FLOATS8(r, 80)
#define DBSP_FLOATS_96(r) DBSP_FLOATS_88(r), DBSP_FLOATS8(r, 88)
#define DBSP_FLOATS_104(r) DBSP_FLOATS_96(r), DBSP_FLOATS8(r, 96)
#define DBSP_FLOATS_112(r) DBSP_FLOATS_104(r), DBSP_FLOATS8(r, 104)
#define DBSP_FLOATS_120(r) DBSP_FLOATS_112(r), DBSP_FLOATS8(r, 112)
#define DBSP_FLOATS_128(r) DBSP_FLOATS_120(r), DBSP_FLOATS8(r, 120)

namespace dbsp::kernels::gpu::isa {

// d += A B (d = A B where `accumulate` is false), bf16 x bf16 -> fp32. The operation is
// asynchronous: d, a and the shared tiles must not be accessed until WgmmaWait. All 128 threads of
// four aligned warps call it.
template <int N>
DBSP_KERNEL_CODE void WgmmaSS(float (&d)[N / 2],
                              std::uint64_t desc_a,
                              std::uint64_t desc_b,
                              bool accumulate);
template <int N>
DBSP_KERNEL_CODE void WgmmaRS(float (&d)[N / 2],
                              const std::uint32_t (&a)[4],
                              std::uint64_t desc_b,
                              bool accumulate);

// n    columns of B;  regs = n / 2, and r1... = regs + 1, ...: the operands after the accumulators
// The numbers after the predicate: scale A, scale B (1 = not negated), then "is transposed".
#define DBSP_WGMMA(n, regs, r1, r2, r3, r4, r5)                                                 \
  template <>                                                                                   \
  DBSP_KERNEL_CODE void WgmmaSS<n>(                                                             \
      float(&d)[regs], std::uint64_t desc_a, std::uint64_t desc_b, bool accumulate) {           \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #r2                                       \
                 ", 0;\n"                                                                       \
                 "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 {" DBSP_NAMES_##regs \
                 "}, %" #regs ", %" #r1 ", p, 1, 1, 0, 0;\n}"                                   \
                 : DBSP_FLOATS_##regs(d)                                                        \
                 : "l"(desc_a), "l"(desc_b), "r"(static_cast<int>(accumulate))                  \
                 : "memory");                                                                   \
  }                                                                                             \
  template <>                                                                                   \
  DBSP_KERNEL_CODE void WgmmaRS<n>(                                                             \
      float(&d)[regs], const std::uint32_t(&a)[4], std::uint64_t desc_b, bool accumulate) {     \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #r5                                       \
                 ", 0;\n"                                                                       \
                 "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32.bf16.bf16 {" DBSP_NAMES_##regs \
                 "}, {%" #regs ", %" #r1 ", %" #r2 ", %" #r3 "}, %" #r4 ", p, 1, 1, 1;\n}"      \
                 : DBSP_FLOATS_##regs(d)                                                        \
                 : "r"(a[0]),                                                                   \
                   "r"(a[1]),                                                                   \
                   "r"(a[2]),                                                                   \
                   "r"(a[3]),                                                                   \
                   "l"(desc_b),                                                                 \
                   "r"(static_cast<int>(accumulate))                                            \
                 : "memory");                                                                   \
  }

DBSP_WGMMA(64, 32, 33, 34, 35, 36, 37)
DBSP_WGMMA(80, 40, 41, 42, 43, 44, 45)
DBSP_WGMMA(96, 48, 49, 50, 51, 52, 53)
DBSP_WGMMA(112, 56, 57, 58, 59, 60, 61)
DBSP_WGMMA(128, 64, 65, 66, 67, 68, 69)
DBSP_WGMMA(160, 80, 81, 82, 83, 84, 85)
DBSP_WGMMA(176, 88, 89, 90, 91, 92, 93)
DBSP_WGMMA(192, 96, 97, 98, 99, 100, 101)
DBSP_WGMMA(256, 128, 129, 130, 131, 132, 133)

}  // namespace dbsp::kernels::gpu::isa

#undef DBSP_WGMMA

// SPDX-License-Identifier: Apache-2.0
/* C interface of a kernel plugin: a shared library with attention kernels that dbsp-profile
 * measures and dbsp-replay runs (--kernels lib.so). C99 and C++. Installed as dbsp/kernel_plugin.h.
 *
 * The library exports one function, dbsp_kernel_plugin(), which returns a table. dbsp calls
 *
 *   info     once per kernel: name, shapes, mask form, flags
 *   prepare  once per shape and mask: plan(), JIT compilation, copies of lists. Timed apart
 *   launch   for every sample: one forward pass on new Q, K and V with the same shape and mask
 *   release  once per prepared call
 *
 *   S = scale * Q K^T over the listed keys;  LSE = ln sum exp S;  O = sum exp(S - LSE) V
 *
 * A query row without a key gives O = 0 and LSE = -infinity. Calls of one prepared state come from
 * one thread at a time; different states may be used by different threads at the same time.
 *
 * Structs grow at their end. Every struct begins with its size in bytes as its writer knows it. The
 * reader uses no field beyond that size. DBSP_KERNEL_ABI changes only when an existing field
 * changes.
 */
#ifndef DBSP_KERNEL_PLUGIN_H_
#define DBSP_KERNEL_PLUGIN_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DBSP_KERNEL_ABI 1u

/* Where Q, K, V, O and LSE are, and the type of Q, K, V and O. LSE is float. */
#define DBSP_MEMORY_HOST 0u /* float; the kernel computes on the calling thread only */
#define DBSP_MEMORY_CUDA 1u /* bf16 */

/* Mask forms. A kernel takes one of them; dbsp converts. Rows are (head, query block) pairs, heads
 * outermost. Entries ascend within a row. All arrays are in host memory and exist during prepare.
 */
#define DBSP_MASK_CSR 1u /* begin [rows + 1], index [begin[rows]]: key blocks */
#define DBSP_MASK_PADDED 2u /* count [rows], index [rows][width]: key blocks, then -1 */
#define DBSP_MASK_DENSE 4u /* dense [rows][k_blocks]: 1 for an active block, else 0 */
#define DBSP_MASK_KEY_CSR                                                 \
  8u /* begin [rows + 1], index [begin[rows]]: single keys (rows of K, V) \
      */

/* Flags of a kernel. */
#define DBSP_KERNEL_LSE 1u /* writes LSE; without it a plan merges no partial results */
#define DBSP_KERNEL_DETERMINISTIC 2u /* repeated launches give bit-identical results */
#define DBSP_KERNEL_GRAPH_SAFE 4u /* launch can be captured in a CUDA graph */
#define DBSP_KERNEL_QUANTISING 8u /* quantises Q, K or V; max_relative_error must be given */
#define DBSP_KERNEL_SM_LIMIT 16u /* keeps to dbsp_kernel_call.sm_count */
#define DBSP_KERNEL_VARIABLE_BLOCKS 32u /* takes short blocks anywhere, not only the last one */

/* Facts about one kernel. dbsp sets size and zeroes the rest; info fills the fields that lie inside
 * it and sets size to the bytes that it knows. Strings stay valid until the process ends. */
typedef struct dbsp_kernel_info {
  size_t size;
  const char* name; /* 1 to 64 of A-Z a-z 0-9 . _ - ; unique in the library */
  const char* version; /* of the kernel, 1 to 32 of the same characters */
  uint32_t memory; /* DBSP_MEMORY_* */
  uint32_t mask_form; /* one DBSP_MASK_* */
  uint32_t flags; /* DBSP_KERNEL_* or-ed */
  int32_t min_arch; /* CUDA: lowest compute capability times 10, else 0 */
  int32_t head_dim; /* the one that it takes; 0 takes any */
  int32_t q_block; /* tokens of a query block that it takes; 0 takes any */
  int32_t k_block; /* tokens of a key block that it takes; 0 takes any */
  /* Largest relative error (Frobenius norm) of O against exact attention that the kernel is meant
   * to have. 0: dbsp's own limit. Results beyond it count as wrong. */
  double max_relative_error;
} dbsp_kernel_info;

/* Shape and mask of a call. Query block i has the rows i * q_block to i * q_block + q_tokens[i] - 1
 * of Q and O, and key block j likewise in K and V. Only the last block is short, unless the kernel
 * has DBSP_KERNEL_VARIABLE_BLOCKS. */
typedef struct dbsp_kernel_call {
  size_t size;
  int32_t heads;
  int32_t head_dim;
  int32_t q_block, k_block; /* tokens per block */
  int32_t q_blocks, k_blocks; /* blocks per head */
  float scale;
  int32_t sm_count; /* CUDA: SMs that the launch may use; 0 is all */
  const int32_t* q_tokens; /* [q_blocks] valid rows, 1..q_block */
  const int32_t* k_tokens; /* [k_blocks] valid rows, 1..k_block */
  uint32_t mask_form; /* the kernel's; the arrays of other forms are null */
  int32_t width; /* DBSP_MASK_PADDED: entries per row */
  const int64_t* begin;
  const int32_t* index;
  const int32_t* count;
  const uint8_t* dense;
} dbsp_kernel_call;

/* [heads][tokens][head_dim]; strides in elements, head_dim is contiguous. */
typedef struct dbsp_tensor {
  void* data;
  int64_t head_stride;
  int64_t token_stride;
} dbsp_tensor;

typedef struct dbsp_kernel_tensors {
  size_t size;
  dbsp_tensor q, k, v, o;
  float* lse; /* [heads][q_blocks * q_block], natural log; null without DBSP_KERNEL_LSE */
  void* stream; /* CUDA: launch enqueues here and does not wait; host: null */
} dbsp_kernel_tensors;

/* Text of a failure, written by the plugin: one line, ended by a zero. */
typedef struct dbsp_kernel_error {
  size_t size; /* of text */
  char* text;
} dbsp_kernel_error;

/* Functions return 0, or another number and an error's text. No exception may leave them. */
typedef struct dbsp_kernel_plugin_table {
  size_t size;
  uint32_t abi; /* DBSP_KERNEL_ABI of the header that the library was compiled with */
  uint32_t kernel_count; /* kernels are numbered from 0 */
  int (*info)(uint32_t kernel, dbsp_kernel_info* info, const dbsp_kernel_error* error);
  int (*prepare)(uint32_t kernel,
                 const dbsp_kernel_call* call,
                 void** state,
                 const dbsp_kernel_error* error);
  int (*launch)(void* state, const dbsp_kernel_tensors* tensors, const dbsp_kernel_error* error);
  void (*release)(void* state);
} dbsp_kernel_plugin_table;

/* The exported function. It returns a table that stays valid until the process ends. */
#define DBSP_KERNEL_PLUGIN_SYMBOL "dbsp_kernel_plugin"
#if defined(__GNUC__)
#define DBSP_KERNEL_EXPORT __attribute__((visibility("default")))
#else
#define DBSP_KERNEL_EXPORT
#endif
DBSP_KERNEL_EXPORT const dbsp_kernel_plugin_table* dbsp_kernel_plugin(void);

#ifdef __cplusplus
}
#endif

#endif /* DBSP_KERNEL_PLUGIN_H_ */

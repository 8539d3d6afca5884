// SPDX-License-Identifier: Apache-2.0
/* A plugin in C99 that computes attention on the CPU, one kernel per mask form. With DBSP_TEST_MODE
 * its first kernel, or its table, is broken in one way. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/kernel_plugin.h"

#define GOOD 0
#define WRONG 1
#define ERROR 2
#define CRASH 3
#define HANG 4
#define EXIT 5
#define OLD_ABI 6
#define SHORT_TABLE 7
#define SHORT_INFO 8
#define NO_LAUNCH 9
#define NOT_WRITTEN 10
#define PREPARE_ERROR 11
#define BAD_NAME 12
#define NO_DECLARED_ERROR 13
#define CUDA_MEMORY 14
#ifndef DBSP_TEST_MODE
#define DBSP_TEST_MODE GOOD
#endif

/* One (head, query block) row after the other: the keys of row r are key[first[r]..first[r + 1]).
 */
typedef struct State {
  uint32_t kernel;
  dbsp_kernel_call call;
  int32_t* q_tokens;
  int64_t* first;
  int32_t* key;
} State;

static const struct {
  const char* name;
  uint32_t mask_form;
  uint32_t flags;
  double max_relative_error;
} kKernels[] = {
    {"ref.csr",
     DBSP_MASK_CSR,
     DBSP_KERNEL_LSE | DBSP_KERNEL_DETERMINISTIC | DBSP_KERNEL_VARIABLE_BLOCKS,
     0},
    {"ref.padded", DBSP_MASK_PADDED, DBSP_KERNEL_LSE, 0},
    {"ref.dense", DBSP_MASK_DENSE, DBSP_KERNEL_LSE, 0},
    {"ref.keys", DBSP_MASK_KEY_CSR, DBSP_KERNEL_LSE, 0},
    {"ref.no_lse", DBSP_MASK_CSR, DBSP_KERNEL_DETERMINISTIC, 0},
    {"ref.quantised", DBSP_MASK_CSR, DBSP_KERNEL_LSE | DBSP_KERNEL_QUANTISING, 0.02},
};
#define QUANTISED 5u

static int Fail(const dbsp_kernel_error* error, const char* text) {
  snprintf(error->text, error->size, "%s", text);
  return 1;
}

static int Info(uint32_t kernel, dbsp_kernel_info* info, const dbsp_kernel_error* error) {
  if (kernel >= sizeof(kKernels) / sizeof(kKernels[0])) return Fail(error, "no such kernel");
  if (info->size < sizeof(*info)) return Fail(error, "dbsp is older than this plugin");
  info->size = sizeof(*info);
  info->name = kKernels[kernel].name;
  info->version = "1.0";
  info->memory = DBSP_MEMORY_HOST;
  info->mask_form = kKernels[kernel].mask_form;
  info->flags = kKernels[kernel].flags;
  info->max_relative_error = kKernels[kernel].max_relative_error;
  if (DBSP_TEST_MODE == SHORT_INFO) info->size = offsetof(dbsp_kernel_info, flags);
  if (DBSP_TEST_MODE == BAD_NAME) info->name = "a name#1";
  if (DBSP_TEST_MODE == NO_DECLARED_ERROR) info->flags |= DBSP_KERNEL_QUANTISING;
  if (DBSP_TEST_MODE == CUDA_MEMORY) info->memory = DBSP_MEMORY_CUDA;
  return 0;
}

/* Appends the keys of a row to `key`, or only counts them where it is null. */
static int64_t RowKeys(const dbsp_kernel_call* call, int64_t row, int32_t* key) {
  int64_t count = 0;
  int64_t begin = 0;
  int64_t end = call->k_blocks;
  if (call->mask_form == DBSP_MASK_PADDED) {
    begin = row * call->width;
    end = begin + call->count[row];
  } else if (call->mask_form != DBSP_MASK_DENSE) {
    begin = call->begin[row];
    end = call->begin[row + 1];
  }
  for (int64_t i = begin; i < end; ++i) {
    if (call->mask_form == DBSP_MASK_KEY_CSR) {
      if (key) key[count] = call->index[i];
      ++count;
      continue;
    }
    int32_t block = (int32_t)i;
    if (call->mask_form == DBSP_MASK_DENSE) {
      if (!call->dense[row * call->k_blocks + i]) continue;
    } else {
      block = call->index[i];
    }
    for (int32_t j = 0; j < call->k_tokens[block]; ++j) {
      if (key) key[count] = block * call->k_block + j;
      ++count;
    }
  }
  return count;
}

static void Release(void* state) {
  State* s = state;
  if (!s) return;
  free(s->q_tokens);
  free(s->first);
  free(s->key);
  free(s);
}

static int Prepare(uint32_t kernel,
                   const dbsp_kernel_call* call,
                   void** state,
                   const dbsp_kernel_error* error) {
  if (DBSP_TEST_MODE == PREPARE_ERROR && kernel == 0) return Fail(error, "the JIT has no compiler");
  const int64_t rows = (int64_t)call->heads * call->q_blocks;
  State* s = calloc(1, sizeof(*s));
  if (!s) return Fail(error, "out of memory");
  s->kernel = kernel;
  s->call = *call;
  s->q_tokens = malloc(sizeof(int32_t) * (size_t)(call->q_blocks + 1));
  s->first = malloc(sizeof(int64_t) * (size_t)(rows + 1));
  if (!s->q_tokens || !s->first) {
    Release(s);
    return Fail(error, "out of memory");
  }
  if (call->q_blocks > 0) {
    memcpy(s->q_tokens, call->q_tokens, sizeof(int32_t) * (size_t)call->q_blocks);
  }
  s->first[0] = 0;
  for (int64_t row = 0; row < rows; ++row) {
    s->first[row + 1] = s->first[row] + RowKeys(call, row, NULL);
  }
  s->key = malloc(sizeof(int32_t) * (size_t)(s->first[rows] + 1));
  if (!s->key) {
    Release(s);
    return Fail(error, "out of memory");
  }
  for (int64_t row = 0; row < rows; ++row) RowKeys(call, row, s->key + s->first[row]);
  *state = s;
  return 0;
}

static double Value(const State* s, float value) {
  return s->kernel == QUANTISED ? round(value * 64.0) / 64.0 : value;
}

/* One query: O and LSE over the keys of its row. */
static void Query(
    const State* s, const dbsp_kernel_tensors* t, int32_t head, int64_t query, int64_t row) {
  const int32_t dim = s->call.head_dim;
  const float* q = (const float*)t->q.data + head * t->q.head_stride + query * t->q.token_stride;
  float* o = (float*)t->o.data + head * t->o.head_stride + query * t->o.token_stride;
  double out[1024] = {0};
  double sum = 0;
  double most = -HUGE_VAL;
  for (int64_t i = s->first[row]; i < s->first[row + 1]; ++i) {
    const float* k =
        (const float*)t->k.data + head * t->k.head_stride + s->key[i] * t->k.token_stride;
    const float* v =
        (const float*)t->v.data + head * t->v.head_stride + s->key[i] * t->v.token_stride;
    double score = 0;
    for (int32_t d = 0; d < dim; ++d) score += Value(s, q[d]) * Value(s, k[d]);
    score *= s->call.scale;
    if (score > most) {
      const double shrink = exp(most - score);
      for (int32_t d = 0; d < dim; ++d) out[d] *= shrink;
      sum *= shrink;
      most = score;
    }
    const double weight = exp(score - most);
    for (int32_t d = 0; d < dim; ++d) out[d] += weight * v[d];
    sum += weight;
  }
  const double wrong = DBSP_TEST_MODE == WRONG && s->kernel == 0 ? 1.01 : 1.0;
  for (int32_t d = 0; d < dim; ++d) o[d] = sum > 0 ? (float)(wrong * out[d] / sum) : 0.0F;
  if (t->lse) {
    t->lse[(int64_t)head * s->call.q_blocks * s->call.q_block + query] =
        sum > 0 ? (float)(most + log(sum)) : (float)-HUGE_VAL;
  }
}

static int Launch(void* state, const dbsp_kernel_tensors* tensors, const dbsp_kernel_error* error) {
  const State* s = state;
  if (s->call.head_dim > 1024) return Fail(error, "head_dim is above 1024");
  if (s->kernel == 0) {
    switch (DBSP_TEST_MODE) {
      case ERROR:
        return Fail(error, "the kernel refuses\nwith two lines");
      case CRASH:
        signal(SIGSEGV, SIG_DFL); /* whatever a sanitizer does with it */
        raise(SIGSEGV);
        break;
      case HANG:
        for (;;) pause();
      case EXIT:
        _exit(3);
      case NOT_WRITTEN:
        return 0;
      default:
        break;
    }
  }
  for (int32_t head = 0; head < s->call.heads; ++head) {
    for (int32_t block = 0; block < s->call.q_blocks; ++block) {
      const int64_t row = (int64_t)head * s->call.q_blocks + block;
      for (int32_t i = 0; i < s->q_tokens[block]; ++i) {
        Query(s, tensors, head, (int64_t)block * s->call.q_block + i, row);
      }
    }
  }
  return 0;
}

#ifndef DBSP_TEST_NO_SYMBOL
const dbsp_kernel_plugin_table* dbsp_kernel_plugin(void) {
  static dbsp_kernel_plugin_table table;
  table.size =
      DBSP_TEST_MODE == SHORT_TABLE ? offsetof(dbsp_kernel_plugin_table, launch) : sizeof(table);
  table.abi = DBSP_TEST_MODE == OLD_ABI ? 0 : DBSP_KERNEL_ABI;
  table.kernel_count = sizeof(kKernels) / sizeof(kKernels[0]);
  table.info = Info;
  table.prepare = Prepare;
  table.launch = DBSP_TEST_MODE == NO_LAUNCH ? NULL : Launch;
  table.release = Release;
  return &table;
}
#else
/* The functions are used, so that the compiler does not warn. */
void* const dbsp_test_unused[] = {(void*)Info, (void*)Prepare, (void*)Launch, (void*)Release};
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for libnccl.so.2. DBSP_FAKE_NCCL_VERSION: version code; DBSP_FAKE_NCCL_RESULT: result
   of ncclGetVersion. Built with DBSP_FAKE_OLD it lacks one function. */
#include <stdlib.h>

int ncclGetVersion(int* version) {
  const char* code = getenv("DBSP_FAKE_NCCL_VERSION");
  const char* result = getenv("DBSP_FAKE_NCCL_RESULT");
  *version = code == NULL ? 22307 : atoi(code);
  return result == NULL ? 0 : atoi(result);
}
#ifndef DBSP_FAKE_OLD
const char* ncclGetErrorString(int result) {
  return result == 2 ? "the fake NCCL met a system error" : "a fake failure";
}
#endif

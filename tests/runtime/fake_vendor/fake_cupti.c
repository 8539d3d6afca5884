/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for libcupti.so.13. DBSP_FAKE_CUPTI_RESULT: result of cuptiGetVersion, where 999 is one
   that cuptiGetResultString does not know. Built with DBSP_FAKE_OLD it lacks one function. */
#include <stdint.h>
#include <stdlib.h>

int cuptiGetVersion(uint32_t* version) {
  const char* result = getenv("DBSP_FAKE_CUPTI_RESULT");
  *version = 130102;
  return result == NULL ? 0 : atoi(result);
}
#ifndef DBSP_FAKE_OLD
int cuptiGetResultString(int result, const char** text) {
  if (result == 999) return 1;
  *text = "FAKE_CUPTI_NOT_INITIALIZED";
  return 0;
}
#endif

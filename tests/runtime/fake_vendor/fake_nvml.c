/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for libnvidia-ml.so.1. DBSP_FAKE_NVML_INIT: result of nvmlInit_v2. What needs a started
   library fails without one, and FakeNvmlStarts() counts starts not yet shut down.
   Built with DBSP_FAKE_OLD it lacks one function. */
#include <stdlib.h>
#include <string.h>

static int starts = 0;

int FakeNvmlStarts(void) { return starts; }

int nvmlInit_v2(void) {
  const char* result = getenv("DBSP_FAKE_NVML_INIT");
  if (result != NULL && atoi(result) != 0) return atoi(result);
  ++starts;
  return 0;
}
int nvmlShutdown(void) {
  --starts;
  return 0;
}
int nvmlSystemGetDriverVersion(char* version, unsigned length) {
  if (starts == 0) return 1;
  strncpy(version, "580.12.34", length);
  return 0;
}
#ifndef DBSP_FAKE_OLD
int nvmlDeviceGetCount_v2(unsigned* count) {
  if (starts == 0) return 1;
  *count = 3;
  return 0;
}
#endif
const char* nvmlErrorString(int result) {
  return result == 18 ? "the fake library is newer than its driver" : "a fake failure";
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A fake libcuda.so.1 with the functions that runtime/cuda/cuda_driver.cpp uses. The environment sets
   their results. DBSP_FAKE_CUDA_INIT: result of cuInit; DBSP_FAKE_CUDA_DEVICES: device count;
   DBSP_FAKE_CUDA_VERSION: driver version.
   Built with DBSP_FAKE_OLD, one function is missing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int FromEnvironment(const char* name, int otherwise) {
  const char* text = getenv(name);
  return text == NULL ? otherwise : atoi(text);
}

int cuInit(unsigned flags) {
  (void)flags;
  return FromEnvironment("DBSP_FAKE_CUDA_INIT", 0);
}
int cuDriverGetVersion(int* version) {
  *version = FromEnvironment("DBSP_FAKE_CUDA_VERSION", 13010);
  return 0;
}
int cuGetErrorString(int error, const char** text) {
  *text = error == 803 ? "the fake driver is older than its kernel module" : "a fake failure";
  return 0;
}
int cuDeviceGetCount(int* count) {
  *count = FromEnvironment("DBSP_FAKE_CUDA_DEVICES", 0);
  return 0;
}
int cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return 0;
}
int cuDeviceGetName(char* name, int length, int device) {
  (void)device;
  strncpy(name, "Fake GPU", (size_t)length);
  return 0;
}
/* cuda.h maps function names to one of these two, depending on its version. */
int cuDeviceGetUuid_v2(unsigned char* uuid, int device) {
  for (int i = 0; i < 16; ++i) uuid[i] = (unsigned char)(16 * device + i);
  return 0;
}
int cuDeviceGetUuid(unsigned char* uuid, int device) { return cuDeviceGetUuid_v2(uuid, device); }
int cuDeviceGetPCIBusId(char* id, int length, int device) {
  snprintf(id, (size_t)length, "0000:%02x:00.0", 0x17 + device);
  return 0;
}
/* DBSP_FAKE_CUDA_CONTEXT=0: the thread has none. */
int cuCtxGetCurrent(void** context) {
  static int the_context;
  *context = FromEnvironment("DBSP_FAKE_CUDA_CONTEXT", 1) == 0 ? NULL : (void*)&the_context;
  return 0;
}
int cuCtxGetDevice(int* device) {
  *device = FromEnvironment("DBSP_FAKE_CUDA_CURRENT", 0);
  return 0;
}
#ifndef DBSP_FAKE_OLD
int cuDeviceTotalMem_v2(size_t* bytes, int device) {
  (void)device;
  *bytes = (size_t)80 << 30;
  return 0;
}
#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A fake libnvidia-ml.so.1. DBSP_FAKE_NVML_INIT: result of nvmlInit_v2. Other functions fail before
   nvmlInit_v2, and FakeNvmlStarts() returns the number of starts without a shutdown.
   The devices are at 0000:17:00.0, 18 and 19. DBSP_FAKE_NVML_LINKS=switch: their links end at a
   switch and not at each other; DBSP_FAKE_NVML_BARE=1: the devices report no facts;
   DBSP_FAKE_NVML_MIG=1: MIG is on; DBSP_FAKE_NVML_GPM=0: devices without GPM.
   Built with DBSP_FAKE_OLD, one function is missing. */
#include <stdio.h>
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
enum { kDevices = 3, kNotSupported = 3, kNotFound = 6, kFirstBus = 0x17 };
typedef struct {
  int index;
} Device;
typedef struct {
  char bus_id_legacy[16];
  unsigned domain, bus, device, pci_device_id, pci_subsystem_id;
  char bus_id[32];
} PciInfo;
static Device devices[kDevices] = {{0}, {1}, {2}};

static int Is(const char* name, const char* value) {
  const char* text = getenv(name);
  return text != NULL && strcmp(text, value) == 0;
}
static int Bare(void) { return Is("DBSP_FAKE_NVML_BARE", "1"); }

int nvmlDeviceGetHandleByPciBusId_v2(const char* id, Device** device) {
  unsigned bus = 0;
  if (starts == 0) return 1;
  if (sscanf(id, "0000:%x:00.0", &bus) != 1 || bus < kFirstBus || bus >= kFirstBus + kDevices) {
    return kNotFound;
  }
  *device = &devices[bus - kFirstBus];
  return 0;
}
static void FillPci(PciInfo* info, unsigned bus) {
  memset(info, 0, sizeof(*info));
  info->bus = bus;
  snprintf(info->bus_id, sizeof(info->bus_id), "00000000:%02X:00.0", bus);
}
int nvmlDeviceGetPciInfo_v3(Device* device, PciInfo* info) {
  FillPci(info, kFirstBus + (unsigned)device->index);
  return 0;
}
int nvmlDeviceGetVbiosVersion(Device* device, char* version, unsigned length) {
  if (Bare()) return kNotSupported;
  snprintf(version, length, "96.00.99.00.%02d", device->index);
  return 0;
}
int nvmlDeviceGetEccMode(Device* device, int* now, int* pending) {
  if (Bare()) return kNotSupported;
  *now = 1;
  *pending = device->index == 1 ? 0 : 1;
  return 0;
}
int nvmlDeviceGetMigMode(Device* device, int* now, int* pending) {
  (void)device;
  if (Bare()) return kNotSupported;
  *now = *pending = Is("DBSP_FAKE_NVML_MIG", "1");
  return 0;
}
int nvmlDeviceGetClockInfo(Device* device, unsigned type, unsigned* mhz) {
  (void)device;
  if (Bare()) return kNotSupported;
  *mhz = type == 1 ? 1755 : 3201;
  return 0;
}
int nvmlDeviceGetMaxClockInfo(Device* device, unsigned type, unsigned* mhz) {
  (void)device;
  if (Bare()) return kNotSupported;
  *mhz = type == 1 ? 1980 : 3202;
  return 0;
}
int nvmlDeviceGetEnforcedPowerLimit(Device* device, unsigned* milliwatts) {
  (void)device;
  if (Bare()) return kNotSupported;
  *milliwatts = 650500;
  return 0;
}
/* The fake has only the name from before driver 535. */
int nvmlDeviceGetCurrentClocksThrottleReasons(Device* device, unsigned long long* reasons) {
  (void)device;
  if (Bare()) return kNotSupported;
  *reasons = 0x24;
  return 0;
}
/* Four links from each device: two to each of the others. */
int nvmlDeviceGetNvLinkState(Device* device, unsigned link, int* active) {
  (void)device;
  if (Bare() || link >= 18) return kNotSupported;
  *active = link < 4;
  return 0;
}
int nvmlDeviceGetNvLinkRemotePciInfo_v2(Device* device, unsigned link, PciInfo* info) {
  const unsigned other = (unsigned)(device->index + 1 + (int)link / 2) % kDevices;
  FillPci(info, Is("DBSP_FAKE_NVML_LINKS", "switch") ? 0x80 : kFirstBus + other);
  return 0;
}
int nvmlDeviceGetP2PStatus(Device* a, Device* b, int capability, int* status) {
  if (Bare()) return kNotSupported;
  *status = capability == 1 && a->index + b->index == 3 ? 3 : 0;
  return 0;
}

/* The value of a sample is the number of samples taken so far. */
static int samples_taken, samples_alive;
typedef struct {
  unsigned id;
  int result;
  double value;
  const char* names[3];
} GpmMetric;
typedef struct {
  unsigned version, count;
  int *before, *after;
  GpmMetric metrics[333];
} GpmMetricsGet;
int nvmlGpmQueryDeviceSupport(Device* device, unsigned* version_and_supported) {
  (void)device;
  if (version_and_supported[0] != 1) return kNotSupported;
  version_and_supported[1] = !Is("DBSP_FAKE_NVML_GPM", "0");
  return 0;
}
int nvmlGpmSampleAlloc(int** sample) {
  *sample = malloc(sizeof(int));
  ++samples_alive;
  return 0;
}
int nvmlGpmSampleFree(int* sample) {
  free(sample);
  --samples_alive;
  return 0;
}
int nvmlGpmSampleGet(Device* device, int* sample) {
  (void)device;
  *sample = ++samples_taken;
  return 0;
}
int nvmlGpmMetricsGet(GpmMetricsGet* get) {
  if (get->version != 1 || *get->after != *get->before + 1) return 2;
  for (unsigned i = 0; i < get->count; ++i) {
    get->metrics[i].result = get->metrics[i].id == 7 ? kNotSupported : 0;
    get->metrics[i].value = 10.0 * get->metrics[i].id;
  }
  return 0;
}
int FakeNvmlSamplesAlive(void) { return samples_alive; }

const char* nvmlErrorString(int result) {
  return result == 18 ? "the fake library is newer than its driver" : "a fake failure";
}

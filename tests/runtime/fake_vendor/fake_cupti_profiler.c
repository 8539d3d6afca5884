/* SPDX-License-Identifier: Apache-2.0 */
/* The Range Profiler of the fake libcupti.so.13. It checks the order of calls. It supports GH100 and
   every metric without "nonsense" in its name. The value of metric i (from 1) is 1000 i plus the
   number of passes. DBSP_FAKE_CUPTI_PASSES: number of passes;
   DBSP_FAKE_CUPTI_RANGE: result of cuptiRangeProfilerEnable; DBSP_FAKE_CUPTI_DROP=1: the range's
   counts are dropped; DBSP_FAKE_CUPTI_AVAILABILITY: result of cuptiProfilerGetCounterAvailability. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { kInvalidParameter = 1, kInvalidOperation = 8, kInvalidChip = 46, kImageSize = 16 };

static int FromEnvironment(const char* name, int otherwise) {
  const char* text = getenv(name);
  return text == NULL ? otherwise : atoi(text);
}

/* The structs of cupti_profiler_host.h, cupti_profiler_target.h, cupti_target.h and
   cupti_range_profiler.h, field by field. */
typedef struct {
  size_t size;
  void* private;
} Head;
typedef struct {
  Head head;
  int type;
  const char* chip;
  const uint8_t* availability;
  void* object;
} HostInitialize;
typedef struct {
  Head head;
  void* object;
} ObjectOnly;
typedef struct {
  Head head;
  size_t count;
  const char* const* names;
} HostChips;
typedef struct {
  Head head;
  void* object;
  int type;
  const char** names;
  size_t count;
} HostBaseMetrics;
typedef struct {
  Head head;
  void* object;
  const char** names;
  size_t count;
} HostAddMetrics;
typedef struct {
  Head head;
  void* object;
  size_t size;
} HostImageSize;
typedef struct {
  Head head;
  void* object;
  size_t size;
  uint8_t* image;
} HostImage;
typedef struct {
  Head head;
  size_t size;
  uint8_t* image;
  size_t passes;
} HostPasses;
typedef struct {
  Head head;
  void* object;
  const uint8_t* image;
  size_t size;
  size_t range;
  const char** names;
  size_t count;
  double* values;
} HostEvaluate;
typedef struct {
  Head head;
  size_t device;
  const char* chip;
} ChipName;
typedef struct {
  Head head;
  void* context;
  size_t size;
  uint8_t* image;
} Availability;
typedef struct {
  Head head;
  void* context;
  void* object;
} RangeEnable;
typedef struct {
  Head head;
  void* object;
  const char** names;
  size_t count;
  size_t ranges;
  uint32_t nodes;
  size_t size;
} RangeDataSize;
typedef struct {
  Head head;
  void* object;
  size_t size;
  uint8_t* image;
} RangeDataImage;
typedef struct {
  Head head;
  void* object;
  size_t config_size;
  const uint8_t* config;
  size_t data_size;
  uint8_t* data;
  int range;
  int replay;
  size_t ranges_per_pass;
  uint16_t levels, first_level;
  size_t pass;
  uint16_t target_level;
} RangeConfig;
typedef struct {
  Head head;
  void* object;
  size_t pass, level;
  uint8_t all_submitted;
} RangeStop;
typedef struct {
  Head head;
  void* object;
  const char* name;
} RangePush;
typedef struct {
  Head head;
  void* object;
  size_t dropped;
} RangeDecode;

static int sessions; /* host objects alive */
static int initialized, enabled;
static int started, pushed, passes_run;
static uint8_t* counter_data;

int FakeCuptiHostSessions(void) { return sessions; }
int FakeCuptiRangeEnabled(void) { return enabled; }

int cuptiProfilerHostInitialize(HostInitialize* params) {
  if (params->type != 0) return kInvalidParameter;
  if (strcmp(params->chip, "GH100") != 0) return kInvalidChip;
  ++sessions;
  params->object = &sessions;
  return 0;
}
int cuptiProfilerHostDeinitialize(ObjectOnly* params) {
  if (params->object == NULL) return kInvalidParameter;
  --sessions;
  return 0;
}
int cuptiProfilerHostGetSupportedChips(HostChips* params) {
  static const char* const kNames[] = {"GH100"};
  params->count = 1;
  params->names = kNames;
  return 0;
}
int cuptiProfilerHostGetBaseMetrics(HostBaseMetrics* params) {
  static const char* names[] = {"sm__cycles_active", "dram__bytes"};
  params->names = names;
  params->count = params->type == 0 ? 2 : 0;
  return 0;
}
int cuptiProfilerHostConfigAddMetrics(HostAddMetrics* params) {
  for (size_t i = 0; i < params->count; ++i) {
    if (strstr(params->names[i], "nonsense") != NULL) return kInvalidParameter;
  }
  return 0;
}
int cuptiProfilerHostGetConfigImageSize(HostImageSize* params) {
  params->size = kImageSize;
  return 0;
}
int cuptiProfilerHostGetConfigImage(HostImage* params) {
  if (params->size != kImageSize) return kInvalidParameter;
  memset(params->image, 7, kImageSize);
  return 0;
}
int cuptiProfilerHostGetNumOfPasses(HostPasses* params) {
  if (params->size != kImageSize || params->image[0] != 7) return kInvalidParameter;
  params->passes = (size_t)FromEnvironment("DBSP_FAKE_CUPTI_PASSES", 1);
  return 0;
}
int cuptiProfilerHostEvaluateToGpuValues(HostEvaluate* params) {
  if (params->range != 0 || params->image[0] != 9) return kInvalidParameter;
  for (size_t i = 0; i < params->count; ++i) {
    params->values[i] = 1000.0 * (double)(i + 1) + params->image[1];
  }
  return 0;
}

int cuptiProfilerInitialize(Head* params) {
  (void)params;
  initialized = 1;
  return 0;
}
int cuptiDeviceGetChipName(ChipName* params) {
  if (!initialized) abort(); /* as CUPTI 13.0 does */
  params->chip = "GH100";
  return 0;
}
#ifndef DBSP_FAKE_LATER
int cuptiProfilerGetCounterAvailability(Availability* params) {
  const int result = FromEnvironment("DBSP_FAKE_CUPTI_AVAILABILITY", 0);
  if (result != 0) return result;
  if (params->context == NULL) return kInvalidParameter;
  if (params->image != NULL) params->image[0] = 1;
  params->size = 4;
  return 0;
}
#endif
int cuptiRangeProfilerEnable(RangeEnable* params) {
  const int result = FromEnvironment("DBSP_FAKE_CUPTI_RANGE", 0);
  if (result != 0) return result;
  ++enabled;
  params->object = &enabled;
  return 0;
}
int cuptiRangeProfilerDisable(ObjectOnly* params) {
  if (params->object != &enabled || started) return kInvalidOperation;
  --enabled;
  return 0;
}
int cuptiRangeProfilerGetCounterDataSize(RangeDataSize* params) {
  if (params->ranges != 1 || params->nodes != 1) return kInvalidParameter;
  params->size = kImageSize;
  return 0;
}
int cuptiRangeProfilerCounterDataImageInitialize(RangeDataImage* params) {
  memset(params->image, 0, params->size);
  params->image[0] = 8;
  return 0;
}
int cuptiRangeProfilerSetConfig(RangeConfig* params) {
  const int ranges = params->ranges_per_pass == 1 && params->levels == 1 && params->first_level == 1;
  /* CUPTI_UserRange is 2 and CUPTI_UserReplay 3. */
  if (!ranges || params->range != 2 || params->replay != 3) return kInvalidParameter;
  if (params->data[0] != 8 || params->config[0] != 7) return kInvalidParameter;
  counter_data = params->data;
  passes_run = 0;
  return 0;
}
int cuptiRangeProfilerStart(ObjectOnly* params) {
  (void)params;
  if (counter_data == NULL || started) return kInvalidOperation;
  started = 1;
  return 0;
}
int cuptiRangeProfilerPushRange(RangePush* params) {
  if (!started || pushed || params->name == NULL) return kInvalidOperation;
  pushed = 1;
  return 0;
}
int cuptiRangeProfilerPopRange(ObjectOnly* params) {
  (void)params;
  if (!pushed) return kInvalidOperation;
  pushed = 0;
  return 0;
}
int cuptiRangeProfilerStop(RangeStop* params) {
  if (!started || pushed) return kInvalidOperation;
  started = 0;
  ++passes_run;
  params->all_submitted = passes_run >= FromEnvironment("DBSP_FAKE_CUPTI_PASSES", 1);
  return 0;
}
int cuptiRangeProfilerDecodeData(RangeDecode* params) {
  if (counter_data == NULL || started) return kInvalidOperation;
  counter_data[0] = 9;
  counter_data[1] = (uint8_t)passes_run;
  counter_data = NULL;
  params->dropped = FromEnvironment("DBSP_FAKE_CUPTI_DROP", 0) != 0;
  return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A fake libcupti.so.13. DBSP_FAKE_CUPTI_RESULT: result of cuptiGetVersion; cuptiGetResultString has
   no text for 999; DBSP_FAKE_CUPTI_ENABLE: result of cuptiActivityEnable.
   DBSP_FAKE_CUPTI_KERNEL_BYTES: size of kernel records, 216 as in CUPTI 13.0 unless given.
   The tests make the records: FakeCuptiRecord() writes one into a buffer, which it requests and
   returns as CUPTI does. Built with DBSP_FAKE_OLD, one function is missing. Built with
   DBSP_FAKE_LATER, the version is 13.5 and deprecated functions are missing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef void (*RequestBuffer)(uint8_t**, size_t*, size_t*);
typedef void (*CompleteBuffer)(void*, uint32_t, uint8_t*, size_t, size_t);

enum { kMostIds = 16, kSuccess = 0, kInvalidParameter = 1, kMaxLimit = 12, kInvalidKind = 21 };

static RequestBuffer request;
static CompleteBuffer complete;
static uint8_t* buffer;
static size_t buffer_size, buffer_used, dropped;
static int enabled, finalized;
static _Thread_local uint64_t ids[kMostIds];
static _Thread_local int depth;

static int FromEnvironment(const char* name, int otherwise) {
  const char* text = getenv(name);
  return text == NULL ? otherwise : atoi(text);
}

int cuptiGetVersion(uint32_t* version) {
#ifdef DBSP_FAKE_LATER
  *version = 130500;
#else
  *version = 130102;
#endif
  return FromEnvironment("DBSP_FAKE_CUPTI_RESULT", 0);
}
#ifndef DBSP_FAKE_OLD
int cuptiGetResultString(int result, const char** text) {
  if (result == 999) return 1;
  *text = result == 39 ? "FAKE_CUPTI_MULTIPLE_SUBSCRIBERS" : "FAKE_CUPTI_NOT_INITIALIZED";
  return 0;
}
#endif

/* Size of a record of CUPTI 13.0 in bytes, by kind. A test compares them with cupti.h. */
size_t FakeCuptiRecordSize(uint32_t kind) {
  switch (kind) {
    case 3:
    case 10:
      return (size_t)FromEnvironment("DBSP_FAKE_CUPTI_KERNEL_BYTES", 216);
    case 1:
    case 22:
      return 96; /* copies */
    case 2:
      return 88; /* set */
    case 12:
      return 56; /* marker */
    case 4:
    case 5:
      return 40; /* calls */
    case 39:
      return 24; /* external correlation */
    case 11:
      return 32; /* name: a kind that no session enables */
    default:
      return 0;
  }
}
int cuptiActivityGetNextRecord(uint8_t* begin, size_t valid, uint8_t** record) {
  uint32_t kind;
  size_t at = 0;
  if (*record != NULL) {
    memcpy(&kind, *record, sizeof(kind));
    at = (size_t)(*record - begin) + FakeCuptiRecordSize(kind);
  }
  if (at + sizeof(kind) > valid) return kMaxLimit;
  memcpy(&kind, begin + at, sizeof(kind));
  if (FakeCuptiRecordSize(kind) == 0) return kInvalidKind;
  if (at + FakeCuptiRecordSize(kind) > valid) return kMaxLimit;
  *record = begin + at;
  return kSuccess;
}

int cuptiActivityRegisterCallbacks(RequestBuffer on_request, CompleteBuffer on_complete) {
  request = on_request;
  complete = on_complete;
  return kSuccess;
}
int cuptiActivityEnable(int kind) {
  (void)kind;
  const int result = FromEnvironment("DBSP_FAKE_CUPTI_ENABLE", 0);
  if (result == 0) ++enabled;
  return result;
}
int cuptiActivityDisable(int kind) {
  (void)kind;
  --enabled;
  return kSuccess;
}
static void Deliver(void) {
  if (buffer == NULL) return;
  complete(NULL, 0, buffer, buffer_size, buffer_used);
  buffer = NULL;
  buffer_used = 0;
}
int cuptiActivityFlushAll(uint32_t flag) {
  if (flag != 1) return kInvalidParameter;
  Deliver();
  return kSuccess;
}
int cuptiActivityGetNumDroppedRecords(void* context, uint32_t stream, size_t* count) {
  (void)context;
  (void)stream;
  *count = dropped;
  dropped = 0;
  return kSuccess;
}
int cuptiActivityPushExternalCorrelationId(int kind, uint64_t id) {
  if (kind != 3 || depth == kMostIds) return kInvalidParameter;
  ids[depth++] = id;
  return kSuccess;
}
int cuptiActivityPopExternalCorrelationId(int kind, uint64_t* last) {
  if (kind != 3 || depth == 0) return kInvalidParameter;
  *last = ids[--depth];
  return kSuccess;
}
int cuptiFinalize(void) {
  ++finalized;
  return kSuccess;
}

/* For the tests. */
void FakeCuptiRecord(const void* record, size_t bytes) {
  if (enabled == 0) return;
  if (buffer != NULL && buffer_used + bytes > buffer_size) Deliver();
  if (buffer == NULL) {
    size_t records = 1;
    request(&buffer, &buffer_size, &records);
    if (buffer == NULL || ((uintptr_t)buffer & 7) != 0 || records != 0) {
      ++dropped;
      return;
    }
  }
  memcpy(buffer + buffer_used, record, bytes);
  buffer_used += bytes;
}
int FakeCuptiTopId(uint64_t* id) {
  if (depth == 0) return 0;
  *id = ids[depth - 1];
  return 1;
}
int FakeCuptiEnabled(void) { return enabled; }
int FakeCuptiFinalized(void) { return finalized; }

// SPDX-License-Identifier: Apache-2.0
// Loaded with LD_PRELOAD: dlopen() finds no library whose file name begins with one of the names in
// DBSP_ABSENT_LIBRARIES, separated by commas, wherever the machine has it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static __thread char g_message[512];

static int IsAbsent(const char* name) {
  const char* list = getenv("DBSP_ABSENT_LIBRARIES");
  const char* slash = name == NULL ? NULL : strrchr(name, '/');
  const char* file = slash == NULL ? name : slash + 1;
  while (file != NULL && list != NULL && *list != '\0') {
    const size_t length = strcspn(list, ",");
    if (length > 0 && strncmp(file, list, length) == 0) return 1;
    list += length + (list[length] == ',');
  }
  return 0;
}

void* dlopen(const char* name, int flags) {
  void* (*real)(const char*, int) = (void* (*)(const char*, int))dlsym(RTLD_NEXT, "dlopen");
  g_message[0] = '\0';
  if (!IsAbsent(name)) return real(name, flags);
  (void)snprintf(g_message,
                 sizeof(g_message),
                 "%s: cannot open shared object file: No such file or directory",
                 name);
  return NULL;
}

char* dlerror(void) {
  static __thread char given[sizeof(g_message)];
  char* (*real)(void) = (char* (*)(void))dlsym(RTLD_NEXT, "dlerror");
  if (g_message[0] == '\0') return real();
  memcpy(given, g_message, sizeof(given));
  g_message[0] = '\0';
  return given;
}

// SPDX-License-Identifier: Apache-2.0
// A library for LD_PRELOAD that makes the n-th call of a kind fail. Calls are counted from the
// start of main(), so that what the loader and the standard library do first is left alone.
//   DBSP_FAULT=kill:N      the process gets SIGKILL before its N-th call that changes a file
//   DBSP_FAULT=ENOSPC:N    that call fails with this error (ENOSPC, EIO, EINTR or EDQUOT)
//   DBSP_FAULT=memory:N    the N-th allocation fails
//   DBSP_FAULT_COUNTS=PATH at the end "CALLS ALLOCATIONS" is written there
// Calls on the standard streams are not counted, so that messages are seen.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

extern void* __libc_malloc(size_t size);
extern void* __libc_calloc(size_t count, size_t size);
extern void* __libc_realloc(void* old, size_t size);

static atomic_bool g_active;
static atomic_long g_calls;
static atomic_long g_allocations;
static long g_failing_call;
static long g_failing_allocation;
static int g_error;  // 0: SIGKILL

static void ReadSettings(void) {
  const char* text = getenv("DBSP_FAULT");
  if (text == NULL) return;
  const char* colon = strchr(text, ':');
  if (colon == NULL) return;
  const size_t length = (size_t)(colon - text);
  const long at = atol(colon + 1);
  const struct {
    const char* name;
    int error;
  } errors[] = {{"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EINTR", EINTR}, {"EDQUOT", EDQUOT}};
  if (length == 6 && strncmp(text, "memory", length) == 0) {
    g_failing_allocation = at;
    return;
  }
  g_failing_call = at;
  for (size_t i = 0; i < sizeof errors / sizeof errors[0]; ++i) {
    if (strlen(errors[i].name) == length && strncmp(text, errors[i].name, length) == 0) {
      g_error = errors[i].error;
    }
  }
}

static void WriteCounts(void) {
  atomic_store(&g_active, 0);
  const char* path = getenv("DBSP_FAULT_COUNTS");
  if (path == NULL) return;
  FILE* file = fopen(path, "w");
  if (file == NULL) return;
  fprintf(file, "%ld %ld\n", atomic_load(&g_calls), atomic_load(&g_allocations));
  fclose(file);
}

// Whether this call fails; errno is set then.
static int Fails(void) {
  if (!atomic_load(&g_active)) return 0;
  const long call = atomic_fetch_add(&g_calls, 1) + 1;
  if (call != g_failing_call) return 0;
  if (g_error == 0) kill(getpid(), SIGKILL);
  errno = g_error;
  return 1;
}

static int AllocationFails(void) {
  if (!atomic_load(&g_active)) return 0;
  if (atomic_fetch_add(&g_allocations, 1) + 1 != g_failing_allocation) return 0;
  errno = ENOMEM;
  return 1;
}

static int (*g_main)(int, char**, char**);

static int CountedMain(int argc, char** argv, char** environment) {
  ReadSettings();
  atexit(WriteCounts);
  atomic_store(&g_active, 1);
  return g_main(argc, argv, environment);
}

int __libc_start_main(int (*entry)(int, char**, char**),
                      int argc,
                      char** argv,
                      void (*init)(void),
                      void (*fini)(void),
                      void (*loader_fini)(void),
                      void* stack_end) {
  int (*real)(int (*)(int, char**, char**),
              int,
              char**,
              void (*)(void),
              void (*)(void),
              void (*)(void),
              void*);
  *(void**)&real = dlsym(RTLD_NEXT, "__libc_start_main");
  g_main = entry;
  return real(CountedMain, argc, argv, init, fini, loader_fini, stack_end);
}

void* malloc(size_t size) { return AllocationFails() ? NULL : __libc_malloc(size); }
void* calloc(size_t count, size_t size) {
  return AllocationFails() ? NULL : __libc_calloc(count, size);
}
void* realloc(void* old, size_t size) {
  return AllocationFails() ? NULL : __libc_realloc(old, size);
}

// WRAP(NAME, RETURN, PARAMETERS, ARGUMENTS): fails with -1 when it is this call's turn.
#define WRAP(name, result, parameters, arguments)               \
  result name parameters {                                      \
    static result(*real) parameters;                            \
    if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, #name); \
    if (Fails()) return (result)-1;                             \
    return real arguments;                                      \
  }
// The same for calls whose first argument is a descriptor.
#define WRAP_DESCRIPTOR(name, result, parameters, arguments)    \
  result name parameters {                                      \
    static result(*real) parameters;                            \
    if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, #name); \
    if (fd > 2 && Fails()) return (result)-1;                   \
    return real arguments;                                      \
  }

WRAP_DESCRIPTOR(write, ssize_t, (int fd, const void* data, size_t size), (fd, data, size))
WRAP_DESCRIPTOR(writev, ssize_t, (int fd, const struct iovec* parts, int count), (fd, parts, count))
WRAP_DESCRIPTOR(pwrite,
                ssize_t,
                (int fd, const void* data, size_t size, off_t at),
                (fd, data, size, at))
WRAP_DESCRIPTOR(pwrite64,
                ssize_t,
                (int fd, const void* data, size_t size, off64_t at),
                (fd, data, size, at))
WRAP_DESCRIPTOR(ftruncate, int, (int fd, off_t size), (fd, size))
WRAP_DESCRIPTOR(ftruncate64, int, (int fd, off64_t size), (fd, size))
WRAP_DESCRIPTOR(fsync, int, (int fd), (fd))
WRAP_DESCRIPTOR(fdatasync, int, (int fd), (fd))
WRAP(rename, int, (const char* from, const char* to), (from, to))
WRAP(link, int, (const char* from, const char* to), (from, to))

// The errors are no errors of unlink(), and what it leaves behind the next run removes.
int unlink(const char* path) {
  static int (*real)(const char*);
  if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, "unlink");
  if (g_error == 0 && Fails()) return -1;
  return real(path);
}

WRAP(mkdir, int, (const char* path, mode_t mode), (path, mode))
WRAP(mkstemp, int, (char* pattern), (pattern))
WRAP(mkostemp, int, (char* pattern, int flags), (pattern, flags))

// Opening counts where the file may be written.
#define WRAP_OPEN(name, parameters, forwarded)                               \
  int name parameters {                                                      \
    static int (*real)(const char*, int, ...);                               \
    static int (*real_at)(int, const char*, int, ...);                       \
    (void)real;                                                              \
    (void)real_at;                                                           \
    va_list rest;                                                            \
    va_start(rest, flags);                                                   \
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;   \
    va_end(rest);                                                            \
    if ((flags & O_ACCMODE) != O_RDONLY && strncmp(path, "/dev/", 5) != 0 && \
        strncmp(path, "/proc/", 6) != 0 && Fails())                          \
      return -1;                                                             \
    forwarded                                                                \
  }
WRAP_OPEN(open, (const char* path, int flags, ...), {
  if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, "open");
  return real(path, flags, mode);
})
WRAP_OPEN(open64, (const char* path, int flags, ...), {
  if (real == NULL) *(void**)&real = dlsym(RTLD_NEXT, "open64");
  return real(path, flags, mode);
})
WRAP_OPEN(openat, (int folder, const char* path, int flags, ...), {
  if (real_at == NULL) *(void**)&real_at = dlsym(RTLD_NEXT, "openat");
  return real_at(folder, path, flags, mode);
})

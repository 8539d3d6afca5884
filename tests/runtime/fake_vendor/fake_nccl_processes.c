/* SPDX-License-Identifier: Apache-2.0 */
/* A fake libnccl.so.2 whose ranks are processes of one host. The id of a communicator names a segment
   of shared memory, through which the bytes move between processes in the background. Streams are as
   in fake_nccl.c.

   Communicators start up and exchanges run in the background, the sends and receives of a group run
   together, counts are not compared, and a wait for a peer that is missing, killed or stopped lasts
   until the communicator is aborted. The segment has no locks, because a killed process would hold
   its lock for ever.

   DBSP_FAKE_NCCL_HANG=R: operations of rank R on its process's first communicator never start;
   DBSP_FAKE_NCCL_ERROR=R: ncclGroupEnd of rank R fails; DBSP_FAKE_NCCL_WRONG=R: one element that
   rank R receives is changed. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { kMostRanks = 16, kSlotBytes = 8192, kSuccess = 0, kSystemError = 2, kInvalidArgument = 4,
       kInvalidUsage = 5, kInProgress = 7, kInt8 = 0, kFloat32 = 7, kSum = 0 };

typedef struct Slot { /* data between two ranks */
  atomic_int full;
  size_t total, bytes;
  _Alignas(float) char data[kSlotBytes];
} Slot;
typedef struct World { /* in shared memory, zero at first */
  atomic_int joined, left;
  atomic_uint changes;
  Slot slots[kMostRanks][kMostRanks]; /* [from][to] */
} World;
typedef enum { kSend, kRecv, kFirst, kReduce } Kind; /* kFirst: the first summand */
typedef struct Op {
  Kind kind;
  const char* from;
  char* to;
  size_t bytes, moved;
  int peer;
} Op;
typedef struct Job {
  Op* ops;
  int count;
  atomic_int* pending;
  struct Job* next;
} Job;
typedef struct Comm {
  World* world;
  char name[128];
  int rank, ranks, hangs;
  atomic_int aborted, finalized, tickets, gone;
  pthread_mutex_t lock; /* guards the jobs */
  Job *first, *last;
  pthread_t worker;
} Comm;

typedef void (*StreamEnqueue)(void* stream, void (*start)(void*), int (*done)(void*), void* work);
static StreamEnqueue stream_enqueue;
static atomic_int ids, comms;
static _Thread_local int group_depth, group_count;
static _Thread_local Op* group_ops;
static _Thread_local Comm* group_comm;
static _Thread_local void* group_stream;

static int IsRank(const char* name, const Comm* comm) {
  const char* text = getenv(name);
  return text != NULL && atoi(text) == comm->rank;
}
static void Change(World* world) {
  atomic_fetch_add(&world->changes, 1);
  syscall(SYS_futex, &world->changes, FUTEX_WAKE, 1 << 30, NULL, NULL, 0);
}
static void WaitForChange(World* world, unsigned seen) {
  const struct timespec longest = {0, 5000000};
  syscall(SYS_futex, &world->changes, FUTEX_WAIT, seen, &longest, NULL, 0);
}

int ncclGetVersion(int* version) {
  *version = 22307;
  return kSuccess;
}
const char* ncclGetErrorString(int result) {
  return result == kSystemError ? "the fake NCCL has a system error" : "a fake failure";
}
typedef struct {
  char bytes[128];
} UniqueId;
int ncclGetUniqueId(UniqueId* id) {
  memset(id, 0, sizeof(*id));
  snprintf(id->bytes, sizeof(id->bytes), "/dbsp-fake-nccl-%d-%d", (int)getpid(), ++ids);
  const int file = shm_open(id->bytes, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (file < 0) return kSystemError;
  const int failed = ftruncate(file, sizeof(World));
  close(file);
  return failed ? kSystemError : kSuccess;
}

static int IsFirstOfItsKind(const Job* job, int index) {
  const Op* op = &job->ops[index];
  for (int i = 0; i < index; ++i) {
    const Op* before = &job->ops[i];
    if (before->peer == op->peer && (before->kind == kSend) == (op->kind == kSend) &&
        before->moved < before->bytes) {
      return 0;
    }
  }
  return 1;
}
/* Moves up to one slot of data. Returns 0 when the other rank must act first. */
static int Advance(Comm* comm, Op* op) {
  World* world = comm->world;
  if (op->kind == kSend) {
    Slot* slot = &world->slots[comm->rank][op->peer];
    if (atomic_load(&slot->full)) return 0;
    const size_t left = op->bytes - op->moved;
    slot->total = op->bytes;
    slot->bytes = left < kSlotBytes ? left : kSlotBytes;
    memcpy(slot->data, op->from + op->moved, slot->bytes);
    op->moved += slot->bytes;
    atomic_store(&slot->full, 1);
  } else {
    Slot* slot = &world->slots[op->peer][comm->rank];
    /* With different counts the wait never ends, as with NCCL's kernels. */
    if (!atomic_load(&slot->full) || slot->total != op->bytes) return 0;
    char* to = op->to + op->moved;
    const size_t floats = slot->bytes / sizeof(float);
    if (op->kind == kReduce) {
      for (size_t i = 0; i < floats; ++i) ((float*)to)[i] += ((const float*)slot->data)[i];
    } else {
      memcpy(to, slot->data, slot->bytes);
    }
    op->moved += slot->bytes;
    if (op->moved == op->bytes && IsRank("DBSP_FAKE_NCCL_WRONG", comm)) ((float*)to)[floats - 1] += 1;
    atomic_store(&slot->full, 0);
  }
  Change(world);
  return 1;
}
/* Sums are in the order of ranks: a reduction waits for the lower ranks. */
static int MayStart(const Job* job, int index) {
  if (job->ops[index].kind != kReduce) return IsFirstOfItsKind(job, index);
  for (int i = 0; i < index; ++i) {
    if (job->ops[i].kind != kSend && job->ops[i].moved < job->ops[i].bytes) return 0;
  }
  return 1;
}
static int RunJob(Comm* comm, Job* job) {
  for (;;) {
    const unsigned seen = atomic_load(&comm->world->changes);
    if (comm->aborted) return 0;
    int left = 0, advanced = 0;
    for (int i = 0; i < job->count && !comm->hangs; ++i) {
      Op* op = &job->ops[i];
      if (op->moved < op->bytes && MayStart(job, i)) advanced += Advance(comm, op);
      left += op->moved < op->bytes;
    }
    if (left == 0 && !comm->hangs) return 1;
    if (advanced == 0) WaitForChange(comm->world, seen);
  }
}
static void FreeJob(Job* job) {
  free(job->ops);
  free(job);
}
static Job* NextJob(Comm* comm) {
  for (;;) {
    const unsigned seen = atomic_load(&comm->world->changes);
    pthread_mutex_lock(&comm->lock);
    Job* job = comm->first;
    pthread_mutex_unlock(&comm->lock);
    if (job != NULL || comm->aborted || comm->finalized) return job;
    WaitForChange(comm->world, seen);
  }
}
static void* Work(void* argument) {
  Comm* comm = argument;
  for (Job* job = NextJob(comm); job != NULL; job = NextJob(comm)) {
    if (!comm->aborted) (void)RunJob(comm, job);
    pthread_mutex_lock(&comm->lock);
    comm->first = job->next;
    if (comm->first == NULL) comm->last = NULL;
    pthread_mutex_unlock(&comm->lock);
    atomic_fetch_sub(job->pending, 1); /* also when aborted: aborted kernels end */
    FreeJob(job);
  }
  return NULL;
}

typedef struct { /* the head of ncclConfig_t */
  size_t size;
  unsigned magic, version;
  int blocking;
} Config;
int ncclCommInitRankConfig(Comm** result, int ranks, UniqueId id, int rank, Config* config) {
  if (config->magic != 0xcafebeef || config->blocking != 0) return kInvalidArgument;
  if (ranks < 1 || ranks > kMostRanks || rank < 0 || rank >= ranks) return kInvalidArgument;
  const int file = shm_open(id.bytes, O_RDWR, 0);
  if (file < 0) return kSystemError;
  World* world = mmap(NULL, sizeof(World), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (world == MAP_FAILED) return kSystemError;
  Comm* comm = calloc(1, sizeof(*comm));
  comm->world = world;
  memcpy(comm->name, id.bytes, sizeof(comm->name));
  comm->rank = rank;
  comm->ranks = ranks;
  comm->hangs = ++comms == 1 && IsRank("DBSP_FAKE_NCCL_HANG", comm);
  pthread_mutex_init(&comm->lock, NULL);
  /* The last rank removes the name, so that a rank that is killed later leaves no segment. */
  if (atomic_fetch_add(&world->joined, 1) + 1 == ranks) shm_unlink(comm->name);
  Change(world);
  pthread_create(&comm->worker, NULL, Work, comm);
  *result = comm;
  return kInProgress;
}
int ncclCommGetAsyncError(Comm* comm, int* state) {
  *state = comm->world->joined < comm->ranks ? kInProgress : kSuccess;
  if (comm->finalized && comm->world->left < comm->ranks) *state = kInProgress;
  return kSuccess;
}
int ncclCommFinalize(Comm* comm) {
  comm->finalized = 1;
  atomic_fetch_add(&comm->world->left, 1);
  Change(comm->world);
  return kInProgress;
}
static void FreeComm(Comm* comm) {
  munmap(comm->world, sizeof(World));
  pthread_mutex_destroy(&comm->lock);
  free(comm);
}
static int End(Comm* comm, int abort) {
  if (comm->world->joined < comm->ranks) shm_unlink(comm->name);
  if (abort) comm->aborted = 1;
  Change(comm->world);
  pthread_join(comm->worker, NULL);
  comm->gone = 1;
  if (comm->tickets == 0) FreeComm(comm);
  return kSuccess;
}
int ncclCommDestroy(Comm* comm) { return comm->finalized ? End(comm, 0) : kInvalidUsage; }
int ncclCommAbort(Comm* comm) { return End(comm, 1); }

static void AddJob(Comm* comm, Job* job) {
  atomic_fetch_add(job->pending, 1);
  pthread_mutex_lock(&comm->lock);
  if (comm->last != NULL) {
    comm->last->next = job;
  } else {
    comm->first = job;
  }
  comm->last = job;
  pthread_mutex_unlock(&comm->lock);
  Change(comm->world);
}
typedef struct Ticket { /* a job in the queue of a test's stream */
  Comm* comm;
  Job* job;
  atomic_int pending;
} Ticket;
static void StartTicket(void* work) {
  Ticket* ticket = work;
  if (ticket->comm->aborted || ticket->comm->gone) {
    FreeJob(ticket->job);
  } else {
    AddJob(ticket->comm, ticket->job);
  }
}
static int TicketDone(void* work) {
  Ticket* ticket = work;
  if (ticket->pending != 0) return 0;
  if (atomic_fetch_sub(&ticket->comm->tickets, 1) == 1 && ticket->comm->gone) {
    FreeComm(ticket->comm);
  }
  free(ticket);
  return 1;
}
static int Enqueue(Comm* comm, Op* ops, int count, void* stream) {
  Job* job = calloc(1, sizeof(*job));
  job->ops = ops;
  job->count = count;
  if (stream_enqueue == NULL) {
    job->pending = stream;
    AddJob(comm, job);
    return kInProgress; /* until kSuccess from ncclCommGetAsyncError */
  }
  Ticket* ticket = calloc(1, sizeof(*ticket));
  ticket->comm = comm;
  ticket->job = job;
  job->pending = &ticket->pending;
  atomic_fetch_add(&comm->tickets, 1);
  stream_enqueue(stream, StartTicket, TicketDone, ticket);
  return kInProgress;
}
int ncclGroupStart(void) {
  if (group_depth++ == 0) {
    group_ops = calloc(2 * kMostRanks, sizeof(Op));
    group_count = 0;
    group_comm = NULL;
  }
  return kSuccess;
}
int ncclGroupEnd(void) {
  if (group_depth == 0) return kInvalidUsage;
  if (--group_depth > 0) return kSuccess;
  if (group_comm == NULL || IsRank("DBSP_FAKE_NCCL_ERROR", group_comm)) {
    free(group_ops);
    return group_comm == NULL ? kSuccess : kSystemError;
  }
  return Enqueue(group_comm, group_ops, group_count, group_stream);
}
static int AddToGroup(Comm* comm, void* stream, Op op) {
  /* A call outside a group would be its own group, which dbsp never uses. */
  if (group_depth == 0 || group_count == 2 * kMostRanks) return kInvalidUsage;
  group_comm = comm;
  group_stream = stream;
  group_ops[group_count++] = op;
  return kSuccess;
}
int ncclSend(const char* from, size_t count, int type, int peer, Comm* comm, void* stream) {
  if (type != kInt8 || peer < 0 || peer >= comm->ranks) return kInvalidArgument;
  return AddToGroup(comm, stream, (Op){kSend, from, NULL, count, 0, peer});
}
int ncclRecv(char* to, size_t count, int type, int peer, Comm* comm, void* stream) {
  if (type != kInt8 || peer < 0 || peer >= comm->ranks) return kInvalidArgument;
  return AddToGroup(comm, stream, (Op){kRecv, NULL, to, count, 0, peer});
}
int ncclAllGather(const char* from, char* to, size_t count, int type, Comm* comm, void* stream) {
  if (type == kFloat32) count *= sizeof(float);
  if (type != kFloat32 && type != kInt8) return kInvalidArgument;
  Op* ops = calloc(2 * (size_t)comm->ranks, sizeof(Op));
  for (int peer = 0; peer < comm->ranks; ++peer) {
    ops[2 * peer] = (Op){kSend, from, NULL, count, 0, peer};
    ops[2 * peer + 1] = (Op){kRecv, NULL, to + (size_t)peer * count, count, 0, peer};
  }
  return Enqueue(comm, ops, 2 * comm->ranks, stream);
}
int ncclReduceScatter(const char* from, char* to, size_t count, int type, int op, Comm* comm,
                      void* stream) {
  if (type != kFloat32 || op != kSum) return kInvalidArgument;
  count *= sizeof(float);
  Op* ops = calloc(2 * (size_t)comm->ranks, sizeof(Op));
  for (int peer = 0; peer < comm->ranks; ++peer) {
    ops[2 * peer] = (Op){kSend, from + (size_t)peer * count, NULL, count, 0, peer};
    ops[2 * peer + 1] = (Op){peer == 0 ? kFirst : kReduce, NULL, to, count, 0, peer};
  }
  return Enqueue(comm, ops, 2 * comm->ranks, stream);
}

/* For the tests. */
void FakeNcclSetStreams(StreamEnqueue enqueue) { stream_enqueue = enqueue; }
int FakeNcclIdle(const void* stream) { return *(const atomic_int*)stream == 0; }

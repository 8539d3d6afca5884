/* SPDX-License-Identifier: Apache-2.0 */
/* A fake libnccl.so.2 whose ranks are threads of one process and whose device memory is host memory.
   It moves the bytes in the background, as a stream would. A stream is the address of an int that
   counts enqueued operations that are not done (FakeNcclIdle). A test with its own streams passes
   them to FakeNcclSetStreams; exchanges then run in the order of those streams.

   As with a non-blocking communicator of NCCL, communicators start up and exchanges run in the
   background, the sends and receives of a group run together, counts are not compared, and a wait
   for a missing peer lasts until the communicator is aborted.

   DBSP_FAKE_NCCL_VERSION: version code; DBSP_FAKE_NCCL_RESULT: result of ncclGetVersion and
   ncclGetUniqueId; DBSP_FAKE_NCCL_HANG=R: operations of rank R never start; DBSP_FAKE_NCCL_ERROR=R:
   ncclGroupEnd of rank R fails; DBSP_FAKE_NCCL_ASYNC=R: rank R's communicator reports a remote error
   after its first operation; DBSP_FAKE_NCCL_BUSY_NS=N: groups move nothing and are done at once, and
   their group ends are in progress for N nanoseconds. Built with DBSP_FAKE_OLD, one function is missing. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { kMostRanks = 64, kSuccess = 0, kSystemError = 2, kInvalidArgument = 4, kInvalidUsage = 5,
       kRemoteError = 6, kInProgress = 7, kInt8 = 0, kFloat32 = 7, kSum = 0 };

typedef enum { kSend, kRecv, kFirst, kReduce } Kind; /* kFirst: the first summand */
typedef struct Op {
  Kind kind;
  const char* from;
  char* to;
  size_t bytes;
  int peer;
  int* done; /* for a send: set by its receiver */
} Op;
typedef struct Job {
  Op* ops;
  int count;
  int* stream;
  struct Job* next;
} Job;
typedef struct Post { /* a send without its receiver */
  const Op* op;
  struct Post* next;
} Post;
typedef struct World {
  char id[128];
  int ranks, joined, left;
  Post* posts[kMostRanks][kMostRanks]; /* [from][to], oldest first */
  struct World* next;
} World;
typedef struct Comm {
  World* world;
  int rank, aborted, finalized, used;
  int64_t busy_until; /* on CLOCK_MONOTONIC: a group end is in progress */
  int tickets, gone; /* running exchanges on the test's streams; whether to free after them */
  Job *first, *last;
  pthread_t worker;
} Comm;

/* One lock for everything, because this fake need not be fast. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static World* worlds;
static int ids, comms_alive;
/* start is called once; then done is polled until it returns 1 */
typedef void (*StreamEnqueue)(void* stream, void (*start)(void*), int (*done)(void*), void* work);
static StreamEnqueue stream_enqueue;
static _Thread_local int group_depth;
static _Thread_local Op* group_ops;
static _Thread_local int group_count;
static _Thread_local Comm* group_comm;
static _Thread_local int* group_stream;
static char calls[kMostRanks][4096]; /* log of each rank's calls: "[ s1:5 r2:7 ] " */

static int FromEnvironment(const char* name, int otherwise) {
  const char* text = getenv(name);
  return text == NULL ? otherwise : atoi(text);
}
static int64_t NowNs(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
static int IsRank(const char* name, const Comm* comm) {
  return FromEnvironment(name, -1) == comm->rank;
}
static void Log(int rank, const char* text) {
  strncat(calls[rank], text, sizeof(calls[rank]) - strlen(calls[rank]) - 1);
}

int ncclGetVersion(int* version) {
  *version = FromEnvironment("DBSP_FAKE_NCCL_VERSION", 22307);
  return FromEnvironment("DBSP_FAKE_NCCL_RESULT", 0);
}
#ifndef DBSP_FAKE_OLD
const char* ncclGetErrorString(int result) {
  return result == kSystemError ? "the fake NCCL has a system error"
         : result == kRemoteError ? "the fake NCCL lost a peer"
                                  : "a fake failure";
}
#endif
typedef struct {
  char bytes[128];
} UniqueId;
int ncclGetUniqueId(UniqueId* id) {
  memset(id, 0, sizeof(*id));
  pthread_mutex_lock(&lock);
  snprintf(id->bytes, sizeof(id->bytes), "fake %d", ++ids);
  pthread_mutex_unlock(&lock);
  return FromEnvironment("DBSP_FAKE_NCCL_RESULT", 0);
}

/* Waits. Returns 0 when the communicator is aborted. */
static int Sleep(Comm* comm) {
  if (!comm->aborted) pthread_cond_wait(&changed, &lock);
  return !comm->aborted;
}
static void PutPost(Comm* comm, const Op* op) {
  Post* post = calloc(1, sizeof(*post));
  post->op = op;
  Post** at = &comm->world->posts[comm->rank][op->peer];
  while (*at != NULL) at = &(*at)->next;
  *at = post;
}
static void TakeBackPosts(Comm* comm) {
  for (int to = 0; to < kMostRanks; ++to) {
    for (Post* post = comm->world->posts[comm->rank][to]; post != NULL;) {
      Post* next = post->next;
      free(post);
      post = next;
    }
    comm->world->posts[comm->rank][to] = NULL;
  }
}
/* Waits for the oldest send of `peer` to this rank. Returns 0 when aborted. With different counts the
   wait never ends, as with NCCL's kernels. */
static int Receive(Comm* comm, Op* op) {
  Post** queue = &comm->world->posts[op->peer][comm->rank];
  while (*queue == NULL || (*queue)->op->bytes != op->bytes) {
    if (!Sleep(comm)) return 0;
  }
  Post* post = *queue;
  *queue = post->next;
  if (op->kind == kReduce) {
    const float* from = (const float*)post->op->from;
    for (size_t i = 0; i < op->bytes / sizeof(float); ++i) ((float*)op->to)[i] += from[i];
  } else {
    memmove(op->to, post->op->from, op->bytes);
  }
  *post->op->done = 1;
  free(post);
  pthread_cond_broadcast(&changed);
  return 1;
}
static int RunJob(Comm* comm, Job* job) {
  while (IsRank("DBSP_FAKE_NCCL_HANG", comm)) {
    if (!Sleep(comm)) return 0;
  }
  for (int i = 0; i < job->count; ++i) {
    if (job->ops[i].kind == kSend) PutPost(comm, &job->ops[i]);
  }
  pthread_cond_broadcast(&changed);
  for (int i = 0; i < job->count; ++i) {
    if (job->ops[i].kind != kSend && !Receive(comm, &job->ops[i])) return 0;
  }
  for (int i = 0; i < job->count; ++i) {
    while (job->ops[i].kind == kSend && !*job->ops[i].done) {
      if (!Sleep(comm)) return 0;
    }
  }
  return 1;
}
static void FreeJob(Job* job) {
  for (int i = 0; i < job->count; ++i) free(job->ops[i].done);
  free(job->ops);
  free(job);
}
static void* Work(void* argument) {
  Comm* comm = argument;
  pthread_mutex_lock(&lock);
  for (;;) {
    while (comm->first == NULL && !comm->finalized) {
      if (!Sleep(comm)) break;
    }
    Job* job = comm->first;
    if (comm->aborted || job == NULL) break;
    const int whole = RunJob(comm, job);
    if (!whole) break;
    comm->first = job->next;
    if (comm->first == NULL) comm->last = NULL;
    --*job->stream;
    FreeJob(job);
    pthread_cond_broadcast(&changed);
  }
  TakeBackPosts(comm);
  for (Job* job = comm->first; job != NULL;) { /* aborted kernels end */
    Job* next = job->next;
    --*job->stream;
    FreeJob(job);
    job = next;
  }
  comm->first = NULL;
  pthread_mutex_unlock(&lock);
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
  Comm* comm = calloc(1, sizeof(*comm));
  pthread_mutex_lock(&lock);
  World* world = worlds;
  while (world != NULL && strcmp(world->id, id.bytes) != 0) world = world->next;
  if (world == NULL) {
    world = calloc(1, sizeof(*world));
    memcpy(world->id, id.bytes, sizeof(world->id));
    world->ranks = ranks;
    world->next = worlds;
    worlds = world;
  }
  comm->world = world;
  comm->rank = rank;
  ++world->joined;
  ++comms_alive;
  calls[rank][0] = 0;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  pthread_create(&comm->worker, NULL, Work, comm);
  *result = comm;
  return kInProgress;
}
int ncclCommGetAsyncError(Comm* comm, int* state) {
  pthread_mutex_lock(&lock);
  *state = comm->world->joined < comm->world->ranks ? kInProgress : kSuccess;
  if (comm->finalized && comm->world->left < comm->world->ranks) *state = kInProgress;
  if (comm->used && IsRank("DBSP_FAKE_NCCL_ASYNC", comm)) *state = kRemoteError;
  if (comm->busy_until != 0 && NowNs() < comm->busy_until) *state = kInProgress;
  pthread_mutex_unlock(&lock);
  return kSuccess;
}
int ncclCommFinalize(Comm* comm) {
  pthread_mutex_lock(&lock);
  comm->finalized = 1;
  ++comm->world->left;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  return kInProgress;
}
static int Free(Comm* comm, int abort) {
  pthread_mutex_lock(&lock);
  comm->aborted = abort;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  pthread_join(comm->worker, NULL);
  pthread_mutex_lock(&lock);
  --comms_alive; /* the world is not freed, because other ranks may use it */
  comm->gone = 1;
  const int unused = comm->tickets == 0;
  pthread_mutex_unlock(&lock);
  if (unused) free(comm);
  return kSuccess;
}
int ncclCommDestroy(Comm* comm) { return comm->finalized ? Free(comm, 0) : kInvalidUsage; }
int ncclCommAbort(Comm* comm) { return Free(comm, 1); }

/* requires the lock */
static void AddJob(Comm* comm, Job* job) {
  ++*job->stream;
  if (comm->last != NULL) {
    comm->last->next = job;
  } else {
    comm->first = job;
  }
  comm->last = job;
  pthread_cond_broadcast(&changed);
}
typedef struct Ticket { /* a job in the queue of a test's stream */
  Comm* comm;
  Job* job;
  int pending;
} Ticket;
static void StartTicket(void* work) {
  Ticket* ticket = work;
  pthread_mutex_lock(&lock);
  if (ticket->comm->aborted || ticket->comm->gone) {
    FreeJob(ticket->job);
  } else {
    AddJob(ticket->comm, ticket->job);
  }
  pthread_mutex_unlock(&lock);
}
static int TicketDone(void* work) {
  Ticket* ticket = work;
  pthread_mutex_lock(&lock);
  const int done = ticket->pending == 0;
  if (done && --ticket->comm->tickets == 0 && ticket->comm->gone) free(ticket->comm);
  pthread_mutex_unlock(&lock);
  if (done) free(ticket);
  return done;
}
static int Enqueue(Comm* comm, Op* ops, int count, int* stream) {
  Job* job = calloc(1, sizeof(*job));
  job->ops = ops;
  job->count = count;
  job->stream = stream;
  pthread_mutex_lock(&lock);
  comm->used = 1;
  if (stream_enqueue == NULL) {
    AddJob(comm, job);
    pthread_mutex_unlock(&lock);
    return kInProgress; /* until kSuccess from ncclCommGetAsyncError */
  }
  Ticket* ticket = calloc(1, sizeof(*ticket));
  ticket->comm = comm;
  ticket->job = job;
  job->stream = &ticket->pending;
  ++comm->tickets;
  pthread_mutex_unlock(&lock);
  stream_enqueue(stream, StartTicket, TicketDone, ticket);
  return kInProgress;
}
static Op MakeOp(Kind kind, const char* from, char* to, size_t bytes, int peer) {
  Op op = {kind, from, to, bytes, peer, calloc(1, sizeof(int))};
  return op;
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
  if (group_comm == NULL) {
    free(group_ops);
    return kSuccess;
  }
  pthread_mutex_lock(&lock);
  Log(group_comm->rank, "[ ");
  for (int i = 0; i < group_count; ++i) {
    char text[64];
    snprintf(text, sizeof(text), "%c%d:%zu ", group_ops[i].kind == kSend ? 's' : 'r',
             group_ops[i].peer, group_ops[i].bytes);
    Log(group_comm->rank, text);
  }
  Log(group_comm->rank, "] ");
  pthread_mutex_unlock(&lock);
  if (IsRank("DBSP_FAKE_NCCL_ERROR", group_comm)) {
    for (int i = 0; i < group_count; ++i) free(group_ops[i].done);
    free(group_ops);
    return kSystemError;
  }
  const int busy_ns = FromEnvironment("DBSP_FAKE_NCCL_BUSY_NS", 0);
  if (busy_ns > 0) {
    for (int i = 0; i < group_count; ++i) free(group_ops[i].done);
    free(group_ops);
    pthread_mutex_lock(&lock);
    group_comm->busy_until = NowNs() + busy_ns;
    pthread_mutex_unlock(&lock);
    return kInProgress;
  }
  return Enqueue(group_comm, group_ops, group_count, group_stream);
}
static int AddToGroup(Comm* comm, int* stream, Op op) {
  /* A call outside a group would be its own group, which dbsp never uses. */
  if (group_depth == 0 || group_count == 2 * kMostRanks) return kInvalidUsage;
  group_comm = comm;
  group_stream = stream;
  group_ops[group_count++] = op;
  return kSuccess;
}
int ncclSend(const char* from, size_t count, int type, int peer, Comm* comm, int* stream) {
  if (type != kInt8 || peer < 0 || peer >= comm->world->ranks) return kInvalidArgument;
  return AddToGroup(comm, stream, MakeOp(kSend, from, NULL, count, peer));
}
int ncclRecv(char* to, size_t count, int type, int peer, Comm* comm, int* stream) {
  if (type != kInt8 || peer < 0 || peer >= comm->world->ranks) return kInvalidArgument;
  return AddToGroup(comm, stream, MakeOp(kRecv, NULL, to, count, peer));
}
int ncclAllGather(const char* from, char* to, size_t count, int type, Comm* comm, int* stream) {
  if (type == kFloat32) count *= sizeof(float);
  if (type != kFloat32 && type != kInt8) return kInvalidArgument;
  const int ranks = comm->world->ranks;
  Op* ops = calloc(2 * (size_t)ranks, sizeof(Op));
  for (int peer = 0; peer < ranks; ++peer) {
    ops[2 * peer] = MakeOp(kSend, from, NULL, count, peer);
    ops[2 * peer + 1] = MakeOp(kRecv, NULL, to + (size_t)peer * count, count, peer);
  }
  pthread_mutex_lock(&lock);
  Log(comm->rank, "allgather ");
  pthread_mutex_unlock(&lock);
  return Enqueue(comm, ops, 2 * ranks, stream);
}
int ncclReduceScatter(const char* from, char* to, size_t count, int type, int op, Comm* comm,
                      int* stream) {
  if (type != kFloat32 || op != kSum) return kInvalidArgument;
  count *= sizeof(float);
  const int ranks = comm->world->ranks;
  Op* ops = calloc(2 * (size_t)ranks, sizeof(Op));
  for (int peer = 0; peer < ranks; ++peer) {
    ops[2 * peer] = MakeOp(kSend, from + (size_t)peer * count, NULL, count, peer);
    ops[2 * peer + 1] = MakeOp(peer == 0 ? kFirst : kReduce, NULL, to, count, peer);
  }
  pthread_mutex_lock(&lock);
  Log(comm->rank, "reducescatter ");
  pthread_mutex_unlock(&lock);
  return Enqueue(comm, ops, 2 * ranks, stream);
}

/* For the tests. */
void FakeNcclSetStreams(StreamEnqueue enqueue) { stream_enqueue = enqueue; }
int FakeNcclIdle(const int* stream) {
  pthread_mutex_lock(&lock);
  const int idle = *stream == 0;
  pthread_mutex_unlock(&lock);
  return idle;
}
const char* FakeNcclCalls(int rank) { return calls[rank]; }
int FakeNcclCommsAlive(void) { return comms_alive; }

// SPDX-License-Identifier: Apache-2.0
#include "core/phased_jobs.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

namespace dbsp {
namespace {

/// What the tasks of all jobs did.
struct Record {
  std::atomic<int> tasks{0};
  std::atomic<int> ended{0};
  std::atomic<int> alive{0};
  std::atomic<int> most_alive{0};
};

/// Three phases of `tasks`, 0 and 2 tasks. Checks that phases follow each other.
class CountingJob : public PhasedJob {
 public:
  CountingJob(Record& record, int tasks) : record_(record), tasks_{tasks, 0, 2} {
    const int alive = ++record.alive;
    for (int most = record.most_alive; most < alive;) {
      if (record.most_alive.compare_exchange_weak(most, alive)) break;
    }
  }
  ~CountingJob() override { --record_.alive; }
  std::optional<int> Begin(int phase) override {
    EXPECT_EQ(left_, 0);
    if (phase == 3) {
      ++record_.ended;
      return std::nullopt;
    }
    phase_ = phase;
    left_ = tasks_[static_cast<std::size_t>(phase)];
    seen_ = std::vector<std::atomic<int>>(static_cast<std::size_t>(left_));
    return left_;
  }
  void Run(int phase, int task) override {
    EXPECT_EQ(phase, phase_);
    EXPECT_EQ(++seen_[static_cast<std::size_t>(task)], 1);
    ++record_.tasks;
    --left_;
  }

 private:
  Record& record_;
  std::vector<int> tasks_;
  int phase_ = -1;
  std::atomic<int> left_{0};
  std::vector<std::atomic<int>> seen_;
};

TEST(RunJobsTest, EveryTaskOfEveryPhaseRunsOnceOnAnyNumberOfThreads) {
  for (const int threads : {0, 1, 2, 5}) {
    for (const int count : {0, 1, 3, 50}) {
      Record record;
      RunJobs(count, threads, [&](int i) -> std::unique_ptr<PhasedJob> {
        if (i % 5 == 4) return nullptr;
        return std::make_unique<CountingJob>(record, i);
      });
      int jobs = 0;
      int tasks = 0;
      for (int i = 0; i < count; ++i) {
        jobs += i % 5 == 4 ? 0 : 1;
        tasks += i % 5 == 4 ? 0 : i + 2;
      }
      EXPECT_EQ(record.ended, jobs);
      EXPECT_EQ(record.tasks, tasks);
      EXPECT_EQ(record.alive, 0);
      if (threads > 0) {
        EXPECT_LE(record.most_alive, threads);
      }
    }
  }
}

/// Tasks that end only when both run at the same time.
class MeetingJob : public PhasedJob {
 public:
  std::optional<int> Begin(int phase) override {
    return phase == 0 ? std::optional(2) : std::nullopt;
  }
  void Run(int /*phase*/, int /*task*/) override {
    std::unique_lock lock(mutex_);
    ++present_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return present_ == 2; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int present_ = 0;
};

TEST(RunJobsTest, ThreadsWithoutAJobOfTheirOwnTakeTasksOfAnother) {
  RunJobs(1, 2, [](int) { return std::make_unique<MeetingJob>(); });
}

class FailingJob : public PhasedJob {
 public:
  FailingJob(std::atomic<int>& runs, int fails_in) : runs_(runs), fails_in_(fails_in) {}
  std::optional<int> Begin(int phase) override {
    if (fails_in_ == 1) throw std::runtime_error("begin");
    return phase < 2 ? std::optional(3) : std::nullopt;
  }
  void Run(int /*phase*/, int /*task*/) override {
    ++runs_;
    if (fails_in_ == 2) throw std::runtime_error("run");
  }

 private:
  std::atomic<int>& runs_;
  int fails_in_;
};

TEST(RunJobsTest, TheFirstExceptionEndsAllThreads) {
  for (const int threads : {1, 4}) {
    for (const int fails_in : {0, 1, 2}) {
      std::atomic<int> runs{0};
      EXPECT_THROW(RunJobs(1000,
                           threads,
                           [&](int) -> std::unique_ptr<PhasedJob> {
                             if (fails_in == 0) throw std::runtime_error("make");
                             return std::make_unique<FailingJob>(runs, fails_in);
                           }),
                   std::runtime_error);
      EXPECT_LE(runs, threads);
    }
  }
}

}  // namespace
}  // namespace dbsp

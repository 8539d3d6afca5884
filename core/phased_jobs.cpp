// SPDX-License-Identifier: Apache-2.0
#include "core/phased_jobs.h"

#include <condition_variable>
#include <exception>
#include <list>
#include <mutex>

#include "core/parallel_for.h"

namespace dbsp {
namespace {

class JobRunner {
 public:
  JobRunner(int count, const std::function<std::unique_ptr<PhasedJob>(int)>& make)
      : count_(count), make_(make) {}

  /// What every thread does.
  void Work() {
    std::unique_lock lock(mutex_);
    const Active* own = nullptr;
    while (!error_) {
      Active* const job = JobFor(own);
      if (job != nullptr) {
        RunTask(*job, lock);
      } else if (made_ < count_) {
        own = Make(made_++, lock);
      } else if (active_.empty() && making_ == 0) {
        break;
      } else {
        changed_.wait(lock);
      }
    }
    changed_.notify_all();
  }

  [[nodiscard]] std::exception_ptr error() const { return error_; }

 private:
  struct Active {
    std::unique_ptr<PhasedJob> job;
    int phase = -1;
    int tasks = 0;
    int next = 0;
    int running = 0;
  };
  using Lock = std::unique_lock<std::mutex>;

  /// Releases the lock while `body` runs. Returns false if `body` throws.
  template <typename Body>
  bool Unlocked(Lock& lock, const Body& body) {
    std::exception_ptr error;
    lock.unlock();
    try {
      body();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error && !error_) error_ = error;
    return !error;
  }

  /// Makes a job and begins its first phase. Returns null if there is nothing to do.
  const Active* Make(int index, Lock& lock) {
    ++making_;
    std::unique_ptr<PhasedJob> job;
    Unlocked(lock, [&] { job = make_(index); });
    --making_;
    changed_.notify_all();
    if (error_ || job == nullptr) return nullptr;
    active_.push_back({std::move(job)});
    Active& made = active_.back();
    Advance(made, lock);
    return &made;
  }

  void RunTask(Active& active, Lock& lock) {
    const int task = active.next++;
    ++active.running;
    const bool good = Unlocked(lock, [&] { active.job->Run(active.phase, task); });
    --active.running;
    if (good && !error_ && active.next == active.tasks && active.running == 0) {
      Advance(active, lock);
    }
  }

  /// Begins the next phase that has tasks, or removes the job.
  void Advance(Active& active, Lock& lock) {
    while (true) {
      std::optional<int> tasks;
      ++active.running;  // nobody else advances meanwhile
      ++active.phase;
      const bool good = Unlocked(lock, [&] { tasks = active.job->Begin(active.phase); });
      --active.running;
      if (!good || error_) break;
      if (!tasks) {
        active_.remove_if([&](const Active& other) { return &other == &active; });
        break;
      }
      active.tasks = *tasks;
      active.next = 0;
      if (*tasks > 0) break;
    }
    changed_.notify_all();
  }

  /// The job whose task a thread takes next: its own or, if no job is left to make, any.
  Active* JobFor(const Active* own) {
    for (Active& active : active_) {
      if (active.next < active.tasks && (&active == own || made_ >= count_)) return &active;
    }
    return nullptr;
  }

  int count_;
  const std::function<std::unique_ptr<PhasedJob>(int)>& make_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Active> active_;
  int made_ = 0;
  int making_ = 0;
  std::exception_ptr error_;
};

}  // namespace

void RunJobs(int count, int threads, const std::function<std::unique_ptr<PhasedJob>(int)>& make) {
  JobRunner runner(count, make);
  const int workers = ThreadCount(threads);
  ParallelFor(workers, workers, [&](int) { runner.Work(); });
  if (runner.error()) std::rethrow_exception(runner.error());
}

}  // namespace dbsp

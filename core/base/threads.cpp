#include "core/base/threads.h"

#include "core/base/cgroup.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace bulssi {

void (*between_ranges)() = [] {};
void (*check_interrupt)() = [] {};

namespace {

// A worker, or a caller at the end of a job, looks this many times before it sleeps: some microseconds, about what
// waking up costs.
constexpr int kSpins = 300;

inline void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// ---- how many threads -----------------------------------------------------------------------------------------------

int affinity_count() {
#if defined(__linux__)
  for (int cpus = 1024; cpus <= (1 << 20); cpus *= 4) {  // the kernel refuses a mask smaller than its own
    cpu_set_t* set = CPU_ALLOC(static_cast<size_t>(cpus));
    const size_t size = CPU_ALLOC_SIZE(static_cast<size_t>(cpus));
    const bool ok = sched_getaffinity(0, size, set) == 0;
    const int n = ok ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (ok) return std::max(n, 1);
  }
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

bool read_numbers(const std::string& path, double* a, double* b) {
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (!file) return false;
  const bool ok = std::fscanf(file, "%lf", a) == 1 && (!b || std::fscanf(file, "%lf", b) == 1);  // "max" does not parse
  std::fclose(file);
  return ok;
}

// CPUs' worth of time that the control groups of this process allow, the tightest of them; infinity without a limit.
double cgroup_quota() {
  double quota = INFINITY;
  for_each_control_group("cpu", [&](const std::string& folder, bool unified) {
    double limit, period;
    const bool known = unified ? read_numbers(folder + "/cpu.max", &limit, &period)
                               : read_numbers(folder + "/cpu.cfs_quota_us", &limit, nullptr) && limit > 0 &&
                                     read_numbers(folder + "/cpu.cfs_period_us", &period, nullptr);
    if (known && period > 0) quota = std::min(quota, limit / period);
  });
  return quota;
}

int positive_env(const char* name) {
  const char* text = std::getenv(name);
  if (!text) return 0;
  char* end;
  const long v = std::strtol(text, &end, 10);  // OMP_NUM_THREADS may be a list; its first number is the outer level
  return end != text && (*end == 0 || *end == ',') && v >= 1 && v <= 1024 ? static_cast<int>(v) : 0;
}

struct Setting {
  int count;
  std::string reason;
};

Setting default_setting() {
  for (const char* name : {"BULSSI_NUM_THREADS", "OMP_NUM_THREADS"}) {
    if (const int n = positive_env(name)) return {n, std::to_string(n) + ": the environment variable " + name};
  }
  const int cpus = affinity_count();
  const double quota = cgroup_quota();
  if (std::ceil(quota) < cpus) {
    const int n = std::max(1, static_cast<int>(std::ceil(quota)));
    char text[96];
    std::snprintf(text, sizeof text, "%d: the control group's quota of %.2f CPUs (%d CPUs are visible)", n, quota,
                  cpus);
    return {n, text};
  }
  return {cpus, std::to_string(cpus) + ": CPUs this process may run on"};
}

// ---- the pool -------------------------------------------------------------------------------------------------------

constinit thread_local bool inside = false;

struct Pool {
  // One job at a time. `gate` is its generation (upper 32 bits), whether it can be joined (bit 31) and how many workers
  // are in it (lower bits). The fields of the job change only while nobody is in it and it cannot be joined.
  static constexpr uint64_t kOpen = uint64_t{1} << 31, kCount = kOpen - 1;

  std::mutex busy;                 // held by the caller whose job it is
  std::atomic<uint32_t> epoch{0};  // what idle workers sleep on
  std::atomic<uint32_t> left{0};   // what a caller sleeps on
  std::atomic<uint64_t> gate{0};
  std::atomic<int> sleeping{0};
  std::atomic<bool> caller_waits{false};
  int workers = 0;

  // The ranges are dealt out in equal runs, the same run to the same thread in every job, so that what a thread wrote
  // is in its own cache when the next operation reads it. Whoever is done helps the others, from the far end of theirs.
  // Both ends are numbers of ranges: the first one left in the lower half, one past the last in the upper.
  struct alignas(64) Share {
    std::atomic<uint64_t> left{0};
  };
  static constexpr int kShares = 64;
  Share shares[kShares];
  alignas(64) int64_t n = 0, size = 0;
  int dealt = 0;  // shares in use
  threads_detail::Body body = nullptr;
  void* context = nullptr;
  std::atomic<int> wanted{0};  // workers that may join
  std::atomic<bool> failed{false};
  std::exception_ptr error;

  void deal(int threads) {
    const uint64_t ranges = static_cast<uint64_t>((n + size - 1) / size);
    dealt = std::min(threads, kShares);
    for (int i = 0; i < dealt; i++) {
      const uint64_t first = ranges * i / dealt, end = ranges * (i + 1) / dealt;
      shares[i].left.store(end << 32 | first, std::memory_order_relaxed);
    }
  }

  // The next range of a share, or -1.
  static int64_t take(Share& share, bool own) {
    uint64_t left = share.left.load(std::memory_order_relaxed);
    for (;;) {
      const uint64_t first = left & 0xffffffffu, end = left >> 32;
      if (first >= end) return -1;
      const uint64_t rest = own ? end << 32 | (first + 1) : (end - 1) << 32 | first;
      if (share.left.compare_exchange_weak(left, rest, std::memory_order_relaxed))
        return static_cast<int64_t>(own ? first : end - 1);
    }
  }

  void take_ranges(int thread) noexcept {
    inside = true;
    for (int i = 0; i < dealt; i++) {
      Share& share = shares[(thread + i) % dealt];
      for (int64_t range; (range = take(share, i == 0)) >= 0;) {
        if (failed.load(std::memory_order_relaxed)) break;
        try {
          body(context, range * size, std::min(n, (range + 1) * size));
          if (thread == 0) between_ranges();
        } catch (...) {
          if (!failed.exchange(true)) error = std::current_exception();
        }
      }
    }
    inside = false;
  }

  // A worker joins a job once: when its ranges have run out, others may still be at work on theirs.
  bool join(uint64_t& last) {
    uint64_t g = gate.load();
    while ((g & kOpen) && (g >> 32) != last && static_cast<int>(g & kCount) < wanted.load(std::memory_order_relaxed)) {
      if (gate.compare_exchange_weak(g, g + 1)) {
        last = g >> 32;
        return true;
      }
    }
    return false;
  }

  void leave() {
    const uint64_t g = gate.fetch_sub(1) - 1;
    if (!(g & kOpen) && (g & kCount) == 0 && caller_waits.load()) {
      left.fetch_add(1);
      left.notify_one();
    }
  }

  void worker(int number) {
    uint64_t last = 0;
    for (;;) {
      const uint32_t seen = epoch.load();
      if (join(last)) {
        take_ranges(number);
        leave();
      }
      for (int i = 0; i < kSpins && epoch.load(std::memory_order_relaxed) == seen; i++) pause();
      if (epoch.load() != seen) continue;
      sleeping.fetch_add(1);
      epoch.wait(seen);
      sleeping.fetch_sub(1);
    }
  }

  // Workers take no signals: Python's handlers belong to the main thread.
  void grow(int count) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      for (; workers < count; workers++) std::thread([this, number = workers + 1] { worker(number); }).detach();
    } catch (const std::exception&) {
      // The system refuses more threads, or memory for them: those there are do the work.
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
};

std::mutex setting_mutex;
Setting setting;
std::atomic<int> count{0};         // 0: not looked up yet
std::atomic<Pool*> pool{nullptr};  // never destroyed: workers may sleep in it when the process ends

void look_up() {
  std::lock_guard lock(setting_mutex);
  if (count.load()) return;
  setting = default_setting();
  count.store(setting.count);
}

// From the start: a thread may make the pool while another one forks. The workers exist only in the parent, so the
// child starts afresh at its first job.
[[maybe_unused]] const int at_fork = pthread_atfork([] { setting_mutex.lock(); }, [] { setting_mutex.unlock(); },
                                                    [] {
                                                      setting_mutex.unlock();
                                                      pool.store(nullptr);
                                                      inside = false;
                                                    });

Pool& the_pool() {
  if (Pool* p = pool.load()) return *p;
  std::lock_guard lock(setting_mutex);
  if (Pool* p = pool.load()) return *p;
  Pool* p = new Pool;
  pool.store(p);
  return *p;
}

}  // namespace

int thread_count() {
  if (const int n = count.load(std::memory_order_relaxed)) return n;
  look_up();
  return count.load();
}

void set_thread_count(int n) {
  if (n < 1) throw std::invalid_argument("set_num_threads expects a positive integer");
  std::lock_guard lock(setting_mutex);
  setting = {n, std::to_string(n) + ": set by the program"};
  count.store(n);
}

const char* thread_reason() {
  thread_count();
  std::lock_guard lock(setting_mutex);
  return setting.reason.c_str();
}

bool in_parallel() noexcept { return inside; }

namespace threads_detail {
namespace {

void run_inline(int64_t n, int64_t size, Body body, void* context) {
  for (int64_t begin = 0; begin < n; begin += size) {
    body(context, begin, std::min(n, begin + size));
    between_ranges();
  }
}

}  // namespace

void run(int64_t n, int64_t size, Body body, void* context) {
  const int threads = thread_count();
  if (threads == 1 || inside) return run_inline(n, size, body, context);
  Pool& p = the_pool();
  std::unique_lock busy(p.busy, std::try_to_lock);
  if (!busy) return run_inline(n, size, body, context);

  const int wanted = static_cast<int>(std::min<int64_t>(threads - 1, (n - 1) / size));
  if (p.workers < wanted) p.grow(wanted);
  p.n = n;
  p.size = size;
  p.body = body;
  p.context = context;
  p.deal(wanted + 1);
  p.failed.store(false, std::memory_order_relaxed);
  p.wanted.store(wanted, std::memory_order_relaxed);
  p.caller_waits.store(false, std::memory_order_relaxed);
  const uint64_t generation = ((p.gate.load() >> 32) + 1) << 32;
  p.gate.store(generation | Pool::kOpen);
  p.epoch.fetch_add(1);
  // Workers that still spin see the new epoch by themselves.
  const int awake = p.workers - p.sleeping.load();
  for (int i = awake; i < wanted; i++) p.epoch.notify_one();

  p.take_ranges(0);

  uint64_t g = p.gate.fetch_and(~Pool::kOpen) & ~Pool::kOpen;
  for (int i = 0; i < kSpins * 4 && (g & Pool::kCount); i++) pause(), g = p.gate.load();
  if (g & Pool::kCount) {
    uint32_t seen = p.left.load();
    p.caller_waits.store(true);
    while (p.gate.load() & Pool::kCount) {
      p.left.wait(seen);
      seen = p.left.load();
    }
  }
  if (p.failed.load()) {
    std::exception_ptr error = std::move(p.error);
    p.error = nullptr;
    busy.unlock();
    std::rethrow_exception(error);
  }
}

}  // namespace threads_detail
}  // namespace bulssi

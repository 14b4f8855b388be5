#include "core/base/alloc.h"

#include "core/base/cgroup.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>
#include <utility>
#include <vector>

#if defined(__linux__)
#include <sys/sysinfo.h>
#endif

namespace bulssi {
namespace alloc_detail {

constinit thread_local ThreadCache* thread_cache BULSSI_TLS_FAST = nullptr;

namespace {

constexpr size_t kHuge = size_t{2} << 20;    // a huge page
constexpr size_t kSpan = size_t{128} << 10;  // small blocks of one class are carved from spans of this size
constexpr int64_t kHighStep = 64 << 10;      // granularity of the peak, per thread
constexpr int64_t kCacheFloor = 64 << 20;    // this much may always be cached
constexpr int kWindow = 512;  // large operations after which an old peak is forgotten by the cache's bound

size_t round_up(size_t n, size_t step) { return (n + step - 1) / step * step; }

// Blocks that a thread moves from or to the central lists at a time.
uint32_t batch_of(int c) { return static_cast<uint32_t>(std::clamp<size_t>(kSpan / 2 / class_bytes(c), 2, 256)); }

// ---- how much memory there is ---------------------------------------------------------------------------------------

bool read_number(const char* path, int64_t* value) {
  std::FILE* file = std::fopen(path, "re");
  if (!file) return false;
  long long v = 0;
  const bool ok = std::fscanf(file, "%lld", &v) == 1;  // "max" (no limit) does not parse
  std::fclose(file);
  *value = v;
  return ok;
}

int64_t memory_limit() {
  int64_t limit = INT64_MAX;
#if defined(__linux__)
  struct sysinfo info;
  if (sysinfo(&info) == 0) limit = static_cast<int64_t>((info.totalram + info.totalswap) * uint64_t{info.mem_unit});
  for_each_control_group("memory", [&](const std::string& folder, bool unified) {
    int64_t v;
    const char* name = unified ? "/memory.max" : "/memory.limit_in_bytes";
    if (read_number((folder + name).c_str(), &v) && v > 0) limit = std::min(limit, v);
  });
#else
  const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  if (pages > 0 && page > 0) limit = static_cast<int64_t>(pages) * page;
#endif
  return limit;
}

// ---- pages ----------------------------------------------------------------------------------------------------------

void* map_pages(size_t size, size_t align) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t span = align > page ? size + align : size;
  void* raw = mmap(nullptr, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  char* start = static_cast<char*>(raw);
  char* p = reinterpret_cast<char*>(round_up(reinterpret_cast<uintptr_t>(start), align));
  if (align > page) {
    if (p > start) munmap(start, static_cast<size_t>(p - start));
    char *end = p + size, *limit = start + span;
    if (limit > end) munmap(end, static_cast<size_t>(limit - end));
  }
#if defined(MADV_HUGEPAGE)
  if (align >= kHuge) madvise(p, size, MADV_HUGEPAGE);
#endif
  return p;
}

// Mapped size of a large block: at most 6 % (and the 64 KiB) above the request.
size_t large_size(size_t bytes) { return round_up(bytes, bytes >= 16 * kHuge ? kHuge : size_t{64} << 10); }

// ---- the central part -----------------------------------------------------------------------------------------------

struct Cached {
  void* p;
  uint64_t stamp;  // when it was freed
};

struct Central {
  std::mutex mutex;
  Block* free[kClasses] = {};
  std::vector<char*> free_spans;   // touched, of no class
  std::vector<char*> blank_spans;  // not touched since they were mapped or given back
  // Cached large blocks by mapped size, the newest first among equals. A block in use keeps its entry, so that freeing
  // it needs no memory.
  std::multimap<size_t, Cached> large;
  std::unordered_map<void*, std::multimap<size_t, Cached>::node_type> large_in_use;
  ThreadCache* threads = nullptr;
  int64_t bytes = 0, blocks = 0;  // in use: medium and large blocks, and the balance of threads that ended
  int64_t cached = 0;             // medium and large blocks
  int64_t small_spans = 0;        // bytes in spans that belong to a class, or did
  int64_t next_collect = 64 << 20;
  int64_t peak = 0, window_peak = 0, last_window_peak = 0;
  int window = 0;
  uint64_t stamp = 0;
  int64_t limit = 0;
  int64_t allocations = 0, reused = 0, refused = 0;
  pthread_key_t key;

  int64_t small_bytes() const {
    int64_t sum = 0;
    for (const ThreadCache* t = threads; t; t = t->next) sum += t->bytes.load(std::memory_order_relaxed);
    return sum;
  }
  int64_t note_peak() {
    const int64_t now = bytes + small_bytes();
    peak = std::max(peak, now);
    window_peak = std::max(window_peak, now);
    return now;
  }
};

void thread_ended(void*);
Central& central();

Central* make_central() {
  Central* c = new Central;  // never destroyed: memory is freed until the very end of the process
  c->limit = memory_limit();
  pthread_key_create(&c->key, thread_ended);
  pthread_atfork([] { central().mutex.lock(); }, [] { central().mutex.unlock(); }, [] { central().mutex.unlock(); });
  return c;
}
Central& central() {
  static Central* c = make_central();
  return *c;
}

MemoryStats stats_locked(Central& c) {
  MemoryStats s;
  s.in_use = c.note_peak();
  s.peak = c.peak;
  int64_t small_in_use = c.small_bytes();
  s.cached = c.cached + std::max<int64_t>(0, c.small_spans - small_in_use);
  s.limit = c.limit;
  s.blocks = c.blocks;
  for (const ThreadCache* t = c.threads; t; t = t->next) s.blocks += t->blocks.load(std::memory_order_relaxed);
  s.allocations = c.allocations;
  s.reused = c.reused;
  s.refused = c.refused;
  return s;
}

// ---- small blocks ---------------------------------------------------------------------------------------------------

void flush_bin(Central& c, ThreadCache& cache, int cls, uint32_t n) {
  ThreadCache::Bin& bin = cache.bins[cls];
  for (; n > 0 && bin.head; n--, bin.count--) {
    Block* block = bin.head;
    bin.head = block->next;
    block->next = c.free[cls];
    c.free[cls] = block;
  }
}

void thread_ended(void* p) {
  Central& c = central();
  ThreadCache* cache = static_cast<ThreadCache*>(p);
  std::lock_guard lock(c.mutex);
  for (int cls = 0; cls < kSmallClasses; cls++) flush_bin(c, *cache, cls, cache->bins[cls].count);
  // Its balance stays: blocks that it handed out may still be in use. small_spans is lowered by the same amount below.
  c.small_spans -= cache->bytes;
  c.bytes += cache->bytes;
  c.blocks += cache->blocks;
  for (ThreadCache** t = &c.threads; *t; t = &(*t)->next) {
    if (*t == cache) {
      *t = cache->next;
      break;
    }
  }
  delete cache;
  thread_cache = nullptr;
}

// Null when there is no memory for it.
[[maybe_unused]] ThreadCache* start_thread(Central& c) {
  ThreadCache* cache = new (std::nothrow) ThreadCache;
  if (!cache) return nullptr;
  for (int cls = 0; cls < kSmallClasses; cls++) cache->bins[cls] = {nullptr, 0, 2 * batch_of(cls)};
  cache->high = kHighStep;
  pthread_setspecific(c.key, cache);
  std::lock_guard lock(c.mutex);
  cache->next = c.threads;
  c.threads = cache;
  return thread_cache = cache;
}

// Takes central blocks whose whole span is free out of their class. Slow: it looks at every free block. Where there is
// no memory for its own lists, std::bad_alloc leaves everything as it is.
void collect(Central& c) {
  std::unordered_map<uintptr_t, uint32_t> count;
  const auto span_of = [](const void* p) { return reinterpret_cast<uintptr_t>(p) & ~(kSpan - 1); };
  for (int cls = 0; cls < kSmallClasses; cls++) {
    count.clear();
    const uint32_t full = static_cast<uint32_t>(kSpan / class_bytes(cls));
    for (Block* b = c.free[cls]; b; b = b->next) count[span_of(b)]++;
    size_t spans = 0;
    for (const auto& [span, blocks] : count) spans += blocks == full;
    if (spans == 0) continue;
    c.free_spans.reserve(c.free_spans.size() + spans);
    for (const auto& [span, blocks] : count) {
      if (blocks == full) c.free_spans.push_back(reinterpret_cast<char*>(span));
    }
    for (Block** link = &c.free[cls]; *link;) {
      if (count.find(span_of(*link))->second == full)
        *link = (*link)->next;
      else
        link = &(*link)->next;
    }
  }
}

// A span for a class; null when there is no memory.
char* take_span(Central& c) {
  const int64_t idle = c.small_spans - c.small_bytes();
  if (c.free_spans.empty() && idle > c.next_collect && idle > c.small_spans / 2) {
    collect(c);
    c.next_collect =
        std::max<int64_t>(64 << 20, 2 * (c.small_spans - static_cast<int64_t>(c.free_spans.size() * kSpan)));
  }
  if (!c.free_spans.empty()) {
    char* span = c.free_spans.back();
    c.free_spans.pop_back();
    return span;
  }
  if (c.blank_spans.empty()) {
    if (c.note_peak() >= c.limit) return nullptr;
    // Regions grow with the program: a small one stays at 1 MiB, a large one gets huge pages.
    const int64_t region = std::clamp<int64_t>(c.small_spans / 8, int64_t{1} << 20, int64_t{32} << 20);
    const size_t size =
        region >= 4 * static_cast<int64_t>(kHuge) ? round_up(static_cast<size_t>(region), kHuge) : size_t{1} << 20;
    c.blank_spans.reserve(size / kSpan);
    char* p = static_cast<char*>(map_pages(size, size >= kHuge ? kHuge : kSpan));
    if (!p) return nullptr;
    for (size_t i = size; i > 0; i -= kSpan) c.blank_spans.push_back(p + i - kSpan);
  }
  char* span = c.blank_spans.back();
  c.blank_spans.pop_back();
  c.small_spans += kSpan;
  return span;
}

bool refill(Central& c, ThreadCache& cache, int cls) {
  ThreadCache::Bin& bin = cache.bins[cls];
  const size_t size = class_bytes(cls);
  if (!c.free[cls]) {
    char* span = take_span(c);
    if (!span) return false;
    for (size_t i = kSpan / size; i-- > 0;) {  // ascending addresses from the head
      Block* block = reinterpret_cast<Block*>(span + i * size);
      block->next = c.free[cls];
      c.free[cls] = block;
    }
  }
  // Appended in order, so that neighbours are handed out one after the other.
  Block** tail = &bin.head;
  while (*tail) tail = &(*tail)->next;
  for (uint32_t n = batch_of(cls); n > 0 && c.free[cls]; n--, bin.count++) {
    *tail = c.free[cls];
    c.free[cls] = c.free[cls]->next;
    tail = &(*tail)->next;
  }
  *tail = nullptr;
  return true;
}

// ---- medium and large blocks ----------------------------------------------------------------------------------------

void evict(Central& c, std::multimap<size_t, Cached>::iterator it) {
  munmap(it->second.p, it->first);
  c.cached -= static_cast<int64_t>(it->first);
  c.large.erase(it);
}

// Keeps in-use + cached + `more` within the bound, oldest block first.
void trim(Central& c, int64_t more) {
  if (++c.window >= kWindow) {
    c.window = 0;
    c.last_window_peak = c.window_peak;
    c.window_peak = 0;
  }
  const int64_t now = c.note_peak() + more;
  const int64_t base = std::max({c.window_peak, c.last_window_peak, now});
  const int64_t bound = base + base / 4 + kCacheFloor;
  while (now + c.cached > bound && !c.large.empty()) {
    auto oldest = c.large.begin();
    for (auto it = c.large.begin(); it != c.large.end(); ++it)
      if (it->second.stamp < oldest->second.stamp) oldest = it;
    evict(c, oldest);
  }
  if (now + c.cached > bound) {
    for (int cls = kSmallClasses; cls < kClasses; cls++) {
      while (c.free[cls] && now + c.cached > bound) {
        Block* block = c.free[cls];
        c.free[cls] = block->next;
        c.cached -= static_cast<int64_t>(class_bytes(cls));
        std::free(block);
      }
    }
  }
}

void* medium(Central& c, int cls) {
  const int64_t size = static_cast<int64_t>(class_bytes(cls));
  void* p = c.free[cls];
  if (p) {
    c.free[cls] = c.free[cls]->next;
    c.cached -= size;
    c.reused++;
  } else {
    if (c.note_peak() + size > c.limit) return nullptr;
    p = std::aligned_alloc(kAlignment, static_cast<size_t>(size));
    if (!p) return nullptr;
  }
  c.bytes += size;
  c.blocks++;
  c.allocations++;
  c.note_peak();
  return p;
}

void* large(Central& c, size_t bytes) {
  const size_t size = large_size(bytes);
  auto it = c.large.lower_bound(size);
  if (it != c.large.end() && it->first < 2 * bytes) {
    c.reused++;
  } else {
    if (c.note_peak() > c.limit - static_cast<int64_t>(size)) return nullptr;
    trim(c, static_cast<int64_t>(size));
    while (!c.large.empty() && c.note_peak() + c.cached > c.limit - static_cast<int64_t>(size))
      evict(c, c.large.begin());
    void* fresh = map_pages(size, size >= kHuge ? kHuge : static_cast<size_t>(sysconf(_SC_PAGESIZE)));
    if (!fresh) return nullptr;
    try {
      it = c.large.emplace(size, Cached{fresh, 0});
    } catch (const std::bad_alloc&) {
      munmap(fresh, size);
      throw;
    }
    c.cached += static_cast<int64_t>(size);
  }
  // It is a cached block until nothing can fail any more.
  void* p = it->second.p;
  const int64_t mapped = static_cast<int64_t>(it->first);
  c.large_in_use.try_emplace(p).first->second = c.large.extract(it);
  c.cached -= mapped;
  c.bytes += mapped;
  c.blocks++;
  c.allocations++;
  c.note_peak();
  return p;
}

void empty_locked(Central& c) {
  while (!c.large.empty()) evict(c, c.large.begin());
  for (int cls = kSmallClasses; cls < kClasses; cls++) {
    while (Block* block = c.free[cls]) {
      c.free[cls] = block->next;
      c.cached -= static_cast<int64_t>(class_bytes(cls));
      std::free(block);
    }
  }
  if (thread_cache) {
    for (int cls = 0; cls < kSmallClasses; cls++) flush_bin(c, *thread_cache, cls, thread_cache->bins[cls].count);
  }
  collect(c);
  c.blank_spans.reserve(c.blank_spans.size() + c.free_spans.size());
  for (char* span : c.free_spans) {
#if defined(__linux__)
    madvise(span, kSpan, MADV_DONTNEED);
#endif
    c.blank_spans.push_back(span);
    c.small_spans -= kSpan;
  }
  c.free_spans.clear();
}

// One attempt; null when there is no memory.
[[maybe_unused]] void* try_allocate(Central& c, ThreadCache& cache, size_t bytes) {
  if (bytes > kMediumMax) return large(c, bytes);
  const int cls = size_class(bytes);
  if (bytes > kSmallMax) return medium(c, cls);
  ThreadCache::Bin& bin = cache.bins[cls];
  if (!bin.head && !refill(c, cache, cls)) return nullptr;
  Block* block = bin.head;
  bin.head = block->next;
  bin.count--;
  cache.count(static_cast<int64_t>(class_bytes(cls)), 1);
  c.note_peak();
  cache.high = cache.bytes.load(std::memory_order_relaxed) + kHighStep;
  return block;
}

}  // namespace

#if BULSSI_ALLOC_PLAIN

void* allocate_slow(size_t bytes) {
  Central& c = central();
  std::unique_lock lock(c.mutex);
  const size_t size = bytes > kMediumMax ? bytes : class_bytes(size_class(bytes));
  void* p = nullptr;
  if (size <= static_cast<size_t>(c.limit) && c.bytes <= c.limit - static_cast<int64_t>(size)) {
    if (posix_memalign(&p, kAlignment, std::max<size_t>(bytes, 1))) p = nullptr;
  }
  if (!p) {
    c.refused++;
    throw OutOfMemory(bytes, stats_locked(c));
  }
  c.bytes += static_cast<int64_t>(size);
  c.blocks++;
  c.allocations += size > kSmallMax;
  c.note_peak();
  return p;
}

void deallocate_slow(void* p, size_t bytes) noexcept {
  if (!p) return;
  Central& c = central();
  std::lock_guard lock(c.mutex);
  c.bytes -= static_cast<int64_t>(bytes > kMediumMax ? bytes : class_bytes(size_class(bytes)));
  c.blocks--;
  std::free(p);
}

#else

void* allocate_slow(size_t bytes) {
  Central& c = central();
  ThreadCache* cache = thread_cache ? thread_cache : start_thread(c);
  std::unique_lock lock(c.mutex);
  const size_t address_space = size_t{1} << 56;
  for (int attempt = 0; attempt < 2 && cache && bytes < address_space; attempt++) {
    try {
      if (attempt == 1) empty_locked(c);
      if (void* p = try_allocate(c, *cache, bytes)) return p;
    } catch (const std::bad_alloc&) {
      // The lists of blocks need memory themselves.
    }
  }
  c.refused++;
  const MemoryStats stats = stats_locked(c);
  lock.unlock();
  throw OutOfMemory(bytes, stats);
}

void deallocate_slow(void* p, size_t bytes) noexcept {
  if (!p) return;
  Central& c = central();
  if (bytes <= kSmallMax) {
    const int cls = size_class(bytes);
    ThreadCache* cache = thread_cache ? thread_cache : start_thread(c);
    std::lock_guard lock(c.mutex);
    if (!cache) {  // as if a thread had taken it back and ended
      Block* block = static_cast<Block*>(p);
      block->next = c.free[cls];
      c.free[cls] = block;
      c.bytes -= static_cast<int64_t>(class_bytes(cls));
      c.small_spans += static_cast<int64_t>(class_bytes(cls));
      c.blocks--;
      return;
    }
    if (cache->bins[cls].count >= cache->bins[cls].limit) flush_bin(c, *cache, cls, batch_of(cls));
    Block* block = static_cast<Block*>(p);
    block->next = cache->bins[cls].head;
    cache->bins[cls].head = block;
    cache->bins[cls].count++;
    cache->count(-static_cast<int64_t>(class_bytes(cls)), -1);
    return;
  }
  std::lock_guard lock(c.mutex);
  int64_t size;
  if (bytes <= kMediumMax) {
    const int cls = size_class(bytes);
    size = static_cast<int64_t>(class_bytes(cls));
    Block* block = static_cast<Block*>(p);
    block->next = c.free[cls];
    c.free[cls] = block;
  } else {
    const auto it = c.large_in_use.find(p);
    auto entry = std::move(it->second);
    c.large_in_use.erase(it);
    size = static_cast<int64_t>(entry.key());
    entry.mapped().stamp = ++c.stamp;
    c.large.insert(c.large.lower_bound(entry.key()), std::move(entry));
  }
  c.bytes -= size;
  c.blocks--;
  c.cached += size;
  trim(c, 0);
}

#endif

}  // namespace alloc_detail

using namespace alloc_detail;

MemoryStats memory_stats() {
  Central& c = central();
  std::lock_guard lock(c.mutex);
  return stats_locked(c);
}

void reset_peak_memory_stats() {
  Central& c = central();
  std::lock_guard lock(c.mutex);
  c.peak = 0;
  c.note_peak();
  if (thread_cache) thread_cache->high = thread_cache->bytes.load(std::memory_order_relaxed);
}

void empty_cache() {
  Central& c = central();
  std::lock_guard lock(c.mutex);
  empty_locked(c);
}

namespace {
std::string readable(int64_t bytes) {
  if (bytes == INT64_MAX) return "unlimited";
  const char* units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  double v = static_cast<double>(bytes);
  int unit = 0;
  while (v >= 1024 && unit < 4) v /= 1024, unit++;
  char text[48];
  std::snprintf(text, sizeof text, unit ? "%.2f %s" : "%.0f %s", v, units[unit]);
  return text;
}
}  // namespace

OutOfMemory::OutOfMemory(size_t requested, const MemoryStats& stats) : requested_(requested), stats_(stats) {
  message_ = "[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory: you tried to allocate " +
             std::to_string(requested) + " bytes. Error code 12 (Cannot allocate memory)\n" +
             "In use: " + readable(stats.in_use) + " in " + std::to_string(stats.blocks) +
             " blocks; kept for reuse: " + readable(stats.cached) + "; this process may use " + readable(stats.limit) +
             ". Free tensors that are no longer needed (del), use smaller batches or shapes, or a narrower dtype.";
}

}  // namespace bulssi

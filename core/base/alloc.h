// Memory for storages, tensors, nodes and everything else whose size the caller knows when freeing it.
//
//   up to 32 KiB   size classes (multiples of 64 bytes up to 1 KiB, then four per doubling), cached per thread; inline
//   below, a few ns up to 1 MiB    the same classes, cached centrally above          whole pages, 2 MiB aligned where
//   that lets the kernel use huge pages; best fit among the cached blocks
//
// Freed memory is kept: touching fresh pages costs more than most elementwise operations do. What is kept is bounded by
// the recent peak in use (a quarter above it), and memory_stats() and empty_cache() show it and give it back.
//
// Any thread may allocate, and any other thread may free. Each thread has its own cache of small blocks behind one
// thread-local pointer, so the common path takes no lock and no atomic read-modify-write.
#pragma once
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>

// Under AddressSanitizer every block comes straight from malloc, so that misuse of memory is seen.
#if defined(__SANITIZE_ADDRESS__)
#define BULSSI_ALLOC_PLAIN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BULSSI_ALLOC_PLAIN 1
#endif
#endif
#ifndef BULSSI_ALLOC_PLAIN
#define BULSSI_ALLOC_PLAIN 0
#endif

// The thread-local pointer below is read in one instruction only under this model; musl's loader does not take it.
#if defined(__GLIBC__)
#define BULSSI_TLS_FAST __attribute__((tls_model("initial-exec")))
#else
#define BULSSI_TLS_FAST
#endif

namespace bulssi {

inline constexpr size_t kAlignment = 64;  // of every block, in bytes

struct MemoryStats {
  int64_t in_use = 0;       // bytes handed out, rounded up to their size classes
  int64_t peak = 0;         // largest in_use so far (within 64 KiB per thread)
  int64_t cached = 0;       // bytes freed by the program and kept for reuse
  int64_t limit = 0;        // bytes that in_use can reach: physical memory and swap, or the control group's limit
  int64_t blocks = 0;       // blocks handed out
  int64_t allocations = 0;  // blocks above 32 KiB handed out since the start
  int64_t reused = 0;       // of those, served from the cache
  int64_t refused = 0;      // requests that ended in OutOfMemory
};

class OutOfMemory : public std::exception {
 public:
  OutOfMemory(size_t requested, const MemoryStats& stats);
  const char* what() const noexcept override { return message_.c_str(); }
  size_t requested() const noexcept { return requested_; }
  const MemoryStats& stats() const noexcept { return stats_; }

 private:
  size_t requested_;
  MemoryStats stats_;
  std::string message_;
};

MemoryStats memory_stats();
// Sets the peak to what is in use now.
void reset_peak_memory_stats();
// Gives cached memory back to the system: all large blocks, and the small ones whose whole span is free.
void empty_cache();

namespace alloc_detail {

inline constexpr size_t kSmallMax = size_t{32} << 10;
inline constexpr size_t kMediumMax = size_t{1} << 20;
inline constexpr int kSmallClasses = 36;
inline constexpr int kClasses = 56;

// Size classes 0..15 are 64, 128, …, 1024 bytes; after them each doubling has four.
constexpr int size_class(size_t bytes) {
  if (bytes <= 1024) return static_cast<int>((bytes - (bytes != 0)) >> 6);
  const int width = std::bit_width(bytes - 1);  // bytes is in (2^(width-1), 2^width]
  return 16 + (width - 11) * 4 + static_cast<int>(((bytes - 1) >> (width - 3)) & 3);
}
constexpr size_t class_bytes(int c) {
  if (c < 16) return static_cast<size_t>(c + 1) * 64;
  const int width = 11 + (c - 16) / 4, quarter = (c - 16) % 4;
  return static_cast<size_t>(5 + quarter) << (width - 3);
}
static_assert(size_class(0) == 0 && size_class(64) == 0 && size_class(65) == 1 && size_class(1025) == 16);
static_assert(size_class(kSmallMax) == kSmallClasses - 1 && size_class(kMediumMax) == kClasses - 1);
static_assert(class_bytes(kSmallClasses - 1) == kSmallMax && class_bytes(kClasses - 1) == kMediumMax);
static_assert(class_bytes(16) == 1280 && class_bytes(size_class(1281)) == 1536);

struct Block {
  Block* next;
};

// Written by its own thread only; the counters are read by others, hence atomic (plain moves at machine level).
struct ThreadCache {
  struct Bin {
    Block* head;
    uint32_t count, limit;
  };
  Bin bins[kSmallClasses];
  std::atomic<int64_t> bytes{0}, blocks{0};  // handed out minus taken back by this thread: may be negative
  int64_t high = 0;                          // above this many bytes the peak has to be looked at
  ThreadCache* next = nullptr;

  void count(int64_t delta_bytes, int64_t delta_blocks) {
    bytes.store(bytes.load(std::memory_order_relaxed) + delta_bytes, std::memory_order_relaxed);
    blocks.store(blocks.load(std::memory_order_relaxed) + delta_blocks, std::memory_order_relaxed);
  }
};

extern constinit thread_local ThreadCache* thread_cache BULSSI_TLS_FAST;

void* allocate_slow(size_t bytes);
void deallocate_slow(void* p, size_t bytes) noexcept;

}  // namespace alloc_detail

// At least `bytes` bytes, 64-byte aligned, never null (0 bytes included); the contents are undefined. Throws
// OutOfMemory.
inline void* allocate(size_t bytes) {
  using namespace alloc_detail;
  if (!BULSSI_ALLOC_PLAIN && bytes <= kSmallMax) [[likely]] {
    if (ThreadCache* cache = thread_cache) [[likely]] {
      const int c = size_class(bytes);
      ThreadCache::Bin& bin = cache->bins[c];
      const int64_t size = static_cast<int64_t>(class_bytes(c));
      if (bin.head && cache->bytes.load(std::memory_order_relaxed) + size <= cache->high) [[likely]] {
        Block* block = bin.head;
        bin.head = block->next;
        bin.count--;
        cache->count(size, 1);
        return block;
      }
    }
  }
  return allocate_slow(bytes);
}

// Takes back a block from allocate(bytes): the same number of bytes. Null is ignored.
inline void deallocate(void* p, size_t bytes) noexcept {
  using namespace alloc_detail;
  if (!BULSSI_ALLOC_PLAIN && bytes <= kSmallMax && p) [[likely]] {
    if (ThreadCache* cache = thread_cache) [[likely]] {
      const int c = size_class(bytes);
      ThreadCache::Bin& bin = cache->bins[c];
      if (bin.count < bin.limit) [[likely]] {
        Block* block = static_cast<Block*>(p);
        block->next = bin.head;
        bin.head = block;
        bin.count++;
        cache->count(-static_cast<int64_t>(class_bytes(c)), -1);
        return;
      }
    }
  }
  deallocate_slow(p, bytes);
}

}  // namespace bulssi

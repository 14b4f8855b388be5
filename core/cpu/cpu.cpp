// Runs Programs: blocks, threads, and the choice of ISA.
#include "core/cpu/cpu.h"

#include <bulssi_isas.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <string>

#include "core/base/threads.h"
#include "core/cpu/gather.h"
#include "core/op/formulas.h"
#include "core/tensor/storage.h"

namespace bulssi {

InterpreterLock interpreter_lock;

namespace {

thread_local constinit Unlocked* unlocked_here = nullptr;  // the scope in which this thread gave the lock away
constexpr int64_t kBetweenLooks = 100'000'000;             // ns

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

void Unlocked::begin() {
  if (unlocked_here) return;
  check_interrupt();
  // Once: other threads may read it at any later time, without the lock.
  [[maybe_unused]] static const bool looks = (between_ranges = look_for_signals, true);
  number_ = kernel_begins();
  looked_ = now();
  unlocked_here = this;
  state_ = interpreter_lock.release();
}
void Unlocked::end() {
  interpreter_lock.acquire(state_);
  unlocked_here = nullptr;
  kernel_ended(number_);
}

Locked::Locked() : before_(std::exchange(unlocked_here, &none_)) {}
Locked::~Locked() { unlocked_here = before_; }

void Unlocked::look_for_signals() {
  Unlocked* scope = unlocked_here;
  if (!scope || !scope->state_ || now() - scope->looked_ < kBetweenLooks) return;
  interpreter_lock.acquire(scope->state_);
  unlocked_here = nullptr;  // handlers may run kernels of their own
  struct GiveAway {
    Unlocked* scope;
    ~GiveAway() {
      scope->looked_ = now();
      unlocked_here = scope;
      scope->state_ = interpreter_lock.release();
    }
  } give_away{scope};
  check_interrupt();
}

namespace cpu {

// ---- ISA ------------------------------------------------------------------------------------------------------------

// BULSSI_FOR_ISAS(X) and BULSSI_FOR_PARTS(X, isa) come from the build: one X per ISA, and per part of the formulas.
#define BULSSI_DECLARE_PART(isa, part) extern "C" const FormulaKernels* bulssi_pointwise_##isa##_##part();
#define BULSSI_DECLARE(isa)                         \
  extern "C" const void* bulssi_convert_##isa();    \
  extern "C" const void* bulssi_optimizers_##isa(); \
  BULSSI_FOR_PARTS(BULSSI_DECLARE_PART, isa)
BULSSI_FOR_ISAS(BULSSI_DECLARE)

namespace {

const char* chosen = "";
FormulaKernels kernels[formula_count];
const ConvertTable* convert_table = nullptr;
const OptimizerTable* optimizer_table = nullptr;

void take_part(const FormulaKernels* part) {
  for (int i = 0; i < formula_count; ++i) {
    const FormulaKernels& k = part[i];
    if (k.value[0] || k.value[1] || k.value[2] || k.value[3]) kernels[i] = k;
  }
}

struct Isa {
  const char* name;
  void (*take)();
};
#define BULSSI_TAKE_PART(isa, part) take_part(bulssi_pointwise_##isa##_##part());
#define BULSSI_ENTRY(isa)                                                             \
  {#isa, [] {                                                                         \
     BULSSI_FOR_PARTS(BULSSI_TAKE_PART, isa)                                          \
     convert_table = static_cast<const ConvertTable*>(bulssi_convert_##isa());        \
     optimizer_table = static_cast<const OptimizerTable*>(bulssi_optimizers_##isa()); \
   }},
constexpr Isa isas[] = {BULSSI_FOR_ISAS(BULSSI_ENTRY)};
#define BULSSI_ISA_NAME(isa) #isa,
constexpr const char* names[] = {BULSSI_FOR_ISAS(BULSSI_ISA_NAME) nullptr};

}  // namespace

const char* isa() { return chosen; }
const char* const* isas_built() { return names; }
bool isa_runs(const char* name) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (!std::strcmp(name, "v4")) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512cd") && isa_runs("v3");
  }
  if (!std::strcmp(name, "v3")) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("bmi");
  }
  return __builtin_cpu_supports("sse4.2");
#else
  return true;
#endif
}
void choose_isa(const char* wanted) {
  for (const Isa& i : isas) {
    if (wanted && *wanted ? std::strcmp(wanted, i.name) != 0 : !isa_runs(i.name)) continue;
    check(isa_runs(i.name), "BULSSI_ISA=", i.name, ": this processor cannot run it");
    i.take();
    chosen = i.name;
    return;
  }
  if (wanted && *wanted) fail("BULSSI_ISA=", wanted, ": this build has no such instruction set");
  fail("this processor is older than every instruction set of this build (x86-64-v2 is needed)");
}
const FormulaKernels& formula_kernels(int index) { return kernels[index]; }
const ConvertTable& converters() { return *convert_table; }
const OptimizerTable& optimizer_kernels() { return *optimizer_table; }

// ---- walking --------------------------------------------------------------------------------------------------------

Walk::Walk(Ints wanted, std::span<const int64_t* const> all, int lead) {
  const int dims = static_cast<int>(wanted.size()), n = static_cast<int>(all.size());
  Small<int, 6> order;
  for (int i = 0; i < dims; ++i) {
    if (wanted[i] != 1) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return std::abs(all[lead][a]) > std::abs(all[lead][b]); });
  for (int k = 0; k < n; ++k) strides.push_back(Dims());
  for (int d : order) {
    bool merges = !shape.empty();
    for (int k = 0; merges && k < n; ++k) merges = strides[k].back() == all[k][d] * wanted[d];
    if (merges) {
      shape.back() *= wanted[d];
      for (int k = 0; k < n; ++k) strides[k].back() = all[k][d];
    } else {
      shape.push_back(wanted[d]);
      for (int k = 0; k < n; ++k) strides[k].push_back(all[k][d]);
    }
  }
  if (shape.empty()) {
    shape.push_back(1);
    for (int k = 0; k < n; ++k) strides[k].push_back(1);
  }
}

namespace {

constexpr int64_t block_size = 512;
constexpr int64_t grain = 64 * block_size;
// Elements per range: few ranges are of equal size and as many as a power of two, so that two or four threads get the
// same share, and the same one of every tensor of a size.
constexpr int64_t share(int64_t n) {
  int64_t ranges = (n + grain - 1) / grain;
  if (ranges < 2 || ranges > 16) return grain;
  while (ranges & (ranges - 1)) ++ranges;
  return (n / ranges / block_size + 1) * block_size;
}

// Element offset of linear index i, and what is needed to go on from there.
struct Cursor {
  int64_t index[64];
  int64_t offset = 0;
  void seek(const Dims& shape, const Dims& strides, int64_t i) {
    offset = 0;
    for (int d = shape.dims(); d-- > 0;) {
      index[d] = i % shape[d];
      i /= shape[d];
      offset += index[d] * strides[d];
    }
  }
};

// n times the first element of a block of fewer than n elements' room; doubling leaves the work to memcpy.
void repeat_first(char* to, int64_t n, int64_t size) {
  for (int64_t done = 1; done < n; done *= 2) {
    std::memcpy(to + done * size, to, static_cast<size_t>(std::min(done, n - done) * size));
  }
}

template <class T, bool gathering>
void move_strided(int64_t n, char* memory, int64_t stride, char* blockp) {
  T* m = reinterpret_cast<T*>(memory);
  T* b = reinterpret_cast<T*>(blockp);
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (gathering)
      b[i] = m[i * stride];
    else
      m[i * stride] = b[i];
  }
}

// Moves n elements from linear index i between strided memory and a contiguous block of the same dtype.
template <bool gathering>
void move_block(const Slot& slot, const Dims& shape, const Dims& strides, int64_t i, int64_t n, char* block) {
  const int size = itemsize(slot.dtype), last = shape.dims() - 1;
  Cursor at;
  at.seek(shape, strides, i);
  while (n > 0) {
    const int64_t m = std::min(n, shape[last] - at.index[last]);
    char* memory = slot.data + at.offset * size;
    if (strides[last] == 1) {
      if (gathering)
        std::memcpy(block, memory, m * size);
      else
        std::memcpy(memory, block, m * size);
    } else {
      dispatch_size(size, [&]<class T>() { move_strided<T, gathering>(m, memory, strides[last], block); });
    }
    block += m * size;
    n -= m;
    at.index[last] += m;
    at.offset += m * strides[last];
    for (int d = last; d > 0 && at.index[d] == shape[d]; --d) {
      at.offset += strides[d - 1] - shape[d] * strides[d];
      at.index[d] = 0;
      ++at.index[d - 1];
    }
  }
}

constexpr int max_slots = 24;

// A step with its kernel.
struct Loop {
  Kernel kernel;
  const Step* step;
};

struct Execution {
  std::span<const Loop> loops;
  std::span<const Slot> slots;
  const Walk* walk = nullptr;  // null: everything is contiguous
  int operand[max_slots];      // of the walk; -1: constant or no memory
  bool direct[max_slots];      // no conversion
  int64_t total = 0;

  // Constant inputs are converted once per range.
  void range(int64_t begin, int64_t end) const {
    alignas(64) char room[max_slots][block_size * 8];
    char* pointers[max_slots];
    const ConvertTable& convert = converters();
    bool whole = walk == nullptr;  // no block buffers: one call for the range
    for (size_t s = 0; s < slots.size(); ++s) {
      const Slot& slot = slots[s];
      if (slot.kind == Slot::Kind::attribute) {
        pointers[s] = slot.data;
      } else if (slot.kind == Slot::Kind::temporary) {
        pointers[s] = room[s];
        whole = false;
      } else if (operand[s] < 0) {
        fill_constant(slot, room[s], std::min(block_size, end - begin), convert);
        pointers[s] = room[s];
        whole = whole && end - begin <= block_size;
      } else {
        whole = whole && direct[s];
      }
    }
    if (walk && by_rows()) return rows(begin, end, room, pointers, convert);
    for (int64_t i = begin; i < end;) {
      const int64_t n = whole ? end - i : std::min(block_size, end - i);
      block(i, n, room, pointers, convert);
      i += n;
    }
  }

  static void fill_constant(const Slot& slot, char* to, int64_t n, const ConvertTable& convert) {
    convert.load[int(slot.dtype)][int(slot.compute)](1, slot.data, to);
    repeat_first(to, n, itemsize(dtype_of_compute(slot.compute)));
  }

  // Whether rows of the innermost dimension are worth a kernel call each: long ones always, shorter ones where every
  // operand's row is used in place or is one element.
  bool by_rows() const {
    const int last = walk->shape.dims() - 1;
    const int64_t row = walk->shape[last];
    if (row >= 128 || row < 32) return row >= 128;
    for (size_t s = 0; s < slots.size(); ++s) {
      if (operand[s] >= 0 && (!direct[s] || static_cast<uint64_t>(walk->strides[operand[s]][last]) > 1)) return false;
    }
    return true;
  }

  // The elements [begin, end) row by row: the places of rows are found by counting on, and a row of equal elements is
  // made once.
  void rows(int64_t begin, int64_t end, char (*room)[block_size * 8], char** pointers,
            const ConvertTable& convert) const {
    const Dims& shape = walk->shape;
    const int last = shape.dims() - 1;
    const int64_t row = shape[last];
    int64_t offset[max_slots], made[max_slots], index[64];
    bool whole_rows = true;  // no block buffers
    for (int64_t d = last, i = begin / row; d-- > 0; i /= shape[d]) index[d] = i % shape[d];
    for (size_t s = 0; s < slots.size(); ++s) {
      offset[s] = 0, made[s] = INT64_MIN;
      whole_rows = whole_rows && slots[s].kind != Slot::Kind::temporary;
      if (operand[s] < 0) {
        whole_rows = whole_rows && slots[s].kind == Slot::Kind::attribute;
        continue;
      }
      const Dims& strides = walk->strides[operand[s]];
      for (int d = 0; d < last; ++d) offset[s] += index[d] * strides[d];
      whole_rows = whole_rows && direct[s] && strides[last] == 1;
    }
    for (int64_t i = begin, first = begin % row; i < end; first = 0) {
      const int64_t stop = std::min(row, first + end - i);
      for (int64_t j = first, n; j < stop; j += n) {
        n = whole_rows ? stop - j : std::min(block_size, stop - j);
        const auto place = [&](size_t s) {
          return slots[s].data + (offset[s] + j * walk->strides[operand[s]][last]) * itemsize(slots[s].dtype);
        };
        for (size_t s = 0; s < slots.size(); ++s) {
          if (operand[s] < 0) continue;
          const Slot& slot = slots[s];
          const int64_t stride = walk->strides[operand[s]][last];
          const bool in_place = direct[s] && stride == 1;
          pointers[s] = in_place ? place(s) : room[s];
          if (in_place || slot.kind == Slot::Kind::output || (stride == 0 && made[s] == offset[s])) continue;
          if (stride == 0) {
            fill_constant({slot.kind, slot.compute, slot.dtype, place(s), nullptr}, room[s], std::min(block_size, row),
                          convert);
            made[s] = offset[s];
          } else {
            take(slot, s, n, place(s), stride, room[s], convert);
          }
        }
        call(n, pointers);
        for (size_t s = 0; s < slots.size(); ++s) {
          if (slots[s].kind == Slot::Kind::output && pointers[s] == room[s])
            give(slots[s], s, n, room[s], place(s), walk->strides[operand[s]][last], convert);
        }
      }
      i += stop - first;
      for (int d = last; d-- > 0;) {
        const bool carry = ++index[d] == shape[d];
        for (size_t s = 0; s < slots.size(); ++s) {
          if (operand[s] >= 0) offset[s] += walk->strides[operand[s]][d] * (carry ? 1 - shape[d] : 1);
        }
        if (!carry) break;
        index[d] = 0;
      }
    }
  }
  // n elements of one row into a block, and back.
  void take(const Slot& slot, size_t s, int64_t n, const char* from, int64_t stride, char* to,
            const ConvertTable& convert) const {
    alignas(64) char raw[block_size * 8];
    const auto load = convert.load[int(slot.dtype)][int(slot.compute)];
    if (stride == 1) return load(n, from, to);
    dispatch_size(itemsize(slot.dtype),
                  [&]<class T>() { move_strided<T, true>(n, const_cast<char*>(from), stride, direct[s] ? to : raw); });
    if (!direct[s]) load(n, raw, to);
  }
  void give(const Slot& slot, size_t s, int64_t n, const char* from, char* to, int64_t stride,
            const ConvertTable& convert) const {
    alignas(64) char raw[block_size * 8];
    const auto store = convert.store[int(slot.compute)][int(slot.dtype)];
    if (stride == 1) return store(n, from, to);
    if (!direct[s]) store(n, from, raw);
    dispatch_size(itemsize(slot.dtype),
                  [&]<class T>() { move_strided<T, false>(n, to, stride, direct[s] ? const_cast<char*>(from) : raw); });
  }
  void call(int64_t n, char* const* pointers) const {
    for (const Loop& loop : loops) {
      const void* in[10];
      const Step& step = *loop.step;
      for (int k = 0; k < step.inputs; ++k) in[k] = pointers[step.in[k]];
      loop.kernel(n, in, pointers[step.out]);
    }
  }

  // Where the n elements from linear index i lie side by side in memory, or null.
  char* contiguous_at(size_t s, int64_t i, int64_t n) const {
    const Slot& slot = slots[s];
    const int size = itemsize(slot.dtype);
    if (!walk) return slot.data + i * size;
    const Dims &shape = walk->shape, &strides = walk->strides[operand[s]];
    const int last = shape.dims() - 1;
    if (strides[last] != 1 || i % shape[last] + n > shape[last]) return nullptr;
    Cursor at;
    at.seek(shape, strides, i);
    return slot.data + at.offset * size;
  }

  void block(int64_t i, int64_t n, char (*room)[block_size * 8], char** pointers, const ConvertTable& convert) const {
    alignas(64) char raw[block_size * 8];
    char* place[max_slots];
    for (size_t s = 0; s < slots.size(); ++s) {
      const Slot& slot = slots[s];
      place[s] = nullptr;
      if (operand[s] < 0) continue;
      place[s] = contiguous_at(s, i, n);
      if (place[s] && direct[s]) {
        pointers[s] = place[s];
        continue;
      }
      pointers[s] = room[s];
      if (slot.kind == Slot::Kind::output) continue;
      if (place[s]) {
        convert.load[int(slot.dtype)][int(slot.compute)](n, place[s], room[s]);
      } else if (direct[s]) {
        move_block<true>(slot, walk->shape, walk->strides[operand[s]], i, n, room[s]);
      } else {
        move_block<true>(slot, walk->shape, walk->strides[operand[s]], i, n, raw);
        convert.load[int(slot.dtype)][int(slot.compute)](n, raw, room[s]);
      }
    }
    call(n, pointers);
    for (size_t s = 0; s < slots.size(); ++s) {
      const Slot& slot = slots[s];
      if (slot.kind != Slot::Kind::output || pointers[s] != room[s]) continue;
      if (place[s]) {
        convert.store[int(slot.compute)][int(slot.dtype)](n, room[s], place[s]);
      } else if (direct[s]) {
        move_block<false>(slot, walk->shape, walk->strides[operand[s]], i, n, room[s]);
      } else {
        convert.store[int(slot.compute)][int(slot.dtype)](n, room[s], raw);
        move_block<false>(slot, walk->shape, walk->strides[operand[s]], i, n, raw);
      }
    }
  }
};

bool all_zero(const int64_t* strides, Ints shape) {
  for (size_t d = 0; d < shape.size(); ++d) {
    if (strides[d] != 0 && shape[d] != 1) return false;
  }
  return true;
}

void run_loops(std::span<const Loop> loops, std::span<const Slot> slots, Ints shape) {
  const int64_t n = numel_of(shape);
  if (n == 0) return;
  Execution e{loops, slots};
  e.total = n;
  bool strided = false;
  int lead = -1;
  for (size_t s = 0; s < slots.size(); ++s) {
    const Slot& slot = slots[s];
    e.operand[s] = -1;
    e.direct[s] = is_direct(slot.dtype, slot.compute);
    if (slot.kind == Slot::Kind::output || slot.kind == Slot::Kind::input) {
      if (slot.kind == Slot::Kind::input && slot.strides && n > 1 && all_zero(slot.strides, shape)) continue;
      e.operand[s] = 0;
      strided |= slot.strides != nullptr;
      if (slot.kind == Slot::Kind::output && lead < 0) lead = static_cast<int>(s);
    }
  }
  if (!strided) {
    const Unlocked unlocked(n);
    return parallel_for(n, share(n), [&](int64_t begin, int64_t end) { e.range(begin, end); });
  }
  const Dims flat = contiguous_strides(shape);
  Small<const int64_t*, 8> strides;
  int lead_operand = 0;
  for (size_t s = 0; s < slots.size(); ++s) {
    if (e.operand[s] < 0) continue;
    e.operand[s] = static_cast<int>(strides.size());
    if (static_cast<int>(s) == lead) lead_operand = e.operand[s];
    strides.push_back(slots[s].strides ? slots[s].strides : flat.data());
  }
  const Walk walk(shape, strides, lead_operand);
  bool dense = walk.shape.size() == 1;
  for (const Dims& d : walk.strides) dense = dense && (d[0] == 1 || n == 1);
  if (!dense) e.walk = &walk;
  const Unlocked unlocked(n);
  parallel_for(n, share(n), [&](int64_t begin, int64_t end) { e.range(begin, end); });
}

Kernel kernel_of(const Step& step) {
  const FormulaKernels& k = formula_kernels(step.formula);
  return step.partial == Step::value ? k.value[int(step.compute)]
                                     : k.partial[step.partial][step.compute == Compute::f64];
}

}  // namespace

void run(const Program& program) {
  Small<Loop, 4> loops;
  for (const Step& step : program.steps) loops.push_back({kernel_of(step), &step});
  run_loops({loops.data(), loops.size()}, program.slots, program.shape);
}

// ---- memory ---------------------------------------------------------------------------------------------------------

void copy_bytes(void* to, const void* from, int64_t bytes) {
  if (to == from) return;
  constexpr int64_t piece = int64_t{1} << 17;
  if (bytes <= 2 * piece) {
    std::memmove(to, from, static_cast<size_t>(bytes));
    return;
  }
  const char *f = static_cast<const char*>(from), *t = static_cast<char*>(to);
  if (f < t + bytes && t < f + bytes) {  // overlapping: in one go
    std::memmove(to, from, static_cast<size_t>(bytes));
    return;
  }
  const Unlocked unlocked(bytes / 4);
  parallel_for(bytes, piece, [&](int64_t begin, int64_t end) {
    std::memcpy(static_cast<char*>(to) + begin, f + begin, static_cast<size_t>(end - begin));
  });
}

namespace {

// Where the elements of two operands lie, while the outer dimensions of a walk are counted through.
struct Counter {
  const Dims &shape, &a, &b;
  int dims;  // those that are counted
  int64_t at_a = 0, at_b = 0;
  int64_t index[64];

  Counter(const Dims& shape, const Dims& a, const Dims& b, int dims, int64_t start)
      : shape(shape), a(a), b(b), dims(dims) {
    for (int d = dims; d-- > 0; start /= shape[d]) {
      index[d] = start % shape[d];
      at_a += index[d] * a[d], at_b += index[d] * b[d];
    }
  }
  void next() {
    for (int d = dims; d-- > 0;) {
      const bool carry = ++index[d] == shape[d];
      const int64_t step = carry ? 1 - shape[d] : 1;
      at_a += step * a[d], at_b += step * b[d];
      if (!carry) return;
      index[d] = 0;
    }
  }
};

// The two inner dimensions transposed: tiles keep both sides in cache.
template <class T>
void copy_tiles(const Walk& walk, T* to, const T* from) {
  constexpr int64_t tile = 32;
  const Dims &shape = walk.shape, &ts = walk.strides[0], &fs = walk.strides[1];
  const int last = shape.dims() - 1;
  const int64_t rows = shape[last - 1], cols = shape[last], strips = (rows + tile - 1) / tile;
  const int64_t to_row = ts[last - 1], to_col = ts[last], from_row = fs[last - 1], from_col = fs[last];
  int64_t outer = 1;
  for (int d = 0; d < last - 1; ++d) outer *= shape[d];
  const int64_t height = std::min(rows, tile);
  parallel_for(outer * strips, std::max<int64_t>(1, 65536 / (height * cols + 1)), [&](int64_t begin, int64_t end) {
    Counter at(shape, ts, fs, last - 1, begin / strips);
    for (int64_t s = begin; s < end; ++s) {
      const int64_t r0 = s % strips * tile, r1 = std::min(r0 + tile, rows);
      if (r0 == 0 && s > begin) at.next();
      for (int64_t c0 = 0; c0 < cols; c0 += tile) {
        const int64_t c1 = std::min(c0 + tile, cols);
        for (int64_t r = r0; r < r1; ++r) {
          T* t = to + at.at_a + r * to_row;
          const T* f = from + at.at_b + r * from_row;
          for (int64_t c = c0; c < c1; ++c) t[c * to_col] = f[c * from_col];
        }
      }
    }
  });
}

// The two inner dimensions as loops, whatever their strides.
template <class T>
void copy_planes(const Walk& walk, T* to, const T* from) {
  const Dims &shape = walk.shape, &ts = walk.strides[0], &fs = walk.strides[1];
  const int last = shape.dims() - 1, outer = std::max(last - 1, 0);
  const int64_t row = shape[last], rows = last > 0 ? shape[last - 1] : 1;
  const int64_t t_row = last > 0 ? ts[last - 1] : 0, f_row = last > 0 ? fs[last - 1] : 0, tc = ts[last], fc = fs[last];
  int64_t planes = 1;
  for (int d = 0; d < outer; ++d) planes *= shape[d];
  // Ranges are of rows, so that a few large planes are shared, too.
  parallel_for(planes * rows, std::max<int64_t>(1, 32768 / row), [&](int64_t begin, int64_t end) {
    Counter at(shape, ts, fs, outer, begin / rows);
    for (int64_t i = begin, r = begin % rows; i < end; ++i, ++r) {
      if (r == rows) r = 0, at.next();
      T* t = to + at.at_a + r * t_row;
      const T* f = from + at.at_b + r * f_row;
      if (tc == 1 && fc == 1) {
        std::memcpy(t, f, static_cast<size_t>(row) * sizeof(T));
        continue;
      }
      if constexpr (sizeof(T) <= 8) {
        if (tc == 1 && fc == -1) {
          gather_kernels().reverse[std::countr_zero(sizeof(T))](row, f, t);
          continue;
        }
      }
      for (int64_t c = 0; c < row; ++c) t[c * tc] = f[c * fc];
    }
  });
}

}  // namespace

void copy(char* to, DType to_dtype, Ints to_strides, const char* from, DType from_dtype, Ints from_strides,
          Ints shape) {
  const int64_t n = numel_of(shape);
  if (n == 0) return;
  if (to_dtype != from_dtype) {
    check(!is_complex(to_dtype) && !is_complex(from_dtype), ErrorKind::not_implemented,
          "\"copy_\" not implemented for '", legacy_name(is_complex(to_dtype) ? to_dtype : from_dtype), "'");
    // Through the compute type of the source (of the target when that is the wider one).
    Compute compute = compute_of(from_dtype);
    if (compute == Compute::u8 || (compute == Compute::f32 && to_dtype == DType::f64)) compute = compute_of(to_dtype);
    if (compute == Compute::u8) compute = Compute::i64;
    static constexpr Kernel identity = [](int64_t m, const void* const* in, void* out) {
      std::memcpy(out, in[0], static_cast<size_t>(m) * 8);
    };
    static constexpr Kernel identity4 = [](int64_t m, const void* const* in, void* out) {
      std::memcpy(out, in[0], static_cast<size_t>(m) * 4);
    };
    const Slot slots[] = {{Slot::Kind::input, compute, from_dtype, const_cast<char*>(from), from_strides.data()},
                          {Slot::Kind::output, compute, to_dtype, to, to_strides.data()}};
    Step step;
    step.inputs = 1, step.out = 1;
    const Loop loop{compute == Compute::f32 ? identity4 : identity, &step};
    return run_loops({&loop, 1}, slots, shape);
  }
  const int64_t* both[] = {to_strides.data(), from_strides.data()};
  const Walk walk(shape, both, 0);
  const int size = itemsize(to_dtype), last = walk.shape.dims() - 1;
  const Dims &ts = walk.strides[0], &fs = walk.strides[1];
  const Unlocked unlocked(n);
  if (last == 0 && ts[0] == 1 && fs[0] == 1) return copy_bytes(to, from, n * size);
  const bool tiles = last >= 1 && std::abs(fs[last]) > 1 && walk.shape[last] >= 8 && walk.shape[last - 1] >= 8;
  dispatch_size(size, [&]<class T>() {
    (tiles ? copy_tiles<T> : copy_planes<T>)(walk, reinterpret_cast<T*>(to), reinterpret_cast<const T*>(from));
  });
}

void fill(char* to, DType dtype, Ints strides, Ints shape, Scalar value) {
  alignas(16) char one[16] = {};
  if (is_complex(dtype)) {
    if (dtype == DType::c64)
      *reinterpret_cast<Complex64*>(one) = {float(value.as_double()), float(value.imag)};
    else
      *reinterpret_cast<Complex128*>(one) = {value.as_double(), value.imag};
  } else {
    dispatch(dtype, "fill_", [&]<class T>() { *reinterpret_cast<T*>(one) = value.as<T>(); });
  }
  const int64_t n = numel_of(shape);
  const int size = itemsize(dtype);
  bool dense = true;
  const Dims flat = contiguous_strides(shape);
  for (size_t d = 0; d < shape.size(); ++d) dense = dense && (strides[d] == flat[d] || shape[d] == 1);
  if (!dense) {
    const Dims none(shape.size());
    return copy(to, dtype, strides, one, dtype, none, shape);
  }
  bool zero = true;
  for (int i = 0; i < size; ++i) zero = zero && one[i] == 0;
  const Unlocked unlocked(n);
  const int64_t part = std::max<int64_t>(1, share(n * size / 4) * 4 / size);  // as a float tensor of as many bytes
  parallel_for(n, part, [&](int64_t begin, int64_t end) {
    if (zero || size == 1) {
      std::memset(to + begin * size, one[0], static_cast<size_t>((end - begin) * size));
      return;
    }
    // A piece that stays in the first-level cache, then copies of it.
    char* first = to + begin * size;
    const int64_t n = end - begin, piece = std::min<int64_t>(n, 1024);
    std::memcpy(first, one, static_cast<size_t>(size));
    repeat_first(first, piece, size);
    for (int64_t done = piece; done < n; done += piece)
      std::memcpy(first + done * size, first, static_cast<size_t>(std::min(piece, n - done) * size));
  });
}

}  // namespace cpu
}  // namespace bulssi

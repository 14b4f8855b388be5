#include "random.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>

#include "core/base/threads.h"
#include "random_elements.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// Products must not be fused into sums by the compiler: where PyTorch's are, std::fma says so.
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__FP_FAST_FMA)
#pragma GCC optimize("fp-contract=off")
#endif

namespace bulssi::rng {
namespace {

static_assert(std::endian::native == std::endian::little, "the saved state and pairs of words are little endian");

struct Kernels {
  void (*twist)(uint32_t* state, uint32_t* output);
  void (*uniform_f32)(const uint32_t* words, int64_t n, float from, float span, float* out);
  void (*uniform_f64)(const uint32_t* words, int64_t n, double from, double span, double* out);
  void (*normal_f32)(const uint32_t* words, int64_t blocks, float mean, float std, float* out);
  void (*below)(const uint32_t* words, int64_t n, uint64_t threshold, uint8_t* out);
  void (*modulo)(uint32_t* words, int64_t n, uint32_t range);
};

}  // namespace
}  // namespace bulssi::rng

#define BULSSI_RNG_SPACE plain
#define BULSSI_RNG_LANES 4
#define BULSSI_RNG_AVX2 0
#include "random_kernels.h"

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define BULSSI_RNG_SPACE avx2
#define BULSSI_RNG_LANES 8
#define BULSSI_RNG_AVX2 1
#include "random_kernels.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

namespace bulssi {
namespace rng {
namespace {

const Kernels* table(int level) {
#if defined(__x86_64__)
  if (level == 1 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &avx2::kernels;
#endif
  return level == 0 ? &plain::kernels : nullptr;
}

const Kernels*& kernels() {
  static const Kernels* chosen = table(1) ? table(1) : table(0);
  return chosen;
}

}  // namespace

bool select_kernels(int level) {
  const Kernels* wanted = table(level);
  if (wanted) kernels() = wanted;
  return wanted != nullptr;
}

}  // namespace rng

// ---- Generator ----

void Generator::set_seed(uint64_t seed) {
  seed_ = seed;
  state_[0] = static_cast<uint32_t>(seed);
  for (uint32_t i = 1; i < words; ++i) state_[i] = 1812433253u * (state_[i - 1] ^ state_[i - 1] >> 30) + i;
  next_ = words;
  twisted_ = has_double_ = has_float_ = false;
  kept_double_ = kept_float_ = 0;
}

uint64_t Generator::set_random_seed() {
  uint64_t seed;
  try {
    std::random_device entropy;
    seed = uint64_t{entropy()} << 32 | entropy();
  } catch (const std::exception&) {  // no entropy device: the clock and an address still differ between processes
    seed = static_cast<uint64_t>(std::chrono::high_resolution_clock::now().time_since_epoch().count()) *
               0x9e3779b97f4a7c15u ^
           reinterpret_cast<uintptr_t>(&seed);
  }
  seed &= (uint64_t{1} << 53) - 1;  // so that the seed survives a trip through a double
  set_seed(seed);
  return seed;
}

void Generator::twist() {
  rng::kernels()->twist(state_, output_);
  next_ = 0;
  twisted_ = true;
}

void Generator::fill(uint32_t* out, int64_t n) {
  while (n > 0) {
    if (next_ == words) twist();
    int64_t count = std::min<int64_t>(n, words - next_);
    std::memcpy(out, output_ + next_, count * sizeof(uint32_t));
    next_ += static_cast<int>(count);
    out += count;
    n -= count;
  }
}

void Generator::discard(int64_t n) {
  while (n > 0) {
    if (next_ == words) twist();
    int64_t count = std::min<int64_t>(n, words - next_);
    next_ += static_cast<int>(count);
    n -= count;
  }
}

double Generator::normal_double() {
  if (has_double_) {
    has_double_ = false;
    return kept_double_;
  }
  double angle = 2 * M_PI * uniform_double();
  double radius = std::sqrt(-2.0 * std::log1p(-uniform_double()));
  kept_double_ = radius * std::sin(angle);
  has_double_ = true;
  return radius * std::cos(angle);
}

namespace {

// The saved state: PyTorch's structure, which keeps an older one's fields. Unused ones are zero.
struct SavedState {
  uint64_t seed;
  int32_t left;    // words until the next twist, plus one
  int32_t seeded;  // always 1
  uint64_t next;
  uint64_t state[Generator::words];
  double unused_x;
  double kept_double;
  double unused_rho;
  int32_t has_double;
  int32_t padding;
  float kept_float;
  uint8_t has_float;
  uint8_t more_padding[3];
};
static_assert(sizeof(SavedState) == Generator::state_bytes);

}  // namespace

void Generator::state(uint8_t* out) const {
  SavedState saved{};
  saved.seed = seed_;
  saved.seeded = 1;
  saved.left = twisted_ ? words + 1 - next_ : 1;
  saved.next = twisted_ ? static_cast<uint64_t>(next_) : 0;
  std::copy(state_, state_ + words, saved.state);
  if (has_double_) saved.kept_double = kept_double_;
  saved.has_double = has_double_;
  if (has_float_) saved.kept_float = kept_float_;
  saved.has_float = has_float_;
  std::memcpy(out, &saved, sizeof saved);
}

std::string Generator::set_state(const uint8_t* bytes, size_t size) {
  if (size != state_bytes)
    return "Expected a CPUGeneratorImplState of size " + std::to_string(state_bytes) +
           " but found the input RNG state size to be " + std::to_string(size);
  SavedState saved;
  std::memcpy(&saved, bytes, sizeof saved);
  // Freshly seeded (nothing drawn), or somewhere within a block: every word is either drawn or left.
  bool fresh = saved.left == 1 && saved.next == 0;
  bool within = saved.left >= 1 && saved.left <= words && saved.next + static_cast<uint64_t>(saved.left) == words + 1;
  bool narrow = std::all_of(saved.state, saved.state + words, [](uint64_t word) { return word >> 32 == 0; });
  if (saved.seeded != 1 || !(fresh || within) || !narrow)
    return "Invalid mt19937 state\nThe bytes are no state of a generator (seeded = " + std::to_string(saved.seeded) +
           ", left = " + std::to_string(saved.left) + ", next = " + std::to_string(saved.next) +
           (narrow ? "" : ", a word beyond 32 bits") + "); pass what get_state() or get_rng_state() returned.";
  seed_ = saved.seed;
  std::copy(saved.state, saved.state + words, state_);
  twisted_ = !fresh;
  next_ = fresh ? words : static_cast<int>(saved.next);
  if (twisted_)
    for (int i = 0; i < words; ++i) output_[i] = rng::plain::tempered<uint32_t>(state_[i]);
  has_double_ = saved.has_double != 0;
  kept_double_ = saved.kept_double;
  has_float_ = saved.has_float != 0;
  kept_float_ = saved.kept_float;
  return {};
}

// ---- Fills ----

namespace rng {
namespace {

constexpr int chunk = 512;  // elements at a time: the words of a chunk stay in the first-level cache

// Calls body(words, count, first) for chunks of n elements that need `per_element` words each.
template <int per_element, class Body>
void in_chunks(Generator& g, int64_t n, Body body) {
  alignas(64) uint32_t words[chunk * per_element];
  for (int64_t i = 0; i < n; i += chunk) {
    if ((i & (chunk * 256 - 1)) == 0 && i) check_interrupt();
    int64_t count = std::min<int64_t>(chunk, n - i);
    g.fill(words, count * per_element);
    body(words, count, i);
  }
}

// Fills with draw(), of any arithmetic type, one element after the other.
template <class T, class Draw>
void one_by_one(void* out, int64_t n, Draw draw) {
  T* to = static_cast<T*>(out);
  for (int64_t i = 0; i < n; ++i) to[i] = convert<T>(draw());
}

// Box-Muller on a block of 16 uniforms, with the C library's functions.
void normal_block(double* block, double mean, double std) {
  for (int i = 0; i < 8; ++i) {
    double radius = std::sqrt(-2 * std::log(1 - block[i]));
    double angle = 2 * M_PI * block[i + 8];
    block[i] = std::fma(radius * std::cos(angle), std, mean);
    block[i + 8] = std::fma(radius * std::sin(angle), std, mean);
  }
}

// Whole blocks in order; then, if n is no multiple of 16, the last 16 elements are drawn anew. Half precision draws no
// words for the incomplete block itself, float and double do.
template <class T>
void normal_blocks(Generator& g, T* out, int64_t n, float mean, float std) {
  int64_t whole = n / 16 * 16;
  float block[chunk];
  in_chunks<1>(g, whole, [&](const uint32_t* words, int64_t count, int64_t first) {
    if constexpr (std::is_same_v<T, float>) {
      kernels()->normal_f32(words, count / 16, mean, std, out + first);
    } else {
      kernels()->normal_f32(words, count / 16, mean, std, block);
      std::transform(block, block + count, out + first, convert<T, float>);
    }
  });
  if (whole == n) return;
  if constexpr (std::is_same_v<T, float>) g.discard(n - whole);
  uint32_t words[16];
  g.fill(words, 16);
  kernels()->normal_f32(words, 1, mean, std, block);
  std::transform(block, block + 16, out + n - 16, convert<T, float>);
}

void normal_blocks(Generator& g, double* out, int64_t n, double mean, double std) {
  in_chunks<2>(g, n / 16 * 16, [&](const uint32_t* words, int64_t count, int64_t first) {
    kernels()->uniform_f64(words, count, 0, 1, out + first);
    for (int64_t i = 0; i < count; i += 16) normal_block(out + first + i, mean, std);
  });
  if (n % 16 == 0) return;
  g.discard(2 * (n % 16));
  uint32_t words[32];
  g.fill(words, 32);
  kernels()->uniform_f64(words, 16, 0, 1, out + n - 16);
  normal_block(out + n - 16, mean, std);
}

}  // namespace

void fill_uniform(Generator& g, DType type, void* out, int64_t n, double from, double to) {
  // Rounding may reach the excluded end, which then becomes `from`; not in the unit interval.
  const bool unit = from == 0 && to == 1;
  if (type == DType::f64)
    return in_chunks<2>(g, n, [&](const uint32_t* words, int64_t count, int64_t first) {
      double* doubles = static_cast<double*>(out) + first;
      kernels()->uniform_f64(words, count, from, to - from, doubles);
      if (!unit) std::replace(doubles, doubles + count, to, from);
    });
  const float low = static_cast<float>(from), high = static_cast<float>(to), span = high - low;
  if (type == DType::f32)
    return in_chunks<1>(g, n, [&](const uint32_t* words, int64_t count, int64_t first) {
      float* floats = static_cast<float*>(out) + first;
      kernels()->uniform_f32(words, count, low, span, floats);
      if (!unit) std::replace(floats, floats + count, high, low);
    });
  dispatch_floating(type, [&]<class T>() {
    if constexpr (sizeof(T) == 2) {
      T* halves = static_cast<T*>(out);
      T end = convert<T>(to), begin = convert<T>(from);
      float block[chunk];
      in_chunks<1>(g, n, [&](const uint32_t* words, int64_t count, int64_t first) {
        kernels()->uniform_f32(words, count, low, span, block);
        for (int64_t i = 0; i < count; ++i) {
          T value = convert<T>(block[i]);
          halves[first + i] = float(value) == float(end) ? begin : value;
        }
      });
    }
  });
}

void fill_normal(Generator& g, DType type, void* out, int64_t n, double mean, double std, bool contiguous) {
  dispatch_floating(type, [&]<class T>() {
    if (n >= 16 && contiguous) {
      if constexpr (std::is_same_v<T, double>)
        normal_blocks(g, static_cast<double*>(out), n, mean, std);
      else
        normal_blocks<T>(g, static_cast<T*>(out), n, static_cast<float>(mean), static_cast<float>(std));
    } else {
      one_by_one<T>(out, n, [&] { return std::fma(g.normal_double(), std, mean); });
    }
  });
}

void fill_random(Generator& g, DType type, void* out, int64_t n) {
  dispatch(type, "random", [&]<class T>() {
    if constexpr (std::is_same_v<T, int64_t>) {
      one_by_one<T>(out, n, [&] { return static_cast<int64_t>(g.random64() & INT64_MAX); });
    } else if constexpr (std::is_same_v<T, double>) {
      one_by_one<T>(out, n, [&] { return static_cast<int64_t>(g.random64() % ((uint64_t{1} << 53) + 1)); });
    } else if constexpr (is_floating(dtype_of<T>)) {
      one_by_one<T>(out, n, [&] { return static_cast<int64_t>(g.random() % ((1u << digits<T>)+1)); });
    } else {
      constexpr uint32_t mask = std::is_same_v<T, bool> ? 1 : static_cast<uint32_t>(std::numeric_limits<T>::max());
      one_by_one<T>(out, n, [&] { return static_cast<int64_t>(g.random() & mask); });
    }
  });
}

void fill_integers(Generator& g, DType type, void* out, int64_t n, const IntegerRange& range) {
  const uint64_t base = static_cast<uint64_t>(range.base);  // sums wrap, as they must for ranges beyond 2^63
  dispatch(type, "random", [&]<class T>() {
    if (range.full) {
      one_by_one<T>(out, n, [&] { return static_cast<int64_t>(g.random64()); });
    } else if (range.range >= uint64_t{1} << 28) {
      one_by_one<T>(out, n, [&] { return static_cast<int64_t>(g.random64() % range.range + base); });
    } else {
      in_chunks<1>(g, n, [&](uint32_t* words, int64_t count, int64_t first) {
        kernels()->modulo(words, count, static_cast<uint32_t>(range.range));
        T* to = static_cast<T*>(out) + first;
        for (int64_t i = 0; i < count; ++i) to[i] = convert<T>(static_cast<int64_t>(words[i] + base));
      });
    }
  });
}

void fill_permutation(Generator& g, DType type, void* out, int64_t n) {
  dispatch(type, "random", [&]<class T>() {
    T* to = static_cast<T*>(out);
    if (n < INT64_C(214748364)) {  // 2^32 / 20
      // Fisher and Yates.
      for (int64_t i = 0; i < n; ++i) to[i] = convert<T>(i);
      for (int64_t i = 0; i < n - 1; ++i) std::swap(to[i], to[i + g.random() % static_cast<uint32_t>(n - i)]);
    } else {
      // 32 bits would be visibly skewed: 64, and the inside-out form of the shuffle, which draws once more.
      for (int64_t i = 0; i < n; ++i) {
        const int64_t other = static_cast<int64_t>(g.random64() % static_cast<uint64_t>(i + 1));
        to[i] = to[other];
        to[other] = convert<T>(i);
      }
    }
  });
}

void fill_bernoulli(Generator& g, DType type, void* out, int64_t n, double p) {
  // u < p for u = k / 2^53 is k < p * 2^53, a comparison of integers.
  const uint64_t threshold = static_cast<uint64_t>(std::ceil(p * 0x1p53));
  dispatch(type, "random", [&]<class T>() {
    const T value[2] = {convert<T>(int64_t{0}), convert<T>(int64_t{1})};
    uint8_t bits[chunk];
    in_chunks<2>(g, n, [&](const uint32_t* words, int64_t count, int64_t first) {
      kernels()->below(words, count, threshold, bits);
      T* to = static_cast<T*>(out) + first;
      for (int64_t i = 0; i < count; ++i) to[i] = value[bits[i]];
    });
  });
}

Refusal fill_bernoulli_each(Generator& g, DType type, void* out, int64_t n, DType p_type, const void* p) {
  Refusal refusal;
  dispatch_floating(p_type, [&]<class P>() {
    const P* probabilities = static_cast<const P*>(p);
    using Wide = std::conditional_t<std::is_same_v<P, double>, double, float>;
    for (int64_t i = 0; i < n; ++i) {
      double value = static_cast<double>(probabilities[i]);
      if (value >= 0 && value <= 1) continue;
      refusal = {Refusal::runtime_error,
                 "Expected p_in >= 0 && p_in <= 1 to be true, but got false.\nbernoulli: element " + std::to_string(i) +
                     " of the probabilities is " + number(value) + "; every one must be in [0, 1]."};
      return;
    }
    dispatch(type, "random", [&]<class T>() {
      T* to = static_cast<T*>(out);
      for (int64_t i = 0; i < n; ++i) {
        Wide chance = static_cast<Wide>(static_cast<double>(probabilities[i]));
        bool success = std::is_same_v<Wide, double> ? g.uniform_double() < chance : g.uniform_float() < chance;
        to[i] = convert<T>(static_cast<int64_t>(success));
      }
    });
  });
  return refusal;
}

void fill_exponential(Generator& g, DType type, void* out, int64_t n, double lambda) {
  dispatch_floating(
      type, [&]<class T>() { one_by_one<T>(out, n, [&] { return -1.0 / lambda * std::log1p(-g.uniform_double()); }); });
}

void fill_cauchy(Generator& g, DType type, void* out, int64_t n, double median, double sigma) {
  dispatch_floating(type, [&]<class T>() {
    one_by_one<T>(out, n, [&] { return std::fma(sigma, std::tan(M_PI * (g.uniform_double() - 0.5)), median); });
  });
}

void fill_log_normal(Generator& g, DType type, void* out, int64_t n, double mean, double std) {
  dispatch_floating(type, [&]<class T>() {
    one_by_one<T>(out, n, [&] { return std::exp(std::fma(g.normal_double(), std, mean)); });
  });
}

void fill_geometric(Generator& g, DType type, void* out, int64_t n, double p) {
  const double log_failure = std::log1p(-p);
  dispatch(type, "random", [&]<class T>() {
    one_by_one<T>(out, n, [&] { return std::ceil(std::log(g.uniform_double()) / log_failure); });
  });
}

void visiting_order(int dims, const int64_t* sizes, const int64_t* strides, int* order) {
  // An insertion sort from the last dimension to the first, that moves a dimension inwards past those of greater
  // stride, or of equal stride and smaller size; stride 0 compares equal to all.
  for (int i = 0; i < dims; ++i) order[i] = dims - 1 - i;
  auto before = [&](int a, int b) {  // -1: a is inside b, 1: b is inside a, 0: undecided
    if (strides[a] == 0 || strides[b] == 0) return 0;
    const int64_t first = std::abs(strides[a]), second = std::abs(strides[b]);
    if (first != second) return first < second ? -1 : 1;
    return sizes[a] > sizes[b] ? 1 : 0;
  };
  for (int i = 1; i < dims; ++i) {
    int at = i;
    for (int j = i - 1; j >= 0; --j) {
      int relation = before(order[j], order[at]);
      if (relation > 0) {
        std::swap(order[j], order[at]);
        at = j;
      } else if (relation < 0) {
        break;
      }
    }
  }
}

}  // namespace rng
}  // namespace bulssi

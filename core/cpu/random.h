#pragma once

// Random numbers with PyTorch's CPU stream, bit for bit (observed with PyTorch 2.13 on AVX2 and AVX-512 machines).
//
// Nothing here knows tensors: every function fills a contiguous buffer of `n` elements of one dtype and moves the
// Generator exactly as far as PyTorch does. The same bits come out on every machine and for every instruction set;
// only `log`, `sin`, `pow` and the like of double arguments are the C library's, as they are in PyTorch.
// Build random*.cpp once, for the plain processor (the kernels carry their own AVX2 copies), with -O3; not with clang's
// -ffp-contract=fast together with FMA, which no pragma in the source can undo.
//
// Note [Which function serves which call]
//
//   PyTorch                                           here
//   torch.manual_seed(s), Generator.manual_seed(s)    Generator::set_seed(s); a negative s is s + 2^64
//   Generator.seed(), torch.seed()                    Generator::set_random_seed()
//   Generator.initial_seed()                          Generator::seed()
//   get_state / set_state, get_rng_state              Generator::state / set_state (the same 5056 bytes)
//   rand, rand_like                                   fill_uniform(0, 1)
//   x.uniform_(a, b)                                  check_uniform, fill_uniform
//   randn, randn_like                                 fill_normal(0, 1)
//   x.normal_(mean, std), normal(mean, std, size)     check_normal, fill_normal
//   normal(Tensor mean, float std)                    fill_normal(0, std), then add_(mean)
//   normal(float | Tensor mean, Tensor std)           fill_normal(0, 1), then mul_(std), add_(mean): two roundings
//   x.random_()                                       fill_random
//   x.random_(to), x.random_(from, to)                check_range, fill_integers (from = 0 where it is missing)
//   x.random_(from, None)                             check_range without `to`, fill_integers
//   randint(low, high), randint_like                  x.random_(low, high) of the result's dtype
//   randperm(n)                                       check_permutation, fill_permutation
//   x.bernoulli_(p), bernoulli(x, p)                  check_bernoulli, fill_bernoulli
//   x.bernoulli_(Tensor p), bernoulli(p)              fill_bernoulli_each
//   x.exponential_(lambda)                            check_exponential, fill_exponential
//   x.cauchy_, x.log_normal_, x.geometric_            check_..., fill_...
//   multinomial, poisson, binomial, _standard_gamma,  random_distributions.h
//   _sample_dirichlet, rrelu
//
//   F.dropout(x, p, training=True): when p is 0 or x is empty, x itself and nothing is drawn; when p is 1, x * 0 and
//   nothing is drawn; otherwise mask = fill_bernoulli(1 - p) in x's dtype and order of memory (empty_like), mask /= 1 -
//   p, x * mask. dropout1d/2d/3d do the same with a mask of shape (N, C, 1, ...). alpha_dropout: the same Bernoulli
//   mask b, a = 1 / sqrt((alpha^2 p + 1)(1 - p)) with alpha = 1.7580993408473766; the result is x * (b * a) +
//   ((b - 1) * (alpha * a) + alpha * a * p). gumbel_softmax: -log(exponential_()) in the logits' dtype.
//   A complex tensor is filled as its real view; normal_ then takes std / sqrt(2).
//
// Note [What selects the path]
//
// 1. An empty output draws nothing (after the checks).
// 2. Order: PyTorch fills in the order of memory, not of indices: dimensions are visited with the smallest stride
//    fastest (`visiting_order` below). For a dense permuted tensor that is its buffer from start to end; for a tensor
//    with gaps, fill a contiguous scratch buffer and copy it out in that order. Functions with a tensor argument make
//    a new contiguous output and visit it in index order.
// 3. fill_normal has two algorithms. PyTorch takes the block algorithm when numel >= 16 and the output is contiguous
//    (in index order: a transposed matrix is not); else the scalar one, which keeps the second normal of each pair in
//    the Generator for the next scalar call of any dtype. Pass `contiguous = false` to ask for the scalar one at any
//    size. The block algorithm neither reads nor clears the kept sample.
// 4. Everything else depends on the dtype alone: double consumes two 32-bit words an element, float one; bernoulli_(p),
//    exponential_, cauchy_, geometric_, log_normal_ and the scalar normal_ always draw doubles; bernoulli(Tensor p)
//    draws doubles only for a double p.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "core/tensor/dtype.h"

namespace bulssi {

// A Mersenne Twister (MT19937, Matsumoto and Nishimura 1998) with PyTorch's seeding and its kept normal samples.
// A copy is a clone: both then give the same stream. Not safe for use by two threads at once: callers hold the
// interpreter's lock.
class Generator {
 public:
  static constexpr int words = 624;            // words of state, and of output between two twists
  static constexpr size_t state_bytes = 5056;  // of state(): the length of torch.get_rng_state()
  static constexpr uint64_t default_seed = 67280421310721;

  explicit Generator(uint64_t seed = default_seed) { set_seed(seed); }

  // Starts the stream of `seed`; the twister itself uses its low 32 bits, seed() returns all of it.
  void set_seed(uint64_t seed);
  // Seeds from the operating system's entropy with 53 bits, and returns the seed.
  uint64_t set_random_seed();
  uint64_t seed() const { return seed_; }

  // Writes the state as PyTorch does, `state_bytes` bytes.
  void state(uint8_t* out) const;
  // Continues the stream of a saved state. On failure returns what is wrong and leaves the generator as it was.
  [[nodiscard]] std::string set_state(const uint8_t* bytes, size_t size);

  // The next 32 bits of the stream.
  uint32_t random() {
    if (next_ == words) twist();
    return output_[next_++];
  }
  // The next 64 bits: the first word is the high one.
  uint64_t random64() {
    uint64_t high = random();
    return high << 32 | random();
  }
  // Writes the next `n` words of the stream, or passes over them.
  void fill(uint32_t* out, int64_t n);
  void discard(int64_t n);

  // Uniform in [0, 1) with 53 and 24 random bits.
  double uniform_double() { return static_cast<double>(random64() & ((uint64_t{1} << 53) - 1)) * 0x1p-53; }
  float uniform_float() { return static_cast<float>(random() & ((1u << 24) - 1)) * 0x1p-24f; }
  // A standard normal of the scalar algorithm: Box-Muller, whose second value is kept for the next call.
  double normal_double();

 private:
  void twist();

  uint64_t seed_ = 0;
  int next_ = words;         // index of the next word in output_
  bool twisted_ = false;     // false until the first word after seeding is drawn; part of the saved state
  bool has_double_ = false;  // whether kept_double_ holds a sample
  bool has_float_ = false;   // the same for kept_float_, which no CPU function of PyTorch uses but states carry
  float kept_float_ = 0;
  double kept_double_ = 0;
  uint32_t state_[words];   // the twister's state, as saved
  uint32_t output_[words];  // the state tempered, a block at a time
};

namespace rng {

// Why a call is refused: `text` begins with PyTorch's message. Nothing has been drawn or written then.
struct Refusal {
  enum Kind : uint8_t { none, runtime_error, not_implemented } kind = none;
  std::string text;
  explicit operator bool() const { return kind != none; }
};

// The integers that random_ may draw: base <= x < base + range, or, when `full`, every int64 (range is 2^64).
struct IntegerRange {
  uint64_t range = 0;
  int64_t base = 0;
  bool full = false;
  std::string warning;  // what PyTorch warns of: bounds beyond the integers that the dtype holds exactly
};

// Checks of arguments, with PyTorch's messages; `type` is the output's.
[[nodiscard]] Refusal check_uniform(DType type, double from, double to);
[[nodiscard]] Refusal check_normal(DType type, double std);
// Without `to`: up to the greatest value of the dtype (2^24 for float and so on).
[[nodiscard]] Refusal check_range(DType type, int64_t from, std::optional<int64_t> to, IntegerRange& out);
[[nodiscard]] Refusal check_permutation(DType type, int64_t n);
[[nodiscard]] Refusal check_bernoulli(double p);
[[nodiscard]] Refusal check_exponential(DType type, double lambda);
[[nodiscard]] Refusal check_cauchy(DType type, double sigma);
[[nodiscard]] Refusal check_log_normal(DType type, double std);
[[nodiscard]] Refusal check_geometric(DType type, double p);

// The fills expect checked arguments and `n >= 0`.
void fill_uniform(Generator& g, DType type, void* out, int64_t n, double from, double to);
void fill_normal(Generator& g, DType type, void* out, int64_t n, double mean, double std, bool contiguous = true);
void fill_random(Generator& g, DType type, void* out, int64_t n);
void fill_integers(Generator& g, DType type, void* out, int64_t n, const IntegerRange& range);
void fill_permutation(Generator& g, DType type, void* out, int64_t n);
void fill_bernoulli(Generator& g, DType type, void* out, int64_t n, double p);
void fill_exponential(Generator& g, DType type, void* out, int64_t n, double lambda);
void fill_cauchy(Generator& g, DType type, void* out, int64_t n, double median, double sigma);
void fill_log_normal(Generator& g, DType type, void* out, int64_t n, double mean, double std);
void fill_geometric(Generator& g, DType type, void* out, int64_t n, double p);

// out[i] is 1 with probability p[i]. `p_type` is floating. Refused, with nothing drawn, if a p[i] is not in [0, 1].
[[nodiscard]] Refusal fill_bernoulli_each(Generator& g, DType type, void* out, int64_t n, DType p_type, const void* p);

// The order in which PyTorch visits an output's dimensions: order[0] varies fastest. Strides are in elements; negative
// ones, which PyTorch does not have, count by magnitude.
void visiting_order(int dims, const int64_t* sizes, const int64_t* strides, int* order);

// The instruction set of the kernels: 0 plain, 1 AVX2 with FMA. The best one that the machine has is chosen at start;
// the bits are the same. Returns false, and changes nothing, if the machine lacks it. For tests and BULSSI_ISA.
bool select_kernels(int level);

}  // namespace rng
}  // namespace bulssi

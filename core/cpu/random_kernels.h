// The vector kernels of random.cpp. Included there once per instruction set, hence no include guard:
//   BULSSI_RNG_SPACE  the namespace that this copy goes into
//   BULSSI_RNG_LANES  floats in a vector (4 or 8)
//   BULSSI_RNG_AVX2   1 where AVX2 and FMA instructions may be used
// All copies give the same bits: where PyTorch's compiler fused a product into a sum, fma is written, and no other
// product feeds a sum, so that contraction by the compiler cannot change anything.

namespace bulssi::rng::BULSSI_RNG_SPACE {

constexpr int lanes = BULSSI_RNG_LANES;
constexpr int wide_lanes = lanes / 2;
typedef float Floats __attribute__((vector_size(lanes * 4)));
typedef int32_t Ints __attribute__((vector_size(lanes * 4)));
typedef uint32_t Words __attribute__((vector_size(lanes * 4)));
typedef double Doubles __attribute__((vector_size(lanes * 4)));
typedef uint64_t Longs __attribute__((vector_size(lanes * 4)));

// Unaligned access; memcpy of a vector's size is one instruction.
template <class V, class T>
static inline __attribute__((always_inline)) V load(const T* from) {
  V v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}
template <class V, class T>
static inline __attribute__((always_inline)) void store(T* to, V v) {
  __builtin_memcpy(to, &v, sizeof v);
}

static inline __attribute__((always_inline)) Floats all(float x) { return x - Floats{}; }

static inline __attribute__((always_inline)) Floats fma(Floats a, Floats b, Floats c) {
#if BULSSI_RNG_AVX2
  return _mm256_fmadd_ps(a, b, c);
#else
  for (int i = 0; i < lanes; ++i) c[i] = std::fma(a[i], b[i], c[i]);
  return c;
#endif
}
static inline __attribute__((always_inline)) Doubles fma(Doubles a, Doubles b, Doubles c) {
#if BULSSI_RNG_AVX2
  return _mm256_fmadd_pd(a, b, c);
#else
  for (int i = 0; i < wide_lanes; ++i) c[i] = std::fma(a[i], b[i], c[i]);
  return c;
#endif
}
static inline __attribute__((always_inline)) Floats sqrt(Floats a) {
#if BULSSI_RNG_AVX2
  return _mm256_sqrt_ps(a);
#else
  for (int i = 0; i < lanes; ++i) a[i] = std::sqrt(a[i]);
  return a;
#endif
}

// ---- The twister ----

// One word of the recurrence: the top bit of `a` and the rest of `b`, shifted, and the matrix if `b` is odd.
template <class V>
static inline __attribute__((always_inline)) V twisted(V a, V b) {
  V mixed = (a & 0x80000000u) | (b & 0x7fffffffu);
  return (mixed >> 1) ^ ((V{} - (b & 1u)) & 0x9908b0dfu);
}
template <class V>
static inline __attribute__((always_inline)) V tempered(V y) {
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

// Advances the state by 624 words and writes the words that it yields. Vectors read no word that an earlier lane of
// the same vector writes: both distances (227 and 397) exceed the lanes.
static void twist(uint32_t* s, uint32_t* out) {
  constexpr int n = 624, m = 397;
  int i = 0;
  for (; i + lanes <= n - m; i += lanes)
    store(s + i, load<Words>(s + i + m) ^ twisted(load<Words>(s + i), load<Words>(s + i + 1)));
  for (; i < n - m; ++i) s[i] = s[i + m] ^ twisted<uint32_t>(s[i], s[i + 1]);
  for (; i + lanes <= n - 1; i += lanes)
    store(s + i, load<Words>(s + i + m - n) ^ twisted(load<Words>(s + i), load<Words>(s + i + 1)));
  for (; i < n - 1; ++i) s[i] = s[i + m - n] ^ twisted<uint32_t>(s[i], s[i + 1]);
  s[n - 1] = s[m - 1] ^ twisted<uint32_t>(s[n - 1], s[0]);
  static_assert(n % lanes == 0);
  for (i = 0; i < n; i += lanes) store(out + i, tempered(load<Words>(s + i)));
}

// ---- Uniform numbers ----

static inline __attribute__((always_inline)) Floats unit(Words w) {
  return __builtin_convertvector((Ints)(w & 0xffffffu), Floats) * 0x1p-24f;
}

// out = from + span * u for one word an element.
static void uniform_f32(const uint32_t* w, int64_t n, float from, float span, float* out) {
  int64_t i = 0;
  if (from == 0 && span == 1) {
    for (; i + lanes <= n; i += lanes) store(out + i, unit(load<Words>(w + i)));
  } else {
    for (; i + lanes <= n; i += lanes) store(out + i, fma(unit(load<Words>(w + i)), all(span), all(from)));
  }
  for (; i < n; ++i) out[i] = std::fma(static_cast<float>(w[i] & 0xffffffu) * 0x1p-24f, span, from);
}

// Two words as one number: the first is the high half.
static inline __attribute__((always_inline)) uint64_t pair(const uint32_t* w) { return uint64_t{w[0]} << 32 | w[1]; }
static inline __attribute__((always_inline)) Longs pairs(const uint32_t* w) {
  Longs v = load<Longs>(w);  // little endian: the first word is the low half
  return v << 32 | v >> 32;
}

// out = from + span * u for two words an element. The 53 bits become a double in two exact halves of 2^32.
static void uniform_f64(const uint32_t* w, int64_t n, double from, double span, double* out) {
  constexpr uint64_t exponent_52 = 0x4330000000000000;  // the bits of 2^52: or-ing k < 2^52 in gives 2^52 + k
  int64_t i = 0;
  for (; i + wide_lanes <= n; i += wide_lanes) {
    Longs v = pairs(w + 2 * i);
    Doubles low = (Doubles)((v & 0xffffffffu) | exponent_52) - 0x1p52;
    Doubles high = (Doubles)((v >> 32 & 0x1fffffu) | exponent_52) - 0x1p52;
    Doubles u = high * 0x1p-21 + low * 0x1p-53;
    store(out + i, fma(u, span - Doubles{}, from - Doubles{}));
  }
  for (; i < n; ++i)
    out[i] = std::fma(static_cast<double>(pair(w + 2 * i) & ((uint64_t{1} << 53) - 1)) * 0x1p-53, span, from);
}

// ---- Normal numbers ----

// Natural logarithm for x in [2^-24, 1]: Cephes' logf (S. Moshier, Methods and Programs for Mathematical Functions,
// 1989), with the products fused that PyTorch's build fuses.
static inline __attribute__((always_inline)) Floats log_unit(Floats x) {
  Ints bits = (Ints)x;
  Floats e = __builtin_convertvector((bits >> 23) - 126, Floats);
  Floats m = (Floats)((bits & 0x7fffff) | 0x3f000000);  // x = m * 2^e with m in [0.5, 1)
  Ints small = m < 0.707106781186547524f;
  e = e - (Floats)(small & (Ints)all(1));
  x = (m - 1) + (Floats)(small & (Ints)m);
  Floats z = x * x;
  Floats y = all(7.0376836292e-2f);
  y = fma(y, x, all(-1.1514610310e-1f));
  y = fma(y, x, all(1.1676998740e-1f));
  y = fma(y, x, all(-1.2420140846e-1f));
  y = fma(y, x, all(1.4249322787e-1f));
  y = fma(y, x, all(-1.6668057665e-1f));
  y = fma(y, x, all(2.0000714765e-1f));
  y = fma(y, x, all(-2.4999993993e-1f));
  y = fma(y, x, all(3.3333331174e-1f));
  y = fma(y * x, z, e * -2.12194440e-4f);
  y = fma(z, all(-0.5f), y);
  return fma(e, all(0.693359375f), x + y);
}

// Sine and cosine for 0 <= x < 2 pi, from the same library (sinf).
static inline __attribute__((always_inline)) void sine_cosine(Floats x, Floats& sine, Floats& cosine) {
  Ints octant = __builtin_convertvector(x * 1.27323954473516f, Ints);
  octant = (octant + 1) & ~1;
  Floats y = __builtin_convertvector(octant, Floats);
  x = fma(y, all(-0.78515625f), x);  // pi/4 in three parts, so that the reduction is exact enough
  x = fma(y, all(-2.4187564849853515625e-4f), x);
  x = fma(y, all(-3.77489497744594108e-8f), x);
  Floats z = x * x;
  Floats c = all(2.443315711809948e-5f);
  c = fma(c, z, all(-1.388731625493765e-3f));
  c = fma(c, z, all(4.166664568298827e-2f));
  c = fma(c * z, z, z * -0.5f) + 1;
  Floats s = all(-1.9515295891e-4f);
  s = fma(s, z, all(8.3321608736e-3f));
  s = fma(s, z, all(-1.6666654611e-1f));
  s = fma(s * z, x, x);
  Ints straight = (octant & 2) == 0;
  Ints one = (Ints)s, other = (Ints)c;
  Ints sine_bits = (straight & one) | (~straight & other);
  Ints cosine_bits = (straight & other) | (~straight & one);
  sine = (Floats)(sine_bits ^ ((octant & 4) << 29));
  cosine = (Floats)(cosine_bits ^ ((~(octant - 2) & 4) << 29));
}

// Box-Muller (1958) on blocks of 16 words: the first eight give radii, the last eight angles.
static void normal_f32(const uint32_t* w, int64_t blocks, float mean, float std, float* out) {
  constexpr float two_pi = 6.283185307179586;
  for (int64_t b = 0; b < blocks; ++b, w += 16, out += 16) {
    for (int i = 0; i < 8; i += lanes) {
      Floats radius = sqrt(log_unit(1 - unit(load<Words>(w + i))) * -2.0f);
      Floats sine, cosine;
      sine_cosine(unit(load<Words>(w + i + 8)) * two_pi, sine, cosine);
      store(out + i, fma(radius * cosine, all(std), all(mean)));
      store(out + i + 8, fma(radius * sine, all(std), all(mean)));
    }
  }
}

// ---- Bits and integers ----

// out[i] = 1 where the 53-bit number of two words is less than `threshold`.
static void below(const uint32_t* w, int64_t n, uint64_t threshold, uint8_t* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = (pair(w + 2 * i) & ((uint64_t{1} << 53) - 1)) < threshold;
}

// w[i] %= range for 0 < range < 2^28: the quotient by a double reciprocal is at most one off.
static void modulo(uint32_t* w, int64_t n, uint32_t range) {
  const double reciprocal = 1.0 / range;
  for (int64_t i = 0; i < n; ++i) {
    uint32_t quotient = static_cast<uint32_t>(static_cast<int64_t>(w[i] * reciprocal));
    int32_t rest = static_cast<int32_t>(w[i] - quotient * range);
    rest += rest < 0 ? static_cast<int32_t>(range) : 0;
    rest -= rest >= static_cast<int32_t>(range) ? static_cast<int32_t>(range) : 0;
    w[i] = static_cast<uint32_t>(rest);
  }
}

static constexpr Kernels kernels{twist, uniform_f32, uniform_f64, normal_f32, below, modulo};

}  // namespace bulssi::rng::BULSSI_RNG_SPACE

#undef BULSSI_RNG_SPACE
#undef BULSSI_RNG_LANES
#undef BULSSI_RNG_AVX2

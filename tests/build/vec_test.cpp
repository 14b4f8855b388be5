// Vec<T> and Mask<T> against plain loops: built for each ISA by test_vecmath.py. check_vec returns the number of
// differences and prints the first ones.
#include "core/cpu/vec.h"

#include <cmath>
#include <cstdio>
#include <limits>

namespace bulssi::BULSSI_ISA {
namespace {

int64_t failures = 0;

template <class T>
bool same(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (a != a || b != b) return a != a && b != b;
    return a == b && std::signbit(a) == std::signbit(b);
  } else {
    return a == b;
  }
}
template <class T>
void expect(const char* what, T x, T y, T got, T want) {
  if (same(got, want)) return;
  if (failures++ < 20) {
    std::printf("%s<%zu%c>(%.17g, %.17g) = %.17g, expected %.17g\n", what, sizeof(T),
                std::is_floating_point_v<T> ? 'f' : 'i', double(x), double(y), double(got), double(want));
  }
}

// f on registers against g on numbers, for all pairs of values; the other lanes hold other values.
template <class T, class F, class G>
void compare(const char* what, const T* values, int count, F f, G g) {
  constexpr int lanes = Vec<T>::lanes;
  for (int i = 0; i < count; i++) {
    for (int j = 0; j < count; j++) {
      T x[lanes], y[lanes], out[lanes];
      for (int k = 0; k < lanes; k++) x[k] = values[(i + k) % count], y[k] = values[(j + 3 * k) % count];
      Vec<T>(f(Vec<T>::load(x), Vec<T>::load(y))).store(out);
      for (int k = 0; k < lanes; k++) expect(what, x[k], y[k], out[k], T(g(x[k], y[k])));
    }
  }
}
template <class T, class F, class G>
void compare_mask(const char* what, const T* values, int count, F f, G g) {
  constexpr int lanes = Vec<T>::lanes;
  for (int i = 0; i < count; i++) {
    for (int j = 0; j < count; j++) {
      T x[lanes], y[lanes];
      uint8_t bytes[lanes + 1];
      bytes[lanes] = 77;
      for (int k = 0; k < lanes; k++) x[k] = values[(i + k) % count], y[k] = values[(j + 3 * k) % count];
      Mask<T> m = f(Vec<T>::load(x), Vec<T>::load(y));
      m.store_bool(bytes);
      bool some = false, every = true;
      for (int k = 0; k < lanes; k++) {
        bool want = g(x[k], y[k]);
        expect<T>(what, x[k], y[k], T(bytes[k]), T(want));
        some |= want, every &= want;
        bytes[k] = bytes[k] ? uint8_t(1 + 50 * k) : 0;  // load_bool takes any value but 0 for true
        if (want && !bytes[k]) bytes[k] = 255;
      }
      expect<T>(what, x[0], y[0], T(bytes[lanes]), T(77));
      expect<T>("any", x[0], y[0], T(any(m)), T(some));
      expect<T>("all", x[0], y[0], T(all(m)), T(every));
      T out[lanes];
      select(Mask<T>::load_bool(bytes), Vec<T>::load(x), Vec<T>::load(y)).store(out);
      for (int k = 0; k < lanes; k++) expect("select", x[k], y[k], out[k], g(x[k], y[k]) ? x[k] : y[k]);
    }
  }
}

template <class T>
void check_common(const T* v, int n) {
  using V = Vec<T>;
  compare(
      "max", v, n, [](V x, V y) { return max(x, y); },
      [](T x, T y) {
        return x != x ? x : y != y ? y : x > y ? x : y;
      });
  compare(
      "min", v, n, [](V x, V y) { return min(x, y); },
      [](T x, T y) {
        return x != x ? x : y != y ? y : x < y ? x : y;
      });
  compare("fmax", v, n, [](V x, V y) { return fmax(x, y); }, [](T x, T y) { return y != y ? x : x > y ? x : y; });
  compare("fmin", v, n, [](V x, V y) { return fmin(x, y); }, [](T x, T y) { return y != y ? x : x < y ? x : y; });
  compare_mask("<", v, n, [](V x, V y) { return x < y; }, [](T x, T y) { return x < y; });
  compare_mask(">=", v, n, [](V x, V y) { return x >= y; }, [](T x, T y) { return x >= y; });
  compare_mask("==", v, n, [](V x, V y) { return x == y; }, [](T x, T y) { return x == y; });
  compare_mask("!=", v, n, [](V x, V y) { return x != y; }, [](T x, T y) { return x != y; });
  compare_mask(
      "masks", v, n, [](V x, V y) { return ((x < y) | !(x > 1.0)) ^ ((y <= 2.0) & (x > y)); },
      [](T x, T y) { return ((x < y) | !(x > T(1))) != ((y <= T(2)) & (x > y)); });
}

template <class T>
void check_integer() {
  using V = Vec<T>;
  using U = typename V::U;
  constexpr T top = std::numeric_limits<T>::max(), low = std::numeric_limits<T>::min();
  const T v[] = {0,   1,   2,     3,     5,     7,     8,      15,      16,  31,  33,         63,         64,        65,
                 100, 127, T(-1), T(-2), T(-3), T(-7), T(-64), T(-100), top, low, T(top - 1), T(low + 1), T(top / 3)};
  constexpr int n = sizeof(v) / sizeof(T);
  constexpr int bits = 8 * sizeof(T);
  constexpr bool is_signed = low < 0;
  check_common(v, n);
  compare("+", v, n, [](V x, V y) { return x + y; }, [](T x, T y) { return T(U(U(x) + U(y))); });
  compare("-", v, n, [](V x, V y) { return x - y; }, [](T x, T y) { return T(U(U(x) - U(y))); });
  compare("*", v, n, [](V x, V y) { return x * y; }, [](T x, T y) { return T(U(uint64_t(x) * uint64_t(y))); });
  compare("negate", v, n, [](V x, V) { return -x; }, [](T x, T) { return T(U(0 - uint64_t(x))); });
  compare("abs", v, n, [](V x, V) { return abs(x); }, [](T x, T) { return x < 0 ? T(U(0 - uint64_t(x))) : x; });
  auto truncated = [](T x, T y) {  // 128 bits: nothing overflows
    return y == 0 ? T(0) : T(U(__int128(x) / __int128(y)));
  };
  auto floored = [](T x, T y) {
    if (y == 0) return T(0);
    __int128 q = __int128(x) / y, r = __int128(x) % y;
    return T(U(r != 0 && (r < 0) != (y < 0) ? q - 1 : q));
  };
  compare("/", v, n, [](V x, V y) { return x / y; }, truncated);
  compare(
      "%", v, n, [](V x, V y) { return x % y; }, [](T x, T y) { return y == 0 ? T(0) : T(__int128(x) % __int128(y)); });
  compare("floor_div", v, n, [](V x, V y) { return floor_div(x, y); }, floored);
  compare(
      "floor_mod", v, n, [](V x, V y) { return floor_mod(x, y); },
      [](T x, T y) {
        if (y == 0) return T(0);
        __int128 r = __int128(x) % y;
        return T(r != 0 && (r < 0) != (y < 0) ? r + y : r);
      });
  compare("bits", v, n, [](V x, V y) { return ((x & y) | ~x) ^ y; }, [](T x, T y) { return T(T((x & y) | ~x) ^ y); });
  compare(
      "<<", v, n, [](V x, V y) { return x << y; },
      [](T x, T y) { return y < 0 || y >= bits ? T(0) : T(U(uint64_t(x) << y)); });
  compare(
      ">>", v, n, [](V x, V y) { return x >> y; },
      [](T x, T y) { return y < 0 || y >= bits ? T(is_signed && x < 0 ? -1 : 0) : T(x >> y); });
  compare(
      "constants", v, n, [](V x, V y) { return select(x > 3.0, 1.0 + x * 2.0, y - 1.0); },
      [](T x, T y) { return x > 3 ? T(U(1 + 2 * uint64_t(x))) : T(U(uint64_t(y) - 1)); });
  if constexpr (sizeof(T) == 8) {
    expect<T>("broadcast", 0, 0, V(int64_t(9007199254740993))[0], T(9007199254740993));
  }
}

template <class T>
void check_float() {
  using V = Vec<T>;
  using L = std::numeric_limits<T>;
  const T v[] = {0,
                 T(-0.0),
                 1,
                 -1,
                 T(0.5),
                 T(-0.5),
                 T(1.5),
                 T(2.5),
                 T(-2.5),
                 T(3.7),
                 T(-3.7),
                 T(0.49999997),
                 8388607.5f,
                 8388609,
                 T(4503599627370495.5),
                 T(1e10),
                 T(-1e20),
                 L::infinity(),
                 -L::infinity(),
                 L::quiet_NaN(),
                 L::min(),
                 L::denorm_min(),
                 -L::denorm_min(),
                 L::max(),
                 L::lowest(),
                 L::epsilon(),
                 T(1) - L::epsilon() / 2};
  constexpr int n = sizeof(v) / sizeof(T);
  check_common(v, n);
  compare("+", v, n, [](V x, V y) { return x + y; }, [](T x, T y) { return x + y; });
  compare("-", v, n, [](V x, V y) { return x - y; }, [](T x, T y) { return x - y; });
  compare("*", v, n, [](V x, V y) { return x * y; }, [](T x, T y) { return x * y; });
  compare("/", v, n, [](V x, V y) { return x / y; }, [](T x, T y) { return x / y; });
  compare("negate", v, n, [](V x, V) { return -x; }, [](T x, T) { return -x; });
  compare("abs", v, n, [](V x, V) { return abs(x); }, [](T x, T) { return std::fabs(x); });
  compare("sqrt", v, n, [](V x, V) { return sqrt(x); }, [](T x, T) { return std::sqrt(x); });
  compare("floor", v, n, [](V x, V) { return floor(x); }, [](T x, T) { return std::floor(x); });
  compare("ceil", v, n, [](V x, V) { return ceil(x); }, [](T x, T) { return std::ceil(x); });
  compare("trunc", v, n, [](V x, V) { return trunc(x); }, [](T x, T) { return std::trunc(x); });
  compare("rint", v, n, [](V x, V) { return rint(x); }, [](T x, T) { return std::nearbyint(x); });
  compare("copysign", v, n, [](V x, V y) { return copysign(x, y); }, [](T x, T y) { return std::copysign(x, y); });
  compare_mask("signbit", v, n, [](V x, V) { return signbit(x); }, [](T x, T) { return std::signbit(x); });
  compare_mask("isnan", v, n, [](V x, V) { return isnan(x); }, [](T x, T) { return std::isnan(x); });
  compare_mask("isinf", v, n, [](V x, V) { return isinf(x); }, [](T x, T) { return std::isinf(x); });
  compare_mask("isfinite", v, n, [](V x, V) { return isfinite(x); }, [](T x, T) { return std::isfinite(x); });
  if constexpr (has_fma) {
    compare("fma", v, n, [](V x, V y) { return fma(x, y, -1.0); }, [](T x, T y) { return std::fma(x, y, T(-1)); });
  }
  auto exponent = [](T x, T) {
    int e = 0;
    std::frexp(x, &e);
    return T(std::isfinite(x) ? e : 0);
  };
  compare(
      "frexp mantissa", v, n,
      [](V x, V) {
        V e;
        return frexp(x, e);
      },
      [](T x, T) {
        int e;
        return std::frexp(x, &e);
      });
  compare(
      "frexp exponent", v, n,
      [](V x, V) {
        V e;
        frexp(x, e);
        return e;
      },
      exponent);
  constexpr int bias = detail::exponent_bias<T>;
  for (int e = -2 * bias; e <= 2 * bias; e++) {
    expect<T>("scale", T(1.25), T(e), scale(V(1.25), V(e))[0], T(std::ldexp(T(1.25), e)));
    if (e > -bias && e <= bias) expect<T>("exp2i", T(e), 0, exp2i(V(e))[0], T(std::ldexp(T(1), e)));
    expect<T>("to_int", T(e), 0, T(to_int(V(e))[0]), T(e));
    expect<T>("to_float", T(e), 0, to_float<T>(Vec<typename V::I>(e))[0], T(e));
  }
}

}  // namespace
}  // namespace bulssi::BULSSI_ISA

extern "C" int64_t check_vec() {
  using namespace bulssi::BULSSI_ISA;
  failures = 0;
  check_integer<int8_t>();
  check_integer<uint8_t>();
  check_integer<int16_t>();
  check_integer<int32_t>();
  check_integer<int64_t>();
  check_float<float>();
  check_float<double>();
  std::fflush(stdout);
  return failures;
}

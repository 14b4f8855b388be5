// Element types, their conversions and the promotion lattice's categories.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "core/base/error.h"

namespace bulssi {

// All dtypes, in PyTorch's order, with their C++ types and their names: its own, that of PyTorch's typed tensors
// (FloatTensor), that of the C++ type as compilers print it, and as PyTorch's sources write it. Messages use all four.
// clang-format off
#define BULSSI_DTYPES(X)                                                                               \
  X(u8, uint8_t, "uint8", "Byte", "unsigned char", "uint8_t")                                          \
  X(i8, int8_t, "int8", "Char", "signed char", "int8_t")                                               \
  X(i16, int16_t, "int16", "Short", "short int", "int16_t")                                            \
  X(i32, int32_t, "int32", "Int", "int", "int")                                                        \
  X(i64, int64_t, "int64", "Long", "long int", "int64_t")                                              \
  X(f16, Half, "float16", "Half", "c10::Half", "c10::Half")                                             \
  X(bf16, BFloat16, "bfloat16", "BFloat16", "c10::BFloat16", "c10::BFloat16")                           \
  X(f32, float, "float32", "Float", "float", "float")                                                  \
  X(f64, double, "float64", "Double", "double", "double")                                              \
  X(c64, Complex64, "complex64", "ComplexFloat", "c10::complex<float>", "c10::complex<float>")         \
  X(c128, Complex128, "complex128", "ComplexDouble", "c10::complex<double>", "c10::complex<double>")   \
  X(boolean, bool, "bool", "Bool", "bool", "bool")
// clang-format on

#define BULSSI_TAG(tag, ...) tag,
enum class DType : uint8_t { BULSSI_DTYPES(BULSSI_TAG) };
#undef BULSSI_TAG
#define BULSSI_ONE_MORE(...) +1
inline constexpr int dtype_count = BULSSI_DTYPES(BULSSI_ONE_MORE);
#undef BULSSI_ONE_MORE

struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  BFloat16(float value) {
    const uint32_t word = std::bit_cast<uint32_t>(value);
    if ((word & 0x7fffffff) > 0x7f800000) {
      bits = 0x7fc0;
    } else {
      bits = static_cast<uint16_t>((word + 0x7fff + ((word >> 16) & 1)) >> 16);  // to nearest, ties to even
    }
  }
  operator float() const { return std::bit_cast<float>(uint32_t{bits} << 16); }
};

struct Half {
  uint16_t bits = 0;
  Half() = default;
  Half(float value) {
    const uint32_t word = std::bit_cast<uint32_t>(value);
    const uint16_t sign = static_cast<uint16_t>((word >> 16) & 0x8000);
    const uint32_t magnitude = word & 0x7fffffff;
    if (magnitude > 0x7f800000) {
      bits = sign | 0x7e00;
    } else if (magnitude >= 0x477ff000) {  // rounds to 65536 or more
      bits = sign | 0x7c00;
    } else if (magnitude < 0x38800000) {  // subnormal: let the addition round
      const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
      bits = sign | static_cast<uint16_t>(std::bit_cast<uint32_t>(shifted) - 0x3f000000);
    } else {
      const uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
      bits = sign | static_cast<uint16_t>((rounded - 0x38000000) >> 13);
    }
  }
  operator float() const {
    const uint32_t sign = uint32_t{bits & 0x8000u} << 16;
    const uint32_t rest = bits & 0x7fffu;
    if (rest >= 0x7c00) return std::bit_cast<float>(sign | 0x7f800000 | (rest << 13));
    if (rest >= 0x0400) return std::bit_cast<float>(sign | ((rest << 13) + 0x38000000));
    const float magnitude = static_cast<float>(rest) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
};

struct Complex64 {
  float re = 0, im = 0;
};
struct Complex128 {
  double re = 0, im = 0;
};

#define BULSSI_CTYPE(tag, type, ...) \
  constexpr DType dtype_tag(const type*) { return DType::tag; }
BULSSI_DTYPES(BULSSI_CTYPE)
#undef BULSSI_CTYPE
template <class T>
inline constexpr DType dtype_of = dtype_tag(static_cast<const T*>(nullptr));

struct DTypeInfo {
  int itemsize;
  const char *name, *legacy, *c, *source;
};
#define BULSSI_DTYPE_INFO(tag, type, ...) {int(sizeof(type)), __VA_ARGS__},
inline constexpr DTypeInfo dtype_infos[] = {BULSSI_DTYPES(BULSSI_DTYPE_INFO)};
#undef BULSSI_DTYPE_INFO
inline constexpr const DTypeInfo& info_of(DType dtype) { return dtype_infos[static_cast<int>(dtype)]; }

inline constexpr int itemsize(DType dtype) { return info_of(dtype).itemsize; }
inline constexpr const char* dtype_name(DType dtype) { return info_of(dtype).name; }
inline constexpr const char* legacy_name(DType dtype) {
  // The test spares GCC 12 a false warning.
  return static_cast<unsigned>(dtype) < dtype_count ? info_of(dtype).legacy : "none";
}
inline constexpr const char* c_name(DType dtype) { return info_of(dtype).c; }
inline constexpr const char* source_name(DType dtype) { return info_of(dtype).source; }
inline void append(std::string& text, DType dtype) { text += dtype_name(dtype); }

inline constexpr bool is_complex(DType d) { return d == DType::c64 || d == DType::c128; }
inline constexpr bool is_floating(DType d) {
  return d == DType::f16 || d == DType::bf16 || d == DType::f32 || d == DType::f64;
}
inline constexpr bool is_half(DType d) { return d == DType::f16 || d == DType::bf16; }
inline constexpr bool is_integral(DType d) { return d <= DType::i64; }  // without bool
inline constexpr bool is_differentiable(DType d) { return is_floating(d) || is_complex(d); }
inline constexpr bool is_signed(DType d) { return d != DType::u8 && d != DType::boolean; }

// The largest number of a floating type.
inline constexpr double largest(DType d) {
  return d == DType::f64    ? std::numeric_limits<double>::max()
         : d == DType::f16  ? 65504.0
         : d == DType::bf16 ? 0x1.fep127
                            : double(std::numeric_limits<float>::max());
}

// 0 bool, 1 integer, 2 floating, 3 complex: promotion never leaves the highest category present.
inline constexpr int category(DType d) { return d == DType::boolean ? 0 : is_integral(d) ? 1 : is_floating(d) ? 2 : 3; }
// The smallest type that holds both (PyTorch's lattice).
inline constexpr DType promote(DType a, DType b) {
  if (a == b) return a;
  const int ca = category(a), cb = category(b);
  if (ca == 3 || cb == 3) {
    return a == DType::c128 || b == DType::c128 || a == DType::f64 || b == DType::f64 ? DType::c128 : DType::c64;
  }
  if (ca != cb) return ca > cb ? a : b;
  if (ca == 2) {
    if (a == DType::f64 || b == DType::f64) return DType::f64;
    return DType::f32;  // f16 with bf16 too
  }
  if (a == DType::u8) return b == DType::i8 ? DType::i16 : b;
  if (b == DType::u8) return a == DType::i8 ? DType::i16 : a;
  return a > b ? a : b;
}

[[noreturn, gnu::cold, gnu::noinline]] inline void refuse_dtype(const char* op, DType dtype) {
  fail(ErrorKind::not_implemented, "\"", op, "\" not implemented for '", legacy_name(dtype), "'");
}
// Calls f.operator()<T>() with the C++ type of dtype. Complex storage exists, complex arithmetic does not yet.
template <class F>
decltype(auto) dispatch(DType dtype, const char* op, F&& f) {
  switch (dtype) {
    case DType::u8: return f.template operator()<uint8_t>();
    case DType::i8: return f.template operator()<int8_t>();
    case DType::i16: return f.template operator()<int16_t>();
    case DType::i32: return f.template operator()<int32_t>();
    case DType::i64: return f.template operator()<int64_t>();
    case DType::f16: return f.template operator()<Half>();
    case DType::bf16: return f.template operator()<BFloat16>();
    case DType::f32: return f.template operator()<float>();
    case DType::f64: return f.template operator()<double>();
    case DType::boolean: return f.template operator()<bool>();
    default: refuse_dtype(op, dtype);
  }
}
// Moves bytes only: one instance per item size.
template <class F>
decltype(auto) dispatch_size(int size, F&& f) {
  switch (size) {
    case 1: return f.template operator()<uint8_t>();
    case 2: return f.template operator()<uint16_t>();
    case 4: return f.template operator()<uint32_t>();
    case 8: return f.template operator()<uint64_t>();
    default: return f.template operator()<Complex128>();
  }
}

// The type in which sums and products of T are formed.
template <class T>
using Accumulate = std::conditional_t<std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>, float,
                                      std::conditional_t<std::is_integral_v<T>, int64_t, T>>;

// C++ leaves out-of-range float -> integer conversions undefined; here they are as x86 converts:
// to 32 bits (for uint8 as PyTorch to 64), where what does not fit becomes the least number, and then cut off.
template <class To, class From>
inline To convert(From value) {
  if constexpr (std::is_same_v<To, bool>) {
    if constexpr (std::is_same_v<From, Half> || std::is_same_v<From, BFloat16>)
      return float(value) != 0;
    else
      return value != From(0);
  } else if constexpr (std::is_same_v<From, Half> || std::is_same_v<From, BFloat16>) {
    return convert<To>(static_cast<float>(value));
  } else if constexpr (std::is_same_v<To, Half> || std::is_same_v<To, BFloat16>) {
    return To(static_cast<float>(value));
  } else if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    using Wide = std::conditional_t<sizeof(To) == 8 || std::is_same_v<To, uint8_t>, int64_t, int32_t>;
    constexpr Wide least = std::numeric_limits<Wide>::min();
    return static_cast<To>(value >= From(least) && value < -From(least) ? static_cast<Wide>(value) : least);
  } else {
    return static_cast<To>(value);
  }
}

// A Python number: bool, int or float (complex keeps its place).
struct Scalar {
  enum class Kind : uint8_t { boolean, integer, floating, complex };
  Kind kind = Kind::integer;
  union {
    int64_t i;
    double d;
  };
  double imag = 0;
  Scalar() : i(0) {}
  Scalar(bool value) : kind(Kind::boolean), i(value) {}
  Scalar(int value) : kind(Kind::integer), i(value) {}
  Scalar(int64_t value) : kind(Kind::integer), i(value) {}
  Scalar(double value) : kind(Kind::floating), d(value) {}
  bool integral() const { return kind <= Kind::integer; }
  double as_double() const { return integral() ? static_cast<double>(i) : d; }
  int64_t as_int() const { return integral() ? i : convert<int64_t>(d); }
  template <class T>
  T as() const {
    return integral() ? convert<T>(i) : convert<T>(d);
  }
  DType dtype() const {
    return kind == Kind::boolean    ? DType::boolean
           : kind == Kind::integer  ? DType::i64
           : kind == Kind::floating ? DType::f64
                                    : DType::c128;
  }
};
inline void append(std::string& text, const Scalar& s) {
  if (s.kind == Scalar::Kind::boolean)
    append(text, s.i != 0);
  else if (s.kind == Scalar::Kind::integer)
    append(text, s.i);
  else
    append(text, s.d);
}

}  // namespace bulssi

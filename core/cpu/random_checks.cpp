// Checks of the arguments of random functions. The first line of a message is PyTorch's.

#include <algorithm>
#include <bit>
#include <cmath>

#include "random.h"
#include "random_elements.h"

namespace bulssi::rng {
namespace {

Refusal error(std::string text) { return {Refusal::runtime_error, std::move(text)}; }
Refusal unsupported(const char* kernel, DType type) {
  return {Refusal::not_implemented, std::string("\"") + kernel + "\" not implemented for '" + legacy_name(type) + "'"};
}

// PyTorch makes the bounds of a floating random_ ones that the dtype can hold, moving them inwards. The arithmetic
// wraps at the ends of int64 as the machine's does.
template <class T>
int64_t stored(int64_t x) {
  return convert<int64_t>(static_cast<double>(convert<T>(x)));
}
int64_t plus(int64_t a, uint64_t b) { return static_cast<int64_t>(static_cast<uint64_t>(a) + b); }
// The distance of neighbours of x in a dtype of `precision` bits.
uint64_t spacing(int64_t x, int precision) {
  uint64_t magnitude = x < 0 ? 0 - static_cast<uint64_t>(x) : static_cast<uint64_t>(x);
  return uint64_t{1} << std::max(0, static_cast<int>(std::bit_width(magnitude)) - precision);
}
template <class T>
int64_t raised_from(int64_t from) {
  int64_t next = stored<T>(plus(from, 1));
  return next < from ? plus(next, spacing(plus(from, 1), digits<T>)) : from;
}
template <class T>
int64_t lowered_to(int64_t to) {
  int64_t last = stored<T>(plus(to, ~uint64_t{0}));
  return last >= to ? plus(last, 0 - spacing(plus(to, ~uint64_t{0}), digits<T>)) : to;
}

// Whether x is within the dtype; adds to `warning` where it is, but beyond the integers that it holds exactly.
bool in_bounds(DType type, const char* what, int64_t x, std::string& warning) {
  bool inside = true;
  dispatch(type, "random", [&]<class T>() {
    if constexpr (is_floating(dtype_of<T>)) {
      double value = static_cast<double>(x);
      inside = std::abs(value) <= largest(type);
      int64_t exact = int64_t{1} << digits<T>;
      if (!inside || (x >= -exact && x <= exact)) return;
      std::string power = std::to_string(digits<T>);
      if (!warning.empty()) warning += '\n';
      warning += std::string(what) + " is out of bounds [-(2^" + power + "), 2^" + power +
                 "]. Due to precision limitations " + c_name(type) +
                 " can support discrete uniform distribution only within this range.";
    } else {
      inside = x >= static_cast<int64_t>(std::numeric_limits<T>::min()) &&
               x <= static_cast<int64_t>(std::numeric_limits<T>::max());
    }
  });
  return inside;
}

Refusal out_of_bounds(DType type, const char* what, int64_t x) {
  return error(std::string(what) + " is out of bounds for " + c_name(type) + "\nrandom_: " + what + " is " +
               std::to_string(x) + "; choose bounds that the dtype can hold, or another dtype.");
}

}  // namespace

Refusal check_uniform(DType type, double from, double to) {
  if (!is_floating(type)) return unsupported("check_uniform_bounds", type);
  const double most = largest(type);
  for (auto [what, x] : {std::pair{"from", from}, std::pair{"to", to}})
    if (!(x >= -most && x <= most))
      return error(std::string(what) + " is out of bounds for " + c_name(type) + "\nuniform_: " + what + " is " +
                   number(x) + ", the dtype's range is +-" + number(most) + ".");
  if (!(from <= to))
    return error("uniform_ expects to return a [from, to) range, but found from=" + number(from) +
                 " > to=" + number(to));
  if (to - from > most)
    return error(std::string("uniform_ expects to-from <= std::numeric_limits<") + legacy_name(type) +
                 ">::max(), but found to=" + number(to) + " and from=" + number(from) +
                 " which result in to-from to exceed the limit");
  return {};
}

Refusal check_normal(DType type, double std) {
  if (!(std >= 0)) return error("normal expects std >= 0.0, but found std " + number(std));
  if (!is_floating(type)) return unsupported("normal_kernel_cpu", type);
  return {};
}

Refusal check_range(DType type, int64_t from, std::optional<int64_t> to, IntegerRange& out) {
  out = {};
  if (!to && from == std::numeric_limits<int64_t>::min()) {
    if (type == DType::f16 || type == DType::boolean) return unsupported("random_full_64_bits_range_kernel_cpu", type);
    if (!is_floating(type) && type != DType::i64)
      return error("random_full_64_bits_range_kernel_cpu handles only int64, double, float and bfloat16");
    out.full = true;
    return {};
  }
  if (to && from >= *to)
    return error("random_ expects 'from' to be less than 'to', but got from=" + std::to_string(from) +
                 " >= to=" + std::to_string(*to));
  int64_t last = 0;
  dispatch(type, "random", [&]<class T>() {
    if constexpr (is_floating(dtype_of<T>)) {
      from = raised_from<T>(from);
      last = to ? lowered_to<T>(*to) - 1 : int64_t{1} << digits<T>;
    } else {
      last = to ? *to - 1 : static_cast<int64_t>(std::numeric_limits<T>::max());
    }
  });
  if (to && from > last)
    return error("random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, but got from=" +
                 std::to_string(from) + " >= to=" + std::to_string(plus(last, 1)));
  if (!to && is_floating(type) && from >= last)
    return error(
        "random_ expects 'from' casted to dtype to be less than or equal to 'to_inc' casted to dtype, but got from=" +
        std::to_string(from) + " > to_inc=" + std::to_string(last));
  const char* end = "to - 1";
  if (!in_bounds(type, "from", from, out.warning)) return out_of_bounds(type, "from", from);
  if (!in_bounds(type, end, last, out.warning)) return out_of_bounds(type, end, last);
  out.base = from;
  out.range = static_cast<uint64_t>(last) - static_cast<uint64_t>(from) + 1;
  return {};
}

Refusal check_permutation(DType type, int64_t n) {
  if (n < 0) return error("n must be non-negative, got" + std::to_string(n));
  if (type == DType::boolean) return unsupported("randperm", type);
  Refusal refusal;
  dispatch(type, "random", [&]<class T>() {
    if constexpr (is_floating(dtype_of<T>)) {
      int64_t most = (int64_t{1} << digits<T>)+1;
      if (n > most && !std::is_same_v<T, BFloat16>)  // PyTorch lets bfloat16 pass, and repeats values
        refusal = error("n cannot be greater than " + std::to_string(most) + " for " + legacy_name(type) + " type.");
    } else if (n > 0 && n - 1 > static_cast<int64_t>(std::numeric_limits<T>::max())) {
      const std::string sized = (std::is_signed_v<T> ? "int" : "uint") + std::to_string(8 * sizeof(T)) + "_t";
      refusal = error("value cannot be converted to type " + (sizeof(T) < 4 ? sized : std::string("int")) +
                      " without overflow\nrandperm: n = " + std::to_string(n) + " numbers do not fit the dtype.");
    }
  });
  return refusal;
}

Refusal check_bernoulli(double p) {
  if (p >= 0 && p <= 1) return {};
  return error("bernoulli_ expects p to be in [0, 1], but got p=" + number(p));
}

Refusal check_exponential(DType type, double lambda) {
  if (!(lambda > 0)) return error("exponential_ expects lambda > 0.0, but found lambda=" + number(lambda));
  if (!is_floating(type))
    return error(std::string("Exponential distribution is a continuous probability distribution. dtype must be a "
                             "floating point but you specified ") +
                 legacy_name(type));
  return {};
}

Refusal check_cauchy(DType type, double sigma) {
  if (!(sigma > 0)) return error("cauchy_ expects sigma > 0.0, but found sigma=" + number(sigma));
  if (!is_floating(type))
    return error(std::string("Cauchy distribution is a continuous probability distribution. dtype must be a floating "
                             "point but you specified ") +
                 c_name(type));
  return {};
}

Refusal check_log_normal(DType type, double std) {
  if (!(std > 0)) return error("log_normal_ expects std > 0.0, but found std=" + number(std));
  if (!is_floating(type)) return unsupported("log_normal_cpu", type);
  return {};
}

Refusal check_geometric(DType type, double p) {
  if (!(p > 0 && p < 1)) return error("geometric_ expects p to be in (0, 1), but got p=" + number(p));
  if (type == DType::boolean) return unsupported("geometric_cpu", type);
  return {};
}

}  // namespace bulssi::rng

// Index lists: triangles, combinations and products.
#include <algorithm>
#include <limits>
#include <optional>

#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/op/registry.h"
#include "core/ops/basics.h"
#include "core/ops/index.h"

namespace bulssi {

namespace {

// The positions (row, column) of a row x col matrix with column - row <= offset (lower) or >= offset, row by row.
Tensor triangle(int64_t rows, int64_t columns, int64_t offset, bool lower, std::optional<DType> dtype) {
  check(rows >= 0, "row must be non-negative, got", rows);
  check(columns >= 0, "col must be non-negative, got", columns);
  const DType type = dtype.value_or(DType::i64);
  if (!is_integral(type)) {
    fail(ErrorKind::not_implemented, "\"", lower ? "tril_indices" : "triu_indices", "\" not implemented for '",
         legacy_name(type), "'");
  }
  // Row r has columns below clamp(r + edge, 0, columns) in it (lower), or all but those.
  constexpr int64_t most = int64_t{1} << 61;  // so that what follows fits 127 bits
  check(rows <= most && columns <= most, "a matrix of ", rows, " rows and ", columns, " columns is too large");
  using Wide = __int128;
  const Wide edge = Wide(std::clamp(offset, -rows - 1, columns)) + (lower ? 1 : 0);
  const Wide none = std::clamp<Wide>(-edge, 0, rows);               // rows before the edge comes in
  const Wide whole = std::clamp<Wide>(columns - edge, none, rows);  // from here on it is beyond the last column
  const Wide below = (whole - none) * (whole + none - 1 + 2 * edge) / 2 + (rows - whole) * columns;
  const Wide all = lower ? below : Wide(rows) * columns - below;
  check(all <= std::numeric_limits<int64_t>::max() / 16, lower ? "tril" : "triu", "_indices: a matrix of ", rows,
        " rows and ", columns, " columns has more positions there than can be counted");
  const int64_t n = static_cast<int64_t>(all);
  Tensor out = empty(Dims{2, n}, DType::i64);
  int64_t *row = out.data<int64_t>(), *column = row + n;
  int64_t* const last = column;
  for (int64_t r = lower ? static_cast<int64_t>(none) : 0; row < last; ++r) {
    const int64_t at = static_cast<int64_t>(std::clamp<Wide>(r + edge, 0, columns));
    for (int64_t c = lower ? 0 : at; c < (lower ? at : columns); ++c) *row++ = r, *column++ = c;
    if ((r & 0xffff) == 0) check_interrupt();
  }
  return cast_data(out, type);
}

// n over k, or nothing when it is beyond 63 bits.
std::optional<int64_t> binomial(int64_t n, int64_t k) {
  if (k > n) return 0;
  k = std::min(k, n - k);
  __int128 all = 1;
  for (int64_t i = 1; i <= k; ++i) {
    all = all * (n - k + i) / i;
    if (all > std::numeric_limits<int64_t>::max()) return std::nullopt;
  }
  return static_cast<int64_t>(all);
}

// All choices of r of n positions, in order; there are `count`.
void fill_combinations(int64_t* to, int64_t count, int64_t n, int64_t r, bool with_replacement) {
  std::vector<int64_t> chosen(count ? static_cast<size_t>(r) : 0);
  for (size_t k = 0; k < chosen.size(); ++k) chosen[k] = with_replacement ? 0 : static_cast<int64_t>(k);
  const Unlocked unlocked(count * r);
  for (int64_t i = 0; i < count; ++i) {
    if ((i & 0xfffff) == 0) between_ranges();
    to = std::copy(chosen.begin(), chosen.end(), to);
    int64_t k = r - 1;  // the last place that can still move on
    while (k >= 0 && chosen[size_t(k)] == (with_replacement ? n - 1 : n - r + k)) --k;
    if (k < 0) break;
    ++chosen[size_t(k)];
    for (int64_t j = k + 1; j < r; ++j) chosen[size_t(j)] = chosen[size_t(j - 1)] + (with_replacement ? 0 : 1);
  }
}

Tensor combinations(const Tensor& self, int64_t r, bool with_replacement) {
  check(self.dims() == 1, "Expect a 1D vector, but got shape ", Ints(self.shape()));
  check(r >= 0, "Expect a non-negative number, but got ", r);
  if (r == 0) return empty(Dims{0}, self.dtype());
  const int64_t n = self.numel();
  int64_t pool = n;
  std::optional<int64_t> count = 0;
  if (n > 0 && (with_replacement || r <= n)) {
    if (!with_replacement)
      count = binomial(n, r);
    else
      count = __builtin_add_overflow(n - 1, r, &pool) ? std::nullopt : binomial(pool, r);
  }
  check(count.has_value(), "combinations: ", r, " of ", n, " elements are more combinations than can be counted");
  const Dims shape{*count, r};
  Tensor index = empty(shape, DType::i64);  // what cannot be had fails here, at once
  fill_combinations(index.data<int64_t>(), *count, n, r, with_replacement);
  std::vector<Tensor> columns;
  for (int64_t k = 0; k < r; ++k) {
    columns.push_back(index_select(self, 0, select_index(index, 1, k)));
    show_as(columns.back(), "MaskedSelectBackward0", Tensors(&self, 1));  // which is how PyTorch picks them
  }
  return stack(columns, 1);
}

Tensor cartesian_prod(Tensors tensors) {
  check(!tensors.empty(), "cartesian_prod expects at least one tensor");
  for (const Tensor& t : tensors) check(t.dims() == 1, "Expect a 1D vector, but got shape ", Ints(t.shape()));
  if (tensors.size() == 1) return tensors[0];
  Dims wide;
  for (const Tensor& t : tensors) {
    check(t.dtype() == tensors[0].dtype(), "meshgrid expects all tensors to have the same dtype");
    wide.push_back(t.numel());
  }
  std::vector<Tensor> columns;
  for (size_t k = 0; k < tensors.size(); ++k) {
    Dims alone(tensors.size(), 1);
    alone[k] = wide[k];
    columns.push_back(reshape(expand(reshape(tensors[k], alone), wide), Dims{numel_of(wide)}));
  }
  return stack(columns, 1);
}

}  // namespace

#define OPTIONS "ScalarType? dtype=None, Layout? layout=None, Device? device=None, bool? pin_memory=None"
OPERATION("tril_indices(int row, int col, int offset=0, *, " OPTIONS ") -> Tensor",
          (+[](int64_t row, int64_t col, int64_t offset, std::optional<DType> dtype, MemoryFormat,
               std::optional<Device>, std::optional<bool>) { return triangle(row, col, offset, true, dtype); }),
          "Rows and columns, [2, n], of the lower triangle of a row x col matrix, row by row.",
          {.method = false, .differentiable = false})
OPERATION("triu_indices(int row, int col, int offset=0, *, " OPTIONS ") -> Tensor",
          (+[](int64_t row, int64_t col, int64_t offset, std::optional<DType> dtype, MemoryFormat,
               std::optional<Device>, std::optional<bool>) { return triangle(row, col, offset, false, dtype); }),
          "Rows and columns, [2, n], of the upper triangle of a row x col matrix, row by row.",
          {.method = false, .differentiable = false})
#undef OPTIONS
OPERATION("combinations(Tensor self, int r=2, bool with_replacement=False) -> Tensor", combinations,
          "All combinations of r elements of a vector, [n, r], in order.", {.method = false})
OPERATION("cartesian_prod(Tensor[] tensors) -> Tensor", cartesian_prod,
          "All tuples with one element of each vector, [n, len(tensors)].", {.method = false, .variadic = true})

}  // namespace bulssi

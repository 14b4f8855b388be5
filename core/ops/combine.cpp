// Index lists: triangles, combinations and products.
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
  auto first = [&](int64_t r) { return lower ? 0 : std::clamp<int64_t>(r + offset, 0, columns); };
  auto end = [&](int64_t r) { return lower ? std::clamp<int64_t>(r + offset + 1, 0, columns) : columns; };
  int64_t n = 0;
  for (int64_t r = 0; r < rows; ++r) n += end(r) - first(r);
  Tensor out = empty(Dims{2, n}, DType::i64);
  int64_t *row = out.data<int64_t>(), *column = row + n;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = first(r); c < end(r); ++c) *row++ = r, *column++ = c;
  }
  return cast_data(out, type);
}

Tensor combinations(const Tensor& self, int64_t r, bool with_replacement) {
  check(self.dims() == 1, "Expect a 1D vector, but got shape ", Ints(self.shape()));
  check(r >= 0, "Expect a non-negative number, but got ", r);
  if (r == 0) return empty(Dims{0}, self.dtype());
  const int64_t n = self.numel();
  std::vector<int64_t> chosen(static_cast<size_t>(r)), all;
  for (int64_t k = 0; k < r; ++k) chosen[size_t(k)] = with_replacement ? 0 : k;
  bool more = n > 0 && (with_replacement || r <= n);
  while (more) {
    all.insert(all.end(), chosen.begin(), chosen.end());
    int64_t k = r - 1;  // the last place that can still move on
    while (k >= 0 && chosen[size_t(k)] == (with_replacement ? n - 1 : n - r + k)) --k;
    more = k >= 0;
    if (!more) break;
    ++chosen[size_t(k)];
    for (int64_t j = k + 1; j < r; ++j) chosen[size_t(j)] = chosen[size_t(j - 1)] + (with_replacement ? 0 : 1);
  }
  Tensor index = empty(Dims{static_cast<int64_t>(all.size())}, DType::i64);
  std::copy(all.begin(), all.end(), index.data<int64_t>());
  return reshape(index_select(self, 0, index), Dims{static_cast<int64_t>(all.size()) / r, r});
}

Tensor cartesian_prod(Tensors tensors) {
  check(!tensors.empty(), "cartesian_prod expects at least one tensor");
  for (const Tensor& t : tensors) check(t.dims() == 1, "Expect a 1D vector, but got shape ", Ints(t.shape()));
  if (tensors.size() == 1) return tensors[0];
  Dims wide;
  for (const Tensor& t : tensors) wide.push_back(t.numel());
  std::vector<Tensor> columns;
  for (size_t k = 0; k < tensors.size(); ++k) {
    Dims alone(tensors.size(), 1);
    alone[k] = wide[k];
    columns.push_back(reshape(expand(reshape(tensors[k], alone), wide), Dims{numel_of(wide), 1}));
  }
  return cat(columns, 1);
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

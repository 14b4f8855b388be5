// Contractions of tensors along named or numbered dimensions: einsum, tensordot, and chains of products.
#include <limits>
#include <vector>

#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/ops/basics.h"
#include "core/ops/linalg.h"
#include "core/ops/matmul.h"

namespace bulssi {

namespace {

constexpr int kLetters = 52;  // A-Z, then a-z, as the result's order is when it is not given
int letter(char c) { return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? 26 + c - 'a' : -1; }
char letter_name(int i) { return static_cast<char>(i < 26 ? 'A' + i : 'a' + i - 26); }

constexpr int kEllipsis = -1;
using Labels = Small<int, 8>;  // letters, or kEllipsis

// The labels of every operand, and of the result if the equation names them.
struct Equation {
  std::vector<Labels> operands;
  Labels result;
  bool has_result = false;

  explicit Equation(std::string_view text) {
    const size_t arrow = text.find("->");
    has_result = arrow != std::string_view::npos;
    operands.emplace_back();
    for (size_t i = 0; i < (has_result ? arrow : text.size()); ++i) {
      if (text[i] == ',')
        operands.emplace_back();
      else
        take(text, i, operands.back(), str("operand ", operands.size() - 1), "for which an ellipsis was already found");
    }
    for (size_t i = has_result ? arrow + 2 : text.size(); i < text.size(); ++i) {
      take(text, i, result, "output", "but an ellipsis (...) was already found");
    }
  }
  static void take(std::string_view text, size_t& i, Labels& labels, const std::string& whose, const char* again) {
    if (text[i] == ' ') return;
    if (text[i] == '.') {
      const bool before = std::find(labels.begin(), labels.end(), kEllipsis) != labels.end();
      check(!before, "einsum(): found '.' for ", whose, " ", again);
      check(text.substr(i, 3) == "...", "einsum(): found '.' for ", whose, " that is not part of any ellipsis",
            whose == "output" ? " (...)" : "");
      i += 2;
      labels.push_back(kEllipsis);
      return;
    }
    const int l = letter(text[i]);
    check(l >= 0, "einsum(): invalid subscript given at index ", i,
          " in the equation string, subscripts must be in "
          "[a-zA-Z]\nThe equation is '",
          text, "'.");
    labels.push_back(l);
  }
};

// Where every label stands in the operands' common order of dimensions: those of the result, then those summed over.
struct Plan {
  int ellipsis = 0;     // dimensions that "..." stands for
  int place[kLetters];  // of a letter, or -1
  int ellipsis_place = 0;
  int result_dims = 0, dims = 0;
};

int count_ellipsis(const Labels& labels, const Tensor& t, size_t i) {
  const int named = static_cast<int>(labels.size());
  const bool any = std::find(labels.begin(), labels.end(), kEllipsis) != labels.end();
  if (any) {
    check(t.dims() >= named - 1, "einsum(): the number of subscripts in the equation (", named - 1,
          ") is more than the number of dimensions (", t.dims(), ") for operand ", i);
    return t.dims() - (named - 1);
  }
  check(
      t.dims() == named, "einsum(): the number of subscripts in the equation (", named,
      named > t.dims() ? ") does not match the number of dimensions (" : ") does not match the number of dimensions (",
      t.dims(), ") for operand ", i, " and no ellipsis was given");
  return 0;
}

Plan plan_of(const Equation& e, Tensors operands) {
  Plan p;
  int uses[kLetters] = {};
  for (size_t i = 0; i < operands.size(); ++i) {
    p.ellipsis = std::max(p.ellipsis, count_ellipsis(e.operands[i], operands[i], i));
    for (int l : e.operands[i]) {
      if (l != kEllipsis) ++uses[l];
    }
  }
  std::fill(p.place, p.place + kLetters, -1);
  bool ellipsis_kept = false;
  if (e.has_result) {
    for (int l : e.result) {
      if (l == kEllipsis) {
        p.ellipsis_place = p.dims;
        p.dims += p.ellipsis;
        ellipsis_kept = true;
        continue;
      }
      check(p.place[l] < 0, "einsum(): output subscript ", letter_name(l), " appears more than once in the output");
      check(uses[l] > 0, "einsum(): output subscript ", letter_name(l),
            " does not appear in the equation for any input operand");
      p.place[l] = p.dims++;
    }
  } else {
    p.dims = p.ellipsis;
    ellipsis_kept = true;
    for (int l = 0; l < kLetters; ++l) {
      if (uses[l] == 1) p.place[l] = p.dims++;
    }
  }
  p.result_dims = p.dims;
  if (!ellipsis_kept) {
    p.ellipsis_place = p.dims;
    p.dims += p.ellipsis;
  }
  for (int l = 0; l < kLetters; ++l) {
    if (uses[l] > 0 && p.place[l] < 0) p.place[l] = p.dims++;
  }
  return p;
}

// One operand with its dimensions in the plan's order; a letter used twice takes the diagonal, one not used has size 1.
Tensor arranged(const Tensor& t, const Labels& labels, const Plan& p, size_t index) {
  Dims from(p.dims, -1);
  Tensor x = t;
  int dim = 0;
  const int ellipsis = t.dims() - static_cast<int>(labels.size()) + 1;
  for (int l : labels) {
    if (l == kEllipsis) {
      for (int k = 0; k < ellipsis; ++k) from[p.ellipsis_place + p.ellipsis - ellipsis + k] = dim++;
      continue;
    }
    int64_t& at = from[p.place[l]];
    if (at < 0) {
      at = dim++;
      continue;
    }
    check(x.shape()[at] == x.shape()[dim], "einsum(): subscript ", letter_name(l), " is repeated for operand ", index,
          " but the sizes don't match, ", x.shape()[dim], " != ", x.shape()[at]);
    Layout diagonal = x.layout();
    diagonal.strides[at] += diagonal.strides[dim];
    diagonal.shape.erase(dim);
    diagonal.strides.erase(dim);
    const Tensor whole = x;
    x = make_view("DiagonalBackward0", whole, diagonal, [shape = whole.shape(), at = int(at), dim](const Tensor& g) {
      const Layout base = Layout::of(shape);
      Layout view = base;
      view.strides[at] += view.strides[dim];
      view.shape.erase(dim);
      view.strides.erase(dim);
      return as_strided_backward(g, base, view);
    });
  }
  Dims order;
  for (int64_t d : from) {
    if (d >= 0) order.push_back(d);
  }
  bool moves = false;
  for (size_t i = 0; i < order.size(); ++i) moves = moves || order[i] != int64_t(i);
  if (moves) x = permute(x, order);
  for (int i = 0; i < p.dims; ++i) {
    if (from[i] < 0) x = unsqueeze(x, i);
  }
  return x;
}

// The product of a and b, summed over `summed` (dimensions that keep size 1): one batch of matrix products. Dimensions
// are those of the batch (in both, kept), of a alone, of b alone, and summed ones.
Tensor contract(const Tensor& a0, const Tensor& b0, const Small<bool, 16>& summed) {
  Tensor a = a0, b = b0;
  const int n = a.dims();
  Dims both, left, right, inner;
  int64_t sizes[4] = {1, 1, 1, 1};
  for (int i = 0; i < n; ++i) {
    const int64_t x = a.shape()[i], y = b.shape()[i];
    if (summed[i]) {
      const int64_t one[] = {i};
      if (x != 1 && y != 1)
        inner.push_back(i), sizes[3] *= x;
      else if (x != 1)
        a = sum(a, Ints(one), true, std::nullopt), both.push_back(i);
      else if (y != 1)
        b = sum(b, Ints(one), true, std::nullopt), both.push_back(i);
      else
        both.push_back(i);
    } else if (x != 1 && y != 1) {
      both.push_back(i), sizes[0] *= x;
    } else if (y == 1) {
      left.push_back(i), sizes[1] *= x;
    } else {
      right.push_back(i), sizes[2] *= y;
    }
  }
  if (inner.empty()) return a * b;
  const auto together = [](std::initializer_list<const Dims*> lists) {
    Dims all;
    for (const Dims* l : lists) all.append(l->begin(), l->end());
    return all;
  };
  const Dims a_order = together({&both, &left, &inner, &right}), b_order = together({&both, &inner, &right, &left});
  const Dims out_order = together({&both, &left, &inner, &right});
  Dims shape, back(n, 0);
  for (int64_t d : out_order)
    shape.push_back(summed[d] ? 1 : std::max(a.shape()[d] == 1 ? b.shape()[d] : a.shape()[d], int64_t{0}));
  for (int i = 0; i < n; ++i) back[out_order[i]] = i;
  const int64_t x3[] = {sizes[0], sizes[1], sizes[3]}, y3[] = {sizes[0], sizes[3], sizes[2]};
  const Tensor x = reshape(permute(a, a_order), x3), y = reshape(permute(b, b_order), y3);
  return permute(reshape(bmm(x, y), shape), back);
}

Tensor einsum(std::string_view text, Tensors operands) {
  check(!operands.empty(), "einsum(): must provide at least one operand");
  const Equation e(text);
  check(e.operands.size() <= operands.size(), "einsum(): fewer operands were provided than specified in the equation");
  check(e.operands.size() >= operands.size(), "einsum(): more operands were provided than specified in the equation");
  const Plan p = plan_of(e, operands);
  std::vector<Tensor> list;
  Dims sizes(p.dims, 1);
  for (size_t i = 0; i < operands.size(); ++i) {
    list.push_back(arranged(operands[i], e.operands[i], p, i));
    for (int d = 0; d < p.dims; ++d) {
      const int64_t n = list[i].shape()[d];
      if (n == 1) continue;
      if (sizes[d] == 1) sizes[d] = n;
      int l = 0;
      while (l < kLetters && p.place[l] != d) ++l;
      check(sizes[d] == n, "einsum(): subscript ", l < kLetters ? std::string(1, letter_name(l)) : "...", " has size ",
            n, " for operand ", i, " which does not broadcast with previously seen size ", sizes[d]);
    }
  }
  Tensor out = list[0];
  for (size_t i = 1; i < list.size(); ++i) {
    Small<bool, 16> summed(p.dims, false);  // dimensions that no later operand has
    for (int d = p.result_dims; d < p.dims; ++d) {
      summed[d] = true;
      for (size_t k = i + 1; k < list.size(); ++k) summed[d] = summed[d] && list[k].shape()[d] == 1;
    }
    out = contract(out, list[i], summed);
  }
  Dims rest;
  for (int d = p.result_dims; d < p.dims; ++d) rest.push_back(d);
  if (rest.empty()) {
    if (!out.same(operands[0])) return out;
    Dims order;
    for (int d = 0; d < out.dims(); ++d) order.push_back(d);
    return permute(out, order);
  }
  if (list.size() == 1) return sum(out, Ints(rest), false, std::nullopt);
  bool left = false;
  for (int64_t d : rest) left = left || out.shape()[d] != 1;
  if (left) return sum(out, Ints(rest), false, std::nullopt);
  return reshape(out, Ints(out.shape().data(), size_t(p.result_dims)));
}
OPERATION("einsum(str equation, Tensor[] tensors) -> Tensor", einsum,
          "Sum of products of the operands' elements over all subscripts that the result does not name.",
          {.kind = OpKind::composite, .method = false, .module = "_VF", .autocast = Autocast::products})

// ---- tensordot ------------------------------------------------------------------------------------------------------

Tensor tensordot(const Tensor& self, const Tensor& other, Ints dims_self, Ints dims_other) {
  check(dims_self.size() == dims_other.size(), "both dimension lists should have same length");
  check(self.dtype() == other.dtype(), "both inputs should have same dtype");
  Small<bool, 8> used_a(self.dims(), false), used_b(other.dims(), false);
  Dims inner_a, inner_b;
  Tensor a = self, b = other;
  int64_t inner = 1;
  for (size_t i = 0; i < dims_self.size(); ++i) {
    const int x = wrap_dim(dims_self[i], self.dims(), false), y = wrap_dim(dims_other[i], other.dims(), false);
    check(!used_a[x] && !used_b[y], "dim ", used_a[x] ? x : y, " appears multiple times in the list of dims");
    used_a[x] = used_b[y] = true;
    inner_a.push_back(x);
    inner_b.push_back(y);
    const int64_t p = self.shape()[x], q = other.shape()[y];
    const int64_t one_a[] = {x}, one_b[] = {y};
    if (q == 1 && p != 1)
      a = sum(a, Ints(one_a), true, std::nullopt);
    else if (p == 1 && q != 1)
      b = sum(b, Ints(one_b), true, std::nullopt);
    else {
      check(p == q, "contracted dimensions need to match, but first has size ", p, " in dim ", dims_self[i],
            " and second has size ", q, " in dim ", dims_other[i]);
      inner *= p;
    }
  }
  Dims order_a, order_b(inner_b), shape;
  int64_t m = 1, n = 1;
  for (int i = 0; i < self.dims(); ++i) {
    if (!used_a[i]) order_a.push_back(i), shape.push_back(self.shape()[i]), m *= self.shape()[i];
  }
  order_a.append(inner_a.begin(), inner_a.end());
  for (int i = 0; i < other.dims(); ++i) {
    if (!used_b[i]) order_b.push_back(i), shape.push_back(other.shape()[i]), n *= other.shape()[i];
  }
  const int64_t x2[] = {m, inner}, y2[] = {inner, n};
  return reshape(mm(reshape(permute(a, order_a), x2), reshape(permute(b, order_b), y2)), shape);
}
OPERATION("contract(Tensor self, Tensor other, int[] dims_self, int[] dims_other) -> Tensor", tensordot,
          "Sum of products over pairs of dimensions of two tensors.",
          {.kind = OpKind::composite, .method = false, .out = true, .module = "_VF"})

// ---- chains ---------------------------------------------------------------------------------------------------------

// The order with the fewest multiplications (Cormen et al., Introduction to Algorithms, 15.2).
struct Chain {
  std::vector<Tensor> matrices;
  std::vector<size_t> split;
  explicit Chain(std::vector<Tensor> list) : matrices(std::move(list)) {
    const size_t n = matrices.size();
    split.assign(n * n, 0);
    std::vector<double> cost(n * n, 0);
    const auto size = [&](size_t i) { return double(i < n ? matrices[i].shape()[0] : matrices[n - 1].shape()[1]); };
    for (size_t length = 1; length < n; ++length) {
      for (size_t i = 0; i + length < n; ++i) {
        const size_t j = i + length;
        cost[i * n + j] = std::numeric_limits<double>::infinity();
        for (size_t k = i; k < j; ++k) {
          const double c = cost[i * n + k] + cost[(k + 1) * n + j] + size(i) * size(k + 1) * size(j + 1);
          if (c < cost[i * n + j]) cost[i * n + j] = c, split[i * n + j] = k;
        }
      }
    }
  }
  Tensor product(size_t i, size_t j) const {
    if (i == j) return matrices[i];
    const size_t k = split[i * matrices.size() + j];
    return mm(product(i, k), product(k + 1, j));
  }
};

Tensor multi_dot(Tensors tensors) {
  const size_t n = tensors.size();
  check(n >= 2, "multi_dot(): expected at least 2 tensors but got ", n);
  std::vector<Tensor> list(tensors.begin(), tensors.end());
  const bool row = list[0].dims() == 1, column = list[n - 1].dims() == 1;
  for (size_t i = 0; i < n; ++i) {
    const bool end = i == 0 || i + 1 == n;
    check(list[i].dims() == 2 || (end && list[i].dims() == 1), "multi_dot(): ",
          i == 0 ? std::string("the first tensor")
          : end  ? std::string("the last tensor")
                 : str("tensor ", i),
          end ? " must be 1D or 2D but got " : " must be 2D but got ", list[i].dims(), "D");
  }
  if (row) list[0] = unsqueeze(list[0], 0);
  if (column) list[n - 1] = unsqueeze(list[n - 1], 1);
  for (size_t i = 0; i + 1 < n; ++i) {
    check(list[i].dtype() == list[i + 1].dtype(),
          "multi_dot(): all tensors must have be the same dtype but tensor 0 is ", legacy_name(list[0].dtype()),
          " and tensor ", i + 1, " ", legacy_name(list[i + 1].dtype()));
    check(list[i].shape()[1] == list[i + 1].shape()[0], "multi_dot(): tensors ", i, " and ", i + 1, " with shapes ",
          Ints(list[i].shape()), " and ", Ints(list[i + 1].shape()), " cannot be multiplied");
  }
  Tensor out = Chain(list).product(0, n - 1);
  if (row) out = squeeze(out, 0);
  return column ? squeeze(out, -1) : out;
}
OPERATION("multi_dot(Tensor[] tensors) -> Tensor", multi_dot,
          "Product of two or more matrices, in the order that needs the fewest multiplications.",
          {.kind = OpKind::composite, .method = false, .out = true, .module = "linalg", .autocast = Autocast::lower})

Tensor matrix_power(const Tensor& self, int64_t n) {
  check(self.dims() >= 2, "linalg.matrix_power: The input tensor A must have at least 2 dimensions.");
  const int64_t rows = self.shape()[self.dims() - 2], cols = self.shape()[self.dims() - 1];
  check(rows == cols, "linalg.matrix_power: A must be batches of square matrices, but they are ", rows, " by ", cols,
        " matrices");
  if (n == 0) {
    Tensor one = zeros(self.shape(), self.dtype());
    Layout diagonal = one.layout();
    diagonal.strides[self.dims() - 2] += 1;
    diagonal.shape.pop_back();
    diagonal.strides.pop_back();
    fill_data(alias(one, diagonal), Scalar(1));
    return record("CopyBackwards", self, one, [](const Tensor& g) { return zeros_like(g); });
  }
  Tensor power, square = n < 0 ? inverse(self) : self;
  for (uint64_t rest = n < 0 ? 0 - static_cast<uint64_t>(n) : static_cast<uint64_t>(n);;
       square = matmul(square, square)) {
    if (rest & 1) power = power ? matmul(power, square) : square;
    if (!(rest >>= 1)) break;
  }
  return n == 1 ? clone(self) : power;
}
OPERATION("matrix_power(Tensor self, int n) -> Tensor", matrix_power,
          "Square matrices to a power; to a negative one by their inverses.",
          {.kind = OpKind::composite,
           .out = true,
           .aliases = "linalg.matrix_power",
           .out_dtype = Traits::Out::exact,
           .autocast = Autocast::lower})

// ---- products of shapes ---------------------------------------------------------------------------------------------

Tensor inner(const Tensor& self, const Tensor& other) {
  if (self.dims() == 0 || other.dims() == 0) return self * other;
  const int64_t a = self.shape().back(), b = other.shape().back();
  check(a == b, "inner() the last dimension must match on both input tensors but got shapes ", Ints(self.shape()),
        " and ", Ints(other.shape()));
  const int64_t last[] = {-1};
  return tensordot(self, other, last, last);
}
OPERATION("inner(Tensor self, Tensor other) -> Tensor", inner, "Sum of products over the last dimensions of both.",
          {.kind = OpKind::composite, .out = true, .out_dtype = Traits::Out::exact, .autocast = Autocast::lower})

// In another shape; no view, so that in-place operations record plainly.
static Tensor reshaped(const Tensor& t, const Dims& shape) {
  const Tensor from = t.layout().viewed(shape) ? t : contiguous(t);
  return record("UnsafeViewBackward0", from, alias(from, *from.layout().viewed(shape)),
                [before = t.shape()](const Tensor& g) { return reshape(g, before); });
}

Tensor kron(const Tensor& self, const Tensor& other) {
  const int n = std::max(self.dims(), other.dims());
  Dims a, b, shape;
  for (int i = 0; i < n; ++i) {
    const int x = i - (n - self.dims()), y = i - (n - other.dims());
    a.push_back(x < 0 ? 1 : self.shape()[x]);
    a.push_back(1);
    b.push_back(1);
    b.push_back(y < 0 ? 1 : other.shape()[y]);
    shape.push_back(a[2 * i] * b[2 * i + 1]);
  }
  return reshaped(reshaped(self, a) * reshaped(other, b), shape);
}
OPERATION("kron(Tensor self, Tensor other) -> Tensor", kron,
          "Kronecker product: every element of self times the whole of other.",
          {.kind = OpKind::composite, .out = true})

Tensor trace(const Tensor& self) {
  check(self.dims() == 2, "trace: expected a matrix, but got tensor with dim ", self.dims());
  const int64_t n = std::min(self.shape()[0], self.shape()[1]);
  Tensor diagonal = alias(self, Layout{Dims{n}, Dims{self.strides()[0] + self.strides()[1]}, self.layout().offset});
  Tensor out;
  {
    const GradMode off(false);
    out = sum(diagonal, std::nullopt, false, std::nullopt);
  }
  return record("TraceBackward0", self, std::move(out), [shape = self.shape(), n](const Tensor& g) {
    const Layout whole = Layout::of(shape);
    return as_strided_backward(expand(g, Ints(&n, 1)), whole, Layout{Dims{n}, Dims{whole.strides[0] + 1}, 0});
  });
}
OPERATION("trace(Tensor self) -> Tensor", trace, "Sum of a matrix's diagonal.", {.autocast = Autocast::float32})

Tensor linalg_cross(const Tensor& self, const Tensor& other, int64_t dim) {
  check(self.dims() == other.dims(), "linalg.cross: inputs must have the same number of dimensions.");
  check(self.dtype() != DType::boolean, ErrorKind::not_implemented, "\"cross\" not implemented for 'Bool'");
  check(self.dtype() == other.dtype(), "expected scalar type ", legacy_name(self.dtype()), " but found ",
        legacy_name(other.dtype()));
  const int d = wrap_dim(dim, self.dims(), false);
  check(self.shape()[d] == 3 && other.shape()[d] == 3, "linalg.cross: inputs dimension ", dim,
        " must have length 3. Got ", self.shape()[d], " and ", other.shape()[d]);
  const Dims shape = broadcast_shapes(self.shape(), other.shape());
  const Tensor a = expand(self, shape), b = expand(other, shape);
  // Rows 1, 2, 0 and 2, 0, 1: a view of each cannot show them, so the three components are made one by one.
  Tensor parts[3];
  for (int i = 0; i < 3; ++i) {
    const int j = (i + 1) % 3, k = (i + 2) % 3;
    parts[i] = select_index(a, d, j) * select_index(b, d, k) - select_index(a, d, k) * select_index(b, d, j);
  }
  Tensor out = empty(shape, parts[0].dtype());
  for (int i = 0; i < 3; ++i) copy_data(alias(out, out.layout().selected(d, i)), parts[i]);
  return record("LinalgCrossBackward0", {&parts[0], &parts[1], &parts[2]}, std::move(out), [d](BackwardCall& c) {
    for (int i = 0; i < 3; ++i) {
      if (c.needs(i)) c.set(i, select_index(c.grad(), d, i));
    }
  });
}
OPERATION("cross(Tensor self, Tensor other, *, int dim=-1) -> Tensor", linalg_cross,
          "Cross product of vectors of 3 elements along dim.",
          {.method = false, .out = true, .module = "linalg", .apart = true})

Tensor cross(const Tensor& self, const Tensor& other, std::optional<int64_t> dim) {
  if (dim) return linalg_cross(self, other, *dim);
  for (int i = 0; i < self.dims(); ++i) {
    if (self.shape()[i] == 3) return linalg_cross(self, other, i);
  }
  fail("no dimension of size 3 in input");
}
OPERATION("cross(Tensor self, Tensor other, int? dim=None) -> Tensor", cross,
          "Cross product along dim, by default the first dimension of size 3.", {.out = true, .apart = true})

}  // namespace

}  // namespace bulssi

// Embedding tables.
#include <cmath>

#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/ops/along.h"
#include "core/ops/basics.h"

namespace bulssi {

namespace {

void check_indices(const Tensor& indices, const char* op) {
  check(
      indices.dtype() == DType::i64 || indices.dtype() == DType::i32,
      "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got torch.",
      legacy_name(indices.dtype()), "Tensor instead (while checking arguments for ", op, ")");
}

Tensor embedding(const Tensor& weight, const Tensor& indices, int64_t padding, bool scale_by_frequency, bool sparse);

// Sums the rows of g into the rows of a table that indices name; rows of index `padding` are left out.
Tensor embedding_dense_backward(const Tensor& g, const Tensor& indices, int64_t rows, int64_t padding,
                                bool scale_by_frequency) {
  check_indices(indices, "embedding_backward");
  const Tensor at = index_data(indices);
  const int64_t n = at.numel(), width = g.dims() ? g.shape()[g.dims() - 1] : 1;
  if (without_elements(g)) return empty(Dims{rows, width}, g.dtype());
  const int64_t* index = at.data<int64_t>();
  check(g.numel() == n * width, "embedding_dense_backward: grad_output of shape ", Ints(g.shape()),
        " does not match indices of shape ", Ints(indices.shape()));
  check_range(index, n, rows, 0, ErrorKind::index);
  const Dims shape{rows, width};
  // Half-precision sums are formed in float.
  const DType type = is_half(g.dtype()) ? DType::f32 : g.dtype();
  Tensor out = zeros(shape, type);
  const Tensor from = dense(cast_data(g, type));
  std::vector<int64_t> counts;
  if (scale_by_frequency) {
    counts.resize(size_t(rows));
    for (int64_t i = 0; i < n; ++i) ++counts[size_t(index[i])];
  }
  {
    const Unlocked unlocked(g.numel());
    dispatch(type, "embedding_backward", [&]<class T>() {
      using A = Accumulate<T>;
      // Columns for each thread: every element is summed up in the order of the indices whatever their number.
      const int64_t each = (width / thread_count() + 15) / 16 * 16;
      T *sums = out.data<T>(), *rows_of = from.data<T>();
      parallel_for(width, std::max({int64_t{16}, each, 65536 / std::max<int64_t>(n, 1)}),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = 0; i < n; ++i) {
                       if (index[i] == padding) continue;
                       T* to = sums + index[i] * width;
                       const T* in = rows_of + i * width;
                       if (scale_by_frequency) {
                         const A scale = A(1) / A(counts[size_t(index[i])]);
                         for (int64_t a = begin; a < end; ++a) to[a] = T(A(to[a]) + A(in[a]) * scale);
                       } else {
                         add_row(end - begin, in + begin, to + begin);
                       }
                     }
                   });
    });
  }
  out = cast_data(out, g.dtype());
  return record("EmbeddingDenseBackwardBackward0", {&g}, out,
                [padding, scale_by_frequency, shape = g.shape()](BackwardCall& c) {
                  check(!scale_by_frequency, "double backward not supported with scale_grad_by_freq");
                  const Tensor rows_of = embedding(c.grad(), c.saved(0), -1, false, false);
                  if (padding < 0) return c.set(0, reshape(rows_of, shape));
                  const Tensor pad = unsqueeze(c.saved(0) == static_cast<double>(padding), -1);
                  c.set(0, reshape(masked_fill(rows_of, pad, Scalar(0)), shape));
                },
                {keep(indices)});
}

// `bags`: where the table of an embedding_bag is in float (2), of which PyTorch speaks in other words, or not (1).
void check_rows(const Tensor& at, int64_t rows, int bags = 0) {
  const bool bad = !without_elements(at) && any_outside(at, rows);
  for (int64_t i = 0; bad && i < at.numel(); ++i) {
    const int64_t v = at.data<int64_t>()[i];
    if (uint64_t(v) >= uint64_t(rows)) {
      check(bags != 2, "Index ", i, " of input takes value ", v, " which is not in the valid range [0, ", rows, ")");
      check(bags != 1, "embedding_bag: Expected idx >= 0 && idx < num_embeddings but found idx to be ", v);
      fail(ErrorKind::index, "index out of range in self\nembedding: index ", v, " at position ", i,
           " of the indices is not in [0, ", rows, "), the rows of the table");
    }
  }
}

Tensor embedding(const Tensor& weight, const Tensor& indices, int64_t padding, bool scale_by_frequency, bool sparse) {
  check(weight.dims() == 2, "'weight' must be 2-D");
  check_indices(indices, "embedding");
  check(!sparse || !recording(weight), ErrorKind::not_implemented,
        "embedding(): sparse=True: sparse gradients are not supported yet; use sparse=False");
  const int64_t rows = weight.shape()[0];
  const Tensor at = index_data(indices);
  check_rows(at, rows);
  Tensor out;
  {
    GradMode off(false);
    const Tensor list[] = {at};
    if (without_elements(weight)) {
      Dims shape(indices.shape());
      shape.push_back(weight.shape()[1]);
      out = empty(shape, weight.dtype());
    } else {
      out = bulssi::index(weight, list);
    }
  }
  return record("EmbeddingBackward0", {&weight}, out,
                [rows, padding, scale_by_frequency](BackwardCall& c) {
                  c.set(0, embedding_dense_backward(c.grad(), c.saved(0), rows, padding, scale_by_frequency));
                },
                {keep(indices)});
}

// Which entries the bags [bounds[b], bounds[b + 1]) hold: one after the other in `at` and, as bags, in `bag`.
struct BagEntries {
  Tensor entry, bag;
  explicit BagEntries(const Tensor& bounds) {
    const int64_t *bound = bounds.data<int64_t>(), bags = bounds.numel() - 1;
    int64_t count = 0;
    for (int64_t b = 0; b < bags; ++b) count += std::max<int64_t>(0, bound[b + 1] - bound[b]);
    entry = empty(Dims{count}, DType::i64);
    bag = empty(Dims{count}, DType::i64);
    int64_t at = 0;
    for (int64_t b = 0; b < bags; ++b) {
      for (int64_t i = bound[b]; i < bound[b + 1]; ++i, ++at)
        entry.data<int64_t>()[at] = i, bag.data<int64_t>()[at] = b;
    }
  }
};

// The sums (or means) of the rows in each bag [bounds[b], bounds[b + 1]) of indices, times their weights if given. Rows
// of index `padding` do not count.
Tensor bag_sums(const Tensor& weight, const Tensor& indices, const Tensor& bounds, const Tensor& weights, bool mean,
                int64_t padding, bool scale_by_frequency, bool sparse) {
  check(weight.dims() == 2 && indices.dims() == 1 && bounds.dims() == 1 && bounds.numel() > 0,
        "_bag_sums: expected a matrix of rows, a vector of indices and one of bounds");
  check_indices(indices, "embedding_bag");
  check(!sparse || !recording(weight), ErrorKind::not_implemented,
        "embedding_bag(): sparse=True: sparse gradients are not supported yet; use sparse=False");
  const Tensor at = index_data(indices), starts = index_data(bounds);
  const int64_t rows = weight.shape()[0], width = weight.shape()[1], bags = starts.numel() - 1;
  const DType type = weight.dtype();
  const bool half = is_half(type);
  Tensor out = empty(Dims{bags, width}, half ? DType::f32 : type);
  Tensor counts = empty(Dims{bags, 1}, half ? DType::f32 : type);
  if (!without_elements(out) && !without_elements(at)) {
    check_rows(at, rows, type == DType::f32 ? 2 : 1);
    check_range(starts.data<int64_t>(), bags + 1, at.numel() + 1, 0, ErrorKind::index);
    const Tensor table = dense(weight), factors = weights ? dense(cast_data(weights, out.dtype())) : Tensor();
    const Unlocked unlocked(at.numel() * width);
    const int64_t *index = at.data<int64_t>(), *bound = starts.data<int64_t>();
    dispatch(type, "embedding_bag", [&]<class T>() {
      if constexpr (std::is_integral_v<T>) {
        fail(
            "Expected tensor for argument #1 'weight' to have one of the following scalar types: Half, BFloat16, "
            "Float, "
            "Double; but got torch.",
            legacy_name(type), "Tensor instead (while checking arguments for embedding_bag)");
      } else {
        using A = Accumulate<T>;
        const T* from = table.data<T>();
        const A* factor = factors ? factors.data<A>() : nullptr;
        A *sums = out.data<A>(), *divisors = counts.data<A>();
        const int64_t grain = std::max<int64_t>(1, 16384 * bags / (at.numel() * width + 1));
        parallel_for(bags, grain, [&](int64_t begin, int64_t end) {
          for (int64_t b = begin; b < end; ++b) {
            A* sum = sums + b * width;
            const int64_t first = bound[b], entries = std::max<int64_t>(0, bound[b + 1] - first);
            int64_t count = 0;
            for (int64_t i = first; i < first + entries; ++i) count += index[i] != padding;
            if constexpr (std::is_same_v<A, T>) {
              sum_rows<T>()(width, entries, index + first, padding, factor ? factor + first : nullptr, from, sum);
            } else {
              std::fill_n(sum, width, A(0));
              for (int64_t i = first; i < first + entries; ++i) {
                if (index[i] == padding) continue;
                const T* row = from + index[i] * width;
                const A scale = factor ? factor[i] : A(1);
                for (int64_t a = 0; a < width; ++a) sum[a] += A(row[a]) * scale;
              }
            }
            const A divisor = A(std::max<int64_t>(count, 1));
            divisors[b] = divisor;
            if (mean)
              for (int64_t a = 0; a < width; ++a) sum[a] /= divisor;
          }
        });
      }
    });
  }
  const auto gradient = [rows, mean, padding, scale_by_frequency](BackwardCall& c) {
    const Tensor table = c.saved(0), at = c.saved(1), bounds = c.saved(2), factors = c.saved(3);
    const BagEntries entries(bounds);
    const Tensor used = index_select(at, 0, entries.entry);
    const Tensor g = index_select(mean ? c.grad() / c.saved(4) : c.grad(), 0, entries.bag);
    if (c.needs(0)) {
      const Tensor each = factors ? g * unsqueeze(index_select(factors, 0, entries.entry), 1) : g;
      c.set(0, embedding_dense_backward(each, used, rows, padding, scale_by_frequency));
    }
    if (c.needs(1)) {
      const int64_t columns[] = {1};
      Tensor each = sum(embedding(table, used, -1, false, false) * g, Ints(columns), false, std::nullopt);
      if (padding >= 0) each = masked_fill(each, used == static_cast<double>(padding), Scalar(0));
      c.set(1, scatter_add(zeros(factors.shape(), each.dtype()), 0, entries.entry, each));
    }
  };
  return record("EmbeddingBagBackward0", {&weight, &weights}, cast_data(out, type), gradient,
                {keep(weight), keep(at), keep(starts), keep(weights), keep(cast_data(counts, type))});
}

// Scales the rows in use whose norm is above max_norm down to it, in place; no gradient.
Tensor embedding_renorm_(const Tensor& self, const Tensor& indices, double max_norm, double norm_type) {
  check(self.dims() == 2, "embedding_renorm_: 'self' must be 2-D, got shape ", Ints(self.shape()));
  check_indices(indices, "embedding_renorm_");
  const Tensor at = index_data(indices);
  const int64_t rows = self.shape()[0], width = self.shape()[1];
  check_range(at.data<int64_t>(), at.numel(), rows, 0, ErrorKind::index);
  {
    GradMode off(false);
    check_inplace(self, "embedding_renorm");
  }
  std::vector<bool> done(static_cast<size_t>(rows));
  const Tensor table = dense(self);
  dispatch(self.dtype(), "embedding_renorm_", [&]<class T>() {
    if constexpr (std::is_integral_v<T>) {
      fail("embedding_renorm_: expected a floating-point table, got ", self.dtype());
    } else {
      for (int64_t i = 0; i < at.numel(); ++i) {
        const int64_t r = at.data<int64_t>()[i];
        if (done[size_t(r)]) continue;
        done[size_t(r)] = true;
        T* row = table.data<T>() + r * width;
        double total = 0, most = 0;
        for (int64_t a = 0; a < width; ++a) {
          const double v = std::abs(static_cast<double>(row[a]));
          most = std::max(most, v);
          total += norm_type == 2   ? v * v
                   : norm_type == 1 ? v
                   : norm_type == 0 ? double(v != 0)
                                    : std::pow(v, norm_type);
        }
        const double norm = std::isinf(norm_type)              ? most
                            : norm_type == 2                   ? std::sqrt(total)
                            : norm_type == 1 || norm_type == 0 ? total
                                                               : std::pow(total, 1 / norm_type);
        if (norm <= max_norm) continue;
        const double scale = max_norm / (norm + 1e-7);
        for (int64_t a = 0; a < width; ++a) row[a] = T(static_cast<double>(row[a]) * scale);
      }
    }
  });
  if (!table.same(self)) copy_data(self, table);
  changed_inplace(self, {}, "embedding_renorm");
  return self;
}

}  // namespace

OPERATION(
    "embedding(Tensor weight, Tensor indices, int padding_idx=-1, bool scale_grad_by_freq=False, "
    "bool sparse=False) -> Tensor",
    embedding,
    "The rows of weight [rows, width] that indices name: indices.shape + [width]. The gradient leaves out "
    "padding_idx and, with scale_grad_by_freq, is divided by how often a row was used.",
    {.method = false})
OPERATION(
    "embedding_dense_backward(Tensor grad_output, Tensor indices, int num_weights, int padding_idx, "
    "bool scale_grad_by_freq) -> Tensor",
    embedding_dense_backward, "The gradient of an embedding table.", {.method = false})
OPERATION(
    "_bag_sums(Tensor weight, Tensor indices, Tensor bounds, Tensor? per_sample_weights, bool mean, int padding_idx, "
    "bool scale_grad_by_freq, bool sparse) -> Tensor",
    bag_sums,
    "The sum or mean of the rows of weight that indices[bounds[b]:bounds[b + 1]] name, for each bag b; padding_idx "
    "does "
    "not count.",
    {.method = false})
OPERATION("embedding_renorm_(Tensor self, Tensor indices, float max_norm, float norm_type) -> Tensor",
          embedding_renorm_, "Scales the rows in use whose norm exceeds max_norm down to it, in place.",
          {.kind = OpKind::alter, .method = false, .differentiable = false})
}  // namespace bulssi

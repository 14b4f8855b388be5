// sort, argsort, topk, kthvalue.
#include "core/ops/sort.h"

#include <algorithm>

#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/cpu/top.h"
#include "core/op/registry.h"
#include "core/op/tensor_math.h"
#include "core/ops/along.h"
#include "core/ops/basics.h"

namespace bulssi {

namespace {

// ---- one row --------------------------------------------------------------------------------------------------------

// Key and position of an element. Keys of up to 32 bits share a word with the position, and then whole words compare.
struct Pair64 {
  uint64_t key;
  uint64_t at;
};
inline uint64_t key_of(uint64_t packed) { return packed >> 32; }
inline uint64_t key_of(const Pair64& p) { return p.key; }
inline int64_t at_of(uint64_t packed) { return static_cast<int64_t>(packed & 0xffffffffu); }
inline int64_t at_of(const Pair64& p) { return static_cast<int64_t>(p.at); }
inline bool before(uint64_t a, uint64_t b) { return a < b; }
inline bool before(const Pair64& a, const Pair64& b) { return a.key != b.key ? a.key < b.key : a.at < b.at; }
// One comparison and plain pointers: the standard algorithms are compiled per kind of pair, not per dtype and place.
template <class P>
struct Before {
  bool operator()(const P& a, const P& b) const { return before(a, b); }
};
template <class P>
void sort_pairs(P* first, int64_t n) {
  std::sort(first, first + n, Before<P>());
}
// The k smallest come first.
template <class P>
void select_pairs(P* first, int64_t k, int64_t n) {
  std::nth_element(first, first + (k - 1), first + n, Before<P>());
}
inline void make(uint64_t& to, uint64_t key, int64_t at) { to = key << 32 | uint64_t(at); }
inline void make(Pair64& to, uint64_t key, int64_t at) { to = {key, uint64_t(at)}; }

template <class T>
uint64_t key_in_order(T v, bool descending) {
  using K = SortKey<T>;
  const uint64_t mask = K::bits == 64 ? ~uint64_t{0} : (uint64_t{1} << (K::bits % 64)) - 1;
  const uint64_t key = K::of(v);
  return descending ? ~key & mask : key;
}

// Least significant digit first, in chunks of fixed size: each chunk counts its digits, and moves its elements to where
// the counts of all chunks put them. Digits in which all keys agree are skipped.
template <class P>
void radix_sort(P*& items, P*& spare, int64_t n, int key_bits) {
  constexpr int digit_bits = 8, buckets = 1 << digit_bits;
  const int64_t chunk = std::max<int64_t>(16384, (n + 31) / 32);
  const int64_t chunks = (n + chunk - 1) / chunk;
  std::vector<int64_t> counts(size_t(chunks * buckets));
  for (int shift = 0; shift < key_bits; shift += digit_bits) {
    std::fill(counts.begin(), counts.end(), 0);
    const P* from = items;
    P* to = spare;
    parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        int64_t* count = counts.data() + c * buckets;
        for (int64_t i = c * chunk; i < std::min(n, (c + 1) * chunk); ++i)
          ++count[key_of(from[i]) >> shift & (buckets - 1)];
      }
    });
    int64_t total = 0, largest = 0;
    for (int b = 0; b < buckets; ++b) {
      const int64_t start = total;
      for (int64_t c = 0; c < chunks; ++c) {
        int64_t& count = counts[size_t(c * buckets + b)];
        const int64_t here = count;
        count = total;
        total += here;
      }
      largest = std::max(largest, total - start);
    }
    if (largest == n) continue;
    parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; ++c) {
        int64_t* next = counts.data() + c * buckets;
        for (int64_t i = c * chunk; i < std::min(n, (c + 1) * chunk); ++i) {
          to[next[key_of(from[i]) >> shift & (buckets - 1)]++] = from[i];
        }
      }
    });
    std::swap(items, spare);
  }
}

constexpr int64_t radix_from = 1024;  // shorter rows sort faster by comparison

template <class P>
struct Scratch {
  std::vector<P> a, b;
};

template <class P, class T>
void fill_pairs(const T* from, int64_t stride, int64_t n, bool descending, P* items) {
  parallel_for(n, 65536, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) make(items[i], key_in_order(from[i * stride], descending), i);
  });
}

template <class P, class T>
const P* sorted_pairs(const T* from, int64_t stride, int64_t n, bool descending, Scratch<P>& scratch) {
  if (static_cast<int64_t>(scratch.a.size()) < n) scratch.a.resize(size_t(n));
  P* items = scratch.a.data();
  fill_pairs(from, stride, n, descending, items);
  if (n < radix_from) {
    sort_pairs(items, n);
    return items;
  }
  if (static_cast<int64_t>(scratch.b.size()) < n) scratch.b.resize(size_t(n));
  P* spare = scratch.b.data();
  radix_sort(items, spare, n, SortKey<T>::bits);
  return items;
}

template <class T>
using PairOf = std::conditional_t<SortKey<T>::bits <= 32, uint64_t, Pair64>;

// Calls f with the pair type for rows of n elements of T: packed words hold positions below 2^32.
template <class T, class F>
void with_pairs(int64_t n, F&& f) {
  if (n > 0xffffffff)
    f.template operator()<Pair64>();
  else
    f.template operator()<PairOf<T>>();
}

// ---- rows along a dimension -----------------------------------------------------------------------------------------

// self with dim last and dense, as [rows, n].
struct RowsOf {
  Tensor data;
  int64_t rows, n;
  Dims back;  // the permutation that undoes the move
  Dims moved_shape;
  RowsOf(const Tensor& self, int dim) {
    Layout l = at_least_1d(self);
    Dims order;
    for (int d = 0; d < l.dims(); ++d) {
      if (d != dim) order.push_back(d);
    }
    order.push_back(dim);
    back = Dims(order.size());
    for (size_t i = 0; i < order.size(); ++i) back[size_t(order[i])] = static_cast<int64_t>(i);
    const Layout moved = l.permuted(order);
    moved_shape = moved.shape;
    data = dense(alias(self, moved));
    n = moved_shape.back();
    rows = n ? data.numel() / n : 0;
  }
  // [rows, k] back in the shape of self (k elements along dim), dense.
  Tensor restored(const Tensor& made, const Tensor& self, int64_t k) const {
    Dims shape = moved_shape;
    shape.back() = k;
    if (self.dims() == 0) return alias(made, Layout{});
    const Layout placed = Layout::of(shape).permuted(back);
    const Tensor out = dense(alias(made, placed));
    set_layout(out, Layout::of(placed.shape));
    return out;
  }
};

template <class T, class P>
void sort_rows(const RowsOf& r, bool descending, T* values, int64_t* indices) {
  const T* from = r.data.data<T>();
  auto finish = [&](const P* items, int64_t row, int64_t begin, int64_t end) {
    const T* in = from + row * r.n;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t at = at_of(items[i]);
      indices[row * r.n + i] = at;
      values[row * r.n + i] = in[at];
    }
  };
  if (r.n >= 32768) {  // long rows one after the other, threads inside
    Scratch<P> scratch;
    for (int64_t row = 0; row < r.rows; ++row) {
      const P* items = sorted_pairs<P>(from + row * r.n, 1, r.n, descending, scratch);
      parallel_for(r.n, 32768, [&](int64_t begin, int64_t end) { finish(items, row, begin, end); });
    }
    return;
  }
  parallel_for(r.rows, std::max<int64_t>(1, 4096 / std::max<int64_t>(r.n, 1)), [&](int64_t begin, int64_t end) {
    Scratch<P> scratch;
    for (int64_t row = begin; row < end; ++row) {
      const P* items = sorted_pairs<P>(from + row * r.n, 1, r.n, descending, scratch);
      finish(items, row, 0, r.n);
    }
  });
}

}  // namespace

// The elements of t in memory ordered like self's, as PyTorch leaves them.
static Tensor in_order_of(const Tensor& self, const Tensor& t) {
  if (self.strides() == t.strides()) return t;
  const Tensor out = empty_like(self, t.dtype());
  copy_data(out, t);
  return out;
}

Sorted sort_data(const Tensor& self, int dim, bool descending) {
  const RowsOf r(self, dim);
  Tensor values = empty(r.data.shape(), self.dtype()), indices = empty(r.data.shape(), DType::i64);
  dispatch(self.dtype(), "sort", [&]<class T>() {
    if (without_elements(values)) return;
    const Unlocked unlocked(self.numel() * 8);
    with_pairs<T>(r.n, [&]<class P>() { sort_rows<T, P>(r, descending, values.data<T>(), indices.data<int64_t>()); });
  });
  return {in_order_of(self, r.restored(values, self, r.n)), in_order_of(self, r.restored(indices, self, r.n))};
}

Tensor taken_along(const char* node, const Tensor& self, const Tensor& values, const Tensor& indices, int dim) {
  return record(node, {&self}, values,
                [dim, shape = self.shape()](BackwardCall& c) {
                  c.set(0, scatter_add(zeros(shape, c.grad().dtype()), dim, c.saved(0), c.grad()));
                },
                {keep(indices)});
}

namespace {

using Two = std::tuple<Tensor, Tensor>;

Two sort(const Tensor& self, int64_t dim, bool descending) {
  const int d = wrap_dim(dim, self.dims());
  Sorted s = sort_data(self, d, descending);
  Tensor values = taken_along("SortBackward0", self, s.values, s.indices, d);
  return {values, s.indices};
}

}  // namespace

OPERATION("sort(Tensor self, int dim=-1, bool descending=False) -> (Tensor values, Tensor indices)", sort,
          "The elements along dim in order, and where they were. Equal elements keep their order; NaN is the largest.",
          {.out = true})
OPERATION("sort(Tensor self, *, bool? stable, int dim=-1, bool descending=False) -> (Tensor values, Tensor indices)",
          (+[](const Tensor& self, std::optional<bool>, int64_t dim, bool descending) {
            return sort(self, dim, descending);
          }),
          "Sorts here are always stable.", {.out = true})
OPERATION("argsort(Tensor self, int dim=-1, bool descending=False) -> Tensor",
          (+[](const Tensor& self, int64_t dim, bool descending) {
            return sort_data(self, wrap_dim(dim, self.dims()), descending).indices;
          }),
          "The indices that sort self along dim.", {.out = true, .differentiable = false})
OPERATION("argsort(Tensor self, *, bool stable, int dim=-1, bool descending=False) -> Tensor",
          (+[](const Tensor& self, bool, int64_t dim, bool descending) {
            return sort_data(self, wrap_dim(dim, self.dims()), descending).indices;
          }),
          "Sorts here are always stable.", {.out = true, .differentiable = false})
OPERATION("msort(Tensor self) -> Tensor", (+[](const Tensor& self) { return std::get<0>(sort(self, 0, false)); }),
          "self sorted along its first dimension.", {.out = true})

// ---- topk and kthvalue ----------------------------------------------------------------------------------------------

namespace {

// The first k pairs of a row in order. A buffer keeps what may still be among them: when it is full, all but the first
// k are dropped, and the k-th is the limit for what comes later. Where there are kernels for T, they skip what is
// worse.
template <class T, class P>
class FirstPairs {
 public:
  FirstPairs(const T* from, int64_t n, int64_t k, bool descending, std::vector<P>& items)
      : from_(from), n_(n), k_(k), descending_(descending), items_(items) {
    items_.clear();
    if (k == 0) return;
    room_ = size_t(std::min(n, std::max<int64_t>(4 * k, k + 256)));
    items_.reserve(room_);
    int64_t i = 0;
    if (top_type<T> >= 0 && n >= 4 * TopKernels::kBests && k <= TopKernels::kBests / 2)
      first_limit();
    else
      for (; i < int64_t(room_); ++i) take(i);
    take_rest(i);
    select_pairs(items_.data(), k, int64_t(items_.size()));
  }

 private:
  P item_at(int64_t i) const {
    P item;
    make(item, key_in_order(from_[i], descending_), i);
    return item;
  }
  // The bests of parts of the row: k elements are not worse than the k-th of them.
  void first_limit() {
    if constexpr (top_type<T> >= 0) {
      T bests[TopKernels::kBests];
      cpu::top_kernels().bests[descending_][top_type<T>](from_, n_, bests);
      P order[TopKernels::kBests];
      for (int j = 0; j < TopKernels::kBests; ++j) make(order[j], key_in_order(bests[j], descending_), j);
      select_pairs(order, k_, int64_t{TopKernels::kBests});
      limit_ = bests[at_of(order[k_ - 1])];
    }
  }
  void take_rest(int64_t i) {
    if constexpr (top_type<T> >= 0) {
      int32_t positions[TopKernels::kMost];
      while (i < n_) {
        const int64_t n = std::min(n_ - i, TopKernels::kMost);
        const auto passing = cpu::top_kernels().passing[strict_][descending_][top_type<T>];
        const int64_t found = passing(from_ + i, n, &limit_, positions);
        for (int64_t j = 0; j < found; ++j) take(i + positions[j]);
        i += n;
      }
    } else {
      for (; i < n_; ++i) take(i);
    }
  }
  void take(int64_t i) {
    const P item = item_at(i);
    if (strict_ && !before(item, worst_)) return;
    items_.push_back(item);
    if (items_.size() < room_ || i + 1 == n_) return;
    select_pairs(items_.data(), k_, int64_t(items_.size()));
    items_.resize(size_t(k_));
    worst_ = items_.back();
    limit_ = from_[at_of(worst_)];
    strict_ = true;
  }

  const T* from_;
  int64_t n_, k_;
  bool descending_;
  std::vector<P>& items_;
  size_t room_ = 0;
  bool strict_ = false;  // worst_ is the k-th of the elements so far: of its equals it is the first
  P worst_{};
  T limit_{};
};

template <class T, class P>
void first_pairs(const T* from, int64_t n, int64_t k, bool descending, bool sorted, std::vector<P>& items) {
  FirstPairs<T, P>(from, n, k, descending, items);
  if (sorted) sort_pairs(items.data(), k);
}

// One long row: threads keep the first k of their parts, which are then merged.
constexpr int64_t part_size = 131072;

template <class T, class P>
void top_rows(const RowsOf& r, int64_t k, bool descending, bool sorted, T* values, int64_t* indices) {
  const T* from = r.data.data<T>();
  auto finish = [&](const std::vector<P>& items, int64_t row) {
    for (int64_t i = 0; i < k; ++i) {
      const int64_t at = at_of(items[size_t(i)]);
      indices[row * k + i] = at;
      values[row * k + i] = from[row * r.n + at];
    }
  };
  if (r.n >= 4 * part_size && k <= part_size / 8) {
    const int64_t parts = (r.n + part_size - 1) / part_size;
    for (int64_t row = 0; row < r.rows; ++row) {
      std::vector<std::vector<P>> found(static_cast<size_t>(parts));
      parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p) {
          const int64_t start = p * part_size, n = std::min(part_size, r.n - start);
          auto& items = found[size_t(p)];
          first_pairs<T>(from + row * r.n + start, n, std::min(k, n), descending, false, items);
          items.resize(size_t(std::min(k, n)));
          for (P& item : items) make(item, key_of(item), at_of(item) + start);
        }
      });
      std::vector<P> all;
      for (auto& items : found) all.insert(all.end(), items.begin(), items.end());
      if (k > 0) {
        select_pairs(all.data(), k, int64_t(all.size()));
        if (sorted) sort_pairs(all.data(), k);
      }
      finish(all, row);
    }
    return;
  }
  parallel_for(r.rows, std::max<int64_t>(1, 8192 / std::max<int64_t>(r.n, 1)), [&](int64_t begin, int64_t end) {
    std::vector<P> items;
    for (int64_t row = begin; row < end; ++row) {
      first_pairs<T>(from + row * r.n, r.n, k, descending, sorted, items);
      finish(items, row);
    }
  });
}

Sorted top_data(const Tensor& self, int dim, int64_t k, bool descending, bool sorted) {
  const RowsOf r(self, dim);
  Dims shape{r.rows, k};
  Tensor values = empty(shape, self.dtype()), indices = empty(shape, DType::i64);
  dispatch(self.dtype(), "topk", [&]<class T>() {
    if (without_elements(values)) return;
    const Unlocked unlocked(self.numel());
    with_pairs<T>(
        r.n, [&]<class P>() { top_rows<T, P>(r, k, descending, sorted, values.data<T>(), indices.data<int64_t>()); });
  });
  return {r.restored(values, self, k), r.restored(indices, self, k)};
}

Two topk(const Tensor& self, int64_t k, int64_t dim, bool largest, bool sorted) {
  const int d = wrap_dim(dim, self.dims());
  check(k >= 0 && k <= (self.dims() ? self.shape()[d] : 1), "selected index k out of range");
  if (self.dtype() == DType::boolean) fail(ErrorKind::not_implemented, "\"topk_cpu\" not implemented for 'Bool'");
  // A 0-d tensor is its own top, also of k = 0.
  Sorted s = top_data(self, d, self.dims() ? k : 1, largest, sorted);
  Tensor values = taken_along("TopkBackward0", self, s.values, s.indices, d);
  return {values, s.indices};
}

Two kthvalue(const Tensor& self, int64_t k, int64_t dim, bool keepdim) {
  const int d = wrap_dim(dim, self.dims());
  const int64_t n = self.dims() ? self.shape()[d] : 1;
  check(self.dims() == 0 || n > 0, ErrorKind::index, "kthvalue(): Expected reduction dim ", d,
        " to have non-zero size.");
  check(k >= 1 && k <= n, "kthvalue(): selected number k out of range for dimension ", d);
  if (self.dtype() == DType::boolean) fail(ErrorKind::not_implemented, "\"kthvalue_cpu\" not implemented for 'Bool'");
  const Sorted s = top_data(self, d, k, false, false);
  // nth_element leaves the k-th at place k - 1.
  auto last = [&](const Tensor& t) {
    if (t.dims() == 0) return t;
    const Layout l = t.layout().sliced(d, k - 1, 1, 1);
    return clone(alias(t, l));
  };
  // The merged parts of a long row are in no order beyond the k-th either, so this holds for both ways.
  Tensor values = last(s.values), indices = last(s.indices);
  if (keepdim || self.dims() == 0) return {taken_along("KthvalueBackward0", self, values, indices, d), indices};
  values = record("KthvalueBackward0", {&self}, alias(values, values.layout().squeezed(d)),
                  [d, shape = self.shape()](BackwardCall& c) {
                    c.set(0, scatter_add(zeros(shape, c.grad().dtype()), d, c.saved(0), unsqueeze(c.grad(), d)));
                  },
                  {keep(indices)});
  return {values, alias(indices, indices.layout().squeezed(d))};
}

}  // namespace

OPERATION(
    "topk(Tensor self, int k, int dim=-1, bool largest=True, bool sorted=True) -> (Tensor values, Tensor indices)",
    topk, "The k largest (or smallest) elements along dim, and where they were. Of equal ones the first.",
    {.out = true})
OPERATION("kthvalue(Tensor self, int k, int dim=-1, bool keepdim=False) -> (Tensor values, Tensor indices)", kthvalue,
          "The k-th smallest element along dim (k counts from 1), and where it was.", {.out = true, .apart = true})

}  // namespace bulssi

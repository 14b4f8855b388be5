#include "core/cpu/attention.h"

#include <algorithm>
#include <cstring>

#include "core/base/scratch.h"
#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/cpu/gemm.h"
#include "core/cpu/kernel_table.h"

namespace bulssi {
TAKE_KERNELS(AttentionTable, attention)

namespace {

// Queries in blocks whose scores fit the second-level cache.
int64_t block_rows(const AttentionShape& s) {
  return std::clamp<int64_t>((int64_t{1} << 16) / std::max<int64_t>(1, s.keys), 16, 64);
}

template <class T>
T* at(const AttentionMatrix& m, int64_t batch, int64_t head, int64_t row) {
  return reinterpret_cast<T*>(m.data) + batch * m.batch + head * m.head + row * m.row;
}

// A block of queries and the keys that any of them sees.
struct Block {
  int64_t first, rows, keys;
  int64_t seen, more;  // as AttentionTable::softmax wants them
  Block(const AttentionShape& s, int64_t i, int64_t size)
      : first(i * size),
        rows(std::min(size, s.queries - first)),
        keys(s.causal ? std::min(s.keys, first + rows) : s.keys),
        seen(s.causal ? first + 1 : s.keys),
        more(s.causal ? 1 : 0) {}
};

// c = alpha op(a) op(b) + beta c with the rows of each as far apart as given.
template <class T>
void multiply(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, double alpha, const T* a, int64_t lda,
              const T* b, int64_t ldb, bool add, T* c, int64_t ldc) {
  gemm(dtype_of<T>, trans_a, trans_b, m, n, k, Scalar(alpha), a, lda, b, ldb, Scalar(add), c, ldc);
}

template <class T>
void forward(const AttentionShape& s, const AttentionMatrix& q, const AttentionMatrix& k, const AttentionMatrix& v,
             const AttentionMatrix& mask, const AttentionMatrix& out, T* sums) {
  const int64_t size = block_rows(s), blocks = (s.queries + size - 1) / size;
  const auto softmax = attention_kernels().softmax[sizeof(T) == 8];
  parallel_for(s.batch * s.heads * blocks, 1, [&](int64_t begin, int64_t end) {
    Scratch<T> scores(size * s.keys);
    for (int64_t t = begin; t < end; ++t) {
      const int64_t b = t / blocks / s.heads, h = t / blocks % s.heads, kv = h / s.groups;
      const Block block(s, t % blocks, size);
      multiply<T>(false, true, block.rows, block.keys, s.size, s.scale, at<T>(q, b, h, block.first), q.row,
                  at<T>(k, b, kv, 0), k.row, false, scores.get(), block.keys);
      softmax(block.rows, block.keys, block.keys, block.seen, block.more, scores.get(),
              mask.data ? at<T>(mask, b, h, block.first) : nullptr, mask.row,
              sums + (b * s.heads + h) * s.queries + block.first);
      multiply<T>(false, false, block.rows, s.value_size, block.keys, 1, scores.get(), block.keys, at<T>(v, b, kv, 0),
                  v.row, false, at<T>(out, b, h, block.first), out.row);
    }
  });
}

template <class T>
void backward(const AttentionShape& s, const AttentionMatrix& q, const AttentionMatrix& k, const AttentionMatrix& v,
              const AttentionMatrix& mask, const AttentionMatrix& out, const T* sums, const AttentionMatrix& dout,
              const AttentionMatrix& dq, const AttentionMatrix& dk, const AttentionMatrix& dv) {
  const int64_t size = block_rows(s), blocks = (s.queries + size - 1) / size, shared = s.heads / s.groups;
  const AttentionTable& f = attention_kernels();
  constexpr int type = sizeof(T) == 8;
  // Keys and values gather what all queries send: one range for each of their heads.
  parallel_for(s.batch * shared, 1, [&](int64_t begin, int64_t end) {
    Scratch<T> scores(size * s.keys), grads(size * s.keys), dots(size);
    for (int64_t t = begin; t < end; ++t) {
      const int64_t b = t / shared, kv = t % shared;
      const T *keys = at<T>(k, b, kv, 0), *values = at<T>(v, b, kv, 0);
      T *dkeys = at<T>(dk, b, kv, 0), *dvalues = at<T>(dv, b, kv, 0);
      for (int64_t j = 0; j < s.keys; ++j) {
        std::memset(dkeys + j * dk.row, 0, s.size * sizeof(T));
        std::memset(dvalues + j * dv.row, 0, s.value_size * sizeof(T));
      }
      for (int64_t i = 0; i < s.groups * blocks; ++i) {
        const int64_t h = kv * s.groups + i / blocks;
        const Block block(s, i % blocks, size);
        const int64_t n = block.keys, first = block.first;
        const T *queries = at<T>(q, b, h, first), *go = at<T>(dout, b, h, first);
        for (int64_t r = 0; r < block.rows; ++r)
          f.dot[type](s.value_size, go + r * dout.row, at<T>(out, b, h, first + r), dots.get() + r);
        multiply<T>(false, true, block.rows, n, s.size, s.scale, queries, q.row, keys, k.row, false, scores.get(), n);
        multiply<T>(false, true, block.rows, n, s.value_size, 1, go, dout.row, values, v.row, false, grads.get(), n);
        f.backward[type](block.rows, n, n, block.seen, block.more, scores.get(), grads.get(),
                         mask.data ? at<T>(mask, b, h, first) : nullptr, mask.row,
                         sums + (b * s.heads + h) * s.queries + first, dots.get(), s.scale);
        multiply<T>(true, false, n, s.value_size, block.rows, 1, scores.get(), n, go, dout.row, true, dvalues, dv.row);
        multiply<T>(false, false, block.rows, s.size, n, 1, grads.get(), n, keys, k.row, false, at<T>(dq, b, h, first),
                    dq.row);
        multiply<T>(true, false, n, s.size, block.rows, 1, grads.get(), n, queries, q.row, true, dkeys, dk.row);
      }
    }
  });
}

}  // namespace

void attention_forward(DType dtype, const AttentionShape& s, const AttentionMatrix& q, const AttentionMatrix& k,
                       const AttentionMatrix& v, const AttentionMatrix& mask, const AttentionMatrix& out, void* sums) {
  if (dtype == DType::f64)
    forward<double>(s, q, k, v, mask, out, static_cast<double*>(sums));
  else
    forward<float>(s, q, k, v, mask, out, static_cast<float*>(sums));
}
void attention_backward(DType dtype, const AttentionShape& s, const AttentionMatrix& q, const AttentionMatrix& k,
                        const AttentionMatrix& v, const AttentionMatrix& mask, const AttentionMatrix& out,
                        const void* sums, const AttentionMatrix& dout, const AttentionMatrix& dq,
                        const AttentionMatrix& dk, const AttentionMatrix& dv) {
  if (dtype == DType::f64)
    backward<double>(s, q, k, v, mask, out, static_cast<const double*>(sums), dout, dq, dk, dv);
  else
    backward<float>(s, q, k, v, mask, out, static_cast<const float*>(sums), dout, dq, dk, dv);
}

}  // namespace bulssi

// Scaled dot-product attention.
#include <cmath>

#include "core/cpu/attention.h"

#include "core/cpu/cpu.h"
#include "core/op/tensor_math.h"
#include "core/ops/matmul.h"
#include "core/ops/random.h"
#include "core/ops/recompute.h"
#include "core/ops/reduce.h"

namespace bulssi {

namespace {

struct Options {
  double dropout = 0;
  bool causal = false;
  double scale = 1;
};

// What a query may see of the keys before it and its own.
Tensor causal_mask(int64_t queries, int64_t keys) {
  const int64_t shape[] = {queries, keys};
  const Tensor allowed = empty(shape, DType::boolean);
  if (without_elements(allowed)) return allowed;
  bool* p = allowed.data<bool>();
  for (int64_t i = 0; i < queries; ++i) {
    for (int64_t j = 0; j < keys; ++j) *p++ = j <= i;
  }
  return allowed;
}

// ---- in differentiable operations --------------------------------------------------------------------------------

Tensor composite(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, const Options& o) {
  // The root of the scale on either side keeps the products of half-precision numbers small.
  const double half = std::sqrt(std::abs(o.scale));
  Tensor scores = matmul(q * std::copysign(half, o.scale), mT(k * half));
  const Tensor never = full({}, Scalar(-INFINITY), scores.dtype());
  if (o.causal) scores = select(causal_mask(q.shape()[q.dims() - 2], k.shape()[k.dims() - 2]), scores, never);
  if (mask) scores = mask.dtype() == DType::boolean ? select(mask, scores, never) : scores + cast(mask, scores.dtype());
  Tensor weights = softmax(scores, -1);
  if (mask && scores.numel() > 0) {  // a query that may see nothing sees zeros, not nan
    const int64_t last = -1;
    const Tensor blind = amax(detach(scores), Ints(&last, 1), true) == -INFINITY;
    weights = select(blind, full({}, Scalar(0.0), weights.dtype()), weights);
  }
  if (o.dropout > 0) weights = dropout(weights, o.dropout);
  return matmul(weights, v);
}

// Keys or values with a head for every head of the queries.
Tensor for_all_heads(const Tensor& t, int64_t heads) {
  const int64_t own = t.shape()[t.dims() - 3];
  if (own == heads) return t;
  Dims shape = t.shape(), wide = t.shape();
  shape[t.dims() - 3] = heads;
  wide.insert(size_t(t.dims() - 2), heads / own);
  return reshape(expand(unsqueeze(t, -3), wide), shape);
}

// ---- fused --------------------------------------------------------------------------------------------------------

// (batch, heads, rows, size) as it is if the elements of a row are side by side, in the type it is computed in.
Tensor by_rows(const Tensor& t, DType type) {
  const Tensor x = cast_data(t, type);
  return x.strides()[3] == 1 || x.shape()[3] == 1 ? x : dense(x);
}
AttentionMatrix matrix(const Tensor& t) { return {t->data(), t.strides()[0], t.strides()[1], t.strides()[2]}; }

// Room for a tensor of some shape whose rows are in memory as those of `like`.
Tensor room_like(const Tensor& like, Dims shape, DType type) {
  if (like.strides()[1] >= like.strides()[2]) return empty(shape, type);
  std::swap(shape[1], shape[2]);
  const Tensor turned = empty(shape, type);
  return alias(turned, turned.layout().transposed(1, 2));
}

// The mask as numbers to be added, of shape (batch, heads, queries, keys).
Tensor additive(const Tensor& mask, DType type, Ints shape) {
  Tensor m = mask;
  if (mask.dtype() == DType::boolean) {
    const GradMode off(false);
    m = select(mask, full({}, Scalar(0.0), type), full({}, Scalar(-INFINITY), type));
  }
  m = dense(cast_data(detach(m), type));
  if (m.dims() == 0 || m.shape()[m.dims() - 1] != shape[3]) {
    Dims wide = m.dims() ? m.shape() : Dims{1};
    wide.back() = shape[3];
    m = dense(expand(m, wide));
  }
  return expand(m, shape);
}

struct Kept {
  Tensor out, sums;
};

AttentionShape shape_of(const Tensor& q, const Tensor& k, const Tensor& v, const Options& o) {
  AttentionShape s;
  s.batch = q.shape()[0], s.heads = q.shape()[1], s.groups = s.heads / k.shape()[1];
  s.queries = q.shape()[2], s.keys = k.shape()[2], s.size = q.shape()[3], s.value_size = v.shape()[3];
  s.causal = o.causal, s.scale = o.scale;
  return s;
}
int64_t work(const AttentionShape& s) { return s.batch * s.heads * s.queries * s.keys * (s.size + s.value_size) / 16; }
AttentionMatrix mask_matrix(const Tensor& mask) { return mask ? matrix(mask) : AttentionMatrix(); }
Tensor ready_mask(const Tensor& mask, DType type, const AttentionShape& s) {
  return mask ? additive(mask, type, std::initializer_list<int64_t>{s.batch, s.heads, s.queries, s.keys}) : Tensor();
}

std::vector<Tensor> fused_backward(const Tensor& g, const Tensor& q_, const Tensor& k_, const Tensor& v_,
                                   const Tensor& mask_, const Kept& kept, const Options& o) {
  const DType type = kept.sums.dtype();
  const Tensor q = by_rows(q_, type), k = by_rows(k_, type), v = by_rows(v_, type), dout = by_rows(g, type);
  const AttentionShape s = shape_of(q, k, v, o);
  const Tensor mask = ready_mask(mask_, type, s), out = by_rows(kept.out, type);
  const Tensor dq = room_like(q, q.shape(), type), dk = room_like(k, k.shape(), type),
               dv = room_like(v, v.shape(), type);
  if (!without_elements(q)) {
    const Unlocked unlocked(work(s));
    attention_backward(type, s, matrix(q), matrix(k), matrix(v), mask_matrix(mask), matrix(out), kept.sums->data(),
                       matrix(dout), matrix(dq), matrix(dk), matrix(dv));
  }
  return {cast_data(dq, q_.dtype()), cast_data(dk, k_.dtype()), cast_data(dv, v_.dtype())};
}

Tensor fused(const Tensor& q_, const Tensor& k_, const Tensor& v_, const Tensor& mask_, const Options& o) {
  const DType type = compute_dtype(q_.dtype());
  const Tensor q = by_rows(q_, type), k = by_rows(k_, type), v = by_rows(v_, type);
  const AttentionShape s = shape_of(q, k, v, o);
  const Tensor mask = ready_mask(mask_, type, s);
  const Dims shape{s.batch, s.heads, s.queries, s.value_size};
  const Tensor computed = s.size == s.value_size ? room_like(q, shape, type) : empty(shape, type);
  const Tensor sums = empty(std::initializer_list<int64_t>{s.batch, s.heads, s.queries}, type);
  if (!without_elements(q)) {
    const Unlocked unlocked(work(s));
    attention_forward(type, s, matrix(q), matrix(k), matrix(v), mask_matrix(mask), matrix(computed), sums->data());
  }
  const Tensor out = cast_data(computed, q_.dtype());
  if (!recording({&q_, &k_, &v_})) return out;
  const char* name = s.size == s.value_size ? "ScaledDotProductFlashAttentionForCpuBackward0" : "UnsafeViewBackward0";
  return record(name, {&q_, &k_, &v_}, out,
                [o](BackwardCall& c) {
                  const Tensor& g = c.grad();
                  const Tensor q = c.saved(0), k = c.saved(1), v = c.saved(2);
                  const Tensor mask = c.has(5) ? c.saved(5) : Tensor();
                  const std::vector<Tensor> made =
                      recording({&g, &q, &k, &v})
                          ? gradients_of(
                                [&](const std::vector<Tensor>& in) {
                                  const int64_t heads = in[0].shape()[1];
                                  return std::vector<Tensor>{composite(in[0], for_all_heads(in[1], heads),
                                                                       for_all_heads(in[2], heads), mask, o)};
                                },
                                {q, k, v}, {g})
                          : fused_backward(g, q, k, v, mask, {c.saved(3), c.saved(4)}, o);
                  for (int i = 0; i < 3; ++i) {
                    if (c.needs(i)) c.set(i, made[size_t(i)]);
                  }
                },
                {keep(q_), keep(k_), keep(v_), result(out), keep(sums), keep(mask_)});
}

// Items of a batch with heads, all sizes as they must be, and a mask that needs no gradient: what the kernel takes.
bool is_plain(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, const Options& o) {
  if (q.dims() != 4 || k.dims() != 4 || v.dims() != 4 || o.dropout > 0 || !is_floating(q.dtype())) return false;
  if (q.numel() == 0 || k.numel() == 0 || v.numel() == 0 || (mask && (recording(mask) || mask.dims() > 4)))
    return false;
  const int64_t shared = k.shape()[1], scores[] = {q.shape()[0], q.shape()[1], q.shape()[2], k.shape()[2]};
  for (int i = 0; mask && i < mask.dims(); ++i) {
    const int64_t n = mask.shape()[mask.dims() - 1 - i];
    if (n != 1 && n != scores[3 - i]) return false;
  }
  return q.shape()[0] == k.shape()[0] && k.shape()[0] == v.shape()[0] && v.shape()[1] == shared &&
         q.shape()[1] % shared == 0 && q.shape()[3] == k.shape()[3] && k.shape()[2] == v.shape()[2];
}

void check_arguments(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask) {
  check(q.dims() >= 2 && k.dims() >= 2 && v.dims() >= 2,
        "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: ", q.dims(),
        " key.dim: ", k.dims(), " and value.dim: ", v.dims(), " instead.");
  check(q.dtype() == k.dtype() && k.dtype() == v.dtype(),
        "Expected query, key, and value to have the same dtype, but got query.dtype: ", c_name(q.dtype()),
        " key.dtype: ", c_name(k.dtype()), " and value.dtype: ", c_name(v.dtype()), " instead.");
  if (!mask) return;
  check(mask.dtype() == DType::boolean || mask.dtype() == DType::f32 || mask.dtype() == q.dtype(),
        "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: ",
        c_name(mask.dtype()), " and  query.dtype: ", c_name(q.dtype()), " instead.");
}

}  // namespace

Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                                    double dropout_p, bool is_causal, std::optional<double> scale, bool enable_gqa) {
  check_arguments(q, k, v, mask);
  check(dropout_p >= 0 && dropout_p <= 1, "dropout probability has to be between 0 and 1, but got ", dropout_p);
  const int64_t size = q.shape()[q.dims() - 1];
  const Options o{dropout_p, is_causal, scale.value_or(size > 0 ? 1 / std::sqrt(double(size)) : 1.0)};
  Tensor keys = k, values = v;
  if (enable_gqa) {
    check(q.dims() >= 3 && k.dims() >= 3 && v.dims() >= 3,
          "scaled_dot_product_attention: enable_gqa needs a dimension of heads, got query.dim: ", q.dims());
    const int64_t heads = q.shape()[q.dims() - 3], a = k.shape()[k.dims() - 3], b = v.shape()[v.dims() - 3];
    check(a > 0 && b > 0 && heads % a == 0 && heads % b == 0,
          "Number of heads in key and value must divide the number of heads in ",
          "\nscaled_dot_product_attention: query has ", heads, " heads, key ", a, " and value ", b);
    if (a != b || !is_plain(q, k, v, mask, o)) {
      keys = for_all_heads(k, heads);
      values = for_all_heads(v, heads);
    }
  }
  const bool heads_agree = enable_gqa || q.dims() != 4 || keys.dims() != 4 || q.shape()[1] == keys.shape()[1];
  if (heads_agree && is_plain(q, keys, values, mask, o)) return fused(q, keys, values, mask, o);
  return composite(q, keys, values, mask, o);
}
OPERATION(
    "scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, "
    "float dropout_p=0.0, bool is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor",
    scaled_dot_product_attention,
    "softmax(query key^T * scale + attn_mask) value (Vaswani et al. 2017, arXiv:1706.03762): query (*, heads, L, E), "
    "key (*, heads, S, E), value (*, heads, S, Ev). attn_mask broadcasts to (*, heads, L, S): True where attention is "
    "allowed, or numbers to be added; a query that may see nothing gives zeros. is_causal: query i sees keys up to i. "
    "scale: 1 / sqrt(E) if None. dropout_p applies whether or not anything is in training. enable_gqa: key and value "
    "may have fewer heads, each for a group of query heads.",
    {.method = false, .module = "nn", .autocast = Autocast::lower})

}  // namespace bulssi

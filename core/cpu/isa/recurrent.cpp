// One position of a recurrent layer: activations and the new state, and their gradients. Compiled once per ISA.
#include "core/cpu/kernel_table.h"
#include "core/cpu/recurrent_kernels.h"

#include "core/cpu/reduce_vec.h"

namespace bulssi::BULSSI_ISA {
namespace {

template <class T, bool Relu>
void plain_forward(int64_t n, void* gates, const void*, void* h_, void*) {
  T *g = static_cast<T*>(gates), *h = static_cast<T*>(h_);
  for_vectors<T>(n, [&](Piece<T> p) {
    const Vec<T> x = p.load(g), y = Relu ? select(x < Vec<T>(0), Vec<T>(0), x) : vecmath::tanh(x);
    p.store(y, g);
    p.store(y, h);
  });
}
template <class T, bool Relu>
void plain_backward(int64_t n, const void*, const void* h_, const void*, const void*, const void*, const void* dy_,
                    void* dh_, void*, void* dgates_, void*) {
  const T *h = static_cast<const T*>(h_), *dy = static_cast<const T*>(dy_);
  T *dh = static_cast<T*>(dh_), *dg = static_cast<T*>(dgates_);
  for_vectors<T>(n, [&](Piece<T> p) {
    const Vec<T> y = p.load(h), d = dy ? p.load(dh) + p.load(dy) : p.load(dh);
    p.store(Relu ? select(y > Vec<T>(0), d, Vec<T>(0)) : d * (1.0 - y * y), dg);
    p.store(Vec<T>(0), dh);
  });
}

template <class T>
void lstm_forward(int64_t n, void* gates, const void*, void* h_, void* c_) {
  T *g = static_cast<T*>(gates), *h = static_cast<T*>(h_), *c = static_cast<T*>(c_);
  for_vectors<T>(n, [&](Piece<T> p) {
    const Vec<T> take = vecmath::sigmoid(p.load(g)), forget = vecmath::sigmoid(p.load(g + n)),
                 fresh = vecmath::tanh(p.load(g + 2 * n)), give = vecmath::sigmoid(p.load(g + 3 * n));
    const Vec<T> cell = forget * p.load(c) + take * fresh;
    p.store(take, g);
    p.store(forget, g + n);
    p.store(fresh, g + 2 * n);
    p.store(give, g + 3 * n);
    p.store(cell, c);
    p.store(give * vecmath::tanh(cell), h);
  });
}
template <class T>
void lstm_backward(int64_t n, const void* gates, const void*, const void* c_, const void*, const void* c0_,
                   const void* dy_, void* dh_, void* dc_, void* dgates_, void*) {
  const T *g = static_cast<const T*>(gates), *c = static_cast<const T*>(c_), *c0 = static_cast<const T*>(c0_),
          *dy = static_cast<const T*>(dy_);
  T *dh = static_cast<T*>(dh_), *dc = static_cast<T*>(dc_), *dg = static_cast<T*>(dgates_);
  for_vectors<T>(n, [&](Piece<T> p) {
    const Vec<T> take = p.load(g), forget = p.load(g + n), fresh = p.load(g + 2 * n), give = p.load(g + 3 * n);
    const Vec<T> d = dy ? p.load(dh) + p.load(dy) : p.load(dh), squashed = vecmath::tanh(p.load(c));
    const Vec<T> cell = p.load(dc) + d * give * (1.0 - squashed * squashed);
    p.store(cell * fresh * take * (1.0 - take), dg);
    p.store(cell * p.load(c0) * forget * (1.0 - forget), dg + n);
    p.store(cell * take * (1.0 - fresh * fresh), dg + 2 * n);
    p.store(d * squashed * give * (1.0 - give), dg + 3 * n);
    p.store(cell * forget, dc);
    p.store(Vec<T>(0), dh);
  });
}

template <class T>
void gru_forward(int64_t n, void* gates, const void* part_, void* h_, void*) {
  T *g = static_cast<T*>(gates), *h = static_cast<T*>(h_);
  const T* part = static_cast<const T*>(part_);
  for_vectors<T>(n, [&](Piece<T> p) {
    const Vec<T> reset = vecmath::sigmoid(p.load(g) + p.load(part)),
                 update = vecmath::sigmoid(p.load(g + n) + p.load(part + n)), inner = p.load(part + 2 * n);
    const Vec<T> fresh = vecmath::tanh(p.load(g + 2 * n) + reset * inner);
    p.store(reset, g);
    p.store(update, g + n);
    p.store(fresh, g + 2 * n);
    p.store(inner, g + 3 * n);
    p.store((p.load(h) - fresh) * update + fresh, h);
  });
}
template <class T>
void gru_backward(int64_t n, const void* gates, const void*, const void*, const void* h0_, const void*, const void* dy_,
                  void* dh_, void*, void* dgates_, void* dpart_) {
  const T *g = static_cast<const T*>(gates), *h0 = static_cast<const T*>(h0_), *dy = static_cast<const T*>(dy_);
  T *dh = static_cast<T*>(dh_), *dg = static_cast<T*>(dgates_), *dp = static_cast<T*>(dpart_);
  for_vectors<T>(n, [&](Piece<T> p) {
    const Vec<T> reset = p.load(g), update = p.load(g + n), fresh = p.load(g + 2 * n), inner = p.load(g + 3 * n);
    const Vec<T> d = dy ? p.load(dh) + p.load(dy) : p.load(dh);
    const Vec<T> dfresh = d * (1.0 - update) * (1.0 - fresh * fresh);
    const Vec<T> dreset = dfresh * inner * reset * (1.0 - reset),
                 dupdate = d * (p.load(h0) - fresh) * update * (1.0 - update);
    p.store(dreset, dg);
    p.store(dupdate, dg + n);
    p.store(dfresh, dg + 2 * n);
    p.store(dreset, dp);
    p.store(dupdate, dp + n);
    p.store(dfresh * reset, dp + 2 * n);
    p.store(d * update, dh);
  });
}

template <class T>
constexpr void add(RecurrentTable& t, int c) {
  t.forward[int(Cell::tanh)][c] = plain_forward<T, false>, t.backward[int(Cell::tanh)][c] = plain_backward<T, false>;
  t.forward[int(Cell::relu)][c] = plain_forward<T, true>, t.backward[int(Cell::relu)][c] = plain_backward<T, true>;
  t.forward[int(Cell::lstm)][c] = lstm_forward<T>, t.backward[int(Cell::lstm)][c] = lstm_backward<T>;
  t.forward[int(Cell::gru)][c] = gru_forward<T>, t.backward[int(Cell::gru)][c] = gru_backward<T>;
}
constexpr RecurrentTable make() {
  RecurrentTable t;
  add<float>(t, 0), add<double>(t, 1);
  return t;
}
constexpr RecurrentTable table = make();

}  // namespace
}  // namespace bulssi::BULSSI_ISA

KERNEL_TABLE(bulssi::RecurrentTable, recurrent, table)

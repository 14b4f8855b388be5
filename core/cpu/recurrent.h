// One recurrent layer in one direction over plain memory: forward with what backward needs, and backward.
//
// Sequences (rows) do not meet in the recurrence, so a block of rows runs through all steps on one thread, and the only
// products per step are those with the hidden weight, which is packed once. Everything that can be one product over all
// steps (the input's part of the gates, the gradients of input and weights) is left to the caller or done at the end.
#pragma once
#include <cstdint>

#include "core/cpu/recurrent_kernels.h"
#include "core/tensor/dtype.h"

namespace bulssi {

// Blocks of `hidden` numbers that the input contributes to per position, and that are kept per position for backward:
// LSTM: take, forget, new, give. GRU: reset, update, new; and the state's part of new.
constexpr int64_t gate_count(Cell cell) { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }
constexpr int64_t kept_count(Cell cell) { return cell == Cell::gru ? 4 : gate_count(cell); }

// `steps` steps in the order in which they run; step t covers the sequences [0, counts[t]), whose positions are
// [starts[t], starts[t] + counts[t]).
struct RecurrentShape {
  Cell cell = Cell::tanh;
  int64_t hidden = 0, rows = 0, positions = 0;
  int64_t steps = 0;
  const int64_t* starts = nullptr;
  const int64_t* counts = nullptr;
};

// kept (positions, kept_count * hidden): the input's part of the gates in, activations out. h, c (rows, hidden): the
// first state in, the last one out. y, cells (positions, hidden): the states of every position. weight (gates * hidden,
// hidden); bias: of the state's part of a GRU, or null. kept may be y when there is one gate. c, cells: LSTM only.
void recurrent_forward(DType dtype, const RecurrentShape& s, const void* weight, const void* bias, void* kept, void* h,
                       void* c, void* y, void* cells);

// dh, dc: gradients of the last state in, of the first one out. dgates (positions, gates * hidden); dpart: the same of
// the state's part, GRU only (otherwise they are one). h0, c0: the first state. dy: gradient of y or null.
void recurrent_backward(DType dtype, const RecurrentShape& s, const void* weight, const void* kept, const void* y,
                        const void* cells, const void* h0, const void* c0, const void* dy, void* dh, void* dc,
                        void* dgates, void* dpart);

}  // namespace bulssi

// The parts of recurrent layers that are compiled once per ISA, as a table of plain data. Included on both sides of the
// ISA border.
#pragma once
#include <cstdint>

namespace bulssi {

enum class Cell : uint8_t { tanh, relu, lstm, gru };

struct RecurrentTable {
  // One position. gates: in, the sums (for a GRU the input's part; part: the state's part, with its bias); out, the
  // activations. h, c: the state, renewed in place.
  void (*forward[4][2])(int64_t hidden, void* gates, const void* part, void* h, void* c) = {};
  // dh, dc: gradients of the new state in, of the old state out (without what comes through the hidden weight). dgates:
  // of the sums; dpart: of the state's part (GRU). h, c: the new state; h0, c0: the old one. dy: the output's; may be
  // null.
  void (*backward[4][2])(int64_t hidden, const void* gates, const void* h, const void* c, const void* h0,
                         const void* c0, const void* dy, void* dh, void* dc, void* dgates, void* dpart) = {};
};

}  // namespace bulssi

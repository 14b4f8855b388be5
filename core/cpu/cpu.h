// The CPU device as the rest of the core sees it: Programs over strided memory, copies, and the choice of ISA.
#pragma once
#include <cstdint>
#include <span>

#include "core/cpu/kernel.h"
#include "core/cpu/optimizers.h"
#include "core/program/program.h"
#include "core/tensor/dtype.h"
#include "core/tensor/layout.h"

namespace bulssi {

// Lets other Python threads run while a long kernel does, and Ctrl-C end it (Note [Interrupts] in base/threads.h); the
// binding sets the hooks.
struct InterpreterLock {
  void* (*release)() = nullptr;
  void (*acquire)(void* state) = nullptr;
};
extern InterpreterLock interpreter_lock;
class Unlocked {
 public:
  // `work` is the number of elements (or an equivalent): short kernels keep the lock.
  explicit Unlocked(int64_t work) {
    if (work > 200000 && interpreter_lock.release) begin();
  }
  ~Unlocked() {
    if (state_) end();
  }
  Unlocked(const Unlocked&) = delete;

 private:
  void begin();
  void end();
  static void look_for_signals();

  friend class Locked;
  Unlocked() = default;
  void* state_ = nullptr;
  uint64_t number_ = 0;  // Note [Replaced memory] in tensor/storage.h
  int64_t looked_ = 0;   // when it last had the lock, in ns
};

// Kernels of this scope keep the lock: no other Python thread comes between them.
class Locked {
 public:
  Locked();
  ~Locked();
  Locked(const Locked&) = delete;

 private:
  Unlocked* before_;
  Unlocked none_;
};

namespace cpu {

// ---- ISA ------------------------------------------------------------------------------------------------------------

struct ConvertTable {
  // n contiguous elements of a dtype to or from a compute type.
  void (*load[dtype_count][compute_count])(int64_t n, const void* from, void* to) = {};
  void (*store[compute_count][dtype_count])(int64_t n, const void* from, void* to) = {};
};
const char* isa();                // "v4", "v3", "v2"
const char* const* isas_built();  // null-terminated, best first
bool isa_runs(const char* name);  // on this processor
// BULSSI_ISA or the best that runs; called once at import.
void choose_isa(const char* wanted);
const FormulaKernels& formula_kernels(int index);
const ConvertTable& converters();
const OptimizerTable& optimizer_kernels();

inline constexpr Compute compute_of(DType d) {
  switch (d) {
    case DType::f64: return Compute::f64;
    case DType::f16:
    case DType::bf16:
    case DType::f32: return Compute::f32;
    case DType::u8:
    case DType::boolean: return Compute::u8;
    default: return Compute::i64;
  }
}
inline constexpr DType dtype_of_compute(Compute c) {
  constexpr DType d[] = {DType::f32, DType::f64, DType::i64, DType::u8};
  return d[int(c)];
}

// Kernels read and write this memory as it is (bools are bytes of 0 and 1).
inline constexpr bool is_direct(DType d, Compute c) {
  return d == dtype_of_compute(c) || (c == Compute::u8 && d == DType::boolean);
}

// ---- programs -------------------------------------------------------------------------------------------------------

// Runs the steps block by block over all elements of the shape. An input may be the same memory as an output.
void run(const Program& program);

// ---- memory ---------------------------------------------------------------------------------------------------------

void copy_bytes(void* to, const void* from, int64_t bytes);
void copy(char* to, DType to_dtype, Ints to_strides, const char* from, DType from_dtype, Ints from_strides, Ints shape);
void fill(char* to, DType dtype, Ints strides, Ints shape, Scalar value);

// The dimensions of several operands in one walking order (outermost first), merged where all of them allow.
struct Walk {
  Dims shape;
  Small<Dims, 6> strides;  // per operand
  // `lead` is the operand whose memory order is followed.
  Walk(Ints shape, std::span<const int64_t* const> strides, int lead);
};

}  // namespace cpu
}  // namespace bulssi

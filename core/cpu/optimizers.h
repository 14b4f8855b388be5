// The update kernels of the optimizers. Included on both sides of the ISA border, so it holds plain data only.
#pragma once
#include <cstdint>

namespace bulssi {

#define BULSSI_OPTIMIZERS(X) \
  X(sgd) X(adam) X(adagrad) X(adadelta) X(adamax) X(nadam) X(radam) X(rmsprop) X(rprop) X(asgd)
#define BULSSI_TAG(name) name,
#define BULSSI_NAME(name) #name,
enum class Optimizer : uint8_t { BULSSI_OPTIMIZERS(BULSSI_TAG) };
inline constexpr const char* optimizer_names[] = {BULSSI_OPTIMIZERS(BULSSI_NAME)};
inline constexpr int optimizer_count = sizeof(optimizer_names) / sizeof(*optimizer_names);
#undef BULSSI_TAG
#undef BULSSI_NAME

// n elements. `data`: the parameter, its gradient, then the optimizer's full-size states (core/cpu/isa/optimizers.cpp
// says which). `s`: s[0] is the gradient's sign, s[1] the L2 penalty, then the optimizer's own numbers.
using OptimizerKernel = void (*)(int64_t n, void* const* data, const double* s);

// Variants are chosen by bits: 1 an L2 penalty, the others as the optimizer says.
inline constexpr int optimizer_variants = 16;
struct OptimizerTable {
  OptimizerKernel kernel[2][optimizer_count][optimizer_variants] = {};  // float, double
};

}  // namespace bulssi

#pragma once

// Random functions whose parameters are tensors, with PyTorch's CPU stream bit for bit. Continues random.h, whose notes
// on order and paths hold here: outputs are new and contiguous, arguments are expanded to the output's shape and
// visited in index order.
//
//   poisson(rate)                          fill_poisson; f32, f64, f16, bf16
//   binomial(count, prob)                  fill_binomial; f32 and f64, both arguments of one dtype
//   _standard_gamma(alpha)                 fill_gamma; f32 and f64
//   _sample_dirichlet(alpha)               fill_dirichlet over the last dimension; f32 and f64
//   multinomial(p, n, replacement)         sample_multinomial
//   rrelu(x, lower, upper, training=True)  fill_rrelu; f32, f64, bf16; the gradient is g * noise
//
// For other dtypes PyTorch raises NotImplementedError ("poisson_cpu", "binomial_cpu", "gamma_cpu", "dirichlet",
// "rrelu_with_noise_out_cpu" not implemented for '...'); binomial raises ValueError for integers.

#include <cstdint>

#include "random.h"

namespace bulssi::rng {

// Poisson counts: Hoermann's transformed rejection (PTRS, 1993) for rates from 10 on, products of uniforms below.
// Refused, with nothing drawn, if a rate is negative or nan.
[[nodiscard]] Refusal fill_poisson(Generator& g, DType type, void* out, int64_t n, const void* rate);

// Binomial counts: Hoermann's BTRS (1993) where count * min(p, 1 - p) >= 10, sums of geometric waiting times below.
// count <= 0 or prob <= 0 gives 0, prob >= 1 gives count, a nan gives nan.
void fill_binomial(Generator& g, DType type, void* out, int64_t n, const void* count, const void* prob);

// Gamma(alpha, 1): Marsaglia and Tsang (2000). Never less than the smallest normal number.
void fill_gamma(Generator& g, DType type, void* out, int64_t n, const void* alpha);

// Rows of a Dirichlet distribution: gammas in double, divided by their sum (added in the order of PyTorch's sum).
void fill_dirichlet(Generator& g, DType type, void* out, int64_t rows, int64_t columns, const void* alpha);

// n_sample category indices for each row of the weights p[r * row_stride + c * column_stride], any floating type, to
// out[r * n_sample + j]. A vector is one row. Strides matter beyond addressing: without replacement one exponential is
// drawn for each weight in the order of memory (visiting_order); so it is for n_sample = 1 in any case. Refused with
// PyTorch's messages, nothing drawn.
[[nodiscard]] Refusal sample_multinomial(Generator& g, DType type, const void* p, int64_t rows, int64_t columns,
                                         int64_t row_stride, int64_t column_stride, int64_t n_sample, bool replacement,
                                         int64_t* out);

// out = x and noise = 1 where x > 0; elsewhere noise is uniform in [lower, upper) and out = x * noise. All of one
// floating type; out may be x.
void fill_rrelu(Generator& g, DType type, void* out, void* noise, const void* x, int64_t n, double lower, double upper);

}  // namespace bulssi::rng

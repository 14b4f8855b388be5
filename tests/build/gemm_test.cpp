// Matrix products, the allocator and BLAS behind a C interface, for test_gemm.py. Stands in for the parts of cpu.cpp
// that gemm.cpp uses, so that the test needs neither the formulas nor Python.
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>

#include "core/base/alloc.h"
#include "core/base/threads.h"
#include "core/cpu/blas.h"
#include "core/cpu/cpu.h"
#include "core/cpu/gemm.h"

using namespace bulssi;

namespace {
const char* chosen_isa = "v2";

template <class T>
void widen(int64_t n, const void* from, void* to) {
  for (int64_t i = 0; i < n; i++) static_cast<float*>(to)[i] = static_cast<const T*>(from)[i];
}
template <class T>
void narrow(int64_t n, const void* from, void* to) {
  for (int64_t i = 0; i < n; i++) static_cast<T*>(to)[i] = T(static_cast<const float*>(from)[i]);
}
cpu::ConvertTable make_table() {
  cpu::ConvertTable t;
  const int f32 = static_cast<int>(Compute::f32), half = static_cast<int>(DType::f16),
            brain = static_cast<int>(DType::bf16);
  t.load[half][f32] = widen<Half>;
  t.load[brain][f32] = widen<BFloat16>;
  t.store[f32][half] = narrow<Half>;
  t.store[f32][brain] = narrow<BFloat16>;
  return t;
}
}  // namespace

namespace bulssi::cpu {
const char* isa() { return chosen_isa; }
const ConvertTable& converters() {
  static const ConvertTable t = make_table();
  return t;
}
}  // namespace bulssi::cpu

extern "C" {

// Before the first product.
void test_isa(const char* name) { chosen_isa = strdup(name); }
void test_threads(int n) { set_thread_count(n); }

int test_gemm(int dtype, int trans_a, int trans_b, int64_t m, int64_t n, int64_t k, double alpha, const void* a,
              int64_t lda, const void* b, int64_t ldb, double beta, void* c, int64_t ldc, const void* bias) {
  try {
    gemm(static_cast<DType>(dtype), trans_a, trans_b, m, n, k, Scalar(alpha), a, lda, b, ldb, Scalar(beta), c, ldc,
         bias);
    return 0;
  } catch (const std::exception&) {
    return 1;
  }
}
// Seconds for `repeats` products.
double test_time(int64_t repeats, int dtype, int trans_a, int trans_b, int64_t m, int64_t n, int64_t k, double alpha,
                 const void* a, int64_t lda, const void* b, int64_t ldb, double beta, void* c, int64_t ldc,
                 const void* bias) {
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < repeats; i++)
    test_gemm(dtype, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, bias);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}
void test_gemm_batched(int dtype, int64_t batch, int trans_a, int trans_b, int64_t m, int64_t n, int64_t k,
                       double alpha, const void* a, int64_t lda, int64_t stride_a, const void* b, int64_t ldb,
                       int64_t stride_b, double beta, void* c, int64_t ldc, int64_t stride_c) {
  gemm_batched(static_cast<DType>(dtype), batch, trans_a, trans_b, m, n, k, Scalar(alpha), a, lda, stride_a, b, ldb,
               stride_b, Scalar(beta), c, ldc, stride_c);
}
void test_gemv(int dtype, int trans, int64_t m, int64_t n, double alpha, const void* a, int64_t lda, const void* x,
               int64_t x_step, double beta, void* y, int64_t y_step) {
  gemv(static_cast<DType>(dtype), trans, m, n, Scalar(alpha), a, lda, x, x_step, Scalar(beta), y, y_step);
}
void test_dot(int dtype, int64_t n, const void* a, int64_t a_step, const void* b, int64_t b_step, void* out) {
  dot(static_cast<DType>(dtype), n, a, a_step, b, b_step, out);
}

void test_blas_path(const char* path) { blas_set_library_path(path); }
int test_blas_loaded() { return blas_loaded(); }
const char* test_blas_config() { return blas_config(); }
// The message of the error, or an empty string.
const char* test_blas_find(const char* name) {
  static std::string message;
  try {
    message.clear();
    blas<void()>(name);
  } catch (const std::exception& e) {
    message = e.what();
  }
  return message.c_str();
}
}

// What the linear algebra files share: matrices by columns as LAPACK wants them, batches, checks, and the operations
// that gradients of other operations are written with.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "core/base/threads.h"
#include "core/cpu/cpu.h"
#include "core/cpu/lapack.h"
#include "core/op/tensor_math.h"
#include "core/ops/matmul.h"
#include "core/ops/reduce.h"

namespace bulssi {

// torch.linalg.LinAlgError: a RuntimeError of a class of its own.
class LinAlgError : public Error {
 public:
  explicit LinAlgError(std::string message) : Error(ErrorKind::runtime, std::move(message)) {}
};

// ---- matrices by columns ------------------------------------------------------------------------------------------

// Rows and columns of the matrices in the last two dimensions.
inline int64_t rows_of(const Tensor& t) { return t.shape()[t.dims() - 2]; }
inline int64_t columns_of(const Tensor& t) { return t.shape()[t.dims() - 1]; }
inline Dims batch_of(const Tensor& t, int last = 2) {
  return Dims(Ints(t.shape().data(), static_cast<size_t>(t.dims() - last)));
}
inline Dims with(Dims batch, std::initializer_list<int64_t> last) {
  for (int64_t n : last) batch.push_back(n);
  return batch;
}
// Memory for matrices whose columns are side by side, one matrix behind the other.
Tensor new_by_columns(Ints shape, DType dtype);
// A copy in that order (unrecorded); t is broadcast to `shape`.
Tensor copy_by_columns(const Tensor& t, Ints shape);
inline Tensor copy_by_columns(const Tensor& t) { return copy_by_columns(t, t.shape()); }
// LAPACK counts with 32 bits.
int lapack_int(int64_t n);
inline int leading(int64_t rows) { return lapack_int(rows > 0 ? rows : 1); }

// A batch of matrices that is read only: used where it is if columns are side by side, else copied (once where the
// batch is broadcast). `shape` is that of the batch to walk.
class ReadMatrices {
 public:
  ReadMatrices(const Tensor& t, Ints batch);
  template <class T>
  const T* at(int64_t i) const {
    return tensor_.data<T>() + offset(i);
  }
  int ld() const { return ld_; }

 private:
  int64_t offset(int64_t i) const {
    int64_t at = 0;
    for (int d = batch_.dims(); d-- > 0; i /= batch_[d]) at += i % batch_[d] * steps_[d];
    return at;
  }
  Tensor tensor_;
  Dims batch_, steps_;
  int ld_ = 1;
};

// f(i) for every matrix of a batch, over the threads; `work` is about the number of multiplications for one.
template <class F>
void each_matrix(int64_t count, double work, F&& f) {
  if (placement.device.kind == DeviceKind::meta) return;
  const int64_t grain = static_cast<int64_t>(std::max(1.0, 100000.0 / std::max(1.0, work)));
  const Unlocked unlocked(static_cast<int64_t>(std::min(1e18, static_cast<double>(count) * work / 4)));
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i);
  });
}
// f<T>() for float or double; `name` is what PyTorch calls the kernel that it has not for other types. (It has no need
// of it where there are no elements: f is called then as well, and reads none.)
template <class F>
decltype(auto) dispatch_lapack(const Tensor& a, const char* name, F&& f) {
  const DType dtype = a.dtype();
  check(dtype == DType::f32 || dtype == DType::f64 || a.numel() == 0, ErrorKind::not_implemented, "\"", name,
        "\" not implemented for '", legacy_name(dtype), "'");
  return dtype == DType::f32 ? f.template operator()<float>() : f.template operator()<double>();
}

// ---- checks -------------------------------------------------------------------------------------------------------

void check_linalg_type(const Tensor& t, const char* op, bool low_precision = true);
void check_matrix(const Tensor& t, const char* op, const char* argument = "A");
void check_square(const Tensor& t, const char* op, const char* argument = "A");
void check_solvable(const Tensor& a, const Tensor& b, bool left, const char* op);
void check_same_type(const Tensor& a, const Tensor& b, const char* op, const char* a_name, const char* b_name);
// Calls fail(where, code) for the first matrix whose info is not 0; `where` is "" or "(Batch element 3): ".
template <class F>
void check_info(const Tensor& info, F&& fail_with) {
  if (without_elements(info)) return;
  const int32_t* codes = info.data<int32_t>();
  for (int64_t i = 0; i < info.numel(); ++i) {
    if (codes[i] != 0) fail_with(info.dims() ? str("(Batch element ", i, "): ") : std::string(), codes[i]);
  }
}
// A vector (or a batch of them) on the right-hand side of equations with a?
bool is_vector_side(const Tensor& a, const Tensor& b);
double epsilon_of(DType dtype);

// ---- recorded operations ------------------------------------------------------------------------------------------

Tensor tril(const Tensor& t, int64_t k = 0);
Tensor triu(const Tensor& t, int64_t k = 0);
Tensor diagonal_view(const Tensor& t);                // of the last two dimensions
Tensor diagonal_matrix(const Tensor& t);              // its inverse
Tensor identity(Ints batch, int64_t n, DType dtype);  // not recorded; by columns and rows alike
Tensor halved_diagonal(const Tensor& t);
Tensor broadcast_batch(const Tensor& t, Ints batch, int last = 2);

std::tuple<Tensor, Tensor, Tensor> lu_factor_ex(const Tensor& a, bool pivot = true, bool check_errors = false);
std::tuple<Tensor, Tensor, Tensor> lu_unpack(const Tensor& lu, const Tensor& pivots, bool data = true,
                                             bool permutation = true);
Tensor lu_solve(const Tensor& lu, const Tensor& pivots, const Tensor& b, bool left = true, bool adjoint = false);
Tensor solve_triangular(const Tensor& a, const Tensor& b, bool upper, bool left = true, bool unitriangular = false);
Tensor solve(const Tensor& a, const Tensor& b, bool left = true);
std::tuple<Tensor, Tensor> inv_ex(const Tensor& a, bool check_errors = false);
Tensor inverse(const Tensor& a);
std::tuple<Tensor, Tensor> eigh(const Tensor& a, std::string_view uplo = "L");
Tensor eigvalsh(const Tensor& a, std::string_view uplo = "L");
std::tuple<Tensor, Tensor, Tensor> svd(const Tensor& a, bool full_matrices);
Tensor svdvals(const Tensor& a);
Tensor pinv(const Tensor& a, const Tensor& atol, const Tensor& rtol, bool hermitian = false);
Tensor pinv_backward(const Tensor& g, const Tensor& x, const Tensor& a);  // x: the pseudo-inverse of a
Tensor matrix_norm(const Tensor& a, double order, Ints dims, bool keepdim, std::optional<DType> dtype = {});
Tensor matrix_norm(const Tensor& a, std::string_view order, Ints dims, bool keepdim, std::optional<DType> dtype = {});

}  // namespace bulssi

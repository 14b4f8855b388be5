// The parts of matrix products that are compiled once per ISA, as a table. Included on both sides of the ISA border, so
// it holds plain data and inlined members only. gemm.cpp chooses among them and splits the work.
#pragma once
#include <cstdint>

namespace bulssi {

// Rows shared evenly among as few panels of at most `most` rows as will do; the first ones have one row more.
struct GemmPanels {
  int64_t count, each, more;

  GemmPanels() = default;
  __attribute__((always_inline)) GemmPanels(int64_t total, int64_t most)
      : count((total + most - 1) / most), each(count ? total / count : 0), more(total - count * each) {}
  __attribute__((always_inline)) int64_t first(int64_t panel) const {
    return panel * each + (panel < more ? panel : more);
  }
  __attribute__((always_inline)) int64_t rows(int64_t panel) const { return each + (panel < more); }
};

// c = alpha * a b + beta * c + bias for one block; c is row-major. Strides are in elements: a(i, p) = a[i * a_row + p *
// a_col].
template <class T>
struct GemmBlock {
  int64_t m, n, k;
  const T* a;
  int64_t a_row, a_col;
  const T* b;
  int64_t b_row;  // block: from one p to the next, with columns side by side; dot: from one column to the next, along p
                  // side by side
  int64_t b_panel;  // 0: b is as the caller gave it; else the distance between packed panels of `panel` columns
  T* c;
  int64_t ldc;
  T alpha, beta;  // beta == 0: c is not read
  const T* bias;  // n elements, or null
  // Panels of rows, when a part of them is wanted: a_panels of them from a_first on, and a and c point to the very
  // first row. 0: all.
  int64_t a_panels, a_first;
  GemmPanels panels;
  bool a_packed;  // panel by panel, [p][rows of the panel]
  // Room for the packed panels of a b that is given as it is (b_panel == 0): the first panel of rows leaves them there
  // on its way, and the others read them. Null: b is read as it is by all.
  T* b_copy = nullptr;
  // Room for one panel of an a as it is whose rows are so far apart that they push each other out of the cache: each
  // panel is copied before it meets the packed panels of b. Null: a is read where it is.
  T* a_copy = nullptr;
  // The first of the rows to come and their distance, where they do not lie behind those of a. Null: they do.
  const T* a_next = nullptr;
  int64_t a_next_row = 0;
};

template <class T>
struct GemmKernels {
  int rows;   // of a register tile, at most
  int panel;  // columns of a packed panel of b
  void (*block)(const GemmBlock<T>& g);
  void (*dot)(const GemmBlock<T>& g);  // for long k: sums along k in vector lanes, no packing; needs a_col == 1
  // out[panel][p][panel columns], the last panel filled up with zeros; b(p, j) = b[p * row + j * col], one of them 1.
  void (*pack_panels)(int64_t k, int64_t n, const T* b, int64_t row, int64_t col, T* out);
  // One panel of an a whose columns are contiguous: out[p * m + i] = a[i + p * col].
  void (*pack_rows)(int64_t m, int64_t k, const T* a, int64_t col, T* out);
  // out[c * ld_out + r] = in[r * ld_in + c]
  void (*transpose)(int64_t rows, int64_t cols, const T* in, int64_t ld_in, T* out, int64_t ld_out);
  // y[j] += sum over p of x[p * x_step] * b[p * b_row + j]: a product with one row, streaming b.
  void (*stream)(int64_t n, int64_t k, const T* x, int64_t x_step, const T* b, int64_t b_row, T* y);
};

// bulssi_gemm_<isa>() of each ISA's object returns its table.
struct GemmTable {
  GemmKernels<float> f32;
  GemmKernels<double> f64;
};
const GemmTable& gemm_kernels();  // of the chosen instruction set; gemm.cpp has it

}  // namespace bulssi

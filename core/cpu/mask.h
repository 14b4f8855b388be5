// Kernels over boolean masks (bytes; anything but 0 is set). Plain data only: included on both sides of the ISA border.
#pragma once
#include <cstdint>

namespace bulssi {

struct MaskKernels {
  int64_t (*count)(int64_t n, const uint8_t* mask);
  // Packs the elements whose mask is set: exactly `total` of them, which the n mask bytes hold. By log2 of the item
  // size.
  void (*compress[4])(int64_t n, const uint8_t* mask, int64_t total, const void* from, void* to);
  // The positions of the set elements, counted from `first`.
  void (*positions)(int64_t n, const uint8_t* mask, int64_t total, int64_t first, int64_t* to);
  // Sets the elements whose mask is set. By log2 of the item size.
  void (*fill[4])(int64_t n, const uint8_t* mask, const void* value, void* to);
};

namespace cpu {
const MaskKernels& mask_kernels();  // of the chosen ISA
}

}  // namespace bulssi

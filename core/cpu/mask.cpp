#include "core/cpu/mask.h"

#include <bulssi_isas.h>

#include <cstring>

#include "core/cpu/cpu.h"

namespace bulssi::cpu {

#define BULSSI_DECLARE(isa) extern "C" const MaskKernels* bulssi_mask_##isa();
BULSSI_FOR_ISAS(BULSSI_DECLARE)

const MaskKernels& mask_kernels() {
  static const MaskKernels* const found = [] {
    const MaskKernels* kernels = nullptr;
#define BULSSI_TAKE(name) \
    if (!std::strcmp(isa(), #name)) kernels = bulssi_mask_##name();
    BULSSI_FOR_ISAS(BULSSI_TAKE)
    return kernels;
  }();
  return *found;
}

}  // namespace bulssi::cpu

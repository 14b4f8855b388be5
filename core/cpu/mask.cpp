// The kernels of masks, index vectors and selections for the chosen ISA.
#include "core/cpu/mask.h"

#include <bulssi_isas.h>

#include <cstring>

#include "core/cpu/cpu.h"
#include "core/cpu/gather.h"
#include "core/cpu/top.h"

namespace bulssi::cpu {

#define BULSSI_DECLARE(isa)                              \
  extern "C" const MaskKernels* bulssi_mask_##isa();     \
  extern "C" const GatherKernels* bulssi_gather_##isa(); \
  extern "C" const TopKernels* bulssi_top_##isa();
BULSSI_FOR_ISAS(BULSSI_DECLARE)

namespace {
struct Tables {
  const MaskKernels* mask = nullptr;
  const GatherKernels* gather = nullptr;
  const TopKernels* top = nullptr;
};
const Tables& tables() {
  static const Tables found = [] {
    Tables t;
#define BULSSI_TAKE(name) \
  if (!std::strcmp(isa(), #name)) t = {bulssi_mask_##name(), bulssi_gather_##name(), bulssi_top_##name()};
    BULSSI_FOR_ISAS(BULSSI_TAKE)
    return t;
  }();
  return found;
}
}  // namespace

const MaskKernels& mask_kernels() { return *tables().mask; }
const GatherKernels& gather_kernels() { return *tables().gather; }
const TopKernels& top_kernels() { return *tables().top; }

}  // namespace bulssi::cpu

// The kernels of masks and index vectors for the chosen ISA.
#include "core/cpu/mask.h"

#include <bulssi_isas.h>

#include <cstring>

#include "core/cpu/cpu.h"
#include "core/cpu/gather.h"

namespace bulssi::cpu {

#define BULSSI_DECLARE(isa)                          \
  extern "C" const MaskKernels* bulssi_mask_##isa(); \
  extern "C" const GatherKernels* bulssi_gather_##isa();
BULSSI_FOR_ISAS(BULSSI_DECLARE)

namespace {
struct Tables {
  const MaskKernels* mask = nullptr;
  const GatherKernels* gather = nullptr;
};
const Tables& tables() {
  static const Tables found = [] {
    Tables t;
#define BULSSI_TAKE(name) \
  if (!std::strcmp(isa(), #name)) t = {bulssi_mask_##name(), bulssi_gather_##name()};
    BULSSI_FOR_ISAS(BULSSI_TAKE)
    return t;
  }();
  return found;
}
}  // namespace

const MaskKernels& mask_kernels() { return *tables().mask; }
const GatherKernels& gather_kernels() { return *tables().gather; }

}  // namespace bulssi::cpu

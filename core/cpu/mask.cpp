// The kernels of masks, index vectors and selections for the chosen ISA.
#include "core/cpu/mask.h"

#include "core/cpu/gather.h"
#include "core/cpu/kernel_table.h"
#include "core/cpu/top.h"

namespace bulssi::cpu {

TAKE_KERNELS(MaskKernels, mask)
TAKE_KERNELS(GatherKernels, gather)
TAKE_KERNELS(TopKernels, top)

}  // namespace bulssi::cpu

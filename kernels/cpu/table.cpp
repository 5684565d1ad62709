#include "kernels/cpu/table.h"

#include "kernels/cpu/functions.h"

#define ADATAPE_JOIN_(a, b) a##b
#define ADATAPE_JOIN(a, b) ADATAPE_JOIN_(a, b)
#define ADATAPE_STRING_(a) #a
#define ADATAPE_STRING(a) ADATAPE_STRING_(a)

namespace adatape::kernels {

extern const CpuKernels ADATAPE_JOIN(table_, ADATAPE_ISA);
const CpuKernels ADATAPE_JOIN(table_, ADATAPE_ISA) = {
    ADATAPE_STRING(ADATAPE_ISA),
    &ADATAPE_ISA::tape_select,
    &ADATAPE_ISA::tape_select_backward,
    &ADATAPE_ISA::tape_gather,
    &ADATAPE_ISA::tape_gather_backward_weight,
    &ADATAPE_ISA::segment_sum,
    &ADATAPE_ISA::ragged_attention,
    &ADATAPE_ISA::ragged_attention_backward,
    &ADATAPE_ISA::gelu_tanh,
};

}  // namespace adatape::kernels

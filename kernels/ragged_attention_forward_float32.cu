#include "kernels/ragged_attention_forward.cuh"

namespace adatape::kernels::attention {

template void forward<float>(const RaggedAttention&, int64_t, int64_t, Stream);

}  // namespace adatape::kernels::attention

#include "kernels/ragged_attention_backward.cuh"

namespace adatape::kernels::attention {

template void backward<BFloat16>(const RaggedAttentionBackward&, int64_t, int64_t, void*, Stream);

}  // namespace adatape::kernels::attention

#include "kernels/ragged_attention.h"

#include "kernels/launch.cuh"

namespace adatape::kernels {
namespace attention {

// Each in a file of its own, so that they compile side by side.
template <class T>
void forward(const RaggedAttention& p, int64_t max_q, int64_t max_k, Stream stream);
template <class T>
void backward(const RaggedAttentionBackward& p, int64_t max_q, int64_t max_k, void* workspace,
              Stream stream);

}  // namespace attention

namespace cuda {

void ragged_attention(const RaggedAttention& p, int64_t max_q, int64_t max_k, Stream stream) {
  with_element(p.dtype, [&](auto element) {
    attention::forward<decltype(element)>(p, max_q, max_k, stream);
  });
}

size_t ragged_attention_workspace(const RaggedAttention& p) {
  return size_t(p.heads * p.query_rows) * 2 * sizeof(float);  // QueryStatistics
}

void ragged_attention_backward(const RaggedAttentionBackward& p, int64_t max_q, int64_t max_k,
                               void* workspace, Stream stream) {
  with_element(p.forward.dtype, [&](auto element) {
    attention::backward<decltype(element)>(p, max_q, max_k, workspace, stream);
  });
}

}  // namespace cuda
}  // namespace adatape::kernels

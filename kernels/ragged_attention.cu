#include <stdexcept>

#include "kernels/device.h"
#include "kernels/ragged_attention_cuda.h"

namespace adatape::kernels {
namespace attention {

// Each in a file of its own, so that they compile side by side.
template <class T>
void forward(const RaggedAttention& p, int64_t max_q, int64_t max_k, Stream stream);
template <class T>
void backward(const RaggedAttentionBackward& p, int64_t max_q, int64_t max_k, void* workspace,
              Stream stream);

}  // namespace attention

namespace {

/// Calls f with a value of the C++ type that `dtype` names.
template <class F>
void with_type(DType dtype, F f) {
  switch (dtype) {
    case DType::kFloat32:
      return f(float{});
    case DType::kBFloat16:
      return f(BFloat16{});
    case DType::kFloat16:
      return f(Float16{});
    case DType::kFloat64:
      break;
  }
  throw std::invalid_argument("[ragged_attention] float64 has no CUDA kernel; use float32");
}

}  // namespace

void ragged_attention_cuda(const RaggedAttention& p, int64_t max_q, int64_t max_k, Stream stream) {
  with_type(p.dtype,
            [&](auto element) { attention::forward<decltype(element)>(p, max_q, max_k, stream); });
}

size_t ragged_attention_workspace(const RaggedAttention& p) {
  return size_t(p.heads * p.query_rows) * 2 * sizeof(float);
}

void ragged_attention_backward_cuda(const RaggedAttentionBackward& p, int64_t max_q, int64_t max_k,
                                    void* workspace, Stream stream) {
  with_type(p.forward.dtype, [&](auto element) {
    attention::backward<decltype(element)>(p, max_q, max_k, workspace, stream);
  });
}

}  // namespace adatape::kernels

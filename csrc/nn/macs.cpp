#include "csrc/nn/macs.h"

#include <torch/torch.h>

namespace adatape::nn {

at::Tensor attention_macs(int64_t dim, const at::Tensor& query_rows, const at::Tensor& keys,
                          const at::Tensor& value_rows) {
  return (query_rows + value_rows) * (2 * dim * dim) + query_rows * keys * (2 * dim);
}

at::Tensor feed_forward_macs(int64_t dim, int64_t hidden, bool gated, const at::Tensor& rows) {
  return rows * ((gated ? 3 : 2) * dim * hidden);
}

}  // namespace adatape::nn

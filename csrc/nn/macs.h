// The compute ledger's arithmetic: multiply-adds of matrix products, counted from the rows that
// really ran. Norms, softmax, activations, biases and residual sums are left out, as the field
// does. Arguments are int64 [B] (rows of each example); so are the results.
#pragma once

#include <ATen/core/Tensor.h>

namespace adatape::nn {

/// Attention of r query rows over c keys, v rows whose keys and values are computed:
/// 2 r D^2 (Q, O) + 2 v D^2 (K, V) + 2 r c D (scores, weighted sums).
at::Tensor attention_macs(int64_t dim, const at::Tensor& query_rows, const at::Tensor& keys,
                          const at::Tensor& value_rows);

/// A feed-forward network of hidden width M: 2 D M a row, 3 D M if gated (GLU).
at::Tensor feed_forward_macs(int64_t dim, int64_t hidden, bool gated, const at::Tensor& rows);

}  // namespace adatape::nn

// Multi-head attention over packed sequences of unequal length: no padding, no mask (docs/ops.md).
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

#include "csrc/ops/ragged.h"

namespace adatape::ops {

/// The rows of each sequence in a packed tensor; see Ragged for the layout.
struct Segments {
  at::Tensor cu_seqlens_B1;           ///< int32 [B + 1], first segment
  std::optional<at::Tensor> tail_B1;  ///< int32 [B + 1], absolute rows of the second segment
  int64_t longest;                    ///< an upper bound of a sequence's length
};

struct AttentionOptions {
  std::optional<double> scale;  ///< default 1/sqrt(C)
  bool causal = false;          ///< the last query sees the last key; not with tails
};

/// out [Tq, H, C] = softmax(scale * q k^T) v, and the natural-log lse [H, Tq] (float32; float64 for
/// float64). query [Tq, H, C]; key and value [Tk, H, C]; all row and head strides are free. A query
/// without keys gives out 0 and lse -inf; rows of no sequence give the same. lse is not
/// differentiable. Throws c10::Error with a sentence beginning "[ragged_attention]".
std::tuple<at::Tensor, at::Tensor> ragged_attention(const at::Tensor& query_THC,
                                                    const at::Tensor& key_THC,
                                                    const at::Tensor& value_THC,
                                                    const Segments& queries, const Segments& keys,
                                                    const AttentionOptions& options = {});

}  // namespace adatape::ops

// The tape that a selection reads: merged bank rows, packed without padding (docs/ops.md).
#pragma once

#include <ATen/core/Tensor.h>

namespace adatape::ops {

/// tape [total, D]: row r of example b, t = r - offsets[b], is sum_k weight[b,t,k] * values[b,
/// index[b,t,k]]. values [B, N, D], or [N, D] shared by all; index int32 [B, T, K] with -1 for
/// "none"; weight [B, T, K] in float32 (float64 for float64 values); offsets int32 [B + 1], the
/// exclusive prefix sum of the lengths. total >= offsets[B] may be a capacity: rows past offsets[B]
/// are zero. Differentiable in values and weight, bit-reproducibly. Throws c10::Error with a
/// sentence beginning "[tape_gather]".
at::Tensor tape_gather(const at::Tensor& values, const at::Tensor& index_BTK,
                       const at::Tensor& weight_BTK, const at::Tensor& offsets_B1, int64_t total);

}  // namespace adatape::ops

// Rows that leave a packed batch, and the offsets of what stays (docs/ops.md).
#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

#include "csrc/ops/ragged.h"

namespace adatape::ops {

/// kept_index int32 [T]: the old rows that stay, in order, -1 behind the last; new_cu_seqlens int32
/// [B + 1]: their sequences, from 0. Row r of rows [T, ...] stays iff keep [T] (bool) says so and a
/// sequence has it. No size depends on the data, so a device needs no synchronisation until the
/// caller asks how many stayed. Throws c10::Error with a sentence beginning "[ragged_compact]".
std::tuple<at::Tensor, at::Tensor> ragged_compact(const at::Tensor& rows, const at::Tensor& keep_T,
                                                  const at::Tensor& cu_seqlens_B1);

/// The batch without the rows that `keep` drops, differentiable in its values; of one segment (no
/// tails). Asks the device once, for the number of rows.
Ragged ragged_select(const Ragged& batch, const at::Tensor& keep_T);

}  // namespace adatape::ops

// Builders of the ragged batch, and the two ways to read one vector per example out of it.
#pragma once

#include <optional>

#include "csrc/ops/ragged.h"

namespace adatape::nn {

/// A batch whose examples all have L base rows and no tail: values [B, L, D] as a packed Ragged.
ops::Ragged pack(const at::Tensor& values_BLD);

/// The same base rows with tape rows behind them. tape [n, D] holds the examples' tape rows in
/// order, tape_offsets int32 [B + 1] where each example's begin, most_tape an upper bound of their
/// number.
ops::Ragged append_tape(const ops::Ragged& base, const at::Tensor& tape_nD,
                        const at::Tensor& tape_offsets_B1, int64_t most_tape);

/// int64 [B]: base and tail rows of each example.
at::Tensor row_counts(const ops::Ragged& x);

/// Mean over all rows of each example, [B, D]; or over its base rows only.
at::Tensor mean_rows(const ops::Ragged& x, bool base_only = false);

/// int64 [B]: the packed row that holds each example's first base row (its class token).
at::Tensor first_rows(const ops::Ragged& x);

}  // namespace adatape::nn

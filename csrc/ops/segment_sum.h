// Scatter-add that is bit-reproducible: pairs are sorted by destination and summed in their order,
// long segments in blocks of a fixed size, so neither thread count nor batch-mates change a bit.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/tape_gather.h"

#include <vector>

namespace adatape::ops {

/// Pair p adds scale[p] * source[source_row[p]] to destination row destination[p].
struct ScatterPairs {
  std::vector<int64_t> destination;
  std::vector<int64_t> source_row;
  std::vector<double> scale;  ///< empty: 1
};

/// Sums of the pairs into a fresh [rows, D] tensor of `type`; rows without a pair are 0.
/// source [*, D], last dimension dense. Sums run in float32 (float64 for float64 sources), rounded
/// once.
at::Tensor scatter_sum(const char* op, const at::Tensor& source, const ScatterPairs& pairs,
                       int64_t rows, at::ScalarType type);

/// The same on a CUDA device, which sorts by itself: pair p adds scale[p] (or 1) * source[row[p]]
/// (or source[p]) to destination[p], int32, nowhere if negative. row int64, scale float32, or
/// undefined.
at::Tensor scatter_sum(const at::Tensor& source, const at::Tensor& destination,
                       const at::Tensor& row, const at::Tensor& scale, int64_t rows,
                       at::ScalarType type, kernels::Stream stream);

/// What the scatters of both backward ops share; the caller adds offsets and weight, or length.
template <class Params>
kernels::TapeScatter tape_scatter_of(const Params& p) {
  kernels::TapeScatter scatter{};
  scatter.index = p.index;
  scatter.batch = p.batch;
  scatter.rows = p.rows;
  scatter.width = p.width;
  scatter.max_tokens = p.max_tokens;
  scatter.merge = p.merge;
  return scatter;
}

/// The gradient [B, N, D] of banks that are not shared, on a CUDA device, where no row meets two
/// contributions of one example: no sort.
at::Tensor scatter_tape(kernels::TapeScatter scatter, const at::Tensor& source,
                        const at::TensorOptions& bank, kernels::Stream stream);

}  // namespace adatape::ops

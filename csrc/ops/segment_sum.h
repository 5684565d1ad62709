// Scatter-add that is bit-reproducible: pairs are sorted by destination and summed in their order,
// long segments in blocks of a fixed size, so neither thread count nor batch-mates change a bit.
#pragma once

#include <ATen/core/Tensor.h>

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

}  // namespace adatape::ops

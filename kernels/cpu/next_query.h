// The one step of tape selection that its forward and backward share.
#pragma once

#include "kernels/cpu/simd.h"

namespace adatape::kernels {
namespace {

/// z = sum_k w_k key_k over the n rows read, then q <- (q + z) / 2, or z.
template <class A, class E>
void next_query(bool average, const E* keys, int64_t row_stride, const int32_t* row, const A* w,
                int64_t n, A* q, int64_t width) {
  const A keep = average ? A(0.5) : A(0), take = average ? A(0.5) : A(1);
  for (int64_t c = 0; c < width; ++c) q[c] *= keep;
  for (int64_t k = 0; k < n; ++k) add_scaled(take * w[k], keys + row[k] * row_stride, q, width);
}

}  // namespace
}  // namespace adatape::kernels

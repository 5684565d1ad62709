// The one treaty between datasets and models: what a batch holds, and what shape an example has.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace adatape {

/// Shape of a dataset's examples; models size their parameters by it.
struct InputSpec {
  int64_t length = 0;    ///< symbols in an example
  int64_t alphabet = 0;  ///< symbol ids run from 0 to alphabet - 1
  int64_t classes = 0;   ///< K
};

/// B examples.
struct Batch {
  at::Tensor input;    ///< symbols: int64 [B, length]
  at::Tensor label_B;  ///< int64 [B], 0 to K - 1

  int64_t size() const { return label_B.size(0); }
};

}  // namespace adatape

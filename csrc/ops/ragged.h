// The one ragged batch: sequences of unequal length, packed without padding.
// Layout is segment-major: all examples' base rows, then all examples' tail rows (the tape), so
// that linear layers run as plain matrix products over contiguous slices. Legend for shapes
// everywhere: B batch, T packed rows, L base rows of an example, N bank rows, H heads, D width, C
// head width, K classes (or rows merged in one reading step), M hidden width.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace adatape::ops {

struct Ragged {
  at::Tensor values_TD;   ///< base rows, then tail rows
  at::Tensor offsets_B1;  ///< int32 [B + 1], base rows of example b: offsets[b] .. offsets[b + 1]
  std::optional<at::Tensor> tail_B1;  ///< int32 [B + 1], absolute: tail rows of example b
  int64_t base_rows = 0;              ///< rows before the first tail row
  int64_t longest = 0;  ///< an upper bound of an example's rows, base and tail together

  int64_t batch() const { return offsets_B1.size(0) - 1; }
};

}  // namespace adatape::ops

// Rows that leave a packed batch: which stay, where they go, and the rows moved.
#pragma once

#include "kernels/dtype.h"
#include "kernels/stream.h"

namespace adatape::kernels {

/// R packed rows of B sequences. Row r stays iff keep[r] is not 0 and a sequence has it
/// (cu[0] <= r < cu[B]); order is kept.
struct RaggedCompact {
  const uint8_t* keep;  // [R]
  const int32_t* cu;    // [B + 1]
  int64_t rows, batch;
  int32_t* kept_index;  // [R] out: old row of each new one; -1 behind the last
  int32_t* position;    // [R] out: new row of each old one; -1 where it left
  int32_t* new_cu;      // [B + 1] out, from 0
  int32_t* counts;      // scratch, ragged_compact_scratch(R) entries
};

/// Entries of RaggedCompact::counts.
int64_t ragged_compact_scratch(int64_t rows);

/// out[i, :] = source[index[i], :], or zeros where index[i] is negative. By kept_index rows leave,
/// by position their gradients come back.
struct RowGather {
  DType dtype;
  const void* source;  // [*, D], last dimension dense
  int64_t source_row_stride;
  const int32_t* index;  // [count]
  int64_t count, width;
  void* out;  // [count, D], last dimension dense
  int64_t out_row_stride;
};

/// Launchers: queue the work on the stream and return. Throw std::runtime_error.
namespace cuda {

void ragged_compact(const RaggedCompact& p, Stream stream);
void row_gather(const RowGather& p, Stream stream);

}  // namespace cuda
}  // namespace adatape::kernels

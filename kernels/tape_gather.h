// The packed tape: row r of example b is sum_k weight[b,t,k] * values[index[b,t,k]], t = r -
// offsets[b].
#pragma once

#include "kernels/dtype.h"
#include "kernels/stream.h"

namespace adatape::kernels {

/// Forward. R = offsets[B] tape rows of width D. Strides count elements.
struct TapeGather {
  DType dtype;
  const void* values;  // [B, N, D], or [N, D] with values_batch_stride 0; last dimension dense
  int64_t values_batch_stride;
  int64_t values_row_stride;
  const int32_t* index;    // [B, T, K] dense
  const void* weight;      // [B, T, K] dense, accumulation type
  const int32_t* offsets;  // [B + 1]
  int64_t batch, rows, width, max_tokens, merge;
  void* tape;  // [>= R, D] out, dense, dtype
  int64_t
      capacity;  // rows of `tape`; on CUDA the kernel zeroes those from R on (on a CPU the host)
};

/// grad_weight[b,t,k] = grad_tape[r] . values[index]; 0 where index is -1.
struct TapeGatherBackwardWeight {
  TapeGather forward;     // its `tape` is unused
  const void* grad_tape;  // [>= R, D], last dimension dense, dtype
  int64_t grad_row_stride;
  void* grad_weight;  // [B, T, K] out, accumulation type
};

/// Sums of weighted rows, segment by segment: segment s of the output is
/// sum over p in [start[s], start[s+1]) of scale[p] * source[row[p]], in the order of p.
/// One definition serves every deterministic scatter-add: sort the pairs by destination, sum in
/// order.
struct SegmentSum {
  DType source_dtype;
  const void* source;  // [*, D], last dimension dense
  int64_t source_row_stride;
  const int64_t* row;     // [P] source row of each pair, sorted by destination
  const double* scale64;  // [P] factors for float64 sources (else null)
  const float* scale32;   // [P] factors for all other sources (else null); both null: factor 1
  const int64_t* start;   // [S + 1]
  int64_t width;
  DType out_dtype;
  void* out;               // segment s is stored at row out_row[s]
  const int64_t* out_row;  // [S], or null: row s
  int64_t out_row_stride;
};

/// The scatter-add into banks that are not shared (CUDA): out[b, i, :] is the sum, in slot order,
/// of weight * source row over the slots of example b that name bank row i; zero where none does.
struct TapeScatter {
  DType source_dtype;
  const void* source;  // [*, D], last dimension dense
  int64_t source_row_stride;
  const int32_t* offsets;  // [B + 1]: step t of example b is source row offsets[b] + t, and there
                           // are offsets[b + 1] - offsets[b] steps; or null, and then
  const int32_t* length;   // [B] steps, and slot (b, t, k) is source row (b T + t) K + k
  const int32_t* index;    // [B, T, K] dense
  const float* weight;     // [B, T, K] dense, or null: 1
  int64_t batch, rows, width, max_tokens, merge;
  DType out_dtype;
  void* out;  // [B, N, D] dense
};

/// Launchers: queue the work on the stream and return. Throw std::runtime_error.
namespace cuda {

void tape_gather(const TapeGather& p, Stream stream);
void tape_gather_backward_weight(const TapeGatherBackwardWeight& p, Stream stream);
/// Long segments are added up in blocks of 64 pairs, the blocks in order, as the CPU's host code
/// does.
void segment_sum(const SegmentSum& p, int64_t segments, Stream stream);
void tape_scatter(const TapeScatter& p, Stream stream);

}  // namespace cuda
}  // namespace adatape::kernels

// Adaptive tape reading, all steps of one example in one go (recurrence: docs/ops.md,
// "tape_select"). Plain structs: the host packs them, a kernel on any device reads them.
#pragma once

#include "kernels/dtype.h"
#include "kernels/stream.h"

namespace adatape::kernels {

/// Forward. B examples, N bank rows, C key channels, T = max_tokens steps, K = merge rows a step.
/// Strides count elements. Accumulation type A: double for float64 input, else float.
struct TapeSelect {
  DType dtype;
  const void* query;  // [B, C], last dimension dense
  int64_t query_stride;
  const void* keys;  // [B, N, C], or [N, C] with keys_batch_stride 0; last dimension dense
  int64_t keys_batch_stride;
  int64_t keys_row_stride;
  bool shared;  // keys are [N, C]: decides the kernel, and with it the order of a score's sum
  const int32_t* bank_length;  // [B] rows that exist, or null: all N
  const uint8_t* blocked;      // [B, N] or [N], dense; rows that are not 0 are never read; or null
  int64_t blocked_batch_stride;
  int64_t batch, rows, width, max_tokens, merge;
  double threshold;
  double scale;        // of the scores inside the softmax
  bool gini;           // ponder of a step: 1 - sum w^2, else 1 - max w
  bool average_query;  // q <- (q + z) / 2, else q <- z
  int32_t* index;      // [B, T, K] out, -1 where nothing was read
  void* weight;        // [B, T, K] out, A
  int32_t* length;     // [B] out, steps taken
  void* ponder;        // [B] out, A
};

/// Backward of weight and ponder into query and keys.
/// grad_keys holds one slice [N, C] per example, zero-filled by the caller where rows can be
/// unread.
struct TapeSelectBackward {
  DType dtype;
  const void* grad_weight;  // [B, T, K] dense, A
  const void* grad_ponder;  // [B] dense, A
  const void* query;
  int64_t query_stride;
  const void* keys;
  int64_t keys_batch_stride;
  int64_t keys_row_stride;
  const int32_t* index;   // [B, T, K] dense
  const void* weight;     // [B, T, K] dense, A
  const int32_t* length;  // [B]
  int64_t batch, rows, width, max_tokens, merge;
  double scale;
  bool gini;
  bool average_query;
  void* grad_query;     // [B, C] out, dtype
  void* grad_selected;  // [B, T, K, C] out, A: the gradient of each row that was read, in reading
                        // order
};

/// Launchers: queue the work on the stream and return. Throw std::runtime_error.
namespace cuda {

void tape_select(const TapeSelect& p, Stream stream);
void tape_select_backward(const TapeSelectBackward& p, Stream stream);

}  // namespace cuda
}  // namespace adatape::kernels

// Attention over packed sequences of unequal length; a sequence may have a second segment of rows
// (its tail).
#pragma once

#include <cstddef>

#include "kernels/dtype.h"
#include "kernels/stream.h"

namespace adatape::kernels {

/// Rows of sequence b in a packed tensor: base rows cu[b] .. cu[b+1], then tail[b] .. tail[b+1] (if
/// tail).
struct RaggedRows {
  const int32_t* cu;    // [B + 1]
  const int32_t* tail;  // [B + 1] absolute rows, or null
};

/// A packed tensor [rows, H, C] with a dense last dimension; strides count elements.
struct PackedHeads {
  void* data;
  int64_t row_stride;
  int64_t head_stride;
};

/// Forward: out = softmax(scale * q k^T) v per sequence and head; natural-log lse [H, Tq].
/// A query without keys gives 0 and -inf.
struct RaggedAttention {
  DType dtype;
  PackedHeads query, key, value;
  RaggedRows queries, keys;
  int64_t batch, heads, width, query_rows, key_rows;  // rows: of the tensors
  double scale;
  bool causal;  // query i sees key j iff j <= i + keys - queries: the last sees the last
  PackedHeads out;
  void* lse;  // [H, Tq], float (double for float64)
};

/// Backward by recomputing the probabilities from lse.
struct RaggedAttentionBackward {
  RaggedAttention forward;  // out and lse are inputs here
  PackedHeads grad_out;
  PackedHeads grad_query, grad_key, grad_value;
};

/// Launchers: queue the work on the stream and return. Throw std::runtime_error.
namespace cuda {

/// max_q, max_k: bounds of the sequences' lengths; they choose kernels, but change no bit of a
/// result. Widths up to 256. Rows of at most 128 channels that are multiples of 16 bytes, as are
/// their addresses, run on tensor cores or fused multiply-adds, others on a simple kernel. Rows of
/// no sequence are left as they are.
void ragged_attention(const RaggedAttention& p, int64_t max_q, int64_t max_k, Stream stream);

/// Bytes of memory, at a multiple of 8, that the backward needs until it has run.
size_t ragged_attention_workspace(const RaggedAttention& p);

void ragged_attention_backward(const RaggedAttentionBackward& p, int64_t max_q, int64_t max_k,
                               void* workspace, Stream stream);

}  // namespace cuda

}  // namespace adatape::kernels

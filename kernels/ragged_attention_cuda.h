// The attention kernels of a GPU: what the host calls.
#pragma once

#include <cstddef>

#include "kernels/ragged_attention.h"
#include "kernels/stream.h"

namespace adatape::kernels {

/// Queues the forward on the stream; the pointers are the device's. float32, bfloat16 and float16,
/// widths up to 256: rows of multiples of 16 bytes and at most 128 channels run on tensor cores (or
/// fused multiply-adds), others on a simple kernel. max_q, max_k: bounds of the sequences' lengths,
/// which choose kernels but change no bit of a result. Rows of no sequence are left as they are.
/// Throws std::invalid_argument for float64, std::runtime_error if CUDA refuses.
void ragged_attention_cuda(const RaggedAttention& p, int64_t max_q, int64_t max_k, Stream stream);

/// Bytes of device memory that the backward wants as its workspace, at a multiple of 8.
size_t ragged_attention_workspace(const RaggedAttention& p);

/// Queues the backward likewise. The workspace is free again when what is queued has run.
void ragged_attention_backward_cuda(const RaggedAttentionBackward& p, int64_t max_q, int64_t max_k,
                                    void* workspace, Stream stream);

}  // namespace adatape::kernels

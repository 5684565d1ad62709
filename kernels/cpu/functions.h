// The kernels' names inside the namespace of the instruction set that they are being compiled for.
#pragma once

#include "kernels/cpu/table.h"

namespace adatape::kernels::ADATAPE_ISA {

void tape_select(const TapeSelect& p, int64_t begin, int64_t end);
void tape_select_backward(const TapeSelectBackward& p, int64_t begin, int64_t end);
void tape_gather(const TapeGather& p, int64_t begin, int64_t end);
void tape_gather_backward_weight(const TapeGatherBackwardWeight& p, int64_t begin, int64_t end);
void segment_sum(const SegmentSum& p, int64_t begin, int64_t end);
void ragged_attention(const RaggedAttention& p, int64_t begin, int64_t end);
void ragged_attention_backward(const RaggedAttentionBackward& p, int64_t begin, int64_t end);
void gelu_tanh(const GeluTanh& p, int64_t begin, int64_t end);

}  // namespace adatape::kernels::ADATAPE_ISA

// The CPU kernels, built once per instruction set, behind one table of functions.
// Every kernel works on the items [begin, end), so the caller decides about threads; no item's
// result depends on which other items share the call.
#pragma once

#include "kernels/gelu_tanh.h"
#include "kernels/ragged_attention.h"
#include "kernels/tape_gather.h"
#include "kernels/tape_select.h"

namespace adatape::kernels {

struct CpuKernels {
  const char* isa;
  void (*tape_select)(const TapeSelect&, int64_t begin, int64_t end);                   // examples
  void (*tape_select_backward)(const TapeSelectBackward&, int64_t begin, int64_t end);  // examples
  void (*tape_gather)(const TapeGather&, int64_t begin, int64_t end);                   // examples
  void (*tape_gather_backward_weight)(const TapeGatherBackwardWeight&, int64_t begin,
                                      int64_t end);                              // examples
  void (*segment_sum)(const SegmentSum&, int64_t begin, int64_t end);            // segments
  void (*ragged_attention)(const RaggedAttention&, int64_t begin, int64_t end);  // b * H + h
  void (*ragged_attention_backward)(const RaggedAttentionBackward&, int64_t begin, int64_t end);
  void (*gelu_tanh)(const GeluTanh&, int64_t begin, int64_t end);  // elements
};

/// The table for the widest instruction set that this machine runs, or for the one that the
/// environment variable ADATAPE_CPU_ISA names (baseline, avx2, avx512). Null if the named one does
/// not run here.
const CpuKernels* cpu_kernels();

}  // namespace adatape::kernels

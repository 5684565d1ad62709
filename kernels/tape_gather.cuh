// The tape: weighted sums of bank rows, and the gradient of the weights. Pure bandwidth: every lane
// reads 16 bytes of several rows at once, sums in float in slot order and rounds once.
#pragma once

#include "kernels/launch.cuh"
#include "kernels/tape_gather.h"
#include "kernels/warp.cuh"

namespace adatape::kernels {

constexpr int kTapeThreads = 256;
constexpr int kTapeWarps = kTapeThreads / kWarp;
constexpr int kRowsInFlight = 4;  // of 16 bytes: what 64 registers a thread hold

/// One warp makes kWarp * kColumns columns of a tape row.
template <class E, bool kWide>
__global__ void __launch_bounds__(kTapeThreads, 4) gather_tape(TapeGather p) {
  constexpr int kColumns = kLaneColumns<kWide, E>;
  const int64_t r = warp_number();
  const int64_t column = (int64_t(blockIdx.y) * kWarp + lane_number()) * kColumns;
  if (r >= p.capacity) return;
  float sum[kColumns] = {};
  if (r < p.offsets[p.batch]) {
    const int64_t b = find_example(p.offsets, p.batch, r);
    const int64_t first = (b * p.max_tokens + r - p.offsets[b]) * p.merge;
    const E* values = static_cast<const E*>(p.values) + b * p.values_batch_stride + column;
    const float* weight = static_cast<const float*>(p.weight) + first;
    for (int64_t k = 0; k < p.merge; k += kRowsInFlight) {
      int64_t row[kRowsInFlight];
      float value[kRowsInFlight][kColumns], w[kRowsInFlight];
#pragma unroll
      for (int j = 0; j < kRowsInFlight; ++j) {
        row[j] = k + j < p.merge ? p.index[first + k + j] : -1;
        w[j] = row[j] >= 0 ? weight[k + j] : 0.0f;
      }
#pragma unroll
      for (int j = 0; j < kRowsInFlight; ++j) {
        const bool valid = row[j] >= 0 && column < p.width;
        load_columns(values + row[j] * p.values_row_stride, valid, value[j]);
      }
#pragma unroll
      for (int j = 0; j < kRowsInFlight; ++j) {
        for (int c = 0; c < kColumns; ++c) sum[c] += w[j] * value[j][c];
      }
    }
  }
  if (column < p.width) store_columns(static_cast<E*>(p.tape) + r * p.width + column, sum);
}

/// One warp makes the gradients of a step's weights.
template <class E, bool kWide>
__global__ void __launch_bounds__(kTapeThreads, 4)
    gather_weight_gradient(TapeGatherBackwardWeight p) {
  constexpr int kColumns = kLaneColumns<kWide, E>;
  const TapeGather& f = p.forward;
  const int lane = lane_number();
  const uint32_t step = warp_number(), steps = uint32_t(f.max_tokens);
  if (step >= f.batch * f.max_tokens) return;
  const int64_t b = step / steps, t = step % steps, first = step * f.merge;
  float* grad = static_cast<float*>(p.grad_weight) + first;
  const bool taken = t < f.offsets[b + 1] - f.offsets[b];
  const E* values = static_cast<const E*>(f.values) + b * f.values_batch_stride;
  const E* upstream = static_cast<const E*>(p.grad_tape) + (f.offsets[b] + t) * p.grad_row_stride;
  for (int64_t k = 0; k < f.merge; k += kRowsInFlight) {
    int64_t row[kRowsInFlight];
    float dot[kRowsInFlight] = {};
#pragma unroll
    for (int j = 0; j < kRowsInFlight; ++j) {
      row[j] = taken && k + j < f.merge ? f.index[first + k + j] : -1;
    }
#pragma unroll 1  // more of it at once spills
    for (int64_t column = lane * kColumns; taken && column < f.width; column += kWarp * kColumns) {
      float g[kColumns], value[kRowsInFlight][kColumns];
      load_columns(upstream + column, true, g);
#pragma unroll
      for (int j = 0; j < kRowsInFlight; ++j) {
        load_columns(values + row[j] * f.values_row_stride + column, row[j] >= 0, value[j]);
      }
#pragma unroll
      for (int j = 0; j < kRowsInFlight; ++j) {
        for (int c = 0; c < kColumns; ++c) dot[j] += g[c] * value[j][c];
      }
    }
#pragma unroll
    for (int j = 0; j < kRowsInFlight; ++j) {
      const float total = warp_sum(dot[j]);
      if (lane == j && k + j < f.merge) grad[k + j] = row[j] >= 0 ? total : 0.0f;
    }
  }
}

}  // namespace adatape::kernels

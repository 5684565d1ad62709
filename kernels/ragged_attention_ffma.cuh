// Products of 16-row tiles in float, by fused multiply-adds (no TF32): the second engine of the
// attention kernels (ragged_attention_mma.cuh explains the members). A lane holds 4 of the 16 owned
// rows, every eighth stream row and every eighth chunk of channels, so that 8 loads of 16 bytes
// feed 64 multiply-adds.
#pragma once

#include "kernels/ragged_attention_tiles.cuh"

namespace adatape::kernels::attention {

template <int C>
struct Ffma {
  using Element = float;
  static constexpr int kWidth = C;
  static constexpr int kRows = 4;
  static constexpr int kLanesPerRow = 8;
  static constexpr int kPerBlock = 2;
  static constexpr int kScratch = 16;
  static constexpr bool kExact = true;
  static constexpr int kChunk = C < 32 ? C / 8 : 4;  // channels that a lane takes at a time
  static constexpr int kChunks = C / (8 * kChunk);

  static __device__ __forceinline__ int row(int r) { return lane_number() / 8 + 4 * r; }
  static __device__ __forceinline__ int column(int c) { return lane_number() % 8 + 8 * c; }

  template <int kBlocks>
  struct Weights {
    float value[4][2 * kBlocks];
    __device__ __forceinline__ float& at(int r, int c) { return value[r][c]; }
  };

  struct Sums {
    float value[4][kChunks][kChunk];
    __device__ __forceinline__ void clear() {
#pragma unroll
      for (int r = 0; r < 4; ++r) clear_row(r);
    }
    __device__ __forceinline__ void scale_row(int r, float factor) {
#pragma unroll
      for (int n = 0; n < kChunks; ++n) {
#pragma unroll
        for (int i = 0; i < kChunk; ++i) value[r][n][i] *= factor;
      }
    }
    __device__ __forceinline__ void clear_row(int r) {
#pragma unroll
      for (int n = 0; n < kChunks; ++n) {
#pragma unroll
        for (int i = 0; i < kChunk; ++i) value[r][n][i] = 0;
      }
    }
  };

  struct Owned {
    const float* rows;
    __device__ __forceinline__ explicit Owned(const float* rows) : rows(rows) {}
  };

  template <int kBlocks>
  static __device__ __forceinline__ void multiply(const Owned& owned, const float* stream,
                                                  int blocks, Weights<kBlocks>& weights) {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
#pragma unroll
      for (int c = 0; c < 2 * kBlocks; ++c) weights.value[r][c] = 0;
    }
    for (int chunk = 0; chunk < C / 4; ++chunk) {
      float x[4][4];
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        unpack<float>(load_128(owned.rows + chunk_offset<float, C>(row(r), chunk)), x[r]);
      }
#pragma unroll
      for (int c = 0; c < 2 * kBlocks; ++c) {
        if (c >= 2 * blocks) break;
        float y[4];
        unpack<float>(load_128(stream + chunk_offset<float, C>(column(c), chunk)), y);
#pragma unroll
        for (int r = 0; r < 4; ++r) {
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            weights.value[r][c] = fmaf(x[r][i], y[i], weights.value[r][c]);
          }
        }
      }
    }
  }

  /// Lanes need each other's weights: they pass through `scratch`, 16 x 16 kBlocks floats of this
  /// warp's own.
  template <int kBlocks>
  static __device__ __forceinline__ void accumulate(const Weights<kBlocks>& weights, float* scratch,
                                                    const float* stream, int blocks, Sums& sums) {
    put(weights, scratch);
    __syncwarp();
    for (int chunk = 0; chunk < 4 * blocks; ++chunk) {
      float x[4][4];
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        unpack<float>(load_128(scratch + chunk_offset<float, 16 * kBlocks>(row(r), chunk)), x[r]);
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const float left[4] = {x[0][j], x[1][j], x[2][j], x[3][j]};
        add_products(left, stream, 4 * chunk + j, sums);
      }
    }
    __syncwarp();
  }

  template <int kBlocks>
  static __device__ __forceinline__ void put(const Weights<kBlocks>& weights, float* tile) {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
#pragma unroll
      for (int c = 0; c < 2 * kBlocks; ++c) {
        tile[chunk_offset<float, 16 * kBlocks>(row(r), column(c) / 4) + column(c) % 4] =
            weights.value[r][c];
      }
    }
  }

  template <int kBlocks>
  static __device__ __forceinline__ void accumulate_transposed(const float* tile, int first,
                                                               const float* stream, Sums& sums) {
#pragma unroll 4
    for (int i = 0; i < 16; ++i) {
      float left[4];
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        const int column = first + row(r);
        left[r] = tile[chunk_offset<float, 16 * kBlocks>(i, column / 4) + column % 4];
      }
      add_products(left, stream, i, sums);
    }
  }

  static __device__ __forceinline__ void store(const Sums& sums, float*, const PackedHeads& out,
                                               int head, const Sequence& sequence, int first,
                                               int width) {
#pragma unroll
    for (int r = 0; r < 4; ++r) {
      if (first + row(r) >= sequence.count) continue;
      float* to = row_pointer<float>(out, sequence.row(first + row(r)), head);
#pragma unroll
      for (int n = 0; n < kChunks; ++n) {
        const int channel = (lane_number() % 8 + 8 * n) * kChunk;
        if (channel < width) store_chunk(to + channel, sums.value[r][n]);
      }
    }
  }

 private:
  static __device__ __forceinline__ void add_products(const float (&left)[4], const float* stream,
                                                      int row, Sums& sums) {
#pragma unroll
    for (int n = 0; n < kChunks; ++n) {
      const int channel = (lane_number() % 8 + 8 * n) * kChunk;
      float y[kChunk];
      load_chunk(stream + chunk_offset<float, C>(row, channel / 4) + channel % 4, y);
#pragma unroll
      for (int r = 0; r < 4; ++r) {
#pragma unroll
        for (int i = 0; i < kChunk; ++i) {
          sums.value[r][n][i] = fmaf(left[r], y[i], sums.value[r][n][i]);
        }
      }
    }
  }
  static __device__ __forceinline__ void load_chunk(const float* p, float (&y)[4]) {
    unpack<float>(load_128(p), y);
  }
  static __device__ __forceinline__ void load_chunk(const float* p, float (&y)[2]) {
    const float2 pair = *reinterpret_cast<const float2*>(p);
    y[0] = pair.x;
    y[1] = pair.y;
  }
  static __device__ __forceinline__ void store_chunk(float* p, const float (&y)[4]) {
    store_global_128(p, pack<float>(y));
  }
  static __device__ __forceinline__ void store_chunk(float* p, const float (&y)[2]) {
    *reinterpret_cast<float2*>(p) = make_float2(y[0], y[1]);
  }
};

}  // namespace adatape::kernels::attention

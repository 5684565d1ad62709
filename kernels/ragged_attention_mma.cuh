// Products of 16-row tiles on tensor cores: 16-bit elements, sums in float. One of the two engines
// that the attention kernels are written for; the other, with the same members, is in
// ragged_attention_ffma.cuh. One warp works on 16 rows that it owns against blocks of 16 rows of a
// stream. Tiles lie in shared memory as chunk_offset() says; a tile's rows start at a multiple
// of 8.
#pragma once

#include "kernels/ragged_attention_tiles.cuh"

namespace adatape::kernels::attention {

template <class T, int C>
struct Mma {
  using Element = T;
  static constexpr int kWidth = C;
  static constexpr int kRows = 2;         // owned rows of which a lane holds values
  static constexpr int kLanesPerRow = 4;  // neighbouring lanes that hold the rest of such a row
  static constexpr int kPerBlock = 4;     // values of one owned row for a block of 16 stream rows
  static constexpr int kScratch = 0;      // elements per stream row that accumulate() needs
  static constexpr bool kExact = false;   // probabilities are rounded to 16 bits anyway

  static __device__ __forceinline__ int row(int r) { return lane_number() / 4 + 8 * r; }
  static __device__ __forceinline__ int column(int c) {
    return c / 2 * 8 + lane_number() % 4 * 2 + c % 2;
  }

  /// One value for each of 16 owned rows and 16 * kBlocks stream rows.
  template <int kBlocks>
  struct Weights {
    float value[2 * kBlocks][4];
    __device__ __forceinline__ float& at(int r, int c) { return value[c / 2][2 * r + c % 2]; }
  };

  /// 16 rows of sums over C channels.
  struct Sums {
    float value[C / 8][4];
    __device__ __forceinline__ void clear() {
#pragma unroll
      for (int n = 0; n < C / 8; ++n) value[n][0] = value[n][1] = value[n][2] = value[n][3] = 0;
    }
    __device__ __forceinline__ void scale_row(int r, float factor) {
#pragma unroll
      for (int n = 0; n < C / 8; ++n) {
        value[n][2 * r] *= factor;
        value[n][2 * r + 1] *= factor;
      }
    }
    __device__ __forceinline__ void clear_row(int r) {
#pragma unroll
      for (int n = 0; n < C / 8; ++n) value[n][2 * r] = value[n][2 * r + 1] = 0;
    }
  };

  /// 16 owned rows as products take them.
  struct Owned {
    uint32_t value[C / 16][4];

    __device__ __forceinline__ explicit Owned(const T* rows) {
      const int lane = lane_number();
#pragma unroll
      for (int k = 0; k < C / 16; ++k) {
        ldmatrix_x4(value[k], rows + chunk_offset<T, C>(lane % 16, 2 * k + lane / 16));
      }
    }
  };

  /// weights = owned rows * (stream rows)^T for the first `blocks` blocks, 0 for the others.
  template <int kBlocks>
  static __device__ __forceinline__ void multiply(const Owned& owned, const T* stream, int blocks,
                                                  Weights<kBlocks>& weights) {
    const int lane = lane_number();
#pragma unroll
    for (int n = 0; n < 2 * kBlocks; ++n) {
      for (int i = 0; i < 4; ++i) weights.value[n][i] = 0;
    }
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
      if (b >= blocks) break;
#pragma unroll
      for (int k = 0; k < C / 16; ++k) {
        uint32_t x[4];
        const int row = 16 * b + lane / 16 * 8 + lane % 8;
        ldmatrix_x4(x, stream + chunk_offset<T, C>(row, 2 * k + lane / 8 % 2));
        multiply_pair(weights.value[2 * b], weights.value[2 * b + 1], owned.value[k], x);
      }
    }
  }

  /// sums += weights * stream rows, over the first `blocks` blocks.
  template <int kBlocks>
  static __device__ __forceinline__ void accumulate(const Weights<kBlocks>& weights, T*,
                                                    const T* stream, int blocks, Sums& sums) {
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
      if (b >= blocks) break;
      const float* left = weights.value[2 * b];
      const float* right = weights.value[2 * b + 1];
      const uint32_t a[4] = {pack<T>(left[0], left[1]), pack<T>(left[2], left[3]),
                             pack<T>(right[0], right[1]), pack<T>(right[2], right[3])};
      add_products(a, stream + 16 * b * C, sums);
    }
  }

  /// Stores weights as a tile [16, 16 * kBlocks] for accumulate_transposed().
  template <int kBlocks>
  static __device__ __forceinline__ void put(const Weights<kBlocks>& weights, T* tile) {
#pragma unroll
    for (int n = 0; n < 2 * kBlocks; ++n) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        T* pair = tile + chunk_offset<T, 16 * kBlocks>(row(r), n) + lane_number() % 4 * 2;
        *reinterpret_cast<uint32_t*>(pair) =
            pack<T>(weights.value[n][2 * r], weights.value[n][2 * r + 1]);
      }
    }
  }

  /// sums += (columns [first, first + 16) of a put() tile)^T * 16 stream rows.
  template <int kBlocks>
  static __device__ __forceinline__ void accumulate_transposed(const T* tile, int first,
                                                               const T* stream, Sums& sums) {
    const int lane = lane_number();
    uint32_t a[4];
    ldmatrix_x4_trans(a, tile + chunk_offset<T, 16 * kBlocks>(lane / 16 * 8 + lane % 8,
                                                              first / 8 + lane / 8 % 2));
    add_products(a, stream, sums);
  }

  /// Writes 16 rows of sums to the sequence's rows [first, first + 16), as far as they exist. They
  /// pass through `staging`, 16 rows of this warp's own, so that each lane writes 16 bytes.
  static __device__ __forceinline__ void store(const Sums& sums, T* staging, const PackedHeads& out,
                                               int head, const Sequence& sequence, int first,
                                               int width) {
    __syncwarp();
#pragma unroll
    for (int n = 0; n < C / 8; ++n) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        T* pair = staging + chunk_offset<T, C>(row(r), n) + lane_number() % 4 * 2;
        *reinterpret_cast<uint32_t*>(pair) =
            pack<T>(sums.value[n][2 * r], sums.value[n][2 * r + 1]);
      }
    }
    __syncwarp();
    for (int i = lane_number(); i < 2 * C; i += 32) {
      const int row = i / (C / 8), chunk = i % (C / 8);
      if (first + row < sequence.count && chunk * 8 < width) {
        store_global_128(row_pointer<T>(out, sequence.row(first + row), head) + chunk * 8,
                         load_128(staging + chunk_offset<T, C>(row, chunk)));
      }
    }
    __syncwarp();
  }

 private:
  /// Two neighbouring products of 8 columns; x holds the matrices of both, one after the other.
  static __device__ __forceinline__ void multiply_pair(float (&left)[4], float (&right)[4],
                                                       const uint32_t (&a)[4],
                                                       const uint32_t (&x)[4]) {
    const uint32_t b[2][2] = {{x[0], x[1]}, {x[2], x[3]}};
    mma_m16n8k16<T>(left, a, b[0]);
    mma_m16n8k16<T>(right, a, b[1]);
  }

  static __device__ __forceinline__ void add_products(const uint32_t (&a)[4], const T* stream,
                                                      Sums& sums) {
    const int lane = lane_number();
#pragma unroll
    for (int n = 0; n < C / 16; ++n) {
      uint32_t x[4];
      ldmatrix_x4_trans(x, stream + chunk_offset<T, C>(lane % 16, 2 * n + lane / 16));
      multiply_pair(sums.value[2 * n], sums.value[2 * n + 1], a, x);
    }
  }
};

}  // namespace adatape::kernels::attention

// Products of small dense matrices in cache, by vectors: what attention and selection are made of.
// Right operands are rows of whole vectors, so no sum crosses lanes; sums have a fixed order.
#pragma once

#include "kernels/cpu/simd.h"

namespace adatape::kernels {
namespace {

// One register tile: rows x vectors accumulators and one row of vectors. AVX-512 has 32 registers,
// the others 16.
constexpr int64_t kTileVectors = kVectorBytes == 64 ? 4 : 2;
// Products added up before they join a total: keeps rounding small.
constexpr int64_t kInner = 32;

/// Left operand [rows, inner] by strides: transposing it costs nothing.
template <class A>
struct Left {
  const A* data;
  int64_t row_stride, inner_stride;

  Left rows_from(int64_t r) const { return {data + r * row_stride, row_stride, inner_stride}; }
  Left inner_from(int64_t k) const { return {data + k * inner_stride, row_stride, inner_stride}; }
};

/// total[R][V] += left[R, k] right[k, V vectors]. Unrolled, as all loops over a tile: an array that
/// is indexed by a variable lives in memory.
template <int64_t R, int64_t V, class A>
[[gnu::always_inline]] inline void add_products(const Left<A>& left, const A* right,
                                                Vector<A> (&total)[R][V]) {
  Vector<A> row[V];
#pragma GCC unroll 8
  for (int64_t v = 0; v < V; ++v) row[v] = load<A>(right + v * kLanes<A>);
#pragma GCC unroll 8
  for (int64_t r = 0; r < R; ++r) {
    const A factor = left.data[r * left.row_stride];
#pragma GCC unroll 8
    for (int64_t v = 0; v < V; ++v) total[r][v] += factor * row[v];
  }
}

/// out[R, V vectors] (+)= left[R, inner] right[inner, V vectors]; each sum runs over inner in
/// order, whatever R and V are.
template <int64_t R, int64_t V, class A>
void product_tile(const Left<A>& left, const A* right, int64_t right_pitch, int64_t inner, bool add,
                  A* out, int64_t out_pitch) {
  Vector<A> total[R][V];
#pragma GCC unroll 8
  for (int64_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int64_t v = 0; v < V; ++v) total[r][v] = Vector<A>{};
  }
  for (int64_t k = 0; k < inner; ++k)
    add_products<R, V>(left.inner_from(k), right + k * right_pitch, total);
#pragma GCC unroll 8
  for (int64_t r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int64_t v = 0; v < V; ++v) {
      A* place = out + r * out_pitch + v * kLanes<A>;
      store(place, add ? load<A>(place) + total[r][v] : total[r][v]);
    }
  }
}

/// A tile of `rows` rows, at most R.
template <int64_t R, int64_t V, class A>
void product_rows(int64_t rows, const Left<A>& left, const A* right, int64_t right_pitch,
                  int64_t inner, bool add, A* out, int64_t out_pitch) {
  if (rows == R) return product_tile<R, V>(left, right, right_pitch, inner, add, out, out_pitch);
  if constexpr (R > 1)
    product_rows<R - 1, V>(rows, left, right, right_pitch, inner, add, out, out_pitch);
}

/// All rows of one panel of V vectors, R at a time; the last two tiles share what is left, since a
/// tile of one row waits for its own additions.
template <int64_t R, int64_t V, class A>
void product_panel(int64_t rows, const Left<A>& left, const A* right, int64_t right_pitch,
                   int64_t inner, bool add, A* out, int64_t out_pitch) {
  for (int64_t r = 0; r < rows;) {
    const int64_t rest = rows - r, tile = rest >= 2 * R ? R : rest > R ? (rest + 1) / 2 : rest;
    product_rows<R, V>(tile, left.rows_from(r), right, right_pitch, inner, add, out + r * out_pitch,
                       out_pitch);
    r += tile;
  }
}

/// out[rows, columns] (+)= left[rows, inner] right[inner, columns]; columns are whole vectors, as
/// are the pitches. Without `add`, inner = 0 gives zeros.
template <class A>
void product(int64_t rows, int64_t columns, int64_t inner, const Left<A>& left, const A* right,
             int64_t right_pitch, bool add, A* out, int64_t out_pitch) {
  constexpr int64_t kPanel = kTileVectors * kLanes<A>, kNarrowRows = kVectorBytes == 64 ? 8 : 4;
  for (int64_t c = 0; c < columns;) {
    const bool wide = c + kPanel <= columns;
    int64_t k = 0;
    do {
      const int64_t depth = inner - k < kInner ? inner - k : kInner;
      const A* below = right + k * right_pitch + c;
      const bool more = add || k > 0;
      if (wide)
        product_panel<4, kTileVectors>(rows, left.inner_from(k), below, right_pitch, depth, more,
                                       out + c, out_pitch);
      else
        product_panel<kNarrowRows, 1>(rows, left.inner_from(k), below, right_pitch, depth, more,
                                      out + c, out_pitch);
      k += depth;
    } while (k < inner);
    c += wide ? kPanel : kLanes<A>;
  }
}

/// Transposes the square of kLanes vectors in place: log2(kLanes) rounds of swapped halves,
/// unrolled so that the square stays in registers.
template <class A, int kHalf = kLanes<A> / 2>
[[gnu::always_inline]] inline void transpose(Vector<A>* v) {
  constexpr int L = kLanes<A>;
  const Integers<A> lane = lane_numbers<A>();
  // a keeps its lower halves and takes b's; b keeps its upper halves and takes a's.
  const Integers<A> lower = (lane & kHalf) != 0 ? lane - kHalf + L : lane;
  const Integers<A> upper = (lane & kHalf) != 0 ? lane + L : lane + kHalf;
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i) {
    if (i & kHalf) continue;
    const Vector<A> a = v[i], b = v[i + kHalf];
    v[i] = permute<A>(a, b, lower);
    v[i + kHalf] = permute<A>(a, b, upper);
  }
  if constexpr (kHalf > 1) transpose<A, kHalf / 2>(v);
}

/// Rows row(0) .. row(count - 1), widened, scaled and transposed: out [width, pitch], in whole
/// vectors: behind the count copies of the last row, behind the width zeros.
template <class A, class F>
void pack_transposed(int64_t count, int64_t width, A scale, F row, A* out, int64_t pitch) {
  constexpr int64_t L = kLanes<A>;
  for (int64_t j = 0; j < count; j += L) {
    for (int64_t c = 0; c < width; c += L) {
      Vector<A> square[L], values;
#pragma GCC unroll 16
      for (int64_t i = 0; i < L; ++i) {
        if (j + i < count) {
          const auto* from = row(j + i) + c;
          values = scale * (c + L <= width ? load<A>(from) : load<A>(from, width - c));
        }
        square[i] = values;
      }
      transpose<A>(square);
#pragma GCC unroll 16
      for (int64_t i = 0; i < L; ++i) store(out + (c + i) * pitch + j, square[i]);
    }
  }
}

}  // namespace
}  // namespace adatape::kernels

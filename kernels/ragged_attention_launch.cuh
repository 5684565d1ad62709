// Which attention kernel runs for which width and lengths. The choice changes no bit of a result:
// for one sequence, all kernels of an engine form the same sums in the same order.
#pragma once

#include <algorithm>

#include "kernels/launch.cuh"
#include "kernels/ragged_attention_ffma.cuh"
#include "kernels/ragged_attention_group.cuh"
#include "kernels/ragged_attention_mma.cuh"
#include "kernels/ragged_attention_simple.cuh"

namespace adatape::kernels::attention {

constexpr int64_t kShortLongest = 32;

/// A call's lengths: with `shorts`, sequences of at most 32 rows get a kernel of their own.
struct Lengths {
  int64_t longest;
  bool shorts;

  Lengths(const RaggedAttention& p, int64_t max_q, int64_t max_k)
      : longest(std::max(max_q, max_k)) {
    const int64_t mean = (p.query_rows + p.key_rows) / (2 * p.batch);
    shorts = longest <= kShortLongest || mean <= kShortLongest;
  }
  /// Sequences up to this length are not for the other kernels.
  int skipped() const { return shorts ? int(kShortLongest) : 0; }
};

/// Whether the kernels that copy 16 bytes at a time may run.
inline bool aligned(const PackedHeads& tensor, int64_t element_bytes) {
  return reinterpret_cast<uintptr_t>(tensor.data) % 16 == 0 &&
         tensor.row_stride * element_bytes % 16 == 0 &&
         tensor.head_stride * element_bytes % 16 == 0;
}
template <class T>
bool fast(const RaggedAttention& p) {
  return p.width <= 128 && p.width % 8 == 0 && aligned(p.query, sizeof(T)) &&
         aligned(p.key, sizeof(T)) && aligned(p.value, sizeof(T)) && aligned(p.out, sizeof(T));
}
template <class T>
bool fast(const RaggedAttentionBackward& p) {
  return fast<T>(p.forward) && aligned(p.grad_out, sizeof(T)) && aligned(p.grad_query, sizeof(T)) &&
         aligned(p.grad_key, sizeof(T)) && aligned(p.grad_value, sizeof(T));
}

template <class T, int C>
struct EngineOf {
  using type = Mma<T, C>;
};
template <int C>
struct EngineOf<float, C> {
  using type = Ffma<C == 80 ? 96 : C>;  // lanes share channels by eight: 80 would leave some idle
};

/// Calls f(Engine{}) for the narrowest engine that has room for the width.
template <class T, class F>
void with_engine(int64_t width, F f) {
  if (width <= 16) return f(typename EngineOf<T, 16>::type{});
  if (width <= 32) return f(typename EngineOf<T, 32>::type{});
  if (width <= 64) return f(typename EngineOf<T, 64>::type{});
  if (width <= 80) return f(typename EngineOf<T, 80>::type{});
  if (width <= 96) return f(typename EngineOf<T, 96>::type{});
  return f(typename EngineOf<T, 128>::type{});
}

inline dim3 tile_grid(int64_t rows, const RaggedAttention& p) {
  return grid_of(slots(rows, p.batch), p.heads);
}
template <int kGroup>
dim3 group_grid(const RaggedAttention& p) {
  return grid_of_warps(p.batch * p.heads, kGroups<kGroup>);
}

}  // namespace adatape::kernels::attention

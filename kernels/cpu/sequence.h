// Rows of one head of one sequence in a packed tensor, and the memory that kernels copy them to.
#pragma once

#include "kernels/cpu/product.h"
#include "kernels/ragged_attention.h"

namespace adatape::kernels {
namespace {

struct Sequence {
  const RaggedRows& rows;
  int64_t base_first, base_count, tail_first, count;

  Sequence(const RaggedRows& r, int64_t b) : rows(r) {
    base_first = r.cu[b];
    base_count = r.cu[b + 1] - r.cu[b];
    tail_first = r.tail ? r.tail[b] : 0;
    count = base_count + (r.tail ? r.tail[b + 1] - r.tail[b] : 0);
  }
  /// Packed row of the sequence's i-th row.
  int64_t row(int64_t i) const {
    return i < base_count ? base_first + i : tail_first + i - base_count;
  }
};

template <class E>
E* at(const PackedHeads& t, int64_t row, int64_t head) {
  return static_cast<E*>(t.data) + row * t.row_stride + head * t.head_stride;
}

/// Rows of one head as products take them.
template <class A>
struct Rows {
  const A* data;
  int64_t pitch;
};

/// Rows of one head, widened: [count, pitch]. What lies behind the width meets only columns that
/// nothing reads.
template <class E, class A>
void pack_rows(const PackedHeads& t, const Sequence& s, int64_t first, int64_t count, int64_t head,
               int64_t width, A* out, int64_t pitch) {
  for (int64_t i = 0; i < count; ++i)
    widen_row(at<E>(t, s.row(first + i), head), out + i * pitch, width);
}

/// All rows of one head where they lie, if they are whole vectors of the sums' type in one segment
/// and so few that their distance cannot crowd the first cache; else copied to `room`.
template <class E, class A>
Rows<A> rows_of(const PackedHeads& t, const Sequence& s, int64_t head, int64_t width, int64_t pitch,
                A* room) {
  constexpr int64_t kFew = 32;
  if constexpr (sizeof(E) == sizeof(A)) {
    if (s.count == s.base_count && width == pitch && s.count <= kFew)
      return {at<E>(t, s.base_first, head), t.row_stride};
  }
  pack_rows<E>(t, s, 0, s.count, head, width, room, pitch);
  return {room, pitch};
}

/// Rows first .. first + count of one head, widened, scaled and transposed: [width, pitch].
template <class E, class A>
void pack_columns(const PackedHeads& t, const Sequence& s, int64_t first, int64_t count,
                  int64_t head, int64_t width, A scale, A* out, int64_t pitch) {
  pack_transposed<A>(
      count, width, scale, [&](int64_t i) { return at<E>(t, s.row(first + i), head); }, out, pitch);
}

/// Memory that one kernel call's items use one after another: taking it from the system for each
/// would cost a short sequence more than its products. Starts as zeros, so padding is never junk.
template <class A>
class Arena {
 public:
  explicit Arena(int64_t count) : data_(count), count_(count) {
    std::memset(data_, 0, size_t(count) * sizeof(A));
  }
  void reset() { used_ = 0; }
  /// Room for n values, n a multiple of the lanes.
  A* take(int64_t n) {
    used_ += n;
    if (used_ > count_) __builtin_trap();  // a wrong room() must not write elsewhere
    return data_ + (used_ - n);
  }

 private:
  Scratch<A> data_;
  const int64_t count_;
  int64_t used_ = 0;
};

}  // namespace
}  // namespace adatape::kernels

#include "kernels/cpu/functions.h"
#include "kernels/cpu/simd.h"

namespace adatape::kernels::ADATAPE_ISA {
namespace {

constexpr int64_t kRows = 4;   // query rows that share one pass over keys or values
constexpr int64_t kBlock = 8;  // products added up before they join a total: keeps rounding small

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

/// Rows of one head, widened: [count, pitch]. Nothing reads what lies behind the width.
template <class E, class A>
void pack_rows(const PackedHeads& t, const Sequence& s, int64_t head, int64_t width, int64_t pitch,
               A* out) {
  for (int64_t i = 0; i < s.count; ++i) {
    widen_row(at<E>(t, s.row(i), head), out + i * pitch, width);
  }
}

/// Rows of one head, transposed: [width, pitch], pitch >= count. Products with what lies behind the
/// count are thrown away.
template <class E, class A>
void pack_columns(const PackedHeads& t, const Sequence& s, int64_t head, int64_t width,
                  int64_t pitch, A* out) {
  for (int64_t j = 0; j < s.count; ++j) {
    const E* row = at<E>(t, s.row(j), head);
    for (int64_t c = 0; c < width; ++c) out[c * pitch + j] = widen(row[c]);
  }
}

/// out[r, :] = sum_k left[r, k] * right[k, :] for R rows, vector by vector of the pitch: no sums
/// across lanes. Serves scores (right = keys transposed), outputs (values), and their gradients.
template <int64_t R, class A>
void multiply(const A* left, int64_t left_pitch, const A* right, int64_t pitch, int64_t inner,
              A* out) {
  for (int64_t v = 0; v < pitch; v += kLanes<A>) {
    Vector<A> total[R] = {};
    for (int64_t first = 0; first < inner; first += kBlock) {
      const int64_t last = inner - first < kBlock ? inner : first + kBlock;
      Vector<A> part[R] = {};
      for (int64_t k = first; k < last; ++k) {
        const Vector<A> x = load<A>(right + k * pitch + v);
        for (int64_t r = 0; r < R; ++r) part[r] += left[r * left_pitch + k] * x;
      }
      for (int64_t r = 0; r < R; ++r) total[r] += part[r];
    }
    for (int64_t r = 0; r < R; ++r) store(out + r * pitch + v, total[r]);
  }
}

template <class A>
void multiply(int64_t rows, const A* left, int64_t left_pitch, const A* right, int64_t pitch,
              int64_t inner, A* out) {
  static_assert(kRows == 4);
  switch (rows) {
    case 1:
      return multiply<1>(left, left_pitch, right, pitch, inner, out);
    case 2:
      return multiply<2>(left, left_pitch, right, pitch, inner, out);
    case 3:
      return multiply<3>(left, left_pitch, right, pitch, inner, out);
    default:
      return multiply<4>(left, left_pitch, right, pitch, inner, out);
  }
}

/// total[j, :] += sum_r left[r, j] * right[r, :] for j < inner: outer products, rows r in order.
template <class A>
void add_outer(int64_t rows, const A* left, int64_t left_pitch, const A* right, int64_t right_pitch,
               int64_t inner, int64_t pitch, A* total) {
  for (int64_t j = 0; j < inner; ++j) {
    for (int64_t r = 0; r < rows; ++r) {
      add_scaled(left[r * left_pitch + j], right + r * right_pitch, total + j * pitch, pitch);
    }
  }
}

/// Keys that query i may see.
int64_t visible_keys(const RaggedAttention& p, const Sequence& queries, const Sequence& keys,
                     int64_t i) {
  if (!p.causal) return keys.count;
  const int64_t last = i + keys.count - queries.count;
  return last < 0 ? 0 : last + 1;
}

/// Memory that one kernel call's items use one after another: taking it from the system for each
/// would cost a short sequence more than its products. Starts as zeros, so padding is never junk.
template <class A>
class Arena {
 public:
  explicit Arena(int64_t count) : data_(count) { std::memset(data_, 0, size_t(count) * sizeof(A)); }
  void reset() { used_ = 0; }
  /// Room for n values, n a multiple of the lanes.
  A* take(int64_t n) {
    used_ += n;
    return data_ + (used_ - n);
  }

 private:
  Scratch<A> data_;
  int64_t used_ = 0;
};

template <class E, class A>
struct Attention {
  const RaggedAttention& p;
  const int64_t head;
  const Sequence queries, keys;
  const int64_t C, width_pitch, key_pitch;

  Attention(const RaggedAttention& params, int64_t item)
      : p(params),
        head(item % params.heads),
        queries(params.queries, item / params.heads),
        keys(params.keys, item / params.heads),
        C(params.width),
        width_pitch(padded<A>(params.width)),
        key_pitch(padded<A>(keys.count)) {}

  A* lse(int64_t i) const { return static_cast<A*>(p.lse) + head * p.query_rows + queries.row(i); }

  void write_empty(int64_t i) const {
    E* out = at<E>(p.out, queries.row(i), head);
    for (int64_t c = 0; c < C; ++c) narrow(A(0), out + c);
    *lse(i) = -A(__builtin_inf());
  }

  /// scores[j] <- exp(scale * scores[j] - max) for visible j, 0 behind; returns the sum, stores
  /// lse.
  A softmax(A* scores, int64_t visible, int64_t i) const {
    A top = -A(__builtin_inf());
    for (int64_t j = 0; j < visible; ++j) {
      scores[j] *= A(p.scale);
      if (!(scores[j] <= top)) top = scores[j];
    }
    exponential_row(scores, top, key_pitch);
    for (int64_t j = visible; j < key_pitch; ++j) scores[j] = 0;
    const A total = sum_row(scores, key_pitch);
    *lse(i) = top + natural_log(total);
    return total;
  }

  /// Arena values that forward() or backward() take, for sequences of up to `longest` keys.
  static int64_t room(const RaggedAttention& p, int64_t longest, bool backward) {
    const int64_t W = padded<A>(p.width), L = padded<A>(longest);
    const int64_t rows = kRows * (2 * W + 2 * L) + 2 * W;
    return backward ? 2 * W * L + 3 * L * W + rows + kRows * W : W * L + L * W + rows;
  }

  void forward(Arena<A>& arena) const {
    if (keys.count == 0) {
      for (int64_t i = 0; i < queries.count; ++i) write_empty(i);
      return;
    }
    arena.reset();
    A* key_columns = arena.take(width_pitch * key_pitch);
    A* value_rows = arena.take(keys.count * width_pitch);
    A* q = arena.take(kRows * width_pitch);
    A* scores = arena.take(kRows * key_pitch);
    A* out = arena.take(kRows * width_pitch);
    pack_columns<E>(p.key, keys, head, C, key_pitch, key_columns);
    pack_rows<E>(p.value, keys, head, C, width_pitch, value_rows);
    for (int64_t i = 0; i < queries.count; i += kRows) {
      const int64_t rows = queries.count - i < kRows ? queries.count - i : kRows;
      for (int64_t r = 0; r < rows; ++r)
        widen_row(at<E>(p.query, queries.row(i + r), head), q + r * width_pitch, C);
      multiply<A>(rows, q, width_pitch, key_columns, key_pitch, C, scores);
      A total[kRows];
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t visible = visible_keys(p, queries, keys, i + r);
        total[r] = visible ? softmax(scores + r * key_pitch, visible, i + r) : A(0);
        if (!visible) std::memset(scores + r * key_pitch, 0, size_t(key_pitch) * sizeof(A));
      }
      multiply<A>(rows, scores, key_pitch, value_rows, width_pitch, keys.count, out);
      for (int64_t r = 0; r < rows; ++r) {
        if (visible_keys(p, queries, keys, i + r) == 0) {
          write_empty(i + r);
          continue;
        }
        A* row = out + r * width_pitch;
        for (int64_t c = 0; c < C; ++c) row[c] /= total[r];
        narrow_row(row, at<E>(p.out, queries.row(i + r), head), C);
      }
    }
  }

  /// ds <- p * (dp - delta) * scale, and scores <- p, for query i (docs/ops.md,
  /// "ragged_attention").
  void score_gradient(A* scores, A* dp, A delta, int64_t i) const {
    const int64_t visible = visible_keys(p, queries, keys, i);
    if (visible) {
      for (int64_t j = 0; j < visible; ++j) scores[j] *= A(p.scale);
      exponential_row(scores, *lse(i), key_pitch);
    }
    for (int64_t j = visible; j < key_pitch; ++j) scores[j] = dp[j] = 0;
    // lse is rounded, a large one coarsely; dividing by the sum takes that out of the
    // probabilities.
    const A norm = visible ? 1 / sum_row(scores, key_pitch) : A(0);
    for (int64_t j = 0; j < visible; ++j) {
      scores[j] *= norm;
      dp[j] = scores[j] * (dp[j] - delta) * A(p.scale);
    }
  }

  void backward(const RaggedAttentionBackward& g, Arena<A>& arena) const {
    const int64_t W = width_pitch;
    arena.reset();
    A *key_columns = arena.take(W * key_pitch), *value_columns = arena.take(W * key_pitch);
    A* key_rows = arena.take(keys.count * W);
    A *grad_key = arena.take(keys.count * W), *grad_value = arena.take(keys.count * W);
    A *q = arena.take(kRows * W), *upstream = arena.take(kRows * W);
    A *scores = arena.take(kRows * key_pitch), *dp = arena.take(kRows * key_pitch);
    A *grad_query = arena.take(kRows * W), *o = arena.take(W);
    pack_columns<E>(p.key, keys, head, C, key_pitch, key_columns);
    pack_columns<E>(p.value, keys, head, C, key_pitch, value_columns);
    pack_rows<E>(p.key, keys, head, C, W, key_rows);
    std::memset(grad_key, 0, size_t(keys.count * W) * sizeof(A));
    std::memset(grad_value, 0, size_t(keys.count * W) * sizeof(A));
    for (int64_t i = 0; i < queries.count; i += kRows) {
      const int64_t rows = queries.count - i < kRows ? queries.count - i : kRows;
      for (int64_t r = 0; r < rows; ++r) {
        widen_row(at<E>(p.query, queries.row(i + r), head), q + r * W, C);
        widen_row(at<E>(g.grad_out, queries.row(i + r), head), upstream + r * W, C);
      }
      multiply<A>(rows, q, W, key_columns, key_pitch, C, scores);
      multiply<A>(rows, upstream, W, value_columns, key_pitch, C, dp);
      for (int64_t r = 0; r < rows; ++r) {
        widen_row(at<E>(p.out, queries.row(i + r), head), o, C);
        const A delta = dot<A>(upstream + r * W, o, C);
        score_gradient(scores + r * key_pitch, dp + r * key_pitch, delta, i + r);
      }
      multiply<A>(rows, dp, key_pitch, key_rows, W, keys.count, grad_query);
      for (int64_t r = 0; r < rows; ++r) {
        narrow_row(grad_query + r * W, at<E>(g.grad_query, queries.row(i + r), head), C);
      }
      add_outer<A>(rows, dp, key_pitch, q, W, keys.count, W, grad_key);
      add_outer<A>(rows, scores, key_pitch, upstream, W, keys.count, W, grad_value);
    }
    for (int64_t j = 0; j < keys.count; ++j) {
      narrow_row(grad_key + j * W, at<E>(g.grad_key, keys.row(j), head), C);
      narrow_row(grad_value + j * W, at<E>(g.grad_value, keys.row(j), head), C);
    }
  }
};

/// The most keys that a sequence of the items [begin, end) has.
int64_t longest_keys(const RaggedAttention& p, int64_t begin, int64_t end) {
  int64_t longest = 0;
  for (int64_t item = begin; item < end; item += p.heads - item % p.heads) {
    const int64_t count = Sequence(p.keys, item / p.heads).count;
    longest = count > longest ? count : longest;
  }
  return longest;
}

}  // namespace

void ragged_attention(const RaggedAttention& p, int64_t begin, int64_t end) {
  with_type(p.dtype, [&](auto element) {
    using Item = Attention<decltype(element), Accumulator<decltype(element)>>;
    Arena<Accumulator<decltype(element)>> arena(Item::room(p, longest_keys(p, begin, end), false));
    for (int64_t item = begin; item < end; ++item) Item(p, item).forward(arena);
  });
}

void ragged_attention_backward(const RaggedAttentionBackward& p, int64_t begin, int64_t end) {
  const RaggedAttention& f = p.forward;
  with_type(f.dtype, [&](auto element) {
    using Item = Attention<decltype(element), Accumulator<decltype(element)>>;
    Arena<Accumulator<decltype(element)>> arena(Item::room(f, longest_keys(f, begin, end), true));
    for (int64_t item = begin; item < end; ++item) Item(f, item).backward(p, arena);
  });
}

}  // namespace adatape::kernels::ADATAPE_ISA

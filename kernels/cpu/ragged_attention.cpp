#include "kernels/cpu/elementary.h"
#include "kernels/cpu/functions.h"
#include "kernels/cpu/product.h"

namespace adatape::kernels::ADATAPE_ISA {
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

/// Rows of one head, widened: [count, pitch]. What lies behind the width meets only columns that
/// nothing reads.
template <class E, class A>
void pack_rows(const PackedHeads& t, const Sequence& s, int64_t first, int64_t count, int64_t head,
               int64_t width, A* out, int64_t pitch) {
  for (int64_t i = 0; i < count; ++i)
    widen_row(at<E>(t, s.row(first + i), head), out + i * pitch, width);
}

/// Rows first .. first + count of one head, widened, scaled and transposed: [width, pitch], zeros
/// behind the count up to a whole vector.
template <class E, class A>
void pack_columns(const PackedHeads& t, const Sequence& s, int64_t first, int64_t count,
                  int64_t head, int64_t width, A scale, A* out, int64_t pitch) {
  constexpr int64_t L = kLanes<A>;
  for (int64_t j = 0; j < count; j += L) {
    for (int64_t c = 0; c < width; c += L) {
      Vector<A> square[L] = {};
      for (int64_t i = 0; i < L && j + i < count; ++i) {
        const E* row = at<E>(t, s.row(first + j + i), head) + c;
        square[i] = scale * (c + L <= width ? load<A>(row) : load<A>(row, width - c));
      }
      transpose<A>(square);
      for (int64_t i = 0; i < L; ++i) store(out + (c + i) * pitch + j, square[i]);
    }
  }
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

/// Queries that share a pass over the keys, at most kBlock, so that their scores stay in the second
/// cache.
constexpr int64_t kBlock = 64;
constexpr int64_t kBlockKeys = 1024;
inline int64_t block_for(int64_t keys) {
  return keys <= kBlockKeys ? kBlock : keys <= 2 * kBlockKeys ? kBlock / 2 : kBlock / 4;
}

/// One sequence and head. Scores are kept transposed, [keys, queries of a block]: a vector holds as
/// many queries, so that softmax and its gradient never cross lanes, keys and values are used row by
/// row, and only queries need transposing.
template <class E, class A>
struct Attention {
  static constexpr int64_t L = kLanes<A>;
  const RaggedAttention& p;
  const int64_t head;
  const Sequence queries, keys;
  const int64_t C, W, block;

  Attention(const RaggedAttention& params, int64_t item)
      : p(params),
        head(item % params.heads),
        queries(params.queries, item / params.heads),
        keys(params.keys, item / params.heads),
        C(params.width),
        W(padded<A>(params.width)),
        block(smaller(block_for(keys.count), padded<A>(queries.count))) {}

  static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

  /// Arena values that forward() or backward() take, for sequences of up to `longest` keys.
  static int64_t room(const RaggedAttention& p, int64_t longest, bool backward) {
    const int64_t W = padded<A>(p.width), few = smaller(longest, kBlockKeys) * kBlock;
    const int64_t many = longest * kBlock / 4, scores = few > many ? few : many;
    return backward ? 5 * longest * W + 6 * kBlock * W + 2 * scores + kBlock
                    : 2 * longest * W + 2 * kBlock * W + scores + 2 * kBlock;
  }

  A* lse(int64_t i) const { return static_cast<A*>(p.lse) + head * p.query_rows + queries.row(i); }

  /// Last key that query i sees; negative if none.
  int64_t last_key(int64_t i) const {
    return p.causal ? i + keys.count - queries.count : keys.count - 1;
  }

  /// Lanes whose query sees key j, for the vector of queries from i on.
  Integers<A> sees(int64_t i, int64_t j) const {
    return lane_numbers<A>() >= int(p.causal ? j - last_key(i) : 0);
  }

  /// Keys that any of the rows first .. first + rows sees.
  int64_t keys_seen(int64_t first, int64_t rows) const {
    const int64_t last = last_key(first + rows - 1);
    return last < 0 ? 0 : last + 1;
  }

  /// scores <- exp(scores - top), 0 for keys unseen, for one vector of queries, the first of which is
  /// query i; top and total get the largest score and the sum.
  void softmax(A* scores, int64_t seen, int64_t i, A* top_out, A* total_out) const {
    const int64_t by_all = last_key(i) + 1;  // keys from here on are hidden from some lanes
    const Vector<A> none = Vector<A>{} - A(__builtin_inf());
    Vector<A> top = none, total{};
    for (int64_t j = 0; j < seen; ++j) {
      const Vector<A> s = load<A>(scores + j * block);
      top = larger<A>(j < by_all ? s : (sees(i, j) ? s : none), top);
    }
    for (int64_t begin = 0; begin < seen; begin += kInner) {
      Vector<A> part{};
      for (int64_t j = begin; j < smaller(begin + kInner, seen); ++j) {
        Vector<A> e = exponential(load<A>(scores + j * block) - top);
        if (j >= by_all) e = sees(i, j) ? e : Vector<A>{};
        store(scores + j * block, e);
        part += e;
      }
      total += part;
    }
    store(top_out, top);
    store(total_out, total);
  }

  /// lse, and the rows' outputs, out [rows, W] / total; -inf and 0 for a row that sees no key.
  void write_rows(int64_t first, int64_t rows, A* out, const A* top, A* total) const {
    for (int64_t r = 0; r < rows; ++r) {
      const bool empty = last_key(first + r) < 0;
      const A factor = empty ? A(0) : 1 / total[r];
      A* row = out + r * W;
      for (int64_t c = 0; c < W; c += L)
        store(row + c, empty ? Vector<A>{} : factor * load<A>(row + c));
      narrow_row(row, at<E>(p.out, queries.row(first + r), head), C);
    }
    for (int64_t r = 0; r < rows; r += L)
      store(total + r, load<A>(top + r) + natural_log(load<A>(total + r)));
    for (int64_t r = 0; r < rows; ++r)
      *lse(first + r) = last_key(first + r) < 0 ? -A(__builtin_inf()) : total[r];
  }

  void forward(Arena<A>& arena) const {
    arena.reset();
    A *key_rows = arena.take(keys.count * W), *value_rows = arena.take(keys.count * W);
    A *q_columns = arena.take(W * block), *out = arena.take(block * W);
    A* scores = arena.take(keys.count * block);
    A *top = arena.take(block), *total = arena.take(block);
    pack_rows<E>(p.key, keys, 0, keys.count, head, C, key_rows, W);
    pack_rows<E>(p.value, keys, 0, keys.count, head, C, value_rows, W);
    for (int64_t first = 0; first < queries.count; first += block) {
      const int64_t rows = smaller(block, queries.count - first), seen = keys_seen(first, rows);
      pack_columns<E>(p.query, queries, first, rows, head, C, A(p.scale), q_columns, block);
      product<A>(seen, padded<A>(rows), C, {key_rows, W, 1}, q_columns, block, false, scores,
                 block);
      for (int64_t c = 0; c < rows; c += L)
        softmax(scores + c, seen, first + c, top + c, total + c);
      product<A>(rows, W, seen, {scores, 1, block}, value_rows, W, false, out, W);
      write_rows(first, rows, out, top, total);
    }
  }

  /// scores <- p and dp <- p * (dp - delta), 0 for keys unseen, for one vector of queries, the first
  /// of which is query i (docs/ops.md, "ragged_attention").
  void score_gradient(A* scores, A* dp, Vector<A> shift, Vector<A> delta, int64_t seen,
                      int64_t i) const {
    const int64_t by_all = last_key(i) + 1;
    Vector<A> total{};
    for (int64_t j = 0; j < seen; ++j) {
      Vector<A> e = exponential(load<A>(scores + j * block) - shift);
      if (j >= by_all) e = sees(i, j) ? e : Vector<A>{};
      store(scores + j * block, e);
      total += e;
    }
    // lse is rounded, a large one coarsely; dividing by the sum takes that out of the
    // probabilities.
    const Vector<A> norm = sees(i, 0) ? 1 / total : Vector<A>{};
    for (int64_t j = 0; j < seen; ++j) {
      const Vector<A> probability = norm * load<A>(scores + j * block);
      store(scores + j * block, probability);
      store(dp + j * block, probability * (load<A>(dp + j * block) - delta));
    }
  }

  /// delta[r] = sum_c grad_out[r, c] out[r, c], for a vector of queries, from their columns.
  static Vector<A> delta_of(const A* upstream, const A* out, int64_t width, int64_t pitch) {
    Vector<A> delta{};
    for (int64_t c = 0; c < width; ++c)
      delta += load<A>(upstream + c * pitch) * load<A>(out + c * pitch);
    return delta;
  }

  /// Writes factor * rows [count, W] as rows first .. first + count of the gradient.
  static void write_gradient(const PackedHeads& t, const Sequence& s, int64_t first, int64_t count,
                             int64_t head, int64_t width, A factor, A* rows, int64_t pitch) {
    for (int64_t r = 0; r < count; ++r) {
      A* row = rows + r * pitch;
      for (int64_t c = 0; c < pitch; c += L) store(row + c, factor * load<A>(row + c));
      narrow_row(row, at<E>(t, s.row(first + r), head), width);
    }
  }

  void backward(const RaggedAttentionBackward& g, Arena<A>& arena) const {
    arena.reset();
    A *key_rows = arena.take(keys.count * W), *value_rows = arena.take(keys.count * W);
    A *grad_key = arena.take(keys.count * W), *grad_value = arena.take(keys.count * W);
    A *q_rows = arena.take(block * W), *upstream_rows = arena.take(block * W);
    A *q_columns = arena.take(W * block), *upstream = arena.take(W * block);
    A *out = arena.take(W * block), *grad_query = arena.take(block * W);
    A *scores = arena.take(keys.count * block), *dp = arena.take(keys.count * block);
    A* shift = arena.take(block);
    pack_rows<E>(p.key, keys, 0, keys.count, head, C, key_rows, W);
    pack_rows<E>(p.value, keys, 0, keys.count, head, C, value_rows, W);
    if (p.causal || queries.count == 0)
      std::memset(grad_key, 0, size_t(2 * keys.count * W) * sizeof(A));
    for (int64_t first = 0; first < queries.count; first += block) {
      const int64_t rows = smaller(block, queries.count - first), seen = keys_seen(first, rows);
      const int64_t columns = padded<A>(rows);
      const bool add = first > 0 || p.causal;
      pack_rows<E>(p.query, queries, first, rows, head, C, q_rows, W);
      pack_rows<E>(g.grad_out, queries, first, rows, head, C, upstream_rows, W);
      pack_columns<E>(p.query, queries, first, rows, head, C, A(p.scale), q_columns, block);
      pack_columns<E>(g.grad_out, queries, first, rows, head, C, A(1), upstream, block);
      pack_columns<E>(p.out, queries, first, rows, head, C, A(1), out, block);
      product<A>(seen, columns, C, {key_rows, W, 1}, q_columns, block, false, scores, block);
      product<A>(seen, columns, C, {value_rows, W, 1}, upstream, block, false, dp, block);
      for (int64_t r = 0; r < rows; ++r) shift[r] = *lse(first + r);
      for (int64_t c = 0; c < rows; c += L) {
        score_gradient(scores + c, dp + c, load<A>(shift + c),
                       delta_of(upstream + c, out + c, C, block), seen, first + c);
      }
      product<A>(rows, W, seen, {dp, 1, block}, key_rows, W, false, grad_query, W);
      write_gradient(g.grad_query, queries, first, rows, head, C, A(p.scale), grad_query, W);
      product<A>(seen, W, rows, {dp, block, 1}, q_rows, W, add, grad_key, W);
      product<A>(seen, W, rows, {scores, block, 1}, upstream_rows, W, add, grad_value, W);
    }
    write_gradient(g.grad_key, keys, 0, keys.count, head, C, A(p.scale), grad_key, W);
    write_gradient(g.grad_value, keys, 0, keys.count, head, C, A(1), grad_value, W);
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

#include "kernels/cpu/attention_item.h"
#include "kernels/cpu/elementary.h"
#include "kernels/cpu/functions.h"

namespace adatape::kernels::ADATAPE_ISA {
namespace {

/// Writes factor * rows [count, pitch] as rows first .. first + count of the gradient t.
template <class E, class A>
void write_gradient(const PackedHeads& t, const Sequence& s, int64_t first, int64_t count,
                    int64_t head, int64_t width, A factor, A* rows, int64_t pitch) {
  for (int64_t r = 0; r < count; ++r) {
    A* row = rows + r * pitch;
    for (int64_t c = 0; c < pitch; c += kLanes<A>) store(row + c, factor * load<A>(row + c));
    narrow_row(row, at<E>(t, s.row(first + r), head), width);
  }
}

template <class E, class A>
class Backward : public AttentionItem<E, A> {
 public:
  using Base = AttentionItem<E, A>;
  using Base::L, Base::p, Base::head, Base::queries, Base::keys, Base::C, Base::W, Base::block,
      Base::k, Base::v;

  Backward(const RaggedAttentionBackward& params, int64_t sequence, int64_t h, Arena<A>& arena)
      : Base(params.forward, sequence, h, arena),
        g_(params),
        grad_key_(arena.take(keys.count * W)),
        grad_value_(arena.take(keys.count * W)),
        query_(arena.take(block * W)),
        upstream_(arena.take(block * W)),
        query_columns_(arena.take(W * block)),
        upstream_columns_(arena.take(W * block)),
        out_columns_(arena.take(W * block)),
        grad_query_(arena.take(block * W)),
        scores_(arena.take(keys.count * block)),
        dp_(arena.take(keys.count * block)),
        lse_(arena.take(block)) {
    if (adds(0)) {
      std::memset(grad_key_, 0, size_t(keys.count * W) * sizeof(A));
      std::memset(grad_value_, 0, size_t(keys.count * W) * sizeof(A));
    }
  }

  static int64_t room(int64_t W, int64_t keys, int64_t block) {
    return 4 * keys * W + 6 * block * W + 2 * keys * block + block;
  }

  void pack(int64_t first) {
    const int64_t rows = this->rows_from(first);
    pack_rows<E>(p.query, queries, first, rows, head, C, query_, W);
    pack_rows<E>(g_.grad_out, queries, first, rows, head, C, upstream_, W);
    pack_columns<E>(p.query, queries, first, rows, head, C, A(p.scale), query_columns_, block);
    pack_columns<E>(g_.grad_out, queries, first, rows, head, C, A(1), upstream_columns_, block);
    pack_columns<E>(p.out, queries, first, rows, head, C, A(1), out_columns_, block);
    for (int64_t r = 0; r < rows; ++r) lse_[r] = *this->lse(first + r);
  }

  void scores(int64_t first) { this->scores_of(k, query_columns_, first, scores_); }
  void probability_gradient(int64_t first) { this->scores_of(v, upstream_columns_, first, dp_); }

  void score_gradient(int64_t first) {
    for (int64_t c = 0; c < this->rows_from(first); c += L) score_gradient(c, first);
  }

  void query_gradient(int64_t first) {
    const int64_t rows = this->rows_from(first);
    product<A>(rows, W, this->keys_seen(first), {dp_, 1, block}, k.data, k.pitch, false,
               grad_query_, W);
    write_gradient<E>(g_.grad_query, queries, first, rows, head, C, A(p.scale), grad_query_, W);
  }

  void key_gradient(int64_t first) {
    product<A>(this->keys_seen(first), W, this->rows_from(first), {dp_, block, 1}, query_, W,
               adds(first), grad_key_, W);
  }

  void value_gradient(int64_t first) {
    product<A>(this->keys_seen(first), W, this->rows_from(first), {scores_, block, 1}, upstream_, W,
               adds(first), grad_value_, W);
  }

  void finish() {
    write_gradient<E>(g_.grad_key, keys, 0, keys.count, head, C, A(p.scale), grad_key_, W);
    write_gradient<E>(g_.grad_value, keys, 0, keys.count, head, C, A(1), grad_value_, W);
  }

  static constexpr void (Backward::*kPhases[])(int64_t) = {
      &Backward::pack,           &Backward::scores,         &Backward::probability_gradient,
      &Backward::score_gradient, &Backward::query_gradient, &Backward::key_gradient,
      &Backward::value_gradient};

 private:
  /// Whether the block's gradients of keys and values are added to what is there: the first block
  /// writes them all, unless there is none or it does not see every key.
  bool adds(int64_t first) const { return first > 0 || p.causal || queries.count == 0; }

  /// scores <- p and dp <- p * (dp - delta), 0 for keys unseen, for the vector of queries at column
  /// c of the block (docs/ops.md, "ragged_attention"). The query was scaled before it met the keys.
  void score_gradient(int64_t c, int64_t first) {
    const int64_t seen = this->keys_seen(first), i = first + c, by_all = this->last_key(i) + 1;
    A *scores = scores_ + c, *dp = dp_ + c;
    const Vector<A> shift = load<A>(lse_ + c);
    Vector<A> delta{}, total{};  // delta: sum over channels of grad_out * out
    for (int64_t d = 0; d < C; ++d)
      delta += load<A>(upstream_columns_ + d * block + c) * load<A>(out_columns_ + d * block + c);
    for (int64_t j = 0; j < seen; ++j) {
      Vector<A> e = exponential(load<A>(scores + j * block) - shift);
      if (j >= by_all) e = this->sees(i, j) ? e : Vector<A>{};
      store(scores + j * block, e);
      total += e;
    }
    // lse is rounded, a large one coarsely; dividing by the sum takes that out of the
    // probabilities.
    const Vector<A> norm = this->sees(i, 0) ? 1 / total : Vector<A>{};
    for (int64_t j = 0; j < seen; ++j) {
      const Vector<A> probability = norm * load<A>(scores + j * block);
      store(scores + j * block, probability);
      store(dp + j * block, probability * (load<A>(dp + j * block) - delta));
    }
  }

  const RaggedAttentionBackward& g_;
  A *grad_key_, *grad_value_, *query_, *upstream_, *query_columns_, *upstream_columns_,
      *out_columns_;
  A *grad_query_, *scores_, *dp_, *lse_;
};

}  // namespace

void ragged_attention_backward(const RaggedAttentionBackward& p, int64_t begin, int64_t end) {
  with_type(p.forward.dtype, [&](auto element) {
    using A = Accumulator<decltype(element)>;
    for_items<Backward<decltype(element), A>, A>(p.forward, p, begin, end);
  });
}

}  // namespace adatape::kernels::ADATAPE_ISA

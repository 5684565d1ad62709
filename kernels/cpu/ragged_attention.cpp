#include "kernels/cpu/attention_item.h"
#include "kernels/cpu/elementary.h"
#include "kernels/cpu/functions.h"

namespace adatape::kernels::ADATAPE_ISA {
namespace {

template <class E, class A>
class Forward : public AttentionItem<E, A> {
 public:
  using Base = AttentionItem<E, A>;
  using Base::L, Base::p, Base::head, Base::queries, Base::C, Base::W, Base::block, Base::k,
      Base::v;

  Forward(const RaggedAttention& params, int64_t sequence, int64_t h, Arena<A>& arena)
      : Base(params, sequence, h, arena),
        columns_(arena.take(W * block)),
        scores_(arena.take(Base::keys.count * block)),
        out_(arena.take(block * W)),
        top_(arena.take(block)),
        total_(arena.take(block)) {}

  static int64_t room(int64_t W, int64_t keys, int64_t block) {
    return 2 * keys * W + 2 * block * W + keys * block + 2 * block;
  }

  void scores(int64_t first) {
    pack_columns<E>(p.query, queries, first, this->rows_from(first), head, C, A(p.scale), columns_,
                    block);
    this->scores_of(k, columns_, first, scores_);
  }

  void probabilities(int64_t first) {
    for (int64_t c = 0; c < this->rows_from(first); c += L) softmax(c, first);
  }

  void outputs(int64_t first) {
    product<A>(this->rows_from(first), W, this->keys_seen(first), {scores_, 1, block}, v.data,
               v.pitch, false, out_, W);
  }

  /// lse, and the rows' outputs, out [rows, W] / total; -inf and 0 for a row that sees no key.
  void write(int64_t first) {
    const int64_t rows = this->rows_from(first);
    for (int64_t r = 0; r < rows; r += L) {
      const Vector<A> sums = load<A>(total_ + r);
      store(total_ + r, 1 / sums);
      store(top_ + r, load<A>(top_ + r) + natural_log(sums));
    }
    for (int64_t r = 0; r < rows; ++r) {
      const bool empty = this->last_key(first + r) < 0;
      A* row = out_ + r * W;
      for (int64_t c = 0; c < W; c += L)
        store(row + c, empty ? Vector<A>{} : total_[r] * load<A>(row + c));
      narrow_row(row, at<E>(p.out, queries.row(first + r), head), C);
      *this->lse(first + r) = empty ? -A(__builtin_inf()) : top_[r];
    }
  }

  void finish() {}

  static constexpr void (Forward::*kPhases[])(int64_t) = {&Forward::scores, &Forward::probabilities,
                                                          &Forward::outputs, &Forward::write};

 private:
  /// scores <- exp(scores - top), 0 for keys unseen, for the vector of queries at column c of the
  /// block; top and total get the largest score and the sum.
  void softmax(int64_t c, int64_t first) {
    const int64_t seen = this->keys_seen(first), i = first + c;
    const int64_t by_all = this->last_key(i) + 1;  // keys from here on are hidden from some lanes
    const Vector<A> none = Vector<A>{} - A(__builtin_inf());
    A* scores = scores_ + c;
    Vector<A> top = none, total{};
    for (int64_t j = 0; j < seen; ++j) {
      const Vector<A> s = load<A>(scores + j * block);
      top = larger<A>(j < by_all ? s : (this->sees(i, j) ? s : none), top);
    }
    for (int64_t begin = 0; begin < seen; begin += kInner) {
      Vector<A> part{};
      for (int64_t j = begin; j < smaller(begin + kInner, seen); ++j) {
        Vector<A> e = exponential(load<A>(scores + j * block) - top);
        if (j >= by_all) e = this->sees(i, j) ? e : Vector<A>{};
        store(scores + j * block, e);
        part += e;
      }
      total += part;
    }
    store(top_ + c, top);
    store(total_ + c, total);
  }

  A *columns_, *scores_, *out_, *top_, *total_;
};

}  // namespace

void ragged_attention(const RaggedAttention& p, int64_t begin, int64_t end) {
  with_type(p.dtype, [&](auto element) {
    using A = Accumulator<decltype(element)>;
    for_items<Forward<decltype(element), A>, A>(p, p, begin, end);
  });
}

}  // namespace adatape::kernels::ADATAPE_ISA

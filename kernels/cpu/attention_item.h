// What attention's forward and backward share: one sequence and head, and the order of the work.
//
// Scores are kept transposed, [keys, queries of a block]: a vector holds as many queries, so that
// softmax and its gradient never cross lanes, keys and values are used row by row, and only queries
// need transposing.
#pragma once

#include "kernels/cpu/sequence.h"

namespace adatape::kernels {
namespace {

// Queries that share a pass over the keys, so that their scores stay in the second cache.
constexpr int64_t kBlock = 64;
constexpr int64_t kBlockKeys = 1024;
// A short sequence's heads advance together, phase by phase: each alone is a chain of additions
// that wait for each other.
constexpr int64_t kShort = 32, kGroup = 8;

/// Keys times block_for(keys) is at most what it is at kBlockKeys and at the largest number of
/// keys.
inline int64_t block_for(int64_t keys) {
  return keys <= kBlockKeys ? kBlock : keys <= 2 * kBlockKeys ? kBlock / 2 : kBlock / 4;
}

template <class E, class A>
struct AttentionItem {
  static constexpr int64_t L = kLanes<A>;
  const RaggedAttention& p;
  const int64_t head;
  const Sequence queries, keys;
  const int64_t C, W, block;
  Rows<A> k, v;

  AttentionItem(const RaggedAttention& params, int64_t sequence, int64_t h, Arena<A>& arena)
      : p(params),
        head(h),
        queries(params.queries, sequence),
        keys(params.keys, sequence),
        C(params.width),
        W(padded<A>(params.width)),
        block(smaller(block_for(keys.count), padded<A>(queries.count))),
        k(rows_of<E>(params.key, keys, h, C, W, arena.take(keys.count * W))),
        v(rows_of<E>(params.value, keys, h, C, W, arena.take(keys.count * W))) {}

  A* lse(int64_t i) const { return static_cast<A*>(p.lse) + head * p.query_rows + queries.row(i); }

  int64_t rows_from(int64_t first) const { return smaller(block, queries.count - first); }

  /// Last key that query i sees; negative if none.
  int64_t last_key(int64_t i) const {
    return p.causal ? i + keys.count - queries.count : keys.count - 1;
  }

  /// Lanes whose query sees key j, for the vector of queries from i on.
  Integers<A> sees(int64_t i, int64_t j) const {
    return lane_numbers<A>() >= int(p.causal ? j - last_key(i) : 0);
  }

  /// Keys that any query of the block from `first` on sees.
  int64_t keys_seen(int64_t first) const {
    const int64_t last = last_key(first + rows_from(first) - 1);
    return last < 0 ? 0 : last + 1;
  }

  /// out [keys seen, block] = rows of keys or values times columns [W, block] of queries.
  void scores_of(Rows<A> rows, const A* columns, int64_t first, A* out) const {
    product<A>(keys_seen(first), padded<A>(rows_from(first)), C, {rows.data, rows.pitch, 1},
               columns, block, false, out, block);
  }
};

/// The most keys that a sequence of the items [begin, end) has.
inline int64_t longest_keys(const RaggedAttention& p, int64_t begin, int64_t end) {
  int64_t longest = 0;
  for (int64_t b = begin / p.heads; b * p.heads < end; ++b) {
    const int64_t count = Sequence(p.keys, b).count;
    longest = count > longest ? count : longest;
  }
  return longest;
}

/// Takes the items [begin, end) of all sequences and heads, heads fastest, through Item's phases,
/// and within a phase one head after another. Which heads are taken together changes no result.
/// Item(p, sequence, head, arena) takes up to Item::room(W, keys, block) from the arena.
template <class Item, class A, class Params>
void for_items(const RaggedAttention& attention, const Params& p, int64_t begin, int64_t end) {
  const int64_t W = padded<A>(attention.width), longest = longest_keys(attention, begin, end);
  int64_t room = kGroup * Item::room(W, smaller(longest, kShort), kShort);
  for (int64_t part = 1; part <= 4;
       part *= 2) {  // the most keys of each block that block_for gives
    const int64_t keys = part < 4 ? smaller(longest, part * kBlockKeys) : longest;
    room = larger_of(room, Item::room(W, keys, kBlock / part));
  }
  Arena<A> arena(room);
  Slots<Item, kGroup> items;
  for (int64_t item = begin, count; item < end; item += count) {
    const int64_t sequence = item / attention.heads, head = item % attention.heads;
    const int64_t queries = Sequence(attention.queries, sequence).count;
    const bool is_short = queries <= kShort && Sequence(attention.keys, sequence).count <= kShort;
    count = smaller(is_short ? kGroup : 1, smaller(attention.heads - head, end - item));
    arena.reset();
    for (int64_t i = 0; i < count; ++i) new (items.at(i)) Item(p, sequence, head + i, arena);
    const int64_t block = items[0].block;
    for (int64_t first = 0; first < queries; first += block) {
      for (auto phase : Item::kPhases) {
        for (int64_t i = 0; i < count; ++i) (items[i].*phase)(first);
      }
    }
    for (int64_t i = 0; i < count; ++i) items[i].finish();
  }
}

}  // namespace
}  // namespace adatape::kernels

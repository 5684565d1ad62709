// Attention forward for one element type: the launches. Instantiated in
// ragged_attention_forward_*.cu.
#pragma once

#include "kernels/ragged_attention_launch.cuh"
#include "kernels/ragged_attention_short.cuh"
#include "kernels/ragged_attention_tile.cuh"

namespace adatape::kernels::attention {

template <class T>
void forward(const RaggedAttention& p, int64_t max_q, int64_t max_k, Stream stream) {
  if (p.batch == 0 || p.heads == 0 || p.query_rows == 0) return;
  const Lengths lengths(p, max_q, max_k);
  const auto simple = [&] {
    launch(tile_grid(p.query_rows, p), 32 * kWarps, 0, stream, &ragged_attention_simple<T>, p);
  };
  if (!fast<T>(p)) return simple();
  with_engine<T>(p.width, [&](auto engine) {
    using Engine = decltype(engine);
    constexpr int kGroup = kShortGroup<Engine>;
    if (tile_shared_bytes<Engine>() > device_limits().shared_bytes) return simple();
    if (lengths.shorts) {
      launch(group_grid<kGroup>(p), kGroupBlock<kGroup>, short_shared_bytes<Engine>(), stream,
             &ragged_attention_short<Engine>, p);
    }
    if (lengths.longest > kShortLongest) {
      launch(tile_grid(p.query_rows, p), 32 * kWarps, tile_shared_bytes<Engine>(), stream,
             &ragged_attention_tile<Engine>, p, lengths.skipped());
    }
  });
}

}  // namespace adatape::kernels::attention

// Attention backward for one element type: the launches. Instantiated in
// ragged_attention_backward_*.cu.
#pragma once

#include "kernels/ragged_attention_launch.cuh"
#include "kernels/ragged_attention_short_backward.cuh"
#include "kernels/ragged_attention_tile_backward.cuh"

namespace adatape::kernels::attention {

template <class T>
void simple_backward(const RaggedAttentionBackward& p, QueryStatistics* statistics, Stream stream) {
  const RaggedAttention& f = p.forward;
  launch(tile_grid(f.query_rows, f), 32 * kWarps, 0, stream,
         &ragged_attention_simple_query_gradient<T>, p, statistics);
  launch(tile_grid(f.key_rows, f), 32 * kWarps, 0, stream, &ragged_attention_simple_key_gradient<T>,
         p, statistics);
}

template <class Engine>
void tile_backward(const RaggedAttentionBackward& p, QueryStatistics* statistics, int skipped,
                   Stream stream) {
  const RaggedAttention& f = p.forward;
  launch(tile_grid(f.query_rows, f), 32 * kWarps, query_gradient_shared_bytes<Engine>(), stream,
         &ragged_attention_query_gradient<Engine>, p, statistics, skipped);
  launch(tile_grid(f.key_rows, f), 32 * kWarps, key_gradient_shared_bytes<Engine>(), stream,
         &ragged_attention_key_gradient<Engine>, p, statistics, skipped);
}

template <class Engine, int kGroup>
void short_backward(const RaggedAttentionBackward& p, int skipped, Stream stream) {
  launch(group_grid<kGroup>(p.forward), kGroupBlock<kGroup>,
         short_backward_shared_bytes<Engine, kGroup>(), stream,
         &ragged_attention_short_backward<Engine, kGroup>, p, skipped);
}

template <class T>
void backward(const RaggedAttentionBackward& p, int64_t max_q, int64_t max_k, void* workspace,
              Stream stream) {
  const RaggedAttention& f = p.forward;
  if (f.batch == 0 || f.heads == 0) return;
  const Lengths lengths(f, max_q, max_k);
  auto* statistics = static_cast<QueryStatistics*>(workspace);
  if (!fast<T>(p)) return simple_backward<T>(p, statistics, stream);
  with_engine<T>(f.width, [&](auto engine) {
    using Engine = decltype(engine);
    constexpr size_t kBytes =
        std::max(query_gradient_shared_bytes<Engine>(), key_gradient_shared_bytes<Engine>());
    if (kBytes > device_limits().shared_bytes) return simple_backward<T>(p, statistics, stream);
    if (lengths.shorts) short_backward<Engine, kShortGroup<Engine>>(p, 0, stream);
    if (lengths.longest <= kShortLongest) return;
    if constexpr (kWholeIn64<Engine>) {
      if (lengths.longest <= kGroupRows<4>) {
        return short_backward<Engine, 4>(p, lengths.skipped(), stream);
      }
    }
    tile_backward<Engine>(p, statistics, lengths.skipped(), stream);
  });
}

}  // namespace adatape::kernels::attention

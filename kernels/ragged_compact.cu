#include "kernels/ragged_compact.cuh"

namespace adatape::kernels {

int64_t ragged_compact_scratch(int64_t rows) {
  return rows > 0 ? ceil_divide(rows, kChunkRows) : 1;
}

namespace {

/// The same rows, seen as words of a machine type.
template <class Word>
void gather_words(RowGather p, int64_t element_bytes, Stream stream) {
  const auto words = [&](int64_t elements) {
    return elements * element_bytes / int64_t(sizeof(Word));
  };
  p.width = words(p.width);
  p.source_row_stride = words(p.source_row_stride);
  p.out_row_stride = words(p.out_row_stride);
  launch(grid_of_warps(p.count, kGatherThreads / kWarp, ceil_divide(p.width, kWarp)),
         kGatherThreads, 0, stream, &gather_rows<Word>, p);
}

}  // namespace

namespace cuda {

void ragged_compact(const RaggedCompact& p, Stream stream) {
  const dim3 grid = grid_of(ragged_compact_scratch(p.rows));
  launch(grid, kCompactThreads, 0, stream, &count_rows, p);
  launch(grid, kCompactThreads, 0, stream, &compact_rows, p);
}

void row_gather(const RowGather& p, Stream stream) {
  if (p.count == 0 || p.width == 0) return;
  with_element(p.dtype, [&](auto element) {
    constexpr size_t kBytes = sizeof element;
    const bool wide = rows_are_wide(p.source, p.source_row_stride, p.width, kBytes) &&
                      rows_are_wide(p.out, p.out_row_stride, p.width, kBytes);
    using Bits = typename BitsOf<kBytes>::type;
    wide ? gather_words<uint4>(p, kBytes, stream) : gather_words<Bits>(p, kBytes, stream);
  });
}

}  // namespace cuda
}  // namespace adatape::kernels

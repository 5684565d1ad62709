#include "csrc/ops/segment_sum.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/zeros.h>

#include "csrc/ops/launch.h"

namespace adatape::ops {
namespace {

constexpr int64_t kBlock = 64;  // longest run of pairs that one task adds up

struct Segments {
  std::vector<int64_t> order;        // pairs by destination, stable
  std::vector<int64_t> start;        // [segments + 1] into order
  std::vector<int64_t> destination;  // [segments]
};

/// Counting sort: linear in pairs and rows, and the dense result costs rows anyway.
Segments sort_by_destination(const std::vector<int64_t>& destination, int64_t rows) {
  std::vector<int64_t> next(rows + 1);
  for (int64_t d : destination) ++next[d + 1];
  Segments s;
  for (int64_t r = 0; r < rows; ++r) {
    if (next[r + 1] > 0) {
      s.start.push_back(next[r]);
      s.destination.push_back(r);
    }
    next[r + 1] += next[r];
  }
  s.start.push_back(int64_t(destination.size()));
  s.order.resize(destination.size());
  for (size_t p = 0; p < destination.size(); ++p) s.order[next[destination[p]]++] = int64_t(p);
  return s;
}

/// Runs the kernel over the segments given by `start`, writing segment s to row out_row[s] (null:
/// s).
void run(const char* op, const at::Tensor& source, const std::vector<int64_t>& row,
         const at::Tensor& scale, const std::vector<int64_t>& start, const at::Tensor& out,
         const int64_t* out_row) {
  kernels::SegmentSum p{};
  p.source_dtype = dtype(source);
  p.source = source.const_data_ptr();
  p.source_row_stride = source.stride(0);
  p.row = row.data();
  if (scale.defined() && scale.scalar_type() == at::kDouble)
    p.scale64 = scale.const_data_ptr<double>();
  if (scale.defined() && scale.scalar_type() == at::kFloat)
    p.scale32 = scale.const_data_ptr<float>();
  p.start = start.data();
  p.width = source.size(1);
  p.out_dtype = dtype(out);
  p.out = out.mutable_data_ptr();
  p.out_row = out_row;
  p.out_row_stride = out.stride(0);
  const int64_t segments = int64_t(start.size()) - 1;
  launch(op, &kernels::CpuKernels::segment_sum, p, segments,
         double(row.size()) / double(segments) * double(p.width));
}

}  // namespace

at::Tensor scatter_sum(const char* op, const at::Tensor& source, const ScatterPairs& pairs,
                       int64_t rows, at::ScalarType type) {
  const int64_t width = source.size(1);
  at::Tensor out = at::zeros({rows, width}, source.options().dtype(type));
  if (pairs.destination.empty() || width == 0) return out;
  const Segments s = sort_by_destination(pairs.destination, rows);

  const at::ScalarType sums = accumulator(source.scalar_type());
  std::vector<int64_t> row(s.order.size());
  for (size_t p = 0; p < row.size(); ++p) row[p] = pairs.source_row[s.order[p]];
  at::Tensor scale;
  if (!pairs.scale.empty()) {
    scale = at::empty({int64_t(row.size())}, source.options().dtype(sums));
    for (size_t p = 0; p < row.size(); ++p) {
      const double value = pairs.scale[s.order[p]];
      if (sums == at::kDouble)
        scale.mutable_data_ptr<double>()[p] = value;
      else
        scale.mutable_data_ptr<float>()[p] = float(value);
    }
  }

  std::vector<int64_t> block_start, blocks_of{0}, identity;
  for (size_t i = 0; i + 1 < s.start.size(); ++i) {
    for (int64_t p = s.start[i]; p < s.start[i + 1]; p += kBlock) block_start.push_back(p);
    blocks_of.push_back(int64_t(block_start.size()));
  }
  const int64_t blocks = int64_t(block_start.size());
  block_start.push_back(int64_t(row.size()));
  if (blocks == int64_t(s.destination.size())) {
    run(op, source, row, scale, block_start, out, s.destination.data());
    return out;
  }
  const at::Tensor partial = at::empty({blocks, width}, source.options().dtype(sums));
  run(op, source, row, scale, block_start, partial, nullptr);
  for (int64_t i = 0; i < blocks; ++i) identity.push_back(i);
  run(op, partial, identity, {}, blocks_of, out, s.destination.data());
  return out;
}

#ifdef ADATAPE_CUDA
at::Tensor scatter_sum(const at::Tensor& source, const at::Tensor& destination,
                       const at::Tensor& row, const at::Tensor& scale, int64_t rows,
                       at::ScalarType type, kernels::Stream stream) {
  const auto [sorted, order] = at::sort(destination, /*stable=*/true, /*dim=*/0, false);
  // Row r's pairs start where the first destination of at least r stands; those below 0 come first.
  const at::Tensor start = at::searchsorted(sorted, at::arange(rows + 1, sorted.options()));
  const at::Tensor from = row.defined() ? row.index_select(0, order) : order;
  const at::Tensor factor = scale.defined() ? scale.index_select(0, order) : at::Tensor();
  at::Tensor out = at::empty({rows, source.size(1)}, source.options().dtype(type));
  kernels::SegmentSum p{};
  p.source_dtype = dtype(source);
  p.source = source.const_data_ptr();
  p.source_row_stride = source.stride(0);
  p.row = from.const_data_ptr<int64_t>();
  p.scale32 = factor.defined() ? factor.const_data_ptr<float>() : nullptr;
  p.start = start.const_data_ptr<int64_t>();
  p.width = source.size(1);
  p.out_dtype = dtype(out);
  p.out = out.mutable_data_ptr();
  p.out_row_stride = out.stride(0);
  kernels::cuda::segment_sum(p, rows, stream);
  return out;
}

at::Tensor scatter_tape(kernels::TapeScatter scatter, const at::Tensor& source,
                        const at::TensorOptions& bank, kernels::Stream stream) {
  at::Tensor out = at::empty({scatter.batch, scatter.rows, scatter.width}, bank);
  scatter.source_dtype = dtype(source);
  scatter.source = source.const_data_ptr();
  scatter.source_row_stride = source.stride(0);
  scatter.out_dtype = dtype(out);
  scatter.out = out.mutable_data_ptr();
  kernels::cuda::tape_scatter(scatter, stream);
  return out;
}
#endif

}  // namespace adatape::ops

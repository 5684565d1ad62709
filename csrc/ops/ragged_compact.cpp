#include "csrc/ops/ragged_compact.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <torch/library.h>

#include "csrc/ops/device.h"
#include "csrc/ops/launch.h"
#include "kernels/ragged_compact.h"

namespace adatape::ops {
namespace {

using at::Tensor;
using Pair = std::tuple<Tensor, Tensor>;

constexpr const char* kOp = "ragged_compact";

/// All checks that read no data.
void check_operands(const Tensor& rows, const Tensor& keep, const Tensor& cu_seqlens) {
  check_same_device(kOp, {{"rows", rows}, {"keep", keep}, {"cu_seqlens", cu_seqlens}});
  TORCH_CHECK(rows.dim() >= 1, "[", kOp, "] rows must have rank 1 or more, got shape []");
  check_tensor(kOp, {"keep", keep}, at::kBool, {1});
  check_size(kOp, {"keep", keep}, 0, rows.sym_size(0), "the rows");
  check_tensor(kOp, {"cu_seqlens", cu_seqlens}, at::kInt, {1});
  TORCH_SYM_CHECK(cu_seqlens.sym_size(0).sym_ge(1), "[", kOp,
                  "] cu_seqlens is empty: need batch + 1 entries");
  TORCH_SYM_CHECK(rows.sym_size(0).sym_le(INT32_MAX), "[", kOp, "] rows has ", rows.sym_size(0),
                  " rows, more than int32 can index");
}

Pair compact_cpu(const Tensor& rows, const Tensor& keep_in, const Tensor& cu_seqlens) {
  check_operands(rows, keep_in, cu_seqlens);
  check_contiguous(kOp, {"cu_seqlens", cu_seqlens});
  check_offset_values(kOp, {"cu_seqlens", cu_seqlens}, rows.size(0), "rows");
  const Tensor keep_dense = keep_in.contiguous();
  const auto integers = rows.options().dtype(at::kInt);
  Tensor kept_index = at::empty({rows.size(0)}, integers);
  Tensor new_cu_seqlens = at::empty(cu_seqlens.sizes(), integers);
  const bool* keep = keep_dense.const_data_ptr<bool>();
  const int32_t* cu = cu_seqlens.const_data_ptr<int32_t>();
  int32_t *index = kept_index.mutable_data_ptr<int32_t>(), count = 0;
  int32_t* new_cu = new_cu_seqlens.mutable_data_ptr<int32_t>();
  const int64_t batch = cu_seqlens.size(0) - 1;
  for (int64_t b = 0; b < batch; ++b) {
    new_cu[b] = count;
    for (int32_t r = cu[b]; r < cu[b + 1]; ++r) {
      index[count] = r;
      count += keep[r];
    }
  }
  new_cu[batch] = count;
  std::fill(index + count, index + rows.size(0), -1);
  return {kept_index, new_cu_seqlens};
}

#ifdef ADATAPE_CUDA
Pair compact_cuda(const Tensor& rows, const Tensor& keep_in, const Tensor& cu_seqlens) {
  check_operands(rows, keep_in, cu_seqlens);
  check_contiguous(kOp, {"cu_seqlens", cu_seqlens});
  const Cuda device(kOp, keep_in);
  if (const Tensor checked = Cuda::to_check(cu_seqlens); checked.defined())
    check_offset_values(kOp, {"cu_seqlens", checked}, rows.size(0), "rows");
  const Tensor keep = keep_in.contiguous();
  const auto integers = rows.options().dtype(at::kInt);
  const int64_t count = rows.size(0), scratch = kernels::ragged_compact_scratch(count);
  // One allocation: kept rows, new positions, offsets of blocks.
  Tensor memory = at::empty({2 * count + scratch}, integers);
  Tensor new_cu_seqlens = at::empty(cu_seqlens.sizes(), integers);
  int32_t* place = memory.mutable_data_ptr<int32_t>();
  kernels::cuda::ragged_compact(
      {static_cast<const uint8_t*>(keep.const_data_ptr()), cu_seqlens.const_data_ptr<int32_t>(),
       count, cu_seqlens.size(0) - 1, place, place + count,
       new_cu_seqlens.mutable_data_ptr<int32_t>(), place + 2 * count},
      device.stream());
  return {memory.narrow(0, 0, count), new_cu_seqlens};
}
#endif

Pair compact_meta(const Tensor& rows, const Tensor& keep, const Tensor& cu_seqlens) {
  check_operands(rows, keep, cu_seqlens);
  const auto integers = rows.options().dtype(at::kInt);
  return {at::empty_symint({rows.sym_size(0)}, integers),
          at::empty_symint(cu_seqlens.sym_sizes(), integers)};
}

}  // namespace

Pair ragged_compact(const Tensor& rows, const Tensor& keep_T, const Tensor& cu_seqlens_B1) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("adatape::ragged_compact", "")
                             .typed<decltype(compact_cpu)>();
  return op.call(rows.detach(), keep_T, cu_seqlens_B1);
}

Ragged ragged_select(const Ragged& batch, const Tensor& keep_T) {
  TORCH_CHECK(!batch.tail_B1, "[ragged_select] the batch has tails; select from one segment");
  const auto [kept_index, offsets] = ragged_compact(batch.values_TD, keep_T, batch.offsets_B1);
  const int64_t kept = batch.batch() > 0 ? offsets[-1].item<int32_t>() : 0;
  const Tensor values = batch.values_TD.index_select(0, kept_index.narrow(0, 0, kept));
  return {values, offsets, {}, kept, batch.longest};
}

TORCH_LIBRARY_FRAGMENT(adatape, m) {
  m.def(
      "ragged_compact(Tensor rows, Tensor keep, Tensor cu_seqlens) -> (Tensor kept_index, Tensor "
      "new_cu_seqlens)");
}
TORCH_LIBRARY_IMPL(adatape, CPU, m) { m.impl("ragged_compact", compact_cpu); }
#ifdef ADATAPE_CUDA
TORCH_LIBRARY_IMPL(adatape, CUDA, m) { m.impl("ragged_compact", compact_cuda); }
#endif
TORCH_LIBRARY_IMPL(adatape, Meta, m) { m.impl("ragged_compact", compact_meta); }
// Both results are integers: nothing to differentiate.
TORCH_LIBRARY_IMPL(adatape, Autograd, m) {
  m.impl("ragged_compact", torch::CppFunction::makeFallthrough());
}

}  // namespace adatape::ops

#include "csrc/nn/rows.h"

#include <torch/torch.h>

namespace adatape::nn {

ops::Ragged pack(const at::Tensor& values_BLD) {
  const int64_t batch = values_BLD.size(0), length = values_BLD.size(1);
  ops::Ragged x;
  x.values_TD = values_BLD.reshape({batch * length, values_BLD.size(2)});
  x.offsets_B1 = torch::arange(0, batch + 1, values_BLD.options().dtype(torch::kInt)) * length;
  x.base_rows = batch * length;
  x.longest = length;
  return x;
}

ops::Ragged append_tape(const ops::Ragged& base, const at::Tensor& tape_nD,
                        const at::Tensor& tape_offsets_B1, int64_t most_tape) {
  ops::Ragged x = base;
  x.values_TD = torch::cat({base.values_TD, tape_nD});
  x.tail_B1 = tape_offsets_B1 + base.base_rows;
  x.longest = base.longest + most_tape;
  return x;
}

at::Tensor row_counts(const ops::Ragged& x) {
  at::Tensor counts = x.offsets_B1.diff();
  if (x.tail_B1) counts = counts + x.tail_B1->diff();
  return counts.to(torch::kLong);
}

at::Tensor mean_rows(const ops::Ragged& x, bool base_only) {
  const auto segment_sum = [](const at::Tensor& rows, const at::Tensor& offsets) {
    return at::segment_reduce(rows, "sum", std::nullopt, std::nullopt, offsets.to(torch::kLong), 0,
                              true);
  };
  at::Tensor total = segment_sum(x.values_TD.narrow(0, 0, x.base_rows), x.offsets_B1);
  at::Tensor count = x.offsets_B1.diff();
  if (x.tail_B1 && !base_only) {
    const int64_t tail_rows = x.values_TD.size(0) - x.base_rows;
    total = total +
            segment_sum(x.values_TD.narrow(0, x.base_rows, tail_rows), *x.tail_B1 - x.base_rows);
    count = count + x.tail_B1->diff();
  }
  return total / count.unsqueeze(1).to(total.scalar_type());
}

at::Tensor first_rows(const ops::Ragged& x) {
  return x.offsets_B1.narrow(0, 0, x.batch()).to(torch::kLong);
}

}  // namespace adatape::nn

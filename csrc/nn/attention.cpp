#include "csrc/nn/attention.h"

#include <ATen/record_function.h>
#include <torch/torch.h>

#include "csrc/nn/init.h"
#include "csrc/nn/linear.h"
#include "csrc/ops/ragged_attention.h"

namespace adatape::nn {

AttentionImpl::AttentionImpl(int64_t dim, int64_t heads) : heads(heads) {
  qkv = register_module("qkv", xavier_linear(dim, 3 * dim, 3));
  proj = register_module("proj", xavier_linear(dim, dim));
}

at::Tensor AttentionImpl::forward(const ops::Ragged& x, const std::optional<QueryRows>& only) {
  RECORD_USER_SCOPE("attention");
  const at::Tensor& rows_TD = x.values_TD;
  const int64_t dim = rows_TD.size(1), width = dim / heads;
  const ops::Segments all{x.offsets_B1, x.tail_B1, x.longest};
  at::Tensor out;
  if (only) {
    const at::Tensor query_BHC = linear(rows_TD.index_select(0, only->rows_B),
                                        qkv->weight.narrow(0, 0, dim), qkv->bias.narrow(0, 0, dim))
                                     .view({-1, heads, width});
    const at::Tensor kv_T2HC =
        linear(rows_TD, qkv->weight.narrow(0, dim, 2 * dim), qkv->bias.narrow(0, dim, 2 * dim))
            .view({-1, 2, heads, width});
    const auto kv = kv_T2HC.unbind(1);
    const ops::Segments one{torch::arange(0, x.batch() + 1, x.offsets_B1.options()), std::nullopt,
                            1};
    out = std::get<0>(ops::ragged_attention(query_BHC, kv[0], kv[1], one, all));
  } else {
    const auto parts = linear(rows_TD, qkv).view({-1, 3, heads, width}).unbind(1);
    out = std::get<0>(ops::ragged_attention(parts[0], parts[1], parts[2], all, all));
  }
  return linear(out.reshape({-1, dim}), proj);
}

}  // namespace adatape::nn

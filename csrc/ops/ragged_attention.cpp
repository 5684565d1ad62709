#include "csrc/ops/ragged_attention.h"

#include <ATen/autocast_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "csrc/ops/device.h"
#include "csrc/ops/launch.h"

namespace adatape::ops {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;
using Pair = std::tuple<Tensor, Tensor>;
using Triple = std::tuple<Tensor, Tensor, Tensor>;

constexpr const char* kOp = "ragged_attention";
constexpr const char* kBackward = "ragged_attention_backward";
constexpr int64_t kWidest = 256;

/// All checks that read no data.
void check_operands(const char* op, const Tensor& query, const Tensor& key, const Tensor& value,
                    const Tensor& cu_q, const Tensor& cu_k, const Optional& tail_q,
                    const Optional& tail_k, std::optional<double> scale, bool causal) {
  TORCH_CHECK(!scale || std::isfinite(*scale), "[", op, "] scale is ", *scale,
              ": need a finite number");
  const Tensor second_q = tail_q.value_or(Tensor()), second_k = tail_k.value_or(Tensor());
  check_same_device(op, {{"query", query},
                         {"key", key},
                         {"value", value},
                         {"cu_seqlens_q", cu_q},
                         {"cu_seqlens_k", cu_k},
                         {"tail_q", second_q},
                         {"tail_k", second_k}});
  check_floating(op, {"query", query}, {3});
  check_dense_rows(op, {"query", query});
  const c10::SymInt width = query.sym_size(2);
  TORCH_SYM_CHECK(width.sym_ge(1).sym_and(width.sym_le(kWidest)), "[", op,
                  "] query has head width ", width, ": must be from 1 to ", kWidest);
  for (const Argument& a : {Argument{"key", key}, Argument{"value", value}}) {
    check_tensor(op, a, query.scalar_type(), {3});
    check_dense_rows(op, a);
    check_size(op, a, 0, key.sym_size(0), "the key's rows");
    check_size(op, a, 1, query.sym_size(1), "the query's heads");
    check_size(op, a, 2, width, "the query's head width");
  }
  check_tensor(op, {"cu_seqlens_q", cu_q}, at::kInt, {1});
  TORCH_SYM_CHECK(cu_q.sym_size(0).sym_ge(1), "[", op,
                  "] cu_seqlens_q is empty: need batch + 1 entries");
  const c10::SymInt batch = cu_q.sym_size(0) - 1;
  check_offsets(op, {"cu_seqlens_k", cu_k}, batch);
  if (tail_q) check_offsets(op, {"tail_q", second_q}, batch);
  if (tail_k) check_offsets(op, {"tail_k", second_k}, batch);
  TORCH_CHECK(!causal || (!tail_q && !tail_k), "[", op,
              "] causal is not defined with tail_q or tail_k; ", "pass one segment per sequence");
}

const int32_t* pointer(const Optional& offsets) {
  return offsets ? offsets->const_data_ptr<int32_t>() : nullptr;
}

/// One side of the attention, as messages call it.
struct Side {
  const char *tensor, *cu_seqlens, *tail, *longest;
};
constexpr Side kQueries{"query", "cu_seqlens_q", "tail_q", "max_q"};
constexpr Side kKeys{"key", "cu_seqlens_k", "tail_k", "max_k"};

Tensor to_check(const Optional& tail, Tensor (*copy)(const Tensor&)) {
  return tail ? copy(*tail) : Tensor();
}

/// Offsets of one side, on the host: inside the tensor's `rows`, and no row in both segments, so
/// that no two sequences write to one row. Returns how many rows they cover.
int64_t check_rows(const char* op, const Side& side, const Tensor& cu_seqlens, const Tensor& tail,
                   int64_t rows, int64_t longest) {
  check_offset_values(op, {side.cu_seqlens, cu_seqlens}, rows, side.tensor);
  const int64_t batch = cu_seqlens.size(0) - 1;
  const int32_t* base = cu_seqlens.const_data_ptr<int32_t>();
  const int32_t* second = tail.defined() ? tail.const_data_ptr<int32_t>() : nullptr;
  if (second) {
    check_offset_values(op, {side.tail, tail}, rows, side.tensor);
    const int32_t first = std::max(base[0], second[0]), last = std::min(base[batch], second[batch]);
    TORCH_CHECK(first >= last, "[", op, "] ", side.tail, " and ", side.cu_seqlens,
                " overlap: both hold row ", first);
  }
  int64_t covered = 0;
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t length = base[b + 1] - base[b] + (second ? second[b + 1] - second[b] : 0);
    TORCH_CHECK(length <= longest, "[", op, "] ", side.longest, " is ", longest, ", but sequence ",
                b, " has ", length, " rows");
    covered += length;
  }
  return covered;
}

kernels::PackedHeads heads_of(const Tensor& tensor) {
  return {const_cast<void*>(tensor.const_data_ptr()), tensor.stride(0), tensor.stride(1)};
}

/// Checked operands as the kernel takes them.
struct Operands {
  kernels::RaggedAttention params{};
  // Whether every packed row is known to belong to a sequence.
  bool all_queries = false, all_keys = false;
  double cost = 0;  // of an average sequence and head, in multiply-adds

  template <class Device>
  Operands(const Device&, const char* op, const Tensor& query, const Tensor& key,
           const Tensor& value, const Tensor& cu_q, const Tensor& cu_k, int64_t max_q,
           int64_t max_k, const Optional& tail_q, const Optional& tail_k,
           std::optional<double> scale, bool causal) {
    check_operands(op, query, key, value, cu_q, cu_k, tail_q, tail_k, scale, causal);
    check_contiguous(op, {"cu_seqlens_q", cu_q});
    check_contiguous(op, {"cu_seqlens_k", cu_k});
    if (tail_q) check_contiguous(op, {"tail_q", *tail_q});
    if (tail_k) check_contiguous(op, {"tail_k", *tail_k});
    const int64_t batch = cu_q.size(0) - 1;
    if (const Tensor base = Device::to_check(cu_q); base.defined()) {
      const int64_t queries =
          check_rows(op, kQueries, base, to_check(tail_q, Device::to_check), query.size(0), max_q);
      const int64_t keys = check_rows(op, kKeys, Device::to_check(cu_k),
                                      to_check(tail_k, Device::to_check), key.size(0), max_k);
      all_queries = queries == query.size(0);
      all_keys = keys == key.size(0);
      const double sequences = double(std::max<int64_t>(batch, 1));
      cost = 2.0 * double(queries) / sequences * double(keys) / sequences * double(query.size(2));
    }
    params.dtype = dtype(query);
    params.query = heads_of(query);
    params.key = heads_of(key);
    params.value = heads_of(value);
    params.queries = {cu_q.const_data_ptr<int32_t>(), pointer(tail_q)};
    params.keys = {cu_k.const_data_ptr<int32_t>(), pointer(tail_k)};
    params.batch = batch;
    params.heads = query.size(1);
    params.width = query.size(2);
    params.query_rows = query.size(0);
    params.key_rows = key.size(0);
    params.scale = scale.value_or(1 / std::sqrt(double(query.size(2))));
    params.causal = causal;
  }
};

Tensor fresh(const Tensor& like, bool fully_written) {
  return fully_written ? at::empty(like.sizes(), like.options())
                       : at::zeros(like.sizes(), like.options());
}

template <class Device>
Pair attention(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& cu_q,
               const Tensor& cu_k, int64_t max_q, int64_t max_k, const Optional& tail_q,
               const Optional& tail_k, std::optional<double> scale, bool causal) {
  const Device device(kOp, query);
  Operands operands(device, kOp, query, key, value, cu_q, cu_k, max_q, max_k, tail_q, tail_k, scale,
                    causal);
  Tensor out = fresh(query, operands.all_queries);
  const auto sums = query.options().dtype(accumulator(query.scalar_type()));
  Tensor lse = operands.all_queries ? at::empty({query.size(1), query.size(0)}, sums)
                                    : at::full({query.size(1), query.size(0)},
                                               -std::numeric_limits<double>::infinity(), sums);
  operands.params.out = heads_of(out);
  operands.params.lse = lse.mutable_data_ptr();
  const kernels::RaggedAttention& p = operands.params;
  if constexpr (Device::kCuda)
    kernels::cuda::ragged_attention(p, max_q, max_k, device.stream());
  else
    launch(kOp, &kernels::CpuKernels::ragged_attention, p, p.batch * p.heads, operands.cost);
  return {out, lse};
}

Pair attention_meta(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& cu_q,
                    const Tensor& cu_k, c10::SymInt, c10::SymInt, const Optional& tail_q,
                    const Optional& tail_k, std::optional<double> scale, bool causal) {
  check_operands(kOp, query, key, value, cu_q, cu_k, tail_q, tail_k, scale, causal);
  return {at::empty_symint(query.sym_sizes(), query.options()),
          at::empty_symint({query.sym_size(1), query.sym_size(0)},
                           query.options().dtype(accumulator(query.scalar_type())))};
}

/// All checks of what the backward has besides the forward's operands; they read no data.
void check_saved(const Tensor& query, const Tensor& grad_out, const Tensor& out,
                 const Tensor& lse) {
  check_same_device(kBackward,
                    {{"query", query}, {"grad_out", grad_out}, {"out", out}, {"lse", lse}});
  check_floating(kBackward, {"query", query}, {3});
  for (const Argument& a : {Argument{"grad_out", grad_out}, Argument{"out", out}}) {
    check_tensor(kBackward, a, query.scalar_type(), {3});
    check_same_shape(kBackward, a, {"query", query});
  }
  check_tensor(kBackward, {"lse", lse}, accumulator(query.scalar_type()), {2});
  check_size(kBackward, {"lse", lse}, 0, query.sym_size(1), "the query's heads");
  check_size(kBackward, {"lse", lse}, 1, query.sym_size(0), "the query's rows");
}

template <class Device>
Triple backward(const Tensor& grad_out_in, const Tensor& query, const Tensor& key,
                const Tensor& value, const Tensor& out, const Tensor& lse_in, const Tensor& cu_q,
                const Tensor& cu_k, int64_t max_q, int64_t max_k, const Optional& tail_q,
                const Optional& tail_k, std::optional<double> scale, bool causal) {
  check_saved(query, grad_out_in, out, lse_in);
  const Device device(kBackward, query);
  Operands operands(device, kBackward, query, key, value, cu_q, cu_k, max_q, max_k, tail_q, tail_k,
                    scale, causal);
  const Tensor grad_out = grad_out_in.stride(2) == 1 ? grad_out_in : grad_out_in.contiguous();
  const Tensor lse = lse_in.contiguous(), saved_out = out.contiguous();
  Tensor grad_query = fresh(query, operands.all_queries);
  Tensor grad_key = fresh(key, operands.all_keys), grad_value = fresh(value, operands.all_keys);

  kernels::RaggedAttentionBackward p{};
  p.forward = operands.params;
  p.forward.out = heads_of(saved_out);
  p.forward.lse = const_cast<void*>(lse.const_data_ptr());
  p.grad_out = heads_of(grad_out);
  p.grad_query = heads_of(grad_query);
  p.grad_key = heads_of(grad_key);
  p.grad_value = heads_of(grad_value);
  if constexpr (Device::kCuda) {
    const int64_t bytes = int64_t(kernels::cuda::ragged_attention_workspace(p.forward));
    Tensor workspace = at::empty({bytes}, query.options().dtype(at::kByte));
    kernels::cuda::ragged_attention_backward(p, max_q, max_k, workspace.mutable_data_ptr(),
                                             device.stream());
  } else {
    launch(kBackward, &kernels::CpuKernels::ragged_attention_backward, p,
           p.forward.batch * p.forward.heads, 2.5 * operands.cost);
  }
  return {grad_query, grad_key, grad_value};
}

Triple backward_meta(const Tensor& grad_out, const Tensor& query, const Tensor& key,
                     const Tensor& value, const Tensor& out, const Tensor& lse, const Tensor& cu_q,
                     const Tensor& cu_k, c10::SymInt, c10::SymInt, const Optional& tail_q,
                     const Optional& tail_k, std::optional<double> scale, bool causal) {
  check_saved(query, grad_out, out, lse);
  check_operands(kBackward, query, key, value, cu_q, cu_k, tail_q, tail_k, scale, causal);
  return {at::empty_symint(query.sym_sizes(), query.options()),
          at::empty_symint(key.sym_sizes(), key.options()),
          at::empty_symint(value.sym_sizes(), value.options())};
}

Pair call_forward(const Tensor& query, const Tensor& key, const Tensor& value, const Tensor& cu_q,
                  const Tensor& cu_k, c10::SymInt max_q, c10::SymInt max_k, const Optional& tail_q,
                  const Optional& tail_k, std::optional<double> scale, bool causal) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("adatape::ragged_attention", "")
                             .typed<decltype(call_forward)>();
  return op.call(query, key, value, cu_q, cu_k, max_q, max_k, tail_q, tail_k, scale, causal);
}

Triple call_backward(const Tensor& grad_out, const Tensor& query, const Tensor& key,
                     const Tensor& value, const Tensor& out, const Tensor& lse, const Tensor& cu_q,
                     const Tensor& cu_k, c10::SymInt max_q, c10::SymInt max_k,
                     const Optional& tail_q, const Optional& tail_k, std::optional<double> scale,
                     bool causal) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("adatape::ragged_attention_backward", "")
                             .typed<decltype(call_backward)>();
  return op.call(grad_out, query, key, value, out, lse, cu_q, cu_k, max_q, max_k, tail_q, tail_k,
                 scale, causal);
}

Optional defined(const Tensor& tensor) {
  return tensor.defined() ? Optional(tensor) : std::nullopt;
}

struct RaggedAttentionFunction : torch::autograd::Function<RaggedAttentionFunction> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context,
                                                const Tensor& query, const Tensor& key,
                                                const Tensor& value, const Tensor& cu_q,
                                                const Tensor& cu_k, const c10::SymInt& max_q,
                                                const c10::SymInt& max_k, const Optional& tail_q,
                                                const Optional& tail_k, std::optional<double> scale,
                                                bool causal) {
    at::AutoDispatchBelowADInplaceOrView below;
    auto [out, lse] =
        call_forward(query, key, value, cu_q, cu_k, max_q, max_k, tail_q, tail_k, scale, causal);
    context->save_for_backward({query, key, value, out, lse, cu_q, cu_k, tail_q.value_or(Tensor()),
                                tail_k.value_or(Tensor())});
    context->mark_non_differentiable({lse});
    context->set_materialize_grads(false);
    context->saved_data["max_q"] = max_q;
    context->saved_data["max_k"] = max_k;
    context->saved_data["scale"] = scale;
    context->saved_data["causal"] = causal;
    return {out, lse};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    torch::autograd::variable_list result(11);
    if (!grads[0].defined()) return result;
    const auto s = context->get_saved_variables();
    std::tie(result[0], result[1], result[2]) = call_backward(
        grads[0], s[0], s[1], s[2], s[3], s[4], s[5], s[6], context->saved_data["max_q"].toSymInt(),
        context->saved_data["max_k"].toSymInt(), defined(s[7]), defined(s[8]),
        context->saved_data["scale"].toOptional<double>(), context->saved_data["causal"].toBool());
    return result;
  }
};

Pair attention_autograd(const Tensor& query, const Tensor& key, const Tensor& value,
                        const Tensor& cu_q, const Tensor& cu_k, c10::SymInt max_q,
                        c10::SymInt max_k, const Optional& tail_q, const Optional& tail_k,
                        std::optional<double> scale, bool causal) {
  const auto out = RaggedAttentionFunction::apply(query, key, value, cu_q, cu_k, max_q, max_k,
                                                  tail_q, tail_k, scale, causal);
  return {out[0], out[1]};
}

/// Under autocast: in its lower precision, as torch's own attention.
Pair attention_autocast(const Tensor& query, const Tensor& key, const Tensor& value,
                        const Tensor& cu_q, const Tensor& cu_k, c10::SymInt max_q,
                        c10::SymInt max_k, const Optional& tail_q, const Optional& tail_k,
                        std::optional<double> scale, bool causal) {
  const c10::impl::ExcludeDispatchKeyGuard outside(c10::DispatchKey::AutocastCPU);
  const auto cast = [](const Tensor& t) {
    return at::autocast::cached_cast(at::autocast::get_autocast_dtype(c10::kCPU), t, c10::kCPU);
  };
  return call_forward(cast(query), cast(key), cast(value), cu_q, cu_k, max_q, max_k, tail_q, tail_k,
                      scale, causal);
}

}  // namespace

Pair ragged_attention(const Tensor& query_THC, const Tensor& key_THC, const Tensor& value_THC,
                      const Segments& queries, const Segments& keys,
                      const AttentionOptions& options) {
  return call_forward(query_THC, key_THC, value_THC, queries.cu_seqlens_B1, keys.cu_seqlens_B1,
                      queries.longest, keys.longest, queries.tail_B1, keys.tail_B1, options.scale,
                      options.causal);
}

TORCH_LIBRARY_FRAGMENT(adatape, m) {
  m.def(
      "ragged_attention(Tensor query, Tensor key, Tensor value, Tensor cu_seqlens_q, Tensor "
      "cu_seqlens_k, "
      "SymInt max_q, SymInt max_k, *, Tensor? tail_q=None, Tensor? tail_k=None, float? scale=None, "
      "bool causal=False) -> (Tensor out, Tensor lse)");
  m.def(
      "ragged_attention_backward(Tensor grad_out, Tensor query, Tensor key, Tensor value, Tensor "
      "out, Tensor lse, "
      "Tensor cu_seqlens_q, Tensor cu_seqlens_k, SymInt max_q, SymInt max_k, *, Tensor? "
      "tail_q=None, "
      "Tensor? tail_k=None, float? scale=None, bool causal=False) "
      "-> (Tensor grad_query, Tensor grad_key, Tensor grad_value)");
}
TORCH_LIBRARY_IMPL(adatape, CPU, m) {
  m.impl("ragged_attention", attention<Cpu>);
  m.impl("ragged_attention_backward", backward<Cpu>);
}
#ifdef ADATAPE_CUDA
TORCH_LIBRARY_IMPL(adatape, CUDA, m) {
  m.impl("ragged_attention", attention<Cuda>);
  m.impl("ragged_attention_backward", backward<Cuda>);
}
#endif
TORCH_LIBRARY_IMPL(adatape, Meta, m) {
  m.impl("ragged_attention", attention_meta);
  m.impl("ragged_attention_backward", backward_meta);
}
TORCH_LIBRARY_IMPL(adatape, Autograd, m) {
  m.impl("ragged_attention", attention_autograd);
  m.impl("ragged_attention_backward",
         torch::CppFunction::makeFromBoxedFunction<&differentiate_once>());
}
TORCH_LIBRARY_IMPL(adatape, AutocastCPU, m) { m.impl("ragged_attention", attention_autocast); }

}  // namespace adatape::ops

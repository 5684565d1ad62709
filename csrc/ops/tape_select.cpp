#include "csrc/ops/tape_select.h"

#include <ATen/autocast_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <cmath>

#include "csrc/ops/device.h"
#include "csrc/ops/launch.h"
#include "csrc/ops/segment_sum.h"

namespace adatape::ops {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;
using Selected = std::tuple<Tensor, Tensor, Tensor, Tensor>;

constexpr const char* kOp = "tape_select";
constexpr const char* kBackward = "tape_select_backward";

void check_operands(const char* op, const Tensor& query, const Tensor& keys,
                    std::string_view penalty, std::optional<double> scale) {
  check_floating(op, {"query", query}, {2});
  check_tensor(op, {"keys", keys}, query.scalar_type(), {2, 3});
  TORCH_SYM_CHECK(query.sym_size(1).sym_ge(1), "[", op, "] query has no channels, shape ",
                  query.sym_sizes());
  if (keys.dim() == 3) check_size(op, {"keys", keys}, 0, query.sym_size(0), "the query's batch");
  check_size(op, {"keys", keys}, keys.dim() - 1, query.sym_size(1), "the query's width");
  check_dense_rows(op, {"query", query});
  check_dense_rows(op, {"keys", keys});
  TORCH_CHECK(penalty == "gini" || penalty == "max", "[", op,
              "] penalty must be 'gini' or 'max', got '", penalty, "'");
  TORCH_CHECK(
      !scale || (*scale >= 0 && std::isfinite(*scale)), "[", op, "] scale is ", *scale,
      ": need a finite scale >= 0, else a step's first row would not carry its largest weight");
}

void check_reading(int64_t max_tokens, double threshold, int64_t merge) {
  constexpr int64_t kMostSlots = int64_t(1) << 31;  // of an example: 16 GiB of index and weight
  TORCH_CHECK(max_tokens >= 1 && max_tokens <= INT32_MAX, "[tape_select] max_tokens is ",
              max_tokens, ": need max_tokens >= 1, within int32");
  TORCH_CHECK(merge >= 1 && merge <= INT32_MAX, "[tape_select] merge is ", merge,
              ": need merge >= 1, within int32");
  TORCH_CHECK(max_tokens <= kMostSlots / merge, "[tape_select] max_tokens ", max_tokens,
              " times merge ", merge, " is more than ", kMostSlots, " rows an example");
  TORCH_CHECK(threshold > 0, "[tape_select] threshold is ", threshold, ": need threshold > 0");
  TORCH_CHECK(threshold <= double(max_tokens), "[tape_select] threshold ", threshold,
              " exceeds max_tokens ", max_tokens, "; an example could never halt");
}

void check_availability(const Tensor& query, const Tensor& keys, const Optional& bank_length,
                        const Optional& blocked) {
  const c10::SymInt batch = query.sym_size(0);
  if (bank_length) {
    check_tensor(kOp, {"bank_length", *bank_length}, at::kInt, {1});
    check_size(kOp, {"bank_length", *bank_length}, 0, batch, "the query's batch");
  }
  if (blocked) {
    check_tensor(kOp, {"blocked", *blocked}, at::kBool, {1, 2});
    if (blocked->dim() == 2) check_size(kOp, {"blocked", *blocked}, 0, batch, "the query's batch");
    check_size(kOp, {"blocked", *blocked}, blocked->dim() - 1, keys.sym_size(-2),
               "the bank's rows");
  }
}

/// All checks that read no data.
void check_select(const Tensor& query, const Tensor& keys, const Optional& bank_length,
                  const Optional& blocked, int64_t max_tokens, double threshold, int64_t merge,
                  std::string_view penalty, std::optional<double> scale) {
  check_same_device(kOp, {{"query", query},
                          {"keys", keys},
                          {"bank_length", bank_length.value_or(Tensor())},
                          {"blocked", blocked.value_or(Tensor())}});
  check_operands(kOp, query, keys, penalty, scale);
  check_reading(max_tokens, threshold, merge);
  check_availability(query, keys, bank_length, blocked);
}

/// On the host, or undefined: not checked.
void check_lengths(const Tensor& bank_length, int64_t rows) {
  for (int64_t b = 0; bank_length.defined() && b < bank_length.size(0); ++b) {
    const int32_t length = bank_length.const_data_ptr<int32_t>()[b];
    TORCH_CHECK(0 <= length && length <= rows, "[tape_select] bank_length[", b, "] is ", length,
                ", but the bank has ", rows, " rows");
  }
}

/// What forward and backward parameters share.
template <class Params>
Params pack(const char* op, const Tensor& query, const Tensor& keys, int64_t max_tokens,
            int64_t merge, std::string_view penalty, bool average_query,
            std::optional<double> scale) {
  TORCH_CHECK(keys.size(-2) <= INT32_MAX, "[", op, "] keys has ", keys.size(-2),
              " rows, more than int32 can index");
  Params p{};
  p.dtype = dtype(query);
  p.query = query.const_data_ptr();
  p.query_stride = query.stride(0);
  p.keys = keys.const_data_ptr();
  p.keys_batch_stride = keys.dim() == 3 && keys.numel() > 0 ? keys.stride(0) : 0;
  p.keys_row_stride = keys.stride(-2);
  p.batch = query.size(0);
  p.rows = keys.size(-2);
  p.width = query.size(1);
  p.max_tokens = max_tokens;
  p.merge = merge;
  p.scale = scale.value_or(1 / std::sqrt(double(query.size(1))));
  p.gini = penalty == "gini";
  p.average_query = average_query;
  return p;
}

template <class Device>
Selected select(const Tensor& query, const Tensor& keys, const Optional& bank_length,
                const Optional& blocked, int64_t max_tokens, double threshold, int64_t merge,
                std::string_view penalty, bool average_query, std::optional<double> scale) {
  check_select(query, keys, bank_length, blocked, max_tokens, threshold, merge, penalty, scale);
  const Device device(kOp, query);
  const int64_t batch = query.size(0), rows = keys.size(-2);
  auto p =
      pack<kernels::TapeSelect>(kOp, query, keys, max_tokens, merge, penalty, average_query, scale);
  p.threshold = threshold;
  p.shared = keys.dim() == 2;
  Tensor length_rows, blocked_rows;
  if (bank_length) {
    length_rows = bank_length->contiguous();
    check_lengths(Device::to_check(length_rows), rows);
    p.bank_length = length_rows.const_data_ptr<int32_t>();
  }
  if (blocked) {
    blocked_rows = blocked->contiguous();
    p.blocked = static_cast<const uint8_t*>(blocked_rows.const_data_ptr());
    p.blocked_batch_stride = blocked_rows.dim() == 2 ? rows : 0;
  }
  const auto sums = query.options().dtype(accumulator(query.scalar_type()));
  Tensor index = at::empty({batch, max_tokens, merge}, query.options().dtype(at::kInt));
  Tensor weight = at::empty({batch, max_tokens, merge}, sums);
  Tensor length = at::empty({batch}, query.options().dtype(at::kInt));
  Tensor ponder = at::empty({batch}, sums);
  p.index = index.mutable_data_ptr<int32_t>();
  p.weight = weight.mutable_data_ptr();
  p.length = length.mutable_data_ptr<int32_t>();
  p.ponder = ponder.mutable_data_ptr();
  if constexpr (Device::kCuda)
    kernels::cuda::tape_select(p, device.stream());
  else
    launch(kOp, &kernels::CpuKernels::tape_select, p, batch,
           double(rows) * double(query.size(1)) * double(max_tokens) / 2);
  return {index, weight, length, ponder};
}

Selected select_meta(const Tensor& query, const Tensor& keys, const Optional& bank_length,
                     const Optional& blocked, int64_t max_tokens, double threshold, int64_t merge,
                     std::string_view penalty, bool, std::optional<double> scale) {
  check_select(query, keys, bank_length, blocked, max_tokens, threshold, merge, penalty, scale);
  const c10::SymInt batch = query.sym_size(0);
  const auto options = query.options(), sums = options.dtype(accumulator(query.scalar_type()));
  const std::array slots{batch, c10::SymInt(max_tokens), c10::SymInt(merge)};
  return {at::empty_symint(slots, options.dtype(at::kInt)), at::empty_symint(slots, sums),
          at::empty_symint({batch}, options.dtype(at::kInt)), at::empty_symint({batch}, sums)};
}

/// All checks of the backward that read no data.
void check_backward(const Tensor& grad_weight, const Tensor& grad_ponder, const Tensor& query,
                    const Tensor& keys, const Tensor& index, const Tensor& weight,
                    const Tensor& length, std::string_view penalty, std::optional<double> scale) {
  check_same_device(kBackward, {{"query", query},
                                {"keys", keys},
                                {"grad_weight", grad_weight},
                                {"grad_ponder", grad_ponder},
                                {"index", index},
                                {"weight", weight},
                                {"length", length}});
  check_operands(kBackward, query, keys, penalty, scale);
  const c10::SymInt batch = query.sym_size(0);
  const at::ScalarType sums = accumulator(query.scalar_type());
  check_tensor(kBackward, {"index", index}, at::kInt, {3});
  check_size(kBackward, {"index", index}, 0, batch, "the query's batch");
  for (const Argument& a : {Argument{"weight", weight}, Argument{"grad_weight", grad_weight}}) {
    check_tensor(kBackward, a, sums, {3});
    check_same_shape(kBackward, a, {"index", index});
  }
  check_tensor(kBackward, {"length", length}, at::kInt, {1});
  check_tensor(kBackward, {"grad_ponder", grad_ponder}, sums, {1});
  check_size(kBackward, {"length", length}, 0, batch, "the query's batch");
  check_size(kBackward, {"grad_ponder", grad_ponder}, 0, batch, "the query's batch");
}

/// Saved values that would lead a kernel outside of the bank; on the host, or undefined.
void check_saved(const Tensor& index, const Tensor& length, int64_t rows) {
  if (!index.defined()) return;
  for (int64_t b = 0; b < length.size(0); ++b) {
    const int32_t steps = length.const_data_ptr<int32_t>()[b];
    TORCH_CHECK(0 <= steps && steps <= index.size(1), "[tape_select_backward] length[", b, "] is ",
                steps, ", but index has ", index.size(1), " steps");
  }
  const int32_t* row = index.const_data_ptr<int32_t>();
  for (int64_t i = 0; i < index.numel(); ++i) {
    TORCH_CHECK(-1 <= row[i] && row[i] < rows, "[tape_select_backward] index holds ", row[i],
                ", but the bank has ", rows, " rows");
  }
}

/// Where each row that was read lies in the flattened bank: the scatter of grad_selected into
/// grad_keys. A step ends at its first -1, as in the kernel: behind it grad_selected is not
/// written.
ScatterPairs read_rows(const kernels::TapeSelectBackward& p, bool shared) {
  ScatterPairs pairs;
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t t = 0; t < p.length[b]; ++t) {
      const int64_t first = (b * p.max_tokens + t) * p.merge;
      for (int64_t i = first; i < first + p.merge && p.index[i] >= 0; ++i) {
        pairs.destination.push_back(p.index[i] + (shared ? 0 : b * p.rows));
        pairs.source_row.push_back(i);
      }
    }
  }
  return pairs;
}

template <class Device>
std::tuple<Tensor, Tensor> select_gradient(const Tensor& grad_weight_in,
                                           const Tensor& grad_ponder_in, const Tensor& query,
                                           const Tensor& keys, const Tensor& index_in,
                                           const Tensor& weight_in, const Tensor& length_in,
                                           std::string_view penalty, bool average_query,
                                           std::optional<double> scale) {
  check_backward(grad_weight_in, grad_ponder_in, query, keys, index_in, weight_in, length_in,
                 penalty, scale);
  const Tensor grad_weight = grad_weight_in.contiguous(), grad_ponder = grad_ponder_in.contiguous();
  const Tensor index = index_in.contiguous(), weight = weight_in.contiguous(),
               length = length_in.contiguous();
  const Device device(kBackward, query);
  check_saved(Device::to_check(index), Device::to_check(length), keys.size(-2));
  const int64_t batch = query.size(0), width = query.size(1), T = index.size(1), K = index.size(2);
  auto p = pack<kernels::TapeSelectBackward>(kBackward, query, keys, T, K, penalty, average_query,
                                             scale);
  Tensor grad_query = at::empty({batch, width}, query.options());
  Tensor grad_selected = at::empty({batch * T * K, width}, weight.options());
  p.grad_weight = grad_weight.const_data_ptr();
  p.grad_ponder = grad_ponder.const_data_ptr();
  p.index = index.const_data_ptr<int32_t>();
  p.weight = weight.const_data_ptr();
  p.length = length.const_data_ptr<int32_t>();
  p.grad_query = grad_query.mutable_data_ptr();
  p.grad_selected = grad_selected.mutable_data_ptr();
  const bool shared = keys.dim() == 2;
  Tensor grad_keys;
  if constexpr (Device::kCuda) {
    kernels::cuda::tape_select_backward(p, device.stream());
    if (shared) {
      grad_keys = scatter_sum(grad_selected, index.flatten(), {}, {}, p.rows, keys.scalar_type(),
                              device.stream());
    } else {
      kernels::TapeScatter scatter = tape_scatter_of(p);
      scatter.length = p.length;
      grad_keys = scatter_tape(scatter, grad_selected, keys.options(), device.stream());
    }
  } else {
    launch(kBackward, &kernels::CpuKernels::tape_select_backward, p, batch,
           4.0 * double(T * K * width));
    grad_keys = scatter_sum(kBackward, grad_selected, read_rows(p, shared),
                            shared ? p.rows : batch * p.rows, keys.scalar_type());
  }
  return {grad_query, grad_keys.view(keys.sizes())};
}

std::tuple<Tensor, Tensor> backward_meta(const Tensor& grad_weight, const Tensor& grad_ponder,
                                         const Tensor& query, const Tensor& keys,
                                         const Tensor& index, const Tensor& weight,
                                         const Tensor& length, std::string_view penalty, bool,
                                         std::optional<double> scale) {
  check_backward(grad_weight, grad_ponder, query, keys, index, weight, length, penalty, scale);
  return {at::empty_symint(query.sym_sizes(), query.options()),
          at::empty_symint(keys.sym_sizes(), keys.options())};
}

Selected call_forward(const Tensor& query, const Tensor& keys, const Optional& bank_length,
                      const Optional& blocked, int64_t max_tokens, double threshold, int64_t merge,
                      std::string_view penalty, bool average_query, std::optional<double> scale) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("adatape::tape_select", "")
                             .typed<decltype(call_forward)>();
  return op.call(query, keys, bank_length, blocked, max_tokens, threshold, merge, penalty,
                 average_query, scale);
}

struct TapeSelectFunction : torch::autograd::Function<TapeSelectFunction> {
  static torch::autograd::variable_list forward(
      torch::autograd::AutogradContext* context, const Tensor& query, const Tensor& keys,
      const Optional& bank_length, const Optional& blocked, int64_t max_tokens, double threshold,
      int64_t merge, std::string_view penalty, bool average_query, std::optional<double> scale) {
    at::AutoDispatchBelowADInplaceOrView below;
    auto [index, weight, length, ponder] =
        call_forward(query, keys, bank_length, blocked, max_tokens, threshold, merge, penalty,
                     average_query, scale);
    context->save_for_backward({query, keys, index, weight, length});
    context->mark_non_differentiable({index, length});
    context->set_materialize_grads(false);
    context->saved_data["penalty"] = std::string(penalty);
    context->saved_data["average_query"] = average_query;
    context->saved_data["scale"] = scale;
    return {index, weight, length, ponder};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const Tensor &query = saved[0], &keys = saved[1], &weight = saved[3];
    torch::autograd::variable_list result(10);
    if (!grads[1].defined() && !grads[3].defined()) return result;
    const Tensor grad_weight =
        grads[1].defined() ? grads[1] : at::zeros_symint(weight.sym_sizes(), weight.options());
    const Tensor grad_ponder =
        grads[3].defined() ? grads[3] : at::zeros_symint({query.sym_size(0)}, weight.options());
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("adatape::tape_select_backward", "")
                               .typed<decltype(select_gradient<Cpu>)>();
    const std::string penalty = context->saved_data["penalty"].toStringRef();
    std::tie(result[0], result[1]) =
        op.call(grad_weight, grad_ponder, query, keys, saved[2], weight, saved[4], penalty,
                context->saved_data["average_query"].toBool(),
                context->saved_data["scale"].toOptional<double>());
    return result;
  }
};

Selected select_autograd(const Tensor& query, const Tensor& keys, const Optional& bank_length,
                         const Optional& blocked, int64_t max_tokens, double threshold,
                         int64_t merge, std::string_view penalty, bool average_query,
                         std::optional<double> scale) {
  const auto out = TapeSelectFunction::apply(query, keys, bank_length, blocked, max_tokens,
                                             threshold, merge, penalty, average_query, scale);
  return {out[0], out[1], out[2], out[3]};
}

/// Under autocast: in float32, since one wrong row costs more than the time.
Selected select_autocast(const Tensor& query, const Tensor& keys, const Optional& bank_length,
                         const Optional& blocked, int64_t max_tokens, double threshold,
                         int64_t merge, std::string_view penalty, bool average_query,
                         std::optional<double> scale) {
  const c10::impl::ExcludeDispatchKeyGuard outside(c10::DispatchKey::AutocastCPU);
  const auto cast = [](const Tensor& t) {
    return at::autocast::cached_cast(at::kFloat, t, c10::kCPU);
  };
  return call_forward(cast(query), cast(keys), bank_length, blocked, max_tokens, threshold, merge,
                      penalty, average_query, scale);
}

}  // namespace

TapeSelection tape_select(const Tensor& query_BC, const Tensor& keys_BNC,
                          const TapeSelectOptions& options, const Optional& bank_length_B,
                          const Optional& blocked_BN) {
  auto [index, weight, length, ponder] = call_forward(
      query_BC, keys_BNC, bank_length_B, blocked_BN, options.max_tokens, options.threshold,
      options.merge, options.penalty, options.average_query, options.scale);
  return {index, weight, length, ponder};
}

TORCH_LIBRARY_FRAGMENT(adatape, m) {
  m.def(
      "tape_select(Tensor query, Tensor keys, Tensor? bank_length, Tensor? blocked, int "
      "max_tokens, "
      "float threshold, int merge, str penalty=\"gini\", bool average_query=True, float? "
      "scale=None) "
      "-> (Tensor index, Tensor weight, Tensor length, Tensor ponder)");
  m.def(
      "tape_select_backward(Tensor grad_weight, Tensor grad_ponder, Tensor query, Tensor keys, "
      "Tensor index, Tensor weight, Tensor length, str penalty, bool average_query, float? scale) "
      "-> (Tensor grad_query, Tensor grad_keys)");
}
TORCH_LIBRARY_IMPL(adatape, CPU, m) {
  m.impl("tape_select", select<Cpu>);
  m.impl("tape_select_backward", select_gradient<Cpu>);
}
#ifdef ADATAPE_CUDA
TORCH_LIBRARY_IMPL(adatape, CUDA, m) {
  m.impl("tape_select", select<Cuda>);
  m.impl("tape_select_backward", select_gradient<Cuda>);
}
#endif
TORCH_LIBRARY_IMPL(adatape, Meta, m) {
  m.impl("tape_select", select_meta);
  m.impl("tape_select_backward", backward_meta);
}
TORCH_LIBRARY_IMPL(adatape, Autograd, m) {
  m.impl("tape_select", select_autograd);
  m.impl("tape_select_backward", torch::CppFunction::makeFromBoxedFunction<&differentiate_once>());
}
TORCH_LIBRARY_IMPL(adatape, AutocastCPU, m) { m.impl("tape_select", select_autocast); }

}  // namespace adatape::ops

#include "csrc/ops/tape_gather.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "csrc/ops/device.h"
#include "csrc/ops/launch.h"
#include "csrc/ops/segment_sum.h"

namespace adatape::ops {
namespace {

using at::Tensor;

constexpr const char* kOp = "tape_gather";
constexpr const char* kBackward = "tape_gather_backward";

/// All checks that read no data.
void check_operands(const char* op, const Tensor& values, const Tensor& index, const Tensor& weight,
                    const Tensor& offsets) {
  check_same_device(
      op, {{"values", values}, {"index", index}, {"weight", weight}, {"offsets", offsets}});
  check_floating(op, {"values", values}, {2, 3});
  check_dense_rows(op, {"values", values});
  check_tensor(op, {"index", index}, at::kInt, {3});
  const c10::SymInt batch = index.sym_size(0);
  if (values.dim() == 3) check_size(op, {"values", values}, 0, batch, "the index's batch");
  check_tensor(op, {"weight", weight}, accumulator(values.scalar_type()), {3});
  check_same_shape(op, {"weight", weight}, {"index", index});
  check_offsets(op, {"offsets", offsets}, batch);
}

/// Rows that the offsets make the gather read: in range, and no more steps than the index has. On
/// the host.
void check_rows_read(const char* op, const Tensor& index, const Tensor& offsets, int64_t rows) {
  const int32_t first = offsets.const_data_ptr<int32_t>()[0];
  TORCH_CHECK(first == 0, "[", op, "] offsets starts at ", first, ": the first tape row must be 0");
  const int64_t T = index.size(1), K = index.size(2);
  const int32_t* offset = offsets.const_data_ptr<int32_t>();
  const int32_t* row = index.const_data_ptr<int32_t>();
  for (int64_t b = 0; b < index.size(0); ++b, row += T * K) {
    const int64_t steps = offset[b + 1] - offset[b];
    TORCH_CHECK(steps <= T, "[", op, "] offsets give example ", b, " a tape of ", steps,
                " rows, but index has ", T, " steps");
    for (int64_t i = 0; i < steps * K; ++i) {
      TORCH_CHECK(-1 <= row[i] && row[i] < rows, "[", op, "] index[", b, ", ", i / K, ", ", i % K,
                  "] is ", row[i], ", but the bank has ", rows, " rows");
    }
  }
}

/// The checked operands, with index, weight and offsets made dense; kernels point into them.
struct Operands {
  Tensor index, weight, offsets;
  kernels::TapeGather params{};

  template <class Device>
  Operands(const Device&, const char* op, const Tensor& values, const Tensor& index_in,
           const Tensor& weight_in, const Tensor& offsets_in, int64_t total,
           const char* total_name) {
    check_operands(op, values, index_in, weight_in, offsets_in);
    check_contiguous(op, {"offsets", offsets_in});
    index = index_in.contiguous();
    weight = weight_in.contiguous();
    offsets = offsets_in;
    if (const Tensor checked = Device::to_check(offsets); checked.defined()) {
      check_offset_values(op, {"offsets", checked}, total, total_name);
      check_rows_read(op, Device::to_check(index), checked, values.size(-2));
    }
    params.dtype = dtype(values);
    params.values = values.const_data_ptr();
    const bool some = values.numel() > 0;
    params.values_batch_stride = some && values.dim() == 3 ? values.stride(0) : 0;
    params.values_row_stride = some ? values.stride(-2) : 0;
    params.index = index.const_data_ptr<int32_t>();
    params.weight = weight.const_data_ptr();
    params.offsets = offsets.const_data_ptr<int32_t>();
    params.batch = index.size(0);
    params.rows = values.size(-2);
    params.width = values.size(-1);
    params.max_tokens = index.size(1);
    params.merge = index.size(2);
    params.capacity = total;
  }

  /// Rows that examples read; asks the host's memory.
  int64_t tape_rows() const { return params.offsets[params.batch]; }
  /// Multiply-adds of an average example.
  double cost() const {
    return double(tape_rows()) / double(std::max<int64_t>(params.batch, 1)) *
           double(params.merge * params.width);
  }
};

void check_total(const c10::SymInt& total) {
  TORCH_SYM_CHECK(total.sym_le(INT32_MAX), "[tape_gather] total is ", total,
                  ", more rows than int32 offsets can count");
  TORCH_SYM_CHECK(total.sym_ge(0), "[tape_gather] total is ", total,
                  ": need total >= offsets[batch]");
}

template <class Device>
Tensor gather(const Tensor& values, const Tensor& index, const Tensor& weight,
              const Tensor& offsets, int64_t total) {
  check_total(total);
  const Device device(kOp, values);
  Operands operands(device, kOp, values, index, weight, offsets, total, "the tape (total)");
  Tensor tape = at::empty({total, values.size(-1)}, values.options());
  operands.params.tape = tape.mutable_data_ptr();
  if constexpr (Device::kCuda) {
    kernels::cuda::tape_gather(operands.params, device.stream());
  } else {
    tape.narrow(0, operands.tape_rows(), total - operands.tape_rows()).zero_();
    launch(kOp, &kernels::CpuKernels::tape_gather, operands.params, operands.params.batch,
           operands.cost());
  }
  return tape;
}

Tensor gather_meta(const Tensor& values, const Tensor& index, const Tensor& weight,
                   const Tensor& offsets, c10::SymInt total) {
  check_operands(kOp, values, index, weight, offsets);
  check_total(total);
  return at::empty_symint({total, values.sym_size(-1)}, values.options());
}

Tensor values_gradient(const Cpu&, const Operands& operands, const Tensor& grad_tape,
                       const Tensor& values) {
  const kernels::TapeGather& p = operands.params;
  const bool shared = values.dim() == 2, wide = operands.weight.scalar_type() == at::kDouble;
  ScatterPairs pairs;
  for (int64_t b = 0; b < p.batch; ++b) {
    const int64_t first = b * p.max_tokens * p.merge;
    for (int64_t i = 0; i < int64_t(p.offsets[b + 1] - p.offsets[b]) * p.merge; ++i) {
      if (p.index[first + i] < 0) continue;
      pairs.destination.push_back(p.index[first + i] + (shared ? 0 : b * p.rows));
      pairs.source_row.push_back(p.offsets[b] + i / p.merge);
      pairs.scale.push_back(wide ? static_cast<const double*>(p.weight)[first + i]
                                 : double(static_cast<const float*>(p.weight)[first + i]));
    }
  }
  return scatter_sum(kBackward, grad_tape, pairs, shared ? p.rows : p.batch * p.rows,
                     values.scalar_type())
      .view(values.sizes());
}

#ifdef ADATAPE_CUDA
/// Steps past an example's length hold index -1, so their tape row, another example's, is not used.
Tensor values_gradient(const Cuda& device, const Operands& operands, const Tensor& grad_tape,
                       const Tensor& values) {
  const kernels::TapeGather& p = operands.params;
  if (values.dim() == 2) {
    const auto longs = operands.index.options().dtype(at::kLong);
    const Tensor step = at::arange(p.max_tokens, longs).view({1, p.max_tokens, 1});
    const Tensor first = operands.offsets.narrow(0, 0, p.batch).to(at::kLong).view({p.batch, 1, 1});
    const Tensor row = (first + step).expand_as(operands.index).flatten();
    return scatter_sum(grad_tape, operands.index.flatten(), row, operands.weight.flatten(), p.rows,
                       values.scalar_type(), device.stream());
  }
  kernels::TapeScatter scatter = tape_scatter_of(p);
  scatter.offsets = p.offsets;
  scatter.weight = static_cast<const float*>(p.weight);
  return scatter_tape(scatter, grad_tape, values.options(), device.stream());
}
#endif

void check_gradient(const Tensor& grad_tape, const Tensor& values) {
  check_same_device(kBackward, {{"values", values}, {"grad_tape", grad_tape}});
  check_floating(kBackward, {"values", values}, {2, 3});
  check_tensor(kBackward, {"grad_tape", grad_tape}, values.scalar_type(), {2});
  check_size(kBackward, {"grad_tape", grad_tape}, 1, values.sym_size(-1), "the values' width");
}

template <class Device>
std::tuple<Tensor, Tensor> gather_gradient(const Tensor& grad_tape_in, const Tensor& values,
                                           const Tensor& index, const Tensor& weight,
                                           const Tensor& offsets, std::array<bool, 2> mask) {
  check_gradient(grad_tape_in, values);
  const Tensor grad_tape = grad_tape_in.stride(1) == 1 ? grad_tape_in : grad_tape_in.contiguous();
  const Device device(kBackward, values);
  Operands operands(device, kBackward, values, index, weight, offsets, grad_tape.size(0),
                    "grad_tape");
  Tensor grad_values, grad_weight;
  if (mask[0]) grad_values = values_gradient(device, operands, grad_tape, values);
  if (mask[1]) {
    grad_weight = at::empty(operands.weight.sizes(), operands.weight.options());
    kernels::TapeGatherBackwardWeight p{};
    p.forward = operands.params;
    p.grad_tape = grad_tape.const_data_ptr();
    p.grad_row_stride = grad_tape.stride(0);
    p.grad_weight = grad_weight.mutable_data_ptr();
    if constexpr (Device::kCuda)
      kernels::cuda::tape_gather_backward_weight(p, device.stream());
    else
      launch(kBackward, &kernels::CpuKernels::tape_gather_backward_weight, p, operands.params.batch,
             operands.cost());
  }
  return {grad_values, grad_weight};
}

std::tuple<Tensor, Tensor> backward_meta(const Tensor& grad_tape, const Tensor& values,
                                         const Tensor& index, const Tensor& weight,
                                         const Tensor& offsets, std::array<bool, 2> mask) {
  check_gradient(grad_tape, values);
  check_operands(kBackward, values, index, weight, offsets);
  return {mask[0] ? at::empty_symint(values.sym_sizes(), values.options()) : Tensor(),
          mask[1] ? at::empty_symint(weight.sym_sizes(), weight.options()) : Tensor()};
}

Tensor call_forward(const Tensor& values, const Tensor& index, const Tensor& weight,
                    const Tensor& offsets, c10::SymInt total) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("adatape::tape_gather", "")
                             .typed<decltype(call_forward)>();
  return op.call(values, index, weight, offsets, total);
}

struct TapeGatherFunction : torch::autograd::Function<TapeGatherFunction> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& values,
                        const Tensor& index, const Tensor& weight, const Tensor& offsets,
                        const c10::SymInt& total) {
    at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({values, index, weight, offsets});
    return call_forward(values, index, weight, offsets, total);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("adatape::tape_gather_backward", "")
                               .typed<decltype(gather_gradient<Cpu>)>();
    auto [grad_values, grad_weight] =
        op.call(grads[0], saved[0], saved[1], saved[2], saved[3],
                {context->needs_input_grad(0), context->needs_input_grad(2)});
    return {grad_values, Tensor(), grad_weight, Tensor(), Tensor()};
  }
};

Tensor gather_autograd(const Tensor& values, const Tensor& index, const Tensor& weight,
                       const Tensor& offsets, c10::SymInt total) {
  return TapeGatherFunction::apply(values, index, weight, offsets, total);
}

}  // namespace

Tensor tape_gather(const Tensor& values, const Tensor& index_BTK, const Tensor& weight_BTK,
                   const Tensor& offsets_B1, int64_t total) {
  return call_forward(values, index_BTK, weight_BTK, offsets_B1, total);
}

TORCH_LIBRARY_FRAGMENT(adatape, m) {
  m.def(
      "tape_gather(Tensor values, Tensor index, Tensor weight, Tensor offsets, SymInt total) -> "
      "Tensor");
  m.def(
      "tape_gather_backward(Tensor grad_tape, Tensor values, Tensor index, Tensor weight, Tensor "
      "offsets, "
      "bool[2] mask) -> (Tensor grad_values, Tensor grad_weight)");
}
TORCH_LIBRARY_IMPL(adatape, CPU, m) {
  m.impl("tape_gather", gather<Cpu>);
  m.impl("tape_gather_backward", gather_gradient<Cpu>);
}
#ifdef ADATAPE_CUDA
TORCH_LIBRARY_IMPL(adatape, CUDA, m) {
  m.impl("tape_gather", gather<Cuda>);
  m.impl("tape_gather_backward", gather_gradient<Cuda>);
}
#endif
TORCH_LIBRARY_IMPL(adatape, Meta, m) {
  m.impl("tape_gather", gather_meta);
  m.impl("tape_gather_backward", backward_meta);
}
TORCH_LIBRARY_IMPL(adatape, Autograd, m) {
  m.impl("tape_gather", gather_autograd);
  m.impl("tape_gather_backward", torch::CppFunction::makeFromBoxedFunction<&differentiate_once>());
}

}  // namespace adatape::ops

#include "csrc/ops/launch.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/functions/basic_ops.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <cstdlib>
#include <memory>
#include <string>

namespace adatape::ops {
namespace {

bool rank_is_one_of(const at::Tensor& tensor, std::initializer_list<int64_t> ranks) {
  return std::find(ranks.begin(), ranks.end(), tensor.dim()) != ranks.end();
}

std::string list_of(std::initializer_list<int64_t> ranks) {
  std::string text;
  for (int64_t rank : ranks) text += (text.empty() ? "" : " or ") + std::to_string(rank);
  return text;
}

/// As Python writes it.
std::string name_of(at::ScalarType type) { return c10::getDtypeNames(type).first; }

}  // namespace

void check_same_device(const char* op, std::initializer_list<Argument> arguments) {
  const Argument& first = *arguments.begin();
  TORCH_CHECK(first.tensor.defined(), "[", op, "] ", first.name, " is an undefined tensor");
  for (const Argument& a : arguments) {
    TORCH_CHECK(!a.tensor.defined() || a.tensor.device() == first.tensor.device(), "[", op, "] ",
                a.name, " is on ", a.tensor.device(), " but ", first.name, " is on ",
                first.tensor.device(), "; move them to one device");
  }
}

void check_tensor(const char* op, Argument a, at::ScalarType type,
                  std::initializer_list<int64_t> ranks) {
  TORCH_CHECK(a.tensor.defined(), "[", op, "] ", a.name, " is an undefined tensor");
  TORCH_CHECK(a.tensor.scalar_type() == type, "[", op, "] ", a.name, " must be ", name_of(type),
              ", got ", name_of(a.tensor.scalar_type()));
  TORCH_CHECK(rank_is_one_of(a.tensor, ranks), "[", op, "] ", a.name, " must have rank ",
              list_of(ranks), ", got shape ", a.tensor.sym_sizes());
}

void check_floating(const char* op, Argument a, std::initializer_list<int64_t> ranks) {
  TORCH_CHECK(a.tensor.defined(), "[", op, "] ", a.name, " is an undefined tensor");
  const at::ScalarType type = a.tensor.scalar_type();
  TORCH_CHECK(
      type == at::kFloat || type == at::kDouble || type == at::kBFloat16 || type == at::kHalf, "[",
      op, "] ", a.name, " must be float32, float64, bfloat16 or float16, got ", name_of(type));
  check_tensor(op, a, type, ranks);
}

void check_size(const char* op, Argument a, int64_t dim, const c10::SymInt& expected,
                const char* meaning) {
  TORCH_SYM_CHECK(a.tensor.sym_size(dim).sym_eq(expected), "[", op, "] ", a.name, " has shape ",
                  a.tensor.sym_sizes(), " but dimension ", dim, " must be ", expected, ", ",
                  meaning);
}

void check_same_shape(const char* op, Argument a, Argument other) {
  for (int64_t d = 0; d < other.tensor.dim(); ++d) {
    TORCH_SYM_CHECK(a.tensor.sym_size(d).sym_eq(other.tensor.sym_size(d)), "[", op, "] ", a.name,
                    " has shape ", a.tensor.sym_sizes(), " but must have the shape of ", other.name,
                    ", ", other.tensor.sym_sizes());
  }
}

void check_dense_rows(const char* op, Argument a) {
  TORCH_CHECK(TORCH_GUARD_OR_TRUE(a.tensor.sym_size(-1).sym_le(1)) ||
                  TORCH_GUARD_OR_TRUE(a.tensor.sym_stride(-1).sym_eq(1)),
              "[", op, "] ", a.name, " has stride ", a.tensor.sym_stride(-1),
              " in its last dimension; it must be dense there, call contiguous()");
}

void check_offsets(const char* op, Argument a, const c10::SymInt& batch) {
  check_tensor(op, a, at::kInt, {1});
  check_size(op, a, 0, batch + 1, "the batch and one");
}

void check_contiguous(const char* op, Argument a) {
  TORCH_CHECK(a.tensor.is_contiguous(), "[", op, "] ", a.name,
              " is not contiguous; call contiguous()");
}

void check_offset_values(const char* op, Argument a, int64_t last, const char* rows) {
  const int32_t* offset = a.tensor.const_data_ptr<int32_t>();
  const int64_t batch = a.tensor.size(0) - 1;
  TORCH_CHECK(offset[0] >= 0, "[", op, "] ", a.name, " starts at ", offset[0],
              ": need a first row >= 0");
  for (int64_t b = 0; b < batch; ++b) {
    TORCH_CHECK(offset[b] <= offset[b + 1], "[", op, "] ", a.name, " decreases from ", offset[b],
                " to ", offset[b + 1], " at entry ", b + 1);
  }
  TORCH_CHECK(offset[batch] <= last, "[", op, "] ", a.name, " ends at row ", offset[batch],
              ", past the ", last, " rows of ", rows);
}

at::ScalarType accumulator(at::ScalarType type) {
  return type == at::kDouble ? at::kDouble : at::kFloat;
}

kernels::DType dtype(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kDouble:
      return kernels::DType::kFloat64;
    case at::kBFloat16:
      return kernels::DType::kBFloat16;
    case at::kHalf:
      return kernels::DType::kFloat16;
    default:
      return kernels::DType::kFloat32;
  }
}

const kernels::CpuKernels& cpu_kernels(const char* op) {
  const kernels::CpuKernels* table = kernels::cpu_kernels();
  TORCH_CHECK(
      table, "[", op, "] ADATAPE_CPU_ISA is '", std::getenv("ADATAPE_CPU_ISA"),
      "', no instruction set that this machine runs; use avx512, avx2 or baseline, or unset it");
  return *table;
}

void differentiate_once(const c10::OperatorHandle& op, c10::DispatchKeySet keys,
                        c10::Stack* stack) {
  torch::autograd::variable_list inputs;
  const size_t arguments = op.schema().arguments().size(), returns = op.schema().returns().size();
  for (const c10::IValue& value : torch::jit::last(*stack, arguments)) {
    if (value.isTensor() && value.toTensor().defined()) inputs.push_back(value.toTensor());
  }
  const bool recorded = torch::autograd::compute_requires_grad(inputs);
  {
    at::AutoDispatchBelowADInplaceOrView below;
    op.redispatchBoxed(keys & c10::after_autograd_keyset, stack);
  }
  if (!recorded) return;
  const std::string name = op.schema().name().substr(sizeof("adatape::") - 1);
  const auto node = std::make_shared<torch::autograd::Error>(
      "[" + name +
          "] a gradient of this op is differentiated, but there are no second derivatives; " +
          "call backward without create_graph=True, or detach the gradient",
      torch::autograd::collect_next_edges(inputs));
  for (const c10::IValue& value : torch::jit::last(*stack, returns)) {
    if (value.isTensor() && value.toTensor().defined())
      torch::autograd::set_history(value.toTensor(), node);
  }
}

}  // namespace adatape::ops

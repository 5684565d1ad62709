#include "csrc/ops/gelu_tanh.h"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "csrc/ops/launch.h"

namespace adatape::ops {
namespace {

using at::Tensor;

constexpr const char* kOp = "gelu_tanh";
constexpr const char* kBackward = "gelu_tanh_backward";
constexpr double kCost = 16;  // of an element, in multiply-adds

Tensor launch_over(const char* op, const Tensor& x, const float* upstream) {
  Tensor out = at::empty_like(x);
  const kernels::GeluTanh p{x.const_data_ptr<float>(), upstream, out.mutable_data_ptr<float>()};
  launch(op, &kernels::CpuKernels::gelu_tanh, p, x.numel(), kCost);
  return out;
}

void check_float(const char* op, Argument a) {
  TORCH_CHECK(a.tensor.scalar_type() == at::kFloat, "[", op, "] ", a.name, " must be float32, got ",
              a.tensor.scalar_type(), "; use at::gelu for other types");
}

Tensor forward_cpu(const Tensor& x) {
  check_float(kOp, {"x", x});
  return launch_over(kOp, x.contiguous(), nullptr);
}

Tensor backward_cpu(const Tensor& grad, const Tensor& x) {
  check_same_device(kBackward, {{"x", x}, {"grad", grad}});
  check_float(kBackward, {"x", x});
  check_float(kBackward, {"grad", grad});
  TORCH_CHECK(grad.sizes() == x.sizes(), "[", kBackward, "] grad has shape ", grad.sizes(),
              " but x has shape ", x.sizes());
  const Tensor dense = grad.contiguous();
  return launch_over(kBackward, x.contiguous(), dense.const_data_ptr<float>());
}

Tensor forward_meta(const Tensor& x) {
  check_float(kOp, {"x", x});
  return at::empty_like(x, at::MemoryFormat::Contiguous);
}

Tensor backward_meta(const Tensor& grad, const Tensor& x) {
  check_same_device(kBackward, {{"x", x}, {"grad", grad}});
  check_float(kBackward, {"x", x});
  return at::empty_like(x, at::MemoryFormat::Contiguous);
}

Tensor call_forward(const Tensor& x) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("adatape::gelu_tanh", "")
                             .typed<decltype(call_forward)>();
  return op.call(x);
}

struct GeluTanhFunction : torch::autograd::Function<GeluTanhFunction> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x) {
    at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({x});
    return call_forward(x);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("adatape::gelu_tanh_backward", "")
                               .typed<decltype(backward_cpu)>();
    return {op.call(grads[0], context->get_saved_variables()[0])};
  }
};

Tensor forward_autograd(const Tensor& x) { return GeluTanhFunction::apply(x); }

}  // namespace

Tensor gelu_tanh(const Tensor& x) {
  if (!x.is_cpu() || x.scalar_type() != at::kFloat) return at::gelu(x, "tanh");
  return call_forward(x);
}

TORCH_LIBRARY_FRAGMENT(adatape, m) {
  m.def("gelu_tanh(Tensor x) -> Tensor");
  m.def("gelu_tanh_backward(Tensor grad, Tensor x) -> Tensor");
}
TORCH_LIBRARY_IMPL(adatape, CPU, m) {
  m.impl("gelu_tanh", forward_cpu);
  m.impl("gelu_tanh_backward", backward_cpu);
}
TORCH_LIBRARY_IMPL(adatape, Meta, m) {
  m.impl("gelu_tanh", forward_meta);
  m.impl("gelu_tanh_backward", backward_meta);
}
TORCH_LIBRARY_IMPL(adatape, Autograd, m) {
  m.impl("gelu_tanh", forward_autograd);
  m.impl("gelu_tanh_backward", torch::CppFunction::makeFromBoxedFunction<&differentiate_once>());
}

}  // namespace adatape::ops

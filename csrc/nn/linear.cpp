#include "csrc/nn/linear.h"

#include <torch/torch.h>

namespace adatape::nn {
namespace {

using Scalars = torch::List<std::optional<at::Scalar>>;
using LinearPointwise = at::Tensor(const at::Tensor&, const at::Tensor&,
                                   const std::optional<at::Tensor>&, std::string_view, Scalars,
                                   std::optional<std::string_view>);

/// oneDNN's linear layer as torch registers it; nothing in a build without oneDNN.
const std::optional<c10::TypedOperatorHandle<LinearPointwise>>& onednn() {
  static const auto op = [] {
    std::optional<c10::TypedOperatorHandle<LinearPointwise>> found;
    const auto handle = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (handle && at::globalContext().hasMKLDNN()) found = handle->typed<LinearPointwise>();
    return found;
  }();
  return op;
}

at::Tensor multiply(const at::Tensor& x, const at::Tensor& weight,
                    const std::optional<at::Tensor>& bias) {
  return onednn()->call(x, weight, bias, "none", Scalars(), "");
}

struct LinearFunction : torch::autograd::Function<LinearFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight, const at::Tensor& bias) {
    at::AutoDispatchBelowADInplaceOrView below;
    context->save_for_backward({x, weight});
    return multiply(x, weight, bias);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor grad = grads[0].contiguous();
    at::Tensor grad_x;
    if (context->needs_input_grad(0)) grad_x = multiply(grad, saved[1].t(), std::nullopt);
    // oneDNN is fastest with the longer side as the output's columns.
    const at::Tensor& x = saved[0];
    const at::Tensor grad_weight = grad.size(1) < x.size(1)
                                       ? multiply(grad.t(), x.t(), std::nullopt)
                                       : multiply(x.t(), grad.t(), std::nullopt).t().contiguous();
    return {grad_x, grad_weight, grad.sum(0)};
  }
};

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const bool fits = x.is_cpu() && x.scalar_type() == at::kFloat && x.dim() == 2 && x.size(0) > 0;
  if (!fits || !onednn()) return torch::linear(x, weight, bias);
  return LinearFunction::apply(x, weight, bias);
}

at::Tensor linear(const at::Tensor& x, const torch::nn::Linear& layer) {
  return linear(x, layer->weight, layer->bias);
}

}  // namespace adatape::nn

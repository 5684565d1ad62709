#include "trainers/task.h"

#include <torch/torch.h>

namespace adatape {

at::Tensor Task::example_loss(const Output& output, const at::Tensor& label_B) const {
  const at::Tensor& logits_NBK = output.logits_NBK;
  at::Tensor loss_NB;
  if (config_.loss == "sigmoid") {
    const at::Tensor target_BK =
        torch::one_hot(label_B, logits_NBK.size(2)).to(logits_NBK.scalar_type());
    loss_NB = at::binary_cross_entropy_with_logits(logits_NBK, target_BK.expand_as(logits_NBK), {},
                                                   {}, at::Reduction::None)
                  .sum(-1);
  } else {
    loss_NB =
        torch::logsumexp(logits_NBK, -1) -
        logits_NBK.gather(-1, label_B.expand({logits_NBK.size(0), -1}).unsqueeze(-1)).squeeze(-1);
  }
  return (loss_NB * output.weight_NB).sum(0);
}

at::Tensor Task::loss(const Output& output, const at::Tensor& label_B) const {
  const at::Tensor loss = example_loss(output, label_B).mean();
  return output.penalty.defined() ? loss + output.penalty : loss;
}

at::Tensor Task::predict(const Output& output) {
  if (output.logits_NBK.size(0) == 1) return output.logits_NBK[0].argmax(-1);
  return (output.logits_NBK.softmax(-1) * output.weight_NB.unsqueeze(-1)).sum(0).argmax(-1);
}

}  // namespace adatape

#include "trainers/trainer.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <torch/torch.h>

#include <cmath>
#include <thread>

#include "csrc/config/load.h"
#include "trainers/errors.h"
#include "trainers/schedule.h"

namespace adatape {
namespace {

std::shared_ptr<Model> build_model(const RunConfig& config, const InputSpec& input) {
  const int cores = int(std::max(1u, std::thread::hardware_concurrency()));
  at::set_num_threads(config.threads > 0 ? int(config.threads) : cores);
  torch::manual_seed(uint64_t(config.seed));
  return make_model(config.model, input);
}

/// Whatever a model draws in a step depends on (seed, step) alone, so a resumed run needs no
/// generator state.
void seed_step(int64_t seed, int64_t step) {
  constexpr uint64_t kGoldenRatio =
      0x9E3779B97F4A7C15;  // spreads neighbouring steps over the seeds
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  generator.set_current_seed(uint64_t(seed) + kGoldenRatio * uint64_t(step + 1));
}

void add_batch(StepResult& result, const Output& output, const at::Tensor& label_B) {
  result.examples += label_B.numel();
  result.right += (Task::predict(output) == label_B).sum().item<int64_t>();
  result.macs += output.macs_B.sum().item<int64_t>();
  result.tokens += output.tokens_B.sum().item<int64_t>();
  result.meters.add(output.meters);
}

}  // namespace

Trainer::Trainer(const RunConfig& config)
    : config_(config),
      dataset_(make_dataset(config.data, config.seed)),
      loader_(*dataset_, Split::kTrain, config.loader),
      model_(build_model(config, dataset_->spec())),
      task_(config.task),
      optimizer_(config.optimizer, state_of(*model_)) {
  if (config.ema.decay > 0) ema_.emplace(config.ema, state_of(*model_));
}

StepResult Trainer::step() {
  StepResult result;
  result.lr = learning_rate(config_.schedule, config_.optimizer.lr, step_, config_.loop.steps);
  seed_step(config_.seed, step_);
  for (int64_t part = 0; part < config_.loop.accumulate; ++part) {
    Batch batch;
    at::Tensor loss;
    {
      RECORD_USER_SCOPE("fetch");
      batch = loader_.next();
    }
    {
      RECORD_USER_SCOPE("forward");
      const Output output = model_->forward(batch);
      loss = task_.loss(output, batch.label_B) / double(config_.loop.accumulate);
      result.loss += loss.item<double>();
      add_batch(result, output, batch.label_B);
    }
    RECORD_USER_SCOPE("backward");
    loss.backward();
  }
  RECORD_USER_SCOPE("update");
  result.grad_norm = optimizer_.grad_norm();
  result.skipped = !std::isfinite(result.loss) || !std::isfinite(result.grad_norm);
  if (!result.skipped) {
    optimizer_.step(result.lr, result.grad_norm);
    if (ema_) ema_->update();
  }
  optimizer_.clear_gradients();
  ++step_;
  return result;
}

std::optional<Evaluation> Trainer::evaluate(const Stop& stop) {
  return adatape::evaluate(*model_, task_, Loader(*dataset_, Split::kEvaluation, config_.loader),
                           "", stop);
}

std::optional<Evaluation> Trainer::evaluate_ema(const Stop& stop) {
  if (!ema_) return std::nullopt;
  ema_->swap();
  const auto result = evaluate(stop);
  ema_->swap();
  return result;
}

int64_t Trainer::parameters() const {
  int64_t count = 0;
  for (const at::Tensor& p : model_->parameters()) count += p.numel();
  return count;
}

std::map<std::string, NamedTensors> Trainer::tensor_sets() const {
  std::map<std::string, NamedTensors> sets = {{"model", state_of(*model_)},
                                              {"optimizer", optimizer_.state()}};
  if (ema_) sets["ema"] = ema_->weights();
  return sets;
}

void Trainer::save(const std::string& folder, const nlohmann::json& progress) const {
  const nlohmann::json state = {{"step", step_},
                                {"epoch", double(loader_.position() * config_.loader.batch_size) /
                                              double(dataset_->size(Split::kTrain))},
                                {"rng", {{"scheme", "counter"}, {"seed", config_.seed}}},
                                {"loader", {{"position", loader_.position()}}},
                                {"schedule", {{"step", step_}, {"steps", config_.loop.steps}}},
                                {"progress", progress}};
  write_checkpoint(folder, {tensor_sets(), state, config::to_yaml(config_)});
}

nlohmann::json Trainer::restore(const std::string& folder) {
  const nlohmann::json state = read_checkpoint(folder, tensor_sets());
  try {
    step_ = state.at("step");
    loader_.seek(state.at("loader").at("position"));
    return state.at("progress");
  } catch (const nlohmann::json::exception&) {
    throw RunError(
        kCheckpoint,
        folder + "/state.json lacks step, loader or progress; it is no checkpoint of this version");
  }
}

}  // namespace adatape

#include "trainers/train.h"

#include <torch/torch.h>

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "csrc/formats/atomic_file.h"
#include "csrc/log/log.h"
#include "csrc/log/progress.h"
#include "trainers/errors.h"
#include "trainers/run_folder.h"
#include "trainers/signals.h"
#include "trainers/trainer.h"

namespace adatape {
namespace {

using nlohmann::json;

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

/// One run. Numbers that outlive a restart (`progress_`) travel with each checkpoint.
class Run {
 public:
  Run(const RunConfig& config, const RunFolder& folder)
      : config_(config),
        folder_(folder),
        trainer_(config),
        restored_(restore()),
        log_(config.log, folder.path(), restored_),
        saved_step_(restored_) {}

  json run();

 private:
  int64_t restore();
  void after_step(const StepResult& result);
  void log_step(const StepResult& result);
  void show_progress(log::Progress& bar, const StepResult& result);
  void count_skips(const StepResult& result);
  void evaluate();
  void save(bool must_succeed);
  json summary(double train_seconds);
  bool due(int64_t every) const { return every > 0 && trainer_.position() % every == 0; }
  std::string checkpoint(int64_t step) const {
    return folder_.checkpoints() + "/step-" + std::to_string(step);
  }

  RunConfig config_;
  const RunFolder& folder_;
  Trainer trainer_;
  json progress_ = {{"seconds", 0.0}, {"best_step", -1}, {"best_accuracy", -1.0}, {"skipped", 0}};
  int64_t restored_;  // step that the run goes on from
  RunLog log_;
  int64_t saved_step_;
  double segment_began_ = 0;
  double logged_at_ = 0;
  int64_t logged_step_ = 0;
  int64_t skipped_in_row_ = 0;
  json last_evaluation_;
};

int64_t Run::restore() {
  const auto found = newest_intact(folder_.checkpoints());
  if (found) {
    progress_ = trainer_.restore(found->folder);
    set_newer_aside(folder_.checkpoints(), found->step);
    log::info("going on from " + found->folder);
  }
  return trainer_.position();
}

json Run::run() {
  const StopSignals signals;
  log::info("run folder " + folder_.path() + ", " + std::to_string(trainer_.parameters()) +
            " parameters, " + std::to_string(at::get_num_threads()) + " threads");
  log::ProgressOptions options;
  options.start = restored_;
  options.every = config_.log.every;
  log::Progress bar(config_.loop.steps, log::stderr_is_terminal(), options);
  segment_began_ = logged_at_ = seconds_now();
  logged_step_ = restored_;
  const double seconds_before = progress_["seconds"];
  while (trainer_.position() < config_.loop.steps) {
    const StepResult result = trainer_.step();
    show_progress(bar, result);
    progress_["seconds"] = seconds_before + seconds_now() - segment_began_;
    after_step(result);
    if (signals.received() != 0 && trainer_.position() < config_.loop.steps) {
      bar.finish();
      save(true);
      throw RunError(kPreempted, std::string("stopped by ") + ::strsignal(signals.received()) +
                                     " after step " + std::to_string(trainer_.position()) +
                                     "; state saved, run again to go on");
    }
  }
  bar.finish();
  const double train_seconds = progress_["seconds"];
  if (last_evaluation_.is_null())
    last_evaluation_ = trainer_.evaluate().record();  // the run had ended before
  save(true);
  return summary(train_seconds);
}

void Run::after_step(const StepResult& result) {
  count_skips(result);
  if (due(config_.log.every) || trainer_.position() == config_.loop.steps) log_step(result);
  last_evaluation_ = json();
  if (due(config_.loop.evaluate_every) || trainer_.position() == config_.loop.steps) evaluate();
  if (due(config_.checkpoint.every)) save(false);
}

void Run::count_skips(const StepResult& result) {
  skipped_in_row_ = result.skipped ? skipped_in_row_ + 1 : 0;
  if (!result.skipped) return;
  progress_["skipped"] = progress_["skipped"].get<int64_t>() + 1;
  log::warn("step " + std::to_string(trainer_.position()) + ": loss " + fixed(result.loss, 4) +
            ", gradient norm " + fixed(result.grad_norm, 4) + "; update skipped");
  if (skipped_in_row_ > config_.loop.max_skipped) {
    const auto good = stored_checkpoints(folder_.checkpoints());
    throw RunError(kDiverged, std::to_string(skipped_in_row_) +
                                  " updates in a row were not finite; last good checkpoint: " +
                                  (good.empty() ? "none" : good.front().folder) +
                                  ". Lower optimizer.lr or raise schedule.warmup_steps");
  }
}

void Run::show_progress(log::Progress& bar, const StepResult& result) {
  log::Progress::Fields fields = {{"loss", fixed(result.loss, 4)}};
  for (const Meter& meter : result.output.meters) {
    fields.push_back({meter.name, fixed(meter.sum.item<double>() / meter.count, 2)});
  }
  const double elapsed = seconds_now() - segment_began_;
  const double examples = double((trainer_.position() - restored_) * config_.loader.batch_size *
                                 config_.loop.accumulate);
  bar.update(trainer_.position(), fields, elapsed > 0 ? examples / elapsed : 0);
}

void Run::log_step(const StepResult& result) {
  const Output& output = result.output;
  const int64_t batch = config_.loader.batch_size * config_.loop.accumulate;
  const double now = seconds_now(), elapsed = now - logged_at_;
  json record = {
      {"step", trainer_.position()},
      {"epoch",
       double(trainer_.position() * batch) / double(trainer_.dataset().size(Split::kTrain))},
      {"split", "train"},
      {"loss", result.loss},
      {"accuracy",
       (Task::predict(output) == result.label_B).to(torch::kDouble).mean().item<double>()},
      {"lr", result.lr},
      {"grad_norm", result.grad_norm},
      {"examples_per_second",
       elapsed > 0 ? double((trainer_.position() - logged_step_) * batch) / elapsed : 0.0},
      {"seconds", progress_["seconds"]},
      {"macs", output.macs_B.to(torch::kDouble).mean().item<double>()},
      {"tokens", output.tokens_B.to(torch::kDouble).mean().item<double>()}};
  for (const Meter& meter : output.meters)
    record[meter.name] = meter.sum.item<double>() / meter.count;
  log_.add(record);
  logged_at_ = now;
  logged_step_ = trainer_.position();
}

void Run::evaluate() {
  const Evaluation result = trainer_.evaluate();
  json record = result.record();
  if (const auto ema = trainer_.evaluate_ema()) {
    record["ema_accuracy"] = ema->accuracy;
    record["ema_loss"] = ema->loss;
  }
  record.update({{"step", trainer_.position()}, {"split", "evaluation"}});
  log_.add(record);
  last_evaluation_ = record;
  log::info("step " + std::to_string(trainer_.position()) + ": evaluation loss " +
            fixed(result.loss, 4) + ", accuracy " + fixed(100 * result.accuracy, 2) + "% on " +
            std::to_string(result.examples) + " examples");
  logged_at_ = seconds_now();
  if (result.accuracy <= progress_["best_accuracy"].get<double>()) return;
  progress_["best_accuracy"] = result.accuracy;
  progress_["best_step"] = trainer_.position();
  if (config_.checkpoint.keep_best) save(false);
}

void Run::save(bool must_succeed) {
  if (saved_step_ == trainer_.position()) return;
  try {
    log_.sync();
    trainer_.save(checkpoint(trainer_.position()), progress_);
    saved_step_ = trainer_.position();
    prune_checkpoints(folder_.checkpoints(), config_.checkpoint.keep,
                      config_.checkpoint.keep_best ? progress_["best_step"].get<int64_t>() : -1);
  } catch (const formats::FormatError& error) {
    if (must_succeed) throw;
    log::error(std::string(error.what()) + "; no checkpoint at step " +
               std::to_string(trainer_.position()) + ", earlier ones are kept and the run goes on");
  }
}

json Run::summary(double train_seconds) {
  const json& e = last_evaluation_;
  json summary = {
      {"run", folder_.path()},
      {"model", std::visit([](const auto& m) { return m.kName; }, config_.model)},
      {"seed", config_.seed},
      {"steps", trainer_.position()},
      {"parameters", trainer_.parameters()},
      {"evaluation", e},
      {"best_accuracy", progress_["best_accuracy"]},
      {"best_step", progress_["best_step"]},
      {"skipped_updates", progress_["skipped"]},
      {"train_seconds", train_seconds},
      {"steps_per_second", train_seconds > 0 ? double(trainer_.position()) / train_seconds : 0.0},
      {"threads", at::get_num_threads()},
      {"checkpoint", checkpoint(trainer_.position())}};
  formats::write_file(folder_.path() + "/summary.json", summary.dump(1) + "\n");
  return summary;
}

}  // namespace

json train(RunConfig config, const std::string& config_path) {
  const RunFolder folder(config, config_path);
  log::open(folder.path() + "/log.txt");
  return Run(config, folder).run();
}

std::string summary_table(const json& summary) {
  const json& e = summary.at("evaluation");
  std::string table;
  const auto row = [&](const std::string& name, const std::string& value) {
    table += name + std::string(name.size() < 14 ? 14 - name.size() : 1, ' ') + value + "\n";
  };
  row("run", summary.at("run"));
  row("model", summary.at("model").get<std::string>() + ", " +
                   std::to_string(summary.at("parameters").get<int64_t>()) + " parameters, seed " +
                   std::to_string(summary.at("seed").get<int64_t>()));
  row("accuracy", fixed(100 * e.at("accuracy").get<double>(), 2) + "% on " +
                      std::to_string(e.at("examples").get<int64_t>()) + " examples");
  row("loss", fixed(e.at("loss"), 4));
  if (e.contains("ema_accuracy"))
    row("ema accuracy", fixed(100 * e.at("ema_accuracy").get<double>(), 2) + "%");
  if (e.contains("tape_tokens")) row("tape tokens", fixed(e.at("tape_tokens"), 2) + " an example");
  row("MACs", fixed(e.at("macs").get<double>() / 1e6, 3) + " M an example (median " +
                  fixed(e.at("macs_p50").get<double>() / 1e6, 3) + " M, 95th percentile " +
                  fixed(e.at("macs_p95").get<double>() / 1e6, 3) + " M)");
  row("training", std::to_string(summary.at("steps").get<int64_t>()) + " steps in " +
                      fixed(summary.at("train_seconds"), 1) + " s, " +
                      fixed(summary.at("steps_per_second"), 1) + " steps/s on " +
                      std::to_string(summary.at("threads").get<int64_t>()) + " threads");
  row("checkpoint", summary.at("checkpoint"));
  return table;
}

}  // namespace adatape

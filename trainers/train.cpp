#include "trainers/train.h"

#include <torch/torch.h>

#include <cmath>
#include <cstring>
#include <map>

#include "csrc/formats/atomic_file.h"
#include "csrc/log/log.h"
#include "csrc/log/progress.h"
#include "trainers/errors.h"
#include "trainers/run_folder.h"
#include "trainers/signals.h"
#include "trainers/summary.h"
#include "trainers/text.h"
#include "trainers/trainer.h"

namespace adatape {
namespace {

using nlohmann::json;

/// One run. Numbers that outlive a restart travel with each checkpoint (`progress_`) or stand in
/// the log (evaluations).
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
  [[noreturn]] void give_up();
  [[noreturn]] void stop();
  bool evaluation_due() const;
  void evaluate_if_due();
  std::map<int64_t, double> accuracies() const;
  void save(bool must_succeed);
  json summary();
  bool due(int64_t every) const { return every > 0 && trainer_.position() % every == 0; }
  bool last() const { return trainer_.position() == config_.loop.steps; }
  int64_t skipped_in_row() const { return progress_.at("skipped_in_row"); }
  std::string checkpoint(int64_t step) const {
    return folder_.checkpoints() + "/step-" + std::to_string(step);
  }

  const StopSignals signals_;  // first: a signal while the run is set up must not be lost
  RunConfig config_;
  const RunFolder& folder_;
  Trainer trainer_;
  json progress_ = {{"seconds", 0.0}, {"skipped", 0}, {"skipped_in_row", 0}};
  int64_t restored_;  // step that the run goes on from
  RunLog log_;
  int64_t saved_step_;
  double segment_began_ = 0;
  double logged_at_ = 0;
  int64_t logged_step_ = 0;
};

int64_t Run::restore() {
  const auto found = newest_intact(folder_.checkpoints());
  if (found) {
    progress_.update(trainer_.restore(found->folder));
    set_newer_aside(folder_.checkpoints(), found->step);
    log::info("going on from " + found->folder);
  }
  return trainer_.position();
}

json Run::run() {
  log::info("run folder " + folder_.path() + ", " + std::to_string(trainer_.parameters()) +
            " parameters, " + counted(at::get_num_threads(), "thread"));
  log::ProgressOptions options;
  options.start = restored_;
  options.every = config_.log.every;
  log::Progress bar(config_.loop.steps, log::stderr_is_terminal(), options);
  segment_began_ = logged_at_ = log::steady_seconds();
  logged_step_ = restored_;
  const double seconds_before = progress_["seconds"];
  evaluate_if_due();  // a signal may have cut it short before this resume
  while (!last() || evaluation_due()) {
    if (signals_.received() != 0) stop();
    const StepResult result = trainer_.step();
    show_progress(bar, result);
    progress_["seconds"] = seconds_before + log::steady_seconds() - segment_began_;
    after_step(result);
  }
  bar.finish();
  save(true);
  return summary();
}

void Run::after_step(const StepResult& result) {
  count_skips(result);
  if (due(config_.log.every) || last()) log_step(result);
  evaluate_if_due();
  // While updates are skipped, the weights are those that gave no finite loss.
  if (due(config_.checkpoint.every) && skipped_in_row() == 0) save(false);
}

void Run::stop() {
  save(true);
  throw RunError(kPreempted, std::string("stopped by ") + ::strsignal(signals_.received()) +
                                 " after step " + std::to_string(trainer_.position()) +
                                 "; state saved, run again to go on");
}

void Run::count_skips(const StepResult& result) {
  progress_["skipped_in_row"] = result.skipped ? skipped_in_row() + 1 : 0;
  if (!result.skipped) return;
  progress_["skipped"] = progress_["skipped"].get<int64_t>() + 1;
  log::warn("step " + std::to_string(trainer_.position()) + ": loss " + fixed(result.loss, 4) +
            ", gradient norm " + fixed(result.grad_norm, 4) + "; update skipped");
  if (skipped_in_row() > config_.loop.max_skipped) give_up();
}

void Run::give_up() {
  // Good: at least one more update could be made from it.
  const int64_t last_update = trainer_.position() - skipped_in_row();
  std::string good = "none";
  for (const StoredCheckpoint& stored : stored_checkpoints(folder_.checkpoints())) {
    if (stored.step >= last_update) continue;
    good = stored.folder;
    break;
  }
  throw RunError(kDiverged, std::to_string(skipped_in_row()) +
                                " updates in a row were not finite; last good checkpoint: " + good +
                                "; lower optimizer.lr or raise schedule.warmup_steps");
}

void Run::show_progress(log::Progress& bar, const StepResult& result) {
  log::Progress::Fields fields = {{"loss", fixed(result.loss, 4)},
                                  {"accuracy", fixed(100 * result.mean(result.right), 1) + "%"}};
  for (const Means::Entry& meter : result.meters)
    fields.push_back({meter.name, fixed(meter.mean(), 2)});
  const double elapsed = log::steady_seconds() - segment_began_;
  const double examples = double((trainer_.position() - restored_) * config_.loader.batch_size *
                                 config_.loop.accumulate);
  bar.update(trainer_.position(), fields, elapsed > 0 ? examples / elapsed : 0);
}

void Run::log_step(const StepResult& result) {
  const int64_t batch = config_.loader.batch_size * config_.loop.accumulate;
  const double now = log::steady_seconds(), elapsed = now - logged_at_;
  json record = {
      {"step", trainer_.position()},
      {"epoch",
       double(trainer_.position() * batch) / double(trainer_.dataset().size(Split::kTrain))},
      {"split", "train"},
      {"loss", result.loss},
      {"accuracy", result.mean(result.right)},
      {"lr", result.lr},
      {"grad_norm", result.grad_norm},
      {"examples_per_second",
       elapsed > 0 ? double((trainer_.position() - logged_step_) * batch) / elapsed : 0.0},
      {"seconds", progress_["seconds"]},
      {"macs", result.mean(result.macs)},
      {"tokens", result.mean(result.tokens)}};
  for (const Means::Entry& meter : result.meters) record[meter.name] = meter.mean();
  log_.add(record);
  logged_at_ = now;
  logged_step_ = trainer_.position();
}

bool Run::evaluation_due() const {
  return trainer_.position() > 0 && (due(config_.loop.evaluate_every) || last()) &&
         log_.evaluations().count(trainer_.position()) == 0;
}

void Run::evaluate_if_due() {
  if (!evaluation_due()) return;
  const Stop stop = [this] { return signals_.received() != 0; };
  const double began = log::steady_seconds();
  const auto result = trainer_.evaluate(stop);
  const auto ema = trainer_.evaluate_ema(stop);
  if (!result || stop()) return;  // still due: whoever goes on does it
  json record = result->record();
  if (ema) record.update({{"ema_accuracy", ema->accuracy}, {"ema_loss", ema->loss}});
  record.update({{"step", trainer_.position()}, {"split", "evaluation"}});
  const auto best = best_checkpoint(folder_.checkpoints(), accuracies());
  const double best_accuracy = best ? accuracies().at(best->step) : -1;
  log_.add(record);
  log::info("step " + std::to_string(trainer_.position()) + ": evaluation loss " +
            fixed(result->loss, 4) + ", accuracy " + fixed(100 * result->accuracy, 2) + "% on " +
            counted(result->examples, "example"));
  logged_at_ += log::steady_seconds() - began;
  const bool sound = std::isfinite(result->loss) && skipped_in_row() == 0;
  if (config_.checkpoint.keep_best && sound && result->accuracy > best_accuracy) save(false);
}

/// Of the evaluations whose loss was a number, by step.
std::map<int64_t, double> Run::accuracies() const {
  std::map<int64_t, double> found;
  for (const auto& [step, record] : log_.evaluations()) {
    if (std::isfinite(number(record, "loss"))) found[step] = number(record, "accuracy");
  }
  return found;
}

void Run::save(bool must_succeed) {
  if (saved_step_ == trainer_.position()) return;
  try {
    log_.sync();
    trainer_.save(checkpoint(trainer_.position()), progress_);
    saved_step_ = trainer_.position();
    if (skipped_in_row() > 0) return;  // a signal's: no good one may go for it
    prune_checkpoints(folder_.checkpoints(), config_.checkpoint.keep,
                      config_.checkpoint.keep_best ? accuracies() : std::map<int64_t, double>());
  } catch (const formats::FormatError& error) {
    if (must_succeed) throw;
    log::error(std::string(error.what()) + "; no checkpoint at step " +
               std::to_string(trainer_.position()) + ", earlier ones are kept and the run goes on");
  }
}

json Run::summary() {
  int64_t best_step = -1;
  double best_accuracy = -1;
  for (const auto& [step, accuracy] : accuracies()) {
    if (accuracy <= best_accuracy) continue;
    best_step = step;
    best_accuracy = accuracy;
  }
  const double seconds = progress_["seconds"];
  json summary = {{"run", folder_.path()},
                  {"model", std::visit([](const auto& m) { return m.kName; }, config_.model)},
                  {"seed", config_.seed},
                  {"steps", trainer_.position()},
                  {"parameters", trainer_.parameters()},
                  {"evaluation", log_.evaluations().at(trainer_.position())},
                  {"best_accuracy", best_accuracy},
                  {"best_step", best_step},
                  {"skipped_updates", progress_["skipped"]},
                  {"train_seconds", seconds},
                  {"steps_per_second", seconds > 0 ? double(trainer_.position()) / seconds : 0.0},
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

}  // namespace adatape

#include <torch/torch.h>
#include <CLI/CLI.hpp>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>

#include "csrc/config/load.h"
#include "csrc/log/log.h"
#include "csrc/models/models.h"
#include "datasets/datasets.h"
#include "trainers/checkpoint.h"
#include "trainers/commands.h"
#include "trainers/errors.h"
#include "trainers/evaluation.h"
#include "trainers/run_config.h"

namespace adatape {
namespace {

namespace fs = std::filesystem;

struct EvaluateArguments {
  std::string path;
  std::vector<std::string> overrides;
  std::string ledger;
  bool ema = false;
  bool json = false;
};

/// The checkpoint that a run folder or a checkpoint folder stands for.
std::string find_checkpoint(const std::string& path) {
  if (fs::exists(path + "/manifest.json")) return path;
  if (!fs::is_directory(path + "/checkpoints")) {
    throw RunError(
        kUsage,
        path +
            " is neither a run folder (with checkpoints/) nor a checkpoint (with manifest.json)");
  }
  const auto newest = newest_intact(path + "/checkpoints");
  if (!newest) throw RunError(kCheckpoint, path + " has no checkpoint yet");
  return newest->folder;
}

std::string table(const Evaluation& e, const std::string& checkpoint) {
  char text[1024];
  std::snprintf(text, sizeof text,
                "checkpoint    %s\naccuracy      %.2f%% on %lld examples\nloss          %.4f\n"
                "MACs          mean %.0f, median %.0f, 95th percentile %.0f an example\n"
                "tokens        mean %.2f, median %.0f, 95th percentile %.0f in the last block\n"
                "time          %.3f ms an example\n",
                checkpoint.c_str(), 100 * e.accuracy, static_cast<long long>(e.examples), e.loss,
                e.macs.mean, e.macs.p50, e.macs.p95, e.tokens.mean, e.tokens.p50, e.tokens.p95,
                1e3 * e.seconds / double(e.examples));
  return text;
}

void run(const EvaluateArguments& arguments) {
  const std::string checkpoint = find_checkpoint(arguments.path);
  verify_checkpoint(checkpoint);
  const RunConfig config =
      config::load<RunConfig>(checkpoint + "/config.yaml", arguments.overrides);
  if (config.threads > 0) at::set_num_threads(int(config.threads));
  const auto dataset = make_dataset(config.data, config.seed);
  const auto model = make_model(config.model, dataset->spec());
  const std::string set = arguments.ema ? "ema" : "model";
  if (arguments.ema && !fs::exists(checkpoint + "/ema.safetensors")) {
    throw RunError(kUsage,
                   checkpoint + " holds no averaged weights (ema.decay was 0); leave out --ema");
  }
  read_checkpoint(checkpoint, {{set, state_of(*model)}});

  std::string ledger = arguments.ledger;
  if (ledger.empty() && checkpoint != arguments.path) ledger = arguments.path + "/ledger.jsonl";
  const Evaluation result = *evaluate(*model, Task(config.task),
                                      Loader(*dataset, Split::kEvaluation, config.loader), ledger);
  if (!ledger.empty()) log::info("wrote " + ledger);
  nlohmann::json record = result.record();
  record["checkpoint"] = checkpoint;
  std::cout << (arguments.json ? record.dump(1) + "\n" : table(result, checkpoint)) << std::flush;
}

}  // namespace

void add_evaluate(CLI::App& app) {
  auto arguments = std::make_shared<EvaluateArguments>();
  CLI::App* command =
      app.add_subcommand("evaluate", "accuracy and compute ledger of a trained model");
  command->add_option("path", arguments->path, "run folder, or one of its checkpoints")->required();
  command->add_option("overrides", arguments->overrides,
                      "settings, as key=value (budgets, data, batch size)");
  command->add_option("--ledger", arguments->ledger,
                      "file for one line per example; default: ledger.jsonl of the run");
  command->add_flag("--ema", arguments->ema, "evaluate the averaged weights");
  command->add_flag("--json", arguments->json, "print one JSON object");
  command->footer("Example: adatape evaluate runs/short model.tape.threshold=1.5");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace adatape

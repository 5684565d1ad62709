#include <torch/torch.h>
#include <CLI/CLI.hpp>

#include <filesystem>
#include <memory>

#include "csrc/config/load.h"
#include "csrc/formats/atomic_file.h"
#include "csrc/log/log.h"
#include "csrc/models/models.h"
#include "datasets/datasets.h"
#include "trainers/checkpoint.h"
#include "trainers/commands.h"
#include "trainers/errors.h"
#include "trainers/evaluation.h"
#include "trainers/output.h"
#include "trainers/run_config.h"
#include "trainers/text.h"

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
  for (const char* file : {"manifest.json", "model.safetensors"}) {  // either may be lost
    if (fs::exists(path + "/" + file)) return path;
  }
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
  const auto spread = [](const Spread& s, int digits) {
    return "mean " + fixed(s.mean, digits) + ", median " + fixed(s.p50, 0) + ", 95th percentile " +
           fixed(s.p95, 0);
  };
  return "checkpoint    " + checkpoint + "\naccuracy      " + fixed(100 * e.accuracy, 2) + "% on " +
         counted(e.examples, "example") + "\nloss          " + fixed(e.loss, 4) +
         "\nMACs          " + spread(e.macs, 0) + " an example\ntokens        " +
         spread(e.tokens, 2) + " in the last block\ntime          " +
         fixed(1e3 * e.seconds / double(e.examples), 3) + " ms an example\n";
}

/// Where the ledger goes; fails now if it cannot, not after the evaluation.
std::string find_ledger(const EvaluateArguments& arguments, const std::string& checkpoint) {
  std::string ledger = arguments.ledger;
  if (ledger.empty() && checkpoint != arguments.path) ledger = arguments.path + "/ledger.jsonl";
  if (ledger.empty()) return ledger;
  if (fs::is_directory(ledger)) throw RunError(kUsage, ledger + " is a folder; give a file");
  try {
    const formats::AtomicFile attempt(ledger);
  } catch (const formats::IoError& error) {
    throw RunError(kUsage, error.what());
  }
  return ledger;
}

/// Weights of the checkpoint that do not fit are its fault only if nothing was overridden.
void read_weights(const EvaluateArguments& arguments, const std::string& checkpoint,
                  const Model& model) {
  if (arguments.ema && !fs::exists(checkpoint + "/ema.safetensors")) {
    throw RunError(kUsage,
                   checkpoint + " holds no averaged weights (ema.decay was 0); leave out --ema");
  }
  try {
    read_checkpoint(checkpoint, {{arguments.ema ? "ema" : "model", state_of(model)}});
  } catch (const RunError& error) {
    if (arguments.overrides.empty()) throw;
    throw RunError(kUsage,
                   std::string("the settings given here make another model: ") + error.what());
  }
}

void run(const EvaluateArguments& arguments) {
  const std::string checkpoint = find_checkpoint(arguments.path);
  verify_checkpoint(checkpoint);
  const std::string ledger = find_ledger(arguments, checkpoint);
  const RunConfig config =
      config::load<RunConfig>(checkpoint + "/config.yaml", arguments.overrides);
  if (config.threads > 0) at::set_num_threads(int(config.threads));
  const auto dataset = make_dataset(config.data, config.seed);
  const auto model = make_model(config.model, dataset->spec());
  read_weights(arguments, checkpoint, *model);

  const Evaluation result = *evaluate(*model, Task(config.task),
                                      Loader(*dataset, Split::kEvaluation, config.loader), ledger);
  if (!ledger.empty()) log::info("wrote " + ledger);
  nlohmann::json record = result.record();
  record["checkpoint"] = checkpoint;
  print(arguments.json ? record.dump(1) + "\n" : table(result, checkpoint));
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

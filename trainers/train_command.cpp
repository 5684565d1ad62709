#include <CLI/CLI.hpp>

#include <memory>

#include "csrc/config/load.h"
#include "trainers/commands.h"
#include "trainers/output.h"
#include "trainers/summary.h"
#include "trainers/train.h"

namespace adatape {
namespace {

struct TrainArguments {
  std::string config;
  std::vector<std::string> overrides;
  bool json = false;
  bool check = false;
};

void run(const TrainArguments& arguments) {
  const RunConfig config = config::load<RunConfig>(arguments.config, arguments.overrides);
  if (arguments.check) return print(arguments.config + ": ok\n");
  const nlohmann::json summary = train(config, arguments.config);
  print(arguments.json ? summary.dump(1) + "\n" : summary_table(summary));
}

}  // namespace

void add_train(CLI::App& app) {
  auto arguments = std::make_shared<TrainArguments>();
  CLI::App* command = app.add_subcommand("train", "train, evaluate, and print a summary");
  command->add_option("config", arguments->config, "configuration file")->required();
  command->add_option("overrides", arguments->overrides, "settings, as key=value");
  command->add_flag("--json", arguments->json, "print the summary as one JSON object");
  command->add_flag("--check", arguments->check, "check the configuration only");
  command->footer(
      "A run whose folder exists (run.name=...) goes on from its newest checkpoint.\n"
      "Example: adatape train configs/parity/adatape.yaml loop.steps=2000 run.name=short");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace adatape

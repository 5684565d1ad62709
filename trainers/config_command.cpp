#include <CLI/CLI.hpp>

#include <memory>

#include "csrc/config/load.h"
#include "trainers/commands.h"
#include "trainers/output.h"
#include "trainers/run_config.h"

namespace adatape {
namespace {

struct ConfigArguments {
  std::vector<std::string> files;
  std::string file;
  std::vector<std::string> overrides;
};

/// Every problem of every file, before giving up.
void check(const std::vector<std::string>& files) {
  std::vector<config::Problem> problems;
  for (const std::string& file : files) {
    try {
      config::load<RunConfig>(file);
      print(file + ": ok\n");
    } catch (const config::Error& error) {
      problems.insert(problems.end(), error.problems.begin(), error.problems.end());
    }
  }
  if (!problems.empty()) throw config::Error(problems);
}

}  // namespace

void add_config(CLI::App& app) {
  auto arguments = std::make_shared<ConfigArguments>();
  CLI::App* command = app.add_subcommand("config", "check, show or document configurations");
  command->require_subcommand(1);

  CLI::App* checking =
      command->add_subcommand("check", "check configuration files and report every problem");
  checking->add_option("files", arguments->files, "configuration files")->required();
  checking->footer("Example: adatape config check configs/parity/*.yaml");
  checking->callback([arguments] { check(arguments->files); });

  CLI::App* showing =
      command->add_subcommand("show", "print a configuration with every setting filled in");
  showing->add_option("file", arguments->file, "configuration file")->required();
  showing->add_option("overrides", arguments->overrides, "settings, as key=value");
  showing->footer("Example: adatape config show configs/parity/adatape.yaml model.encoder.dim=128");
  showing->callback([arguments] {
    print(config::to_yaml(config::load<RunConfig>(arguments->file, arguments->overrides)));
  });

  CLI::App* documenting =
      command->add_subcommand("reference", "print every key with default, bounds and meaning");
  documenting->footer("Example: adatape config reference > configs/REFERENCE.md");
  documenting->callback([] { print(config::reference<RunConfig>()); });
}

}  // namespace adatape

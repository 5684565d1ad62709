// The program `adatape`: chooses a subcommand, and turns every error into one sentence and an exit
// code.
#include <c10/util/Exception.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <csignal>
#include <new>

#include "csrc/config/load.h"
#include "csrc/config/text.h"
#include "csrc/formats/error.h"
#include "csrc/log/log.h"
#include "trainers/commands.h"
#include "trainers/environment.h"
#include "trainers/errors.h"

namespace adatape {
namespace {

/// CLI11 would say only that a subcommand is required.
void check_subcommand(const CLI::App& app, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  std::vector<std::string> known;
  for (const CLI::App* command : app.get_subcommands({})) known.push_back(command->get_name());
  if (std::find(known.begin(), known.end(), argv[1]) != known.end()) return;
  std::string message = "unknown command " + formats::quote(argv[1]);
  if (const auto near = config::nearest(argv[1], known))
    message += "; did you mean '" + *near + "'?";
  throw RunError(kUsage, message + " (see adatape --help)");
}

int usage_error(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
  log::error(std::string(error.what()) + " (see adatape --help)");
  return kUsage;
}

int run(int argc, char** argv) {
  CLI::App app("Train and study models that decide how much compute each example gets.", "adatape");
  app.require_subcommand(1);
  app.set_version_flag("--version", version_text);
  app.footer(
      "Example: adatape train configs/parity/adatape.yaml\n"
      "Exit codes: 0 done, 1 unexpected, 2 configuration or usage, 3 data, 4 diverged, 5 "
      "checkpoint unusable,\n"
      "75 stopped by a signal with its state saved: run again to go on.");
  add_train(app);
  add_evaluate(app);
  add_config(app);
  try {
    check_subcommand(app, argc, argv);
    app.parse(argc, argv);
    return kDone;
  } catch (const CLI::ParseError& error) {
    return usage_error(app, error);
  } catch (const config::Error& error) {
    for (const config::Problem& problem : error.problems) log::error(problem.text());
    return kUsage;
  } catch (const RunError& error) {
    log::write(error.code == kPreempted ? log::Level::kInfo : log::Level::kError, error.what());
    return error.code;
  } catch (const formats::FormatError& error) {
    log::error(error.what());
  } catch (const std::bad_alloc&) {
    log::error("out of memory; use a smaller loader.batch_size or model");
  } catch (const c10::Error& error) {
    log::error(error.what_without_backtrace());
  } catch (const std::exception& error) {
    log::error(std::string("unexpected: ") + error.what());
  }
  return kUnexpected;
}

}  // namespace
}  // namespace adatape

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error to report, not a death
  return adatape::run(argc, argv);
}

// The program `adatape`: chooses a subcommand, and turns every error into one sentence and an exit
// code.
#include <c10/util/Exception.h>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <csignal>
#include <new>
#include <span>
#include <sstream>

#include "csrc/config/load.h"
#include "csrc/config/text.h"
#include "csrc/formats/error.h"
#include "csrc/log/log.h"
#include "trainers/commands.h"
#include "trainers/environment.h"
#include "trainers/errors.h"
#include "trainers/output.h"

namespace adatape {
namespace {

/// Says what `word` may have meant.
[[noreturn]] void unknown(const std::string& what, const std::string& word,
                          const std::vector<std::string>& known) {
  std::string message = "unknown " + what + " " + formats::quote(word);
  const auto near = config::nearest(word, known);
  if (near)
    message += *near == word ? "; put it after its command" : "; did you mean '" + *near + "'?";
  throw RunError(kUsage, message + " (see adatape --help)");
}

/// `deep`: those of its subcommands too.
std::vector<std::string> long_options(const CLI::App& command, bool deep) {
  std::vector<std::string> names;
  if (deep) {
    for (const CLI::App* sub : command.get_subcommands({})) {
      for (const std::string& name : long_options(*sub, true)) names.push_back(name);
    }
  }
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

/// Options and subcommands that are none, with the nearest that is; CLI11 would say only that a
/// subcommand is required. What follows "--" is never an option.
void check_words(const CLI::App& command, std::span<char*> words) {
  const std::vector<std::string> options = long_options(command, false);
  std::vector<std::string> names;
  for (const CLI::App* sub : command.get_subcommands({})) names.push_back(sub->get_name());
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string word = words[i], option = word.substr(0, word.find('='));
    if (word == "--") return;
    if (word.starts_with("--")) {
      if (std::ranges::find(options, option) == options.end())
        unknown("option", option, long_options(command, true));
    } else if (!names.empty() && !word.starts_with("-")) {
      if (std::ranges::find(names, word) == names.end()) unknown("command", word, names);
      return check_words(*command.get_subcommand(word), words.subspan(i + 1));
    }
  }
}

void parse(CLI::App& app, int argc, char** argv) {
  try {
    check_words(app, std::span(argv, size_t(argc)).subspan(1));
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) {
      throw RunError(kUsage, std::string(error.what()) + " (see adatape --help)");
    }
    std::ostringstream text;  // --help, --version
    app.exit(error, text);
    print(text.str());
  }
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
    parse(app, argc, argv);
    return kDone;
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

// The subcommands of the program `adatape`. Each adds itself to the command line; its work runs
// when chosen.
#pragma once

#include <CLI/App.hpp>

namespace adatape {

void add_train(CLI::App& app);
void add_evaluate(CLI::App& app);
void add_config(CLI::App& app);

}  // namespace adatape

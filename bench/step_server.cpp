// Training steps on demand, for benchmarks that interleave contenders: reads "run N" or "phases N"
// lines from standard input, does N steps of the run that its arguments (CONFIG key=value...)
// describe, and prints one JSON object: {"seconds": ...}, with "phases" also the milliseconds a
// step spent in each part.
#include <ATen/record_function.h>

#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "csrc/config/load.h"
#include "csrc/log/progress.h"
#include "trainers/trainer.h"

namespace adatape {
namespace {

/// Inclusive seconds by name. A name within itself (an op that the dispatcher calls again) counts
/// once.
struct Clock {
  std::map<std::string, double> seconds;
  std::map<std::string, int> depth;
};
Clock clock_by_name;  // the callbacks below are plain functions; autograd runs on the calling
                      // thread here

struct Began : at::ObserverContext {
  double at = log::steady_seconds();
};

bool is_phase(const std::string& name) {
  static const std::map<std::string, int> scopes = {{"fetch", 0},        {"forward", 0},
                                                    {"backward", 0},     {"update", 0},
                                                    {"feed_forward", 0}, {"attention", 0}};
  return scopes.count(name) > 0 || name.rfind("adatape::", 0) == 0;
}

std::unique_ptr<at::ObserverContext> enter(const at::RecordFunction& function) {
  if (!is_phase(function.name())) return nullptr;
  ++clock_by_name.depth[function.name()];
  return std::make_unique<Began>();
}

void leave(const at::RecordFunction& function, at::ObserverContext* context) {
  if (context == nullptr) return;
  if (--clock_by_name.depth[function.name()] > 0) return;
  clock_by_name.seconds[function.name()] +=
      log::steady_seconds() - static_cast<Began*>(context)->at;
}

nlohmann::json run(Trainer& trainer, int64_t steps, bool phases) {
  clock_by_name = {};
  const auto handle = phases ? at::addGlobalCallback(at::RecordFunctionCallback(enter, leave)
                                                         .scopes({at::RecordScope::FUNCTION,
                                                                  at::RecordScope::USER_SCOPE}))
                             : at::INVALID_CALLBACK_HANDLE;
  const double began = log::steady_seconds();
  for (int64_t i = 0; i < steps; ++i) trainer.step();
  nlohmann::json result = {{"seconds", log::steady_seconds() - began}};
  if (phases) {
    at::removeCallback(handle);
    for (const auto& [name, seconds] : clock_by_name.seconds) {
      result["phases"][name] = 1e3 * seconds / double(steps);
    }
  }
  return result;
}

}  // namespace
}  // namespace adatape

int main(int argc, char** argv) {
  using namespace adatape;
  try {
    Trainer trainer(config::load<RunConfig>(argc > 1 ? argv[1] : "",
                                            std::vector<std::string>(argv + 2, argv + argc)));
    for (std::string line; std::getline(std::cin, line);) {
      std::istringstream words(line);
      std::string verb;
      int64_t steps = 0;
      words >> verb >> steps;
      std::cout << run(trainer, steps, verb == "phases").dump() << std::endl;
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
}

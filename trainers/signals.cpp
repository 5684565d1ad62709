#include "trainers/signals.h"

#include <unistd.h>
#include <csignal>

#include <iterator>

namespace adatape {
namespace {

constexpr int kSignals[] = {SIGTERM, SIGINT, SIGUSR1};
volatile std::sig_atomic_t first_signal = 0;
struct sigaction former[std::size(kSignals)];

void on_signal(int signal) {
  if (first_signal != 0) ::_exit(128 + signal);
  first_signal = signal;
}

}  // namespace

StopSignals::StopSignals() {
  first_signal = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (size_t i = 0; i < std::size(kSignals); ++i) ::sigaction(kSignals[i], &action, &former[i]);
}

StopSignals::~StopSignals() {
  for (size_t i = 0; i < std::size(kSignals); ++i) ::sigaction(kSignals[i], &former[i], nullptr);
}

int StopSignals::received() const { return first_signal; }

}  // namespace adatape

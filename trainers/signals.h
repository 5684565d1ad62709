// SIGTERM, SIGINT and SIGUSR1 ask for a save and an orderly end; a second one ends the process at
// once.
#pragma once

namespace adatape {

/// Installs the handlers while it lives, and puts the former ones back.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// The first signal that came; 0: none.
  int received() const;
};

}  // namespace adatape

// What can end the program, each with its exit code (docs: README, "Exit codes").
#pragma once

#include <stdexcept>

namespace adatape {

enum ExitCode : int {
  kDone = 0,
  kUnexpected = 1,
  kUsage = 2,  ///< configuration or command line
  kData = 3,
  kDiverged = 4,    ///< loss not finite, after the skips that are allowed
  kCheckpoint = 5,  ///< damaged, or of another model
  kPreempted = 75,  ///< state saved; run again to go on (EX_TEMPFAIL)
};

/// An error whose text is one sentence for the user.
struct RunError : std::runtime_error {
  RunError(ExitCode code, const std::string& message) : std::runtime_error(message), code(code) {}
  ExitCode code;
};

}  // namespace adatape

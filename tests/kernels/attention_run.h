// Runs attention problems on the emulated machine and on the CPU kernels.
#pragma once

#include "kernels/emulation/machine.h"
#include "tests/kernels/attention_problem.h"

namespace adatape::kernels {

struct EmulatedAttention {
  AttentionResults results;
  std::string findings;  // of the machine, and rows of no sequence that were written
};

/// Forward, and backward from its out and lse. longest: the bound max_q = max_k that the host
/// passes; 0: the longest there is.
EmulatedAttention emulate(const AttentionProblem& problem, const emulation::Settings& settings = {},
                          int longest = 0);

AttentionResults attention_on_cpu(const AttentionProblem& problem);

}  // namespace adatape::kernels

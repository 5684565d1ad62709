// What a Machine keeps, for the files that run launches on it.
#pragma once

#include "kernels/emulation/machine.h"
#include "kernels/emulation/shadow.h"

namespace adatape::kernels::emulation {

struct State {
  Settings settings;
  Shadow shadow;
  unsigned char* arena = nullptr;  // address space; each range gets a part far from the others
  size_t parts = 0;
};

/// Of the Machine that exists, if any.
extern State* current_state;

}  // namespace adatape::kernels::emulation

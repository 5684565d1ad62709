#pragma once

#include <cstdint>

#include "csrc/config/schema.h"

namespace adatape {

/// How batches are made.
struct LoaderConfig {
  int64_t batch_size = 256;
  int64_t workers = 0;

  static void declare(auto& c, auto&& field) {
    using namespace config;
    field("batch_size", c.batch_size, Range{1, 1048576}, "examples in a batch");
    field("workers", c.workers, Range{0, 256},
          "threads that make batches ahead; 0: made when asked for");
  }
};

}  // namespace adatape

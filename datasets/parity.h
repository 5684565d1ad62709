// Generated parity strings.
#pragma once

#include <ATen/core/PhiloxRNGEngine.h>

#include "datasets/dataset.h"
#include "datasets/parity_config.h"

namespace adatape {

/// Symbol ids 0, 1, 2 stand for -1, 0, 1; label 1 means an odd number of ones. Example n of a split
/// is drawn from Philox stream (seed, 2 n + split): no state, no order, no end.
class Parity : public Dataset {
 public:
  Parity(const ParityConfig& config, int64_t seed) : config_(config), seed_(seed) {}

  InputSpec spec() const override { return {config_.length, 3, 2}; }
  int64_t size(Split split) const override {
    return split == Split::kTrain ? config_.train_examples : config_.evaluation_examples;
  }
  Batch batch(Split split, std::span<const int64_t> numbers) const override;

 private:
  void draw_uniform(at::Philox4_32& random, int64_t* symbols) const;
  void draw_count(at::Philox4_32& random, int64_t* symbols) const;

  ParityConfig config_;
  int64_t seed_;
};

}  // namespace adatape

// Where examples come from.
#pragma once

#include <cstdint>
#include <span>

#include "csrc/batch.h"

namespace adatape {

enum class Split { kTrain, kEvaluation };

/// A function from example numbers to examples: safe to call from several threads, and equal calls
/// give equal batches, so any batch of a run can be made again from its numbers alone.
struct Dataset {
  virtual ~Dataset() = default;
  virtual InputSpec spec() const = 0;
  /// Examples in one epoch of the split.
  virtual int64_t size(Split split) const = 0;
  /// The examples with these numbers, each >= 0. Numbers past an epoch are new examples where a
  /// dataset is generated.
  virtual Batch batch(Split split, std::span<const int64_t> numbers) const = 0;
};

}  // namespace adatape

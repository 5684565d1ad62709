// Batches in order, made ahead by worker threads. Batch i of a split depends on (dataset, split,
// batch size, i) alone, so the number of workers never changes a run, and a resumed run goes on at
// any position.
#pragma once

#include <cstdint>
#include <deque>
#include <future>

#include "datasets/dataset.h"
#include "datasets/loader_config.h"

namespace adatape {

class Loader {
 public:
  /// Starts at batch `position`. The dataset must outlive the loader.
  Loader(const Dataset& dataset, Split split, const LoaderConfig& config, int64_t position = 0);
  Loader(Loader&&) = delete;  // the workers hold its address

  /// Batches in one epoch; the last one may be short.
  int64_t batches() const;

  /// The batch at position(), which then moves on. Training positions run on past the epoch;
  /// an evaluation batch ends where the split does.
  Batch next();

  int64_t position() const { return position_; }

  /// Goes on at this position instead.
  void seek(int64_t position);

 private:
  Batch make(int64_t position) const;

  const Dataset& dataset_;
  Split split_;
  LoaderConfig config_;
  int64_t position_;
  std::deque<std::future<Batch>> ahead_;
};

}  // namespace adatape

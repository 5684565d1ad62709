#include "datasets/loader.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace adatape {

Loader::Loader(const Dataset& dataset, Split split, const LoaderConfig& config, int64_t position)
    : dataset_(dataset), split_(split), config_(config), position_(position) {}

int64_t Loader::batches() const {
  return (dataset_.size(split_) + config_.batch_size - 1) / config_.batch_size;
}

Batch Loader::make(int64_t position) const {
  const int64_t first = position * config_.batch_size;
  int64_t count = config_.batch_size;
  if (split_ == Split::kEvaluation) count = std::min(count, dataset_.size(split_) - first);
  std::vector<int64_t> numbers(size_t(std::max<int64_t>(count, 0)));
  std::iota(numbers.begin(), numbers.end(), first);
  return dataset_.batch(split_, numbers);
}

void Loader::seek(int64_t position) {
  ahead_.clear();
  position_ = position;
}

Batch Loader::next() {
  if (config_.workers == 0) return make(position_++);
  while (int64_t(ahead_.size()) < config_.workers) {
    const int64_t position = position_ + int64_t(ahead_.size());
    ahead_.push_back(std::async(std::launch::async, [this, position] { return make(position); }));
  }
  Batch batch = ahead_.front().get();
  ahead_.pop_front();
  ++position_;
  return batch;
}

}  // namespace adatape

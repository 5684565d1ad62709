#include "datasets/parity.h"

#include <torch/torch.h>

#include <algorithm>
#include <utility>

namespace adatape {
namespace {

constexpr int64_t kMinus = 0, kZero = 1, kOne = 2;

/// Uniform in [0, n): the high half of a product; its bias, n / 2^32, is far below what a run can
/// see.
int64_t below(at::Philox4_32& random, int64_t n) {
  return int64_t(uint64_t(random()) * uint64_t(n) >> 32);
}

}  // namespace

void Parity::draw_uniform(at::Philox4_32& random, int64_t* symbols) const {
  for (int64_t i = 0; i < config_.length; ++i) symbols[i] = below(random, 3);
}

void Parity::draw_count(at::Philox4_32& random, int64_t* symbols) const {
  const int64_t count = 1 + below(random, config_.length);
  for (int64_t i = 0; i < config_.length; ++i) {
    symbols[i] = i >= count ? kZero : (random() & 1u) ? kOne : kMinus;
  }
  for (int64_t i = config_.length - 1; i > 0; --i)
    std::swap(symbols[i], symbols[below(random, i + 1)]);
}

Batch Parity::batch(Split split, std::span<const int64_t> numbers) const {
  const int64_t size = int64_t(numbers.size());
  Batch batch{torch::empty({size, config_.length}, torch::kLong),
              torch::empty({size}, torch::kLong)};
  int64_t* symbols = batch.input.mutable_data_ptr<int64_t>();
  int64_t* label = batch.label_B.mutable_data_ptr<int64_t>();
  const bool uniform = config_.generator == "iid_uniform";
  for (int64_t b = 0; b < size; ++b, symbols += config_.length) {
    at::Philox4_32 random(uint64_t(seed_),
                          2 * uint64_t(numbers[b]) + (split == Split::kEvaluation));
    uniform ? draw_uniform(random, symbols) : draw_count(random, symbols);
    label[b] = std::count(symbols, symbols + config_.length, kOne) % 2;
  }
  return batch;
}

}  // namespace adatape

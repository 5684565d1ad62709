// Adaptive tape reading [AdaTape §"adaptive tape reading"; docs/ops.md]: every example repeatedly
// merges its best unread bank rows into one tape token, until its summed top weights reach a
// threshold.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>

namespace adatape::ops {

/// Settings of a reading. K = merge is floor(max_tokens / threshold) in the paper's code.
struct TapeSelectOptions {
  int64_t max_tokens = 10;       ///< T, the most steps
  double threshold = 2;          ///< an example stops when its summed top weights reach it
  int64_t merge = 5;             ///< K, bank rows merged in one step
  std::string penalty = "gini";  ///< ponder of a step: "gini" 1 - sum w^2, "max" 1 - max w
  bool average_query = true;     ///< next query (q + z) / 2, else z
  std::optional<double> scale;   ///< of the scores in the softmax; default 1/sqrt(C)
};

struct TapeSelection {
  at::Tensor index_BTK;  ///< int32 bank rows in the order read (score descending, index ascending);
                         ///< -1 unused
  at::Tensor weight_BTK;  ///< softmax weights, float32 (float64 for float64 keys); 0 unused
  at::Tensor length_B;    ///< int32, steps taken; 0 only where no row was available
  at::Tensor ponder_B;    ///< summed penalty, type of weight
};

/// query [B, C] and keys [B, N, C], or [N, C] shared by all; bank_length int32 [B] rows that exist;
/// blocked bool [B, N] or [N] rows that must not be read. Differentiable: weight and ponder with
/// respect to query and keys. Throws c10::Error with a sentence beginning "[tape_select]".
TapeSelection tape_select(const at::Tensor& query_BC, const at::Tensor& keys_BNC,
                          const TapeSelectOptions& options,
                          const std::optional<at::Tensor>& bank_length_B = std::nullopt,
                          const std::optional<at::Tensor>& blocked_BN = std::nullopt);

}  // namespace adatape::ops

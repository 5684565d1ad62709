// Attention problems for the kernels' tests: inputs, the answer in float64, and what a naive
// computation in the elements' own precision makes of them.
#pragma once

#include <string>
#include <vector>

#include "kernels/ragged_attention.h"

namespace adatape::kernels {

/// How the rows of a tensor lie in memory.
enum class Layout { kDense, kHeadsFirst, kInterleaved };  // [R, H, C]; [H, R, C]; [R, 3, H, C]

struct AttentionCase {
  DType dtype = DType::kBFloat16;
  int width = 64, heads = 2;
  std::vector<int> queries{}, keys{};  // lengths; no keys: the same as queries
  bool causal = false;
  bool query_tails = false, key_tails = false;  // cuts sequences in two segments
  int gap = 0;                                  // rows of no sequence behind each segment list
  double scale = 0;                             // 0: 1 / sqrt(width)
  double spread = 1;                            // of queries and keys
  Layout layout = Layout::kDense;
  std::vector<int>
      names{};  // sequences of one name and length hold the same numbers; none: 0, 1, …
};

/// Rows of all sequences in one packed tensor.
struct Segments {
  std::vector<int32_t> cu, tail;       // tail: empty without
  std::vector<std::vector<int>> rows;  // of each sequence
  int total = 0;                       // rows of the tensor
};

/// Values [rows, H, C], rounded to the case's type; rows of no sequence are NaN.
struct AttentionProblem {
  AttentionCase config;
  Segments queries, keys;
  std::vector<double> query, key, value, grad_out;

  explicit AttentionProblem(const AttentionCase& config);
  size_t at(int row, int head, int c) const {
    return (size_t(row) * config.heads + head) * config.width + c;
  }
  double scale() const;
  /// Keys that query i of sequence b sees.
  int visible(int b, int i) const;
};

/// What attention gives: out and gradients [rows, H, C], lse [H, Tq]; 0 for rows of no sequence.
struct AttentionResults {
  std::vector<double> out, lse, grad_query, grad_key, grad_value;
};

/// The value rounded to the type.
double round_to(DType dtype, double value);

AttentionResults attention_in_float64(const AttentionProblem& problem);

/// Sums in float, probabilities and score gradients rounded to the elements' type. Computed twice,
/// with channels in either order, since small problems have lucky orders.
struct NaiveAttention {
  AttentionResults ascending, descending;
};
NaiveAttention attention_naive(const AttentionProblem& problem);

/// One sentence for each result with an error of more than `times` the naive one, on top of the
/// last rounding, which nobody can avoid; "" if none.
std::string compare(DType dtype, const AttentionResults& results, const AttentionResults& exact,
                    const NaiveAttention& naive, double times = 2);

/// All results of one sequence, one behind the other.
std::vector<double> results_of(const AttentionProblem& problem, const AttentionResults& results,
                               int b);

}  // namespace adatape::kernels

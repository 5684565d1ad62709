// What must not change a single bit of the attention kernels' results: the order of threads and
// blocks, a sequence's batch-mates, which kernels the host chooses, where rows lie.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cmath>
#include <cstring>

#include "kernels/device.h"
#include "kernels/ragged_attention.h"
#include "tests/kernels/attention_run.h"

namespace adatape::kernels {
namespace {

using emulation::Order;

const std::vector<DType> kTypes = {DType::kFloat32, DType::kBFloat16, DType::kFloat16};
const std::vector<int> kWidths = {16, 32, 64, 80, 96, 128, 20};

/// Equal bits, where NaN equals NaN.
bool same(const std::vector<double>& x, const std::vector<double>& y) {
  if (x.size() != y.size()) return false;
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i]) ? !std::isnan(y[i]) : x[i] != y[i]) return false;
  }
  return true;
}

AttentionResults run(const AttentionProblem& problem, const emulation::Settings& settings = {},
                     int longest = 0) {
  const EmulatedAttention run = emulate(problem, settings, longest);
  EXPECT_EQ(run.findings, "");
  return run.results;
}

TEST(RaggedAttentionBits, DoNotDependOnTheOrderOfThreads) {
  for (DType dtype : kTypes) {
    for (int width : kWidths) {
      for (const std::vector<int>& lengths :
           {std::vector<int>{70, 5, 130}, {20, 5, 32}, {50, 64}}) {
        const AttentionProblem problem({.dtype = dtype, .width = width, .queries = lengths});
        const AttentionResults first = run(problem);
        for (Order order : {Order::kReversed, Order::kPermuted}) {
          const AttentionResults other = run(problem, {.order = order, .seed = 7});
          for (size_t b = 0; b < lengths.size(); ++b) {
            EXPECT_TRUE(same(results_of(problem, first, b), results_of(problem, other, b)));
          }
        }
      }
    }
  }
}

/// Results of the sequence `length` long and called 5, in a batch with others.
std::vector<double> in_batch(AttentionCase c, int length, const std::vector<int>& before,
                             const std::vector<int>& behind, int longest) {
  c.queries = before;
  c.queries.push_back(length);
  c.queries.insert(c.queries.end(), behind.begin(), behind.end());
  for (size_t b = 0; b < c.queries.size(); ++b) c.names.push_back(b == before.size() ? 5 : 6);
  const AttentionProblem problem(c);
  return results_of(problem, run(problem, {}, longest), int(before.size()));
}

TEST(RaggedAttentionBits, DoNotDependOnBatchMatesNorOnTheChoiceOfKernels) {
  for (DType dtype : kTypes) {
    for (int width : kWidths) {
      for (bool causal : {false, true}) {
        for (int length : {1, 13, 16, 29, 32, 47, 64}) {
          const AttentionCase c{.dtype = dtype, .width = width, .causal = causal};
          const std::vector<double> alone = in_batch(c, length, {}, {}, 0);
          EXPECT_TRUE(same(alone, in_batch(c, length, {}, {}, 64))) << "as a whole sequence";
          EXPECT_TRUE(same(alone, in_batch(c, length, {}, {}, 65))) << "in tiles";
          EXPECT_TRUE(same(alone, in_batch(c, length, {3, 0, 21}, {1}, 0))) << "among short ones";
          EXPECT_TRUE(same(alone, in_batch(c, length, {90, 2}, {80}, 0))) << "among long ones";
        }
      }
    }
  }
}

TEST(RaggedAttentionBits, DoNotDependOnSegmentsNorLayout) {
  for (DType dtype : kTypes) {
    for (const std::vector<int>& lengths : {std::vector<int>{70, 5, 130}, {20, 5, 32}, {50, 64}}) {
      AttentionCase c{.dtype = dtype, .queries = lengths};
      const AttentionProblem plain(c);
      c.query_tails = c.key_tails = true;
      c.gap = 2;
      c.layout = Layout::kHeadsFirst;
      const AttentionProblem other(c);
      const AttentionResults x = run(plain), y = run(other);
      for (size_t b = 0; b < lengths.size(); ++b) {
        EXPECT_TRUE(same(results_of(plain, x, b), results_of(other, y, b)));
      }
    }
  }
}

TEST(RaggedAttentionBits, KeepNotFiniteNumbersInTheirOwnSequence) {
  for (DType dtype : kTypes) {
    for (int width : {16, 64, 128, 20}) {
      for (const std::vector<int>& lengths :
           {std::vector<int>{70, 9, 130}, {20, 9, 32}, {50, 9, 64}, {7, 9, 7}}) {
        for (double bad : {double(NAN), double(INFINITY), -double(INFINITY)}) {
          AttentionProblem p({.dtype = dtype, .width = width, .queries = lengths});
          const AttentionResults clean = run(p);
          for (auto* tensor : {&p.query, &p.key, &p.value, &p.grad_out}) {
            const double before = (*tensor)[p.at(p.queries.rows[1][4], 0, 3)];
            (*tensor)[p.at(p.queries.rows[1][4], 0, 3)] = bad;
            const AttentionResults dirty = run(p);
            EXPECT_TRUE(same(results_of(p, clean, 0), results_of(p, dirty, 0)));
            EXPECT_TRUE(same(results_of(p, clean, 2), results_of(p, dirty, 2)));
            const std::vector<double> ours = results_of(p, dirty, 1);
            const std::vector<double> cpu = results_of(p, attention_on_cpu(p), 1);
            for (size_t i = 0; i < ours.size(); ++i) {
              EXPECT_EQ(std::isfinite(ours[i]), std::isfinite(cpu[i])) << "NaN must reach the loss";
            }
            (*tensor)[p.at(p.queries.rows[1][4], 0, 3)] = before;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace adatape::kernels

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
const std::vector<int> kWidths = {16, 64, 96};

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

void expect_same_in_every_order(const AttentionCase& config) {
  const AttentionProblem problem(config);
  const AttentionResults first = run(problem);
  for (Order order : {Order::kReversed, Order::kPermuted}) {
    const AttentionResults other = run(problem, {.order = order, .seed = 7});
    for (int b = 0; b < int(config.queries.size()); ++b) {
      EXPECT_TRUE(same(results_of(problem, first, b), results_of(problem, other, b)));
    }
  }
}

TEST(RaggedAttentionBits, DoNotDependOnTheOrderOfThreads) {
  for (DType dtype : kTypes) {
    for (int width : kWidths) {
      for (const std::vector<int>& lengths : {std::vector<int>{5, 70}, {20, 5, 32}, {50, 64}}) {
        expect_same_in_every_order(
            {.dtype = dtype, .width = width, .heads = 1, .queries = lengths});
      }
    }
    expect_same_in_every_order({.dtype = dtype, .width = 20, .heads = 1, .queries = {5, 0, 17}});
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
        for (int length : {1, 29, 47}) {
          const AttentionCase c{.dtype = dtype, .width = width, .heads = 1, .causal = causal};
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
        EXPECT_TRUE(same(results_of(plain, x, int(b)), results_of(other, y, int(b))));
      }
    }
  }
}

/// One not finite number in each tensor in turn, in the middle of three sequences.
void expect_isolation(AttentionProblem& p, double bad) {
  const AttentionResults clean = run(p);
  for (auto* tensor : {&p.query, &p.key, &p.value, &p.grad_out}) {
    double& number = (*tensor)[p.at(p.queries.rows[1][4], 0, 3)];
    const double before = number;
    number = bad;
    const AttentionResults dirty = run(p);
    EXPECT_TRUE(same(results_of(p, clean, 0), results_of(p, dirty, 0)));
    EXPECT_TRUE(same(results_of(p, clean, 2), results_of(p, dirty, 2)));
    const std::vector<double> ours = results_of(p, dirty, 1);
    const std::vector<double> cpu = results_of(p, attention_on_cpu(p), 1);
    for (size_t i = 0; i < ours.size(); ++i) {
      EXPECT_EQ(std::isfinite(ours[i]), std::isfinite(cpu[i])) << "NaN must reach the loss";
    }
    number = before;
  }
}

TEST(RaggedAttentionBits, KeepNotFiniteNumbersInTheirOwnSequence) {
  for (DType dtype : kTypes) {
    for (double bad : {double(NAN), double(INFINITY)}) {
      AttentionCase c{.dtype = dtype, .heads = 1};
      for (int width : {16, 64}) {
        c.width = width;
        for (const std::vector<int>& lengths :
             {std::vector<int>{70, 9, 5}, {20, 9, 32}, {50, 9, 4}}) {
          c.queries = lengths;
          AttentionProblem problem(c);
          expect_isolation(problem, bad);
        }
      }
      c.width = 20;
      c.queries = {5, 9, 4};
      AttentionProblem problem(c);
      expect_isolation(problem, bad);
    }
  }
}

/// Three rows of one head, each in a memory of its own, more than 2^31 elements apart.
class FarRows {
 public:
  static constexpr int kWidth = 16;
  static constexpr int64_t kStride = (int64_t(1) << 31) + 64, kBytes = 2 * (2 * kStride + kWidth);

  FarRows(emulation::Machine& machine, const std::string& name, const std::vector<double>& values,
          emulation::Contents contents) {
    memory_ = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (int i = 0; i < 3; ++i) {
      for (int c = 0; c < kWidth && !values.empty(); ++c) {
        row(i)[c] = bfloat16_bits(float(values[i * kWidth + c]));
      }
      machine.track(name + std::to_string(i), row(i), 2 * kWidth, contents);
    }
  }
  ~FarRows() { munmap(memory_, kBytes); }
  PackedHeads heads() const { return {memory_, kStride, kWidth}; }
  std::vector<double> values() const {
    std::vector<double> all;
    for (int i = 0; i < 3; ++i) {
      for (int c = 0; c < kWidth; ++c) all.push_back(bfloat16_value(row(i)[c]));
    }
    return all;
  }

 private:
  uint16_t* row(int i) const { return static_cast<uint16_t*>(memory_) + i * kStride; }
  void* memory_;
};

TEST(RaggedAttentionBits, DoNotDependOnHowFarApartRowsAre) {
  const AttentionProblem p({.width = FarRows::kWidth, .heads = 1, .queries = {3}});
  const AttentionResults near = run(p);
  for (int longest : {3, 64, 65}) {
    using emulation::Contents;
    emulation::Machine machine;
    const FarRows query(machine, "query", p.query, Contents::kInput);
    const FarRows key(machine, "key", p.key, Contents::kInput);
    const FarRows value(machine, "value", p.value, Contents::kInput);
    const FarRows grad_out(machine, "grad_out", p.grad_out, Contents::kInput);
    const FarRows out(machine, "out", {}, Contents::kOutput);
    const FarRows grad_query(machine, "grad_query", {}, Contents::kOutput);
    const FarRows grad_key(machine, "grad_key", {}, Contents::kOutput);
    const FarRows grad_value(machine, "grad_value", {}, Contents::kOutput);
    const int32_t* cu = machine.input("cu", p.queries.cu);
    RaggedAttention f{DType::kBFloat16,
                      query.heads(),
                      key.heads(),
                      value.heads(),
                      {cu, nullptr},
                      {cu, nullptr},
                      1,
                      1,
                      FarRows::kWidth,
                      3,
                      3,
                      p.scale(),
                      false,
                      out.heads(),
                      machine.output<float>("lse", 3)};
    cuda::ragged_attention(f, longest, longest, nullptr);
    void* workspace = machine.output<float>("workspace", 6);
    cuda::ragged_attention_backward(
        {f, grad_out.heads(), grad_query.heads(), grad_key.heads(), grad_value.heads()}, longest,
        longest, workspace, nullptr);
    EXPECT_EQ(machine.text(), "");
    EXPECT_EQ(out.values(), near.out);
    EXPECT_EQ(grad_query.values(), near.grad_query);
    EXPECT_EQ(grad_key.values(), near.grad_key);
    EXPECT_EQ(grad_value.values(), near.grad_value);
  }
}

}  // namespace
}  // namespace adatape::kernels

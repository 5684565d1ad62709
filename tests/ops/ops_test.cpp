// The ops' C++ entry points over types, shapes and threads; also the program that runs under the
// sanitizers. Values are compared with the same op in float64; tests/ops/test_ops.py compares that
// with independent references.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "csrc/ops/ragged_attention.h"
#include "csrc/ops/segment_sum.h"
#include "csrc/ops/tape_gather.h"
#include "csrc/ops/tape_select.h"

namespace adatape::ops {
namespace {

torch::Tensor offsets_of(const std::vector<int>& lengths) {
  std::vector<int> offsets{0};
  for (int length : lengths) offsets.push_back(offsets.back() + length);
  return torch::tensor(offsets, torch::kInt);
}

double epsilon(torch::ScalarType type) {
  return type == torch::kBFloat16 ? 8e-3
         : type == torch::kHalf   ? 1e-3
         : type == torch::kFloat  ? 1.2e-7
                                  : 2.2e-16;
}

void expect_near(const torch::Tensor& value, const torch::Tensor& exact, double tolerance,
                 const char* what) {
  ASSERT_EQ(value.sizes(), exact.sizes()) << what;
  if (exact.numel() == 0) return;
  const double size = std::max(1.0, exact.abs().max().item<double>());
  EXPECT_LE((value.to(torch::kDouble) - exact).abs().max().item<double>(), tolerance * size)
      << what;
}

const std::vector<torch::ScalarType> kTypes = {torch::kFloat, torch::kDouble, torch::kBFloat16,
                                               torch::kHalf};

/// select and gather of one bank: tape, ponder, and the gradients of query and bank.
std::vector<torch::Tensor> read(torch::Tensor query, torch::Tensor bank, int64_t key_width) {
  query = query.detach().clone().requires_grad_();
  bank = bank.detach().clone().requires_grad_();
  TapeSelectOptions options;
  options.max_tokens = 6;
  options.threshold = 2;
  options.merge = 3;
  const TapeSelection selection = tape_select(query, bank.narrow(-1, 0, key_width), options);
  torch::Tensor offsets = torch::zeros({query.size(0) + 1}, torch::kInt);
  offsets.narrow(0, 1, query.size(0)).copy_(selection.length_B.cumsum(0));
  const torch::Tensor tape = tape_gather(bank, selection.index_BTK, selection.weight_BTK, offsets,
                                         offsets[-1].item<int>());
  (tape.to(torch::kDouble).square().sum() + selection.ponder_B.to(torch::kDouble).sum()).backward();
  return {tape.detach(), selection.ponder_B.detach(), query.grad(), bank.grad()};
}

TEST(Ops, ReadingAgreesWithFloat64InEveryType) {
  torch::manual_seed(1);
  for (bool shared : {false, true}) {
    for (int64_t rows : {1, 2, 5, 33}) {
      for (int64_t width : {1, 7, 16}) {
        const torch::Tensor query =
            torch::randn({4, width}).to(torch::kBFloat16);  // exact in every type but half
        const torch::Tensor bank =
            (shared ? torch::randn({rows, width + 3}) : torch::randn({4, rows, width + 3}))
                .to(torch::kBFloat16);
        const auto exact = read(query.to(torch::kDouble), bank.to(torch::kDouble), width);
        for (torch::ScalarType type : kTypes) {
          const auto ours = read(query.to(type), bank.to(type), width);
          for (size_t i = 0; i < exact.size(); ++i)
            expect_near(ours[i], exact[i], 40 * epsilon(type), c10::toString(type));
        }
      }
    }
  }
}

std::vector<torch::Tensor> attend(torch::ScalarType type, const std::vector<int>& queries,
                                  const std::vector<int>& keys, int64_t width, bool causal) {
  torch::manual_seed(2);
  const torch::Tensor cu_q = offsets_of(queries), cu_k = offsets_of(keys);
  const auto rows = [&](const torch::Tensor& cu) {
    return torch::randn({cu[-1].item<int>(), 3, width})
        .to(torch::kBFloat16)
        .to(type)
        .requires_grad_();
  };
  torch::Tensor q = rows(cu_q), k = rows(cu_k), v = rows(cu_k);
  const auto [out, lse] = ragged_attention(q, k, v, {cu_q, std::nullopt, 300},
                                           {cu_k, std::nullopt, 300}, {std::nullopt, causal});
  out.to(torch::kDouble).square().sum().backward();
  return {out.detach(), lse.nan_to_num(0, 0, 0), q.grad(), k.grad(), v.grad()};
}

TEST(Ops, AttentionAgreesWithFloat64InEveryType) {
  for (bool causal : {false, true}) {
    for (int64_t width : {1, 8, 17, 64}) {
      for (const auto& [queries, keys] : std::vector<std::pair<std::vector<int>, std::vector<int>>>{
               {{3, 1, 18}, {3, 1, 18}}, {{0, 5, 2}, {4, 0, 66}}, {{0}, {0}}, {{}, {}}}) {
        const auto exact = attend(torch::kDouble, queries, keys, width, causal);
        for (torch::ScalarType type : kTypes) {
          const auto ours = attend(type, queries, keys, width, causal);
          for (size_t i = 0; i < exact.size(); ++i)
            expect_near(ours[i], exact[i], 40 * epsilon(type), c10::toString(type));
        }
      }
    }
  }
}

TEST(Ops, AttentionWithTailsReadsBothSegments) {
  torch::manual_seed(3);
  const torch::Tensor rows = torch::randn({9, 2, 4});
  // Bases of 2 and 1 rows, tails of 4 and 2: sequence 0 is rows 0 1 3 4 5 6, sequence 1 is rows 2
  // 7 8.
  const Segments segments{offsets_of({2, 1}), offsets_of({4, 2}) + 3, 6};
  const auto [out, lse] = ragged_attention(rows, rows, rows, segments, segments);
  const torch::Tensor order = torch::tensor({0, 1, 3, 4, 5, 6, 2, 7, 8});
  const torch::Tensor joined = rows.index_select(0, order);
  const Segments whole{offsets_of({6, 3}), std::nullopt, 6};
  const auto [expected, expected_lse] = ragged_attention(joined, joined, joined, whole, whole);
  EXPECT_TRUE(torch::equal(out.index_select(0, order), expected));
  EXPECT_TRUE(torch::equal(lse.index_select(1, order), expected_lse));
}

TEST(Ops, ErrorsBeginWithTheOpsName) {
  const auto message = [](auto&& call) {
    try {
      call();
      return std::string("no error");
    } catch (const c10::Error& error) {
      return std::string(error.what_without_backtrace());
    }
  };
  const torch::Tensor query = torch::randn({2, 4}), keys = torch::randn({3, 5, 4});
  EXPECT_EQ(message([&] { tape_select(query, keys, {}); }).rfind("[tape_select] keys", 0), 0u);
  const torch::Tensor bad = torch::full({1, 1, 1}, 9, torch::kInt);
  EXPECT_EQ(message([&] {
              tape_gather(torch::randn({3, 4}), bad, torch::ones({1, 1, 1}), offsets_of({1}), 1);
            }).rfind("[tape_gather] index", 0),
            0u);
}

TEST(SegmentSum, EqualsIndexAddAndIgnoresThreads) {
  torch::manual_seed(4);
  const int64_t pairs = 3000, rows = 7, width = 19;
  const torch::Tensor source = torch::randn({50, width});
  ScatterPairs list;
  torch::Tensor expected = torch::zeros({rows, width}, torch::kDouble);
  for (int64_t p = 0; p < pairs; ++p) {
    list.destination.push_back(p * p % 5);  // row 6 stays empty, others get long segments
    list.source_row.push_back(p * 7 % 50);
    list.scale.push_back(double(p % 11) - 5);
    expected[list.destination.back()] +=
        source[list.source_row.back()].to(torch::kDouble) * list.scale.back();
  }
  const int before = at::get_num_threads();
  std::vector<torch::Tensor> results;
  for (int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    results.push_back(scatter_sum("test", source, list, rows, torch::kFloat));
  }
  at::set_num_threads(before);
  expect_near(results[0], expected, 1e-5, "sum");
  EXPECT_TRUE(torch::equal(results[0], results[1]));
  EXPECT_TRUE(torch::equal(results[0], results[2]));
}

}  // namespace
}  // namespace adatape::ops

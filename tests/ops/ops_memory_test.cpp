// What only the sanitizers can judge: shapes with nothing in them, views with gaps, arguments that
// are undefined, and saved tensors that do not fit, handed to the backward ops directly.
#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <array>
#include <optional>
#include <string>
#include <tuple>

#include "csrc/ops/ragged_attention.h"
#include "csrc/ops/tape_gather.h"
#include "csrc/ops/tape_select.h"

namespace adatape::ops {
namespace {

using torch::Tensor;
using Optional = std::optional<Tensor>;

/// The sentence that a call fails with, or nothing.
template <class Call>
std::string message_of(Call&& call) {
  try {
    call();
    return "";
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
}

template <class Signature>
auto op(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

/// The same values with a row of NaN around each row.
Tensor with_gaps(const Tensor& t) {
  auto sizes = t.sizes().vec();
  sizes.back() += 2;
  Tensor view = torch::full(sizes, NAN, t.options()).narrow(-1, 1, t.size(-1));
  view.copy_(t);
  return view;
}

TEST(OpsMemory, NothingInIt) {
  for (torch::ScalarType type : {torch::kFloat, torch::kDouble, torch::kBFloat16, torch::kHalf}) {
    for (const auto& [batch, rows, width, heads] :
         {std::tuple{0, 4, 3, 2}, {2, 0, 3, 2}, {2, 4, 0, 2}, {2, 4, 3, 0}, {0, 0, 0, 0}}) {
      Tensor query = torch::randn({batch, 5}, type).requires_grad_();
      Tensor keys = torch::randn({batch, rows, 5}, type).requires_grad_();
      const TapeSelection s = tape_select(query, keys, {});
      Tensor offsets = torch::zeros({batch + 1}, torch::kInt);
      offsets.narrow(0, 1, batch).copy_(s.length_B.cumsum(0));
      const int64_t total = offsets[-1].item<int>() + 3;
      Tensor values = torch::randn({batch, rows, width}, type).requires_grad_();
      const Tensor tape = tape_gather(values, s.index_BTK, s.weight_BTK, offsets, total);
      EXPECT_EQ(tape.sizes(), torch::IntArrayRef({total, width}));
      Tensor heads_THC = torch::randn({2 * rows, heads, 5}, type).requires_grad_();
      const Segments segments{torch::tensor({0, rows, rows}, torch::kInt),
                              torch::tensor({rows, rows, 2 * rows}, torch::kInt), 4};
      const auto [out, lse] = ragged_attention(heads_THC, heads_THC, heads_THC, segments, segments);
      (tape.sum() + s.ponder_B.sum() + out.sum()).backward();
      for (const Tensor& leaf : {query, keys, values, heads_THC})
        EXPECT_EQ(leaf.grad().sizes(), leaf.sizes());
    }
  }
}

TEST(OpsMemory, ViewsWithGapsGiveTheSameBits) {
  for (torch::ScalarType type : {torch::kFloat, torch::kDouble, torch::kBFloat16, torch::kHalf}) {
    for (int64_t width : {1, 7, 64}) {
      const Tensor query = torch::randn({3, width}).to(type),
                   keys = torch::randn({3, 9, width}).to(type);
      const Tensor length = torch::tensor({9, 4, 0}, torch::kInt),
                   blocked = torch::rand({3, 9}) < .3;
      const Tensor cu = torch::tensor({0, 3, 3, 9}, torch::kInt),
                   tail = torch::tensor({9, 9, 20, 27}, torch::kInt);
      const Segments segments{cu, tail, 20};
      std::array<std::vector<Tensor>, 2> results;
      for (bool gaps : {false, true}) {
        Tensor q = (gaps ? with_gaps(query) : query).detach().requires_grad_();
        Tensor k = (gaps ? with_gaps(keys) : keys).detach().requires_grad_();
        const TapeSelection s = tape_select(q, k, {}, length, blocked);
        Tensor rows = k.view({27, 1, width});
        const auto [out, lse] = ragged_attention(rows, rows, rows, segments, segments);
        (s.weight_BTK.square().sum() + s.ponder_B.sum() + out.sum()).backward();
        results[gaps] = {s.index_BTK, s.weight_BTK, s.ponder_B, out, lse, q.grad(), k.grad()};
      }
      for (size_t i = 0; i < results[0].size(); ++i)
        EXPECT_TRUE(torch::equal(results[0][i], results[1][i])) << type << " " << width << " " << i;
    }
  }
}

TEST(OpsMemory, UndefinedTensorsAreNamed) {
  const c10::InferenceMode below_autograd;  // which dereferences them
  const Tensor keys = torch::randn({4, 3}), index = torch::zeros({1, 1, 1}, torch::kInt);
  const Tensor offsets = torch::tensor({0, 1}, torch::kInt);
  EXPECT_EQ(message_of([&] { tape_select(Tensor(), keys, {}); }),
            "[tape_select] query is an undefined tensor");
  EXPECT_EQ(message_of([&] { tape_select(keys, keys, {}, Tensor()); }),
            "[tape_select] bank_length is an undefined tensor");
  EXPECT_EQ(message_of([&] { tape_gather(keys, index, Tensor(), offsets, 1); }),
            "[tape_gather] weight is an undefined tensor");
  const Tensor rows = torch::randn({1, 1, 3});
  const Segments whole{offsets, std::nullopt, 1}, missing{Tensor(), std::nullopt, 1};
  EXPECT_EQ(message_of([&] { ragged_attention(rows, rows, rows, whole, missing); }),
            "[ragged_attention] cu_seqlens_k is an undefined tensor");
}

/// A random integer tensor, now and then with a value just outside of [low, high].
Tensor roughly(int64_t low, int64_t high, torch::IntArrayRef shape) {
  const int64_t slip = torch::rand({}).item<double>() < 0.2;
  return torch::randint(low - slip, high + 1 + slip, shape).to(torch::kInt);
}

int64_t random(int64_t below) { return torch::randint(below, {}).item<int64_t>(); }

TEST(OpsMemory, SavedTensorsThatDoNotFitAreRefusedOrHarmless) {
  const auto select =
      op<std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                    const Tensor&, const Tensor&, const Tensor&, c10::string_view,
                                    bool, std::optional<double>)>("adatape::tape_select_backward");
  const auto gather =
      op<std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                    const Tensor&, std::array<bool, 2>)>(
          "adatape::tape_gather_backward");
  const auto attend = op<std::tuple<Tensor, Tensor, Tensor>(
      const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
      const Tensor&, const Tensor&, c10::SymInt, c10::SymInt, const Optional&, const Optional&,
      std::optional<double>, bool)>("adatape::ragged_attention_backward");
  torch::manual_seed(5);
  int refused = 0, finished = 0;
  const auto attempt = [&](const std::string& name, auto&& call) {
    const std::string message = message_of(call);
    if (message.empty()) return void(++finished);
    EXPECT_EQ(message.rfind("[" + name + "] ", 0), 0u) << message;
    ++refused;
  };
  for (int trial = 0; trial < 400; ++trial) {
    const int64_t B = random(4), N = random(6), C = 1 + random(9), T = random(4), K = random(4);
    const Tensor keys = trial % 2 ? torch::randn({N, C}) : torch::randn({B, N, C});
    const Tensor index = roughly(-1, std::max<int64_t>(N - 1, 0), {B, T, K});
    const Tensor weight = torch::rand({B, T, K}), length = roughly(0, T, {B});
    attempt("tape_select_backward", [&] {
      select.call(torch::randn({B, T, K}), torch::randn({B}), torch::randn({B, C}), keys, index,
                  weight, length, trial % 3 ? "gini" : "max", trial % 5 > 0, std::nullopt);
    });
    const Tensor offsets = std::get<0>(roughly(0, B * T, {B + 1}).sort());
    attempt("tape_gather_backward", [&] {
      gather.call(torch::randn({random(10), C}), keys, index, weight, offsets - offsets[0],
                  {trial % 3 > 0, trial % 5 > 0});
    });
    const int64_t Q = random(9), M = random(9);
    const Tensor query = torch::randn({Q, 2, C}), key = torch::randn({M, 2, C});
    attempt("ragged_attention_backward", [&] {
      attend.call(query, query, key, key, query, torch::randn({2, Q}),
                  std::get<0>(roughly(0, Q, {B + 1}).sort()),
                  std::get<0>(roughly(0, M, {B + 1}).sort()), 3 + random(9), 9, std::nullopt,
                  std::nullopt, std::nullopt, trial % 2 == 0);
    });
  }
  EXPECT_GT(refused, 100);
  EXPECT_GT(finished, 100);
}

}  // namespace
}  // namespace adatape::ops

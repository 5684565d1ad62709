// tape_select's backward under emulation against the recurrence in float64, which finite
// differences confirm, and against the CPU's kernel.
#include "kernels/cpu/table.h"
#include "kernels/tape_gather.h"
#include "tests/kernels/select_cases.h"

namespace adatape::kernels {
namespace {

using namespace testing;

/// Of the rows in reading order, [B, T, K, C], and of the query, [B, C].
struct Gradients {
  std::vector<double> selected, query;
  double magnitude = 0;  // of the terms
};

template <class E>
struct Problem {
  const SelectData<E> data;
  const Selected forward;
  std::vector<float> weight, grad_weight, grad_ponder;

  explicit Problem(const SelectCase& c, uint64_t seed = 5)
      : data(c, seed), forward(reference_select<double>(data)) {
    weight.assign(forward.weight.begin(), forward.weight.end());
    grad_weight = normal<float>(data.slots(), seed + 7);
    grad_ponder = normal<float>(c.batch, seed + 8);
  }
};

/// The recurrence of docs/ops.md for one example, in A.
template <class A, class E>
void one_gradient(const Problem<E>& problem, int b, Gradients& out) {
  const SelectCase& c = problem.data.c;
  const int C = c.width, K = c.merge, steps = problem.forward.length[b];
  const int64_t first = int64_t(b) * c.max_tokens * K;
  const A keep = c.average ? 0.5 : 0, share = c.average ? 0.5 : 1;
  const auto row = [&](int t, int k) {
    return k < K ? problem.forward.index[first + t * K + k] : -1;
  };
  const auto weight = [&](int t, int k) { return A(problem.weight[first + t * K + k]); };
  std::vector<std::vector<A>> q(steps + 1, std::vector<A>(C));
  for (int i = 0; i < C; ++i) q[0][i] = widen(problem.data.query[b * C + i]);
  for (int t = 0; t < steps; ++t) {
    for (int i = 0; i < C; ++i) {
      q[t + 1][i] = keep * q[t][i];
      for (int k = 0; row(t, k) >= 0; ++k) {
        q[t + 1][i] += share * weight(t, k) * A(problem.data.key_at(b, row(t, k), i));
      }
    }
  }
  std::vector<A> g(C);
  for (int t = steps - 1; t >= 0; --t) {
    std::vector<A> grad;
    A mean = 0, total = 0;
    for (int k = 0; row(t, k) >= 0; ++k) {
      A x = problem.grad_weight[first + t * K + k];
      for (int i = 0; i < C; ++i) x += share * A(problem.data.key_at(b, row(t, k), i)) * g[i];
      if (c.gini) x -= 2 * weight(t, k) * A(problem.grad_ponder[b]);
      if (!c.gini && k == 0) x -= problem.grad_ponder[b];
      grad.push_back(x);
      mean += weight(t, k) * x;
      total += weight(t, k);
    }
    std::vector<A> before(C);
    for (int i = 0; i < C; ++i) before[i] = keep * g[i];
    for (size_t k = 0; k < grad.size(); ++k) {
      const A score = A(c.scale) * weight(t, k) * (grad[k] - mean / total);
      for (int i = 0; i < C; ++i) {
        const double key = problem.data.key_at(b, row(t, k), i);
        out.selected[(first + t * K + k) * C + i] = share * weight(t, k) * g[i] + score * q[t][i];
        before[i] += score * A(key);
        out.magnitude = std::max(out.magnitude, std::abs(double(grad[k])) * c.scale *
                                                    (std::abs(key) + std::abs(double(q[t][i]))));
      }
    }
    g = before;
  }
  for (int i = 0; i < C; ++i) out.query[b * C + i] = g[i];
}

template <class A, class E>
Gradients reference_gradients(const Problem<E>& problem) {
  const SelectCase& c = problem.data.c;
  Gradients out{std::vector<double>(problem.data.slots() * c.width),
                std::vector<double>(c.batch * c.width)};
  for (int b = 0; b < c.batch; ++b) one_gradient<A>(problem, b, out);
  return out;
}

template <class E>
TapeSelectBackward params(const Problem<E>& problem, Machine& m) {
  const SelectData<E>& d = problem.data;
  TapeSelectBackward p{};
  p.dtype = TypeOf<E>::dtype;
  p.grad_weight = m.input("grad_weight", problem.grad_weight);
  p.grad_ponder = m.input("grad_ponder", problem.grad_ponder);
  p.query = m.input("query", d.query);
  p.query_stride = d.c.width;
  p.keys = m.input("keys", d.keys) + d.c.misalignment;
  p.keys_batch_stride = d.c.shared ? 0 : d.batch_stride();
  p.keys_row_stride = d.row_stride();
  p.index = m.input("index", problem.forward.index);
  p.weight = m.input("weight", problem.weight);
  p.length = m.input("length", problem.forward.length);
  p.batch = d.c.batch, p.rows = d.c.rows, p.width = d.c.width;
  p.max_tokens = d.c.max_tokens, p.merge = d.c.merge;
  p.scale = d.c.scale, p.gini = d.c.gini, p.average_query = d.c.average;
  p.grad_query = m.output<E>("grad_query", d.query.size());
  p.grad_selected = m.output<float>("grad_selected", d.slots() * d.c.width);
  return p;
}

/// The results; rows that were not read are not defined, and count as 0.
template <class E>
Gradients gradients(const Problem<E>& problem, const TapeSelectBackward& p) {
  const int64_t C = p.width, count = problem.data.slots() * C;
  Gradients out{doubles(static_cast<const float*>(p.grad_selected), count),
                doubles(static_cast<const E*>(p.grad_query), p.batch * C)};
  for (int64_t i = 0; i < count; ++i) {
    if (problem.forward.index[i / C] < 0) out.selected[i] = 0;
  }
  return out;
}

void expect_near(const Gradients& x, const Gradients& exact, const Gradients& naive, double epsilon,
                 const std::string& what) {
  const auto compare = [&](const std::vector<double>& values, const std::vector<double>& reference,
                           const std::vector<double>& plain, double eps) {
    Sums sums(values.size());
    sums.exact = reference;
    sums.naive = plain;
    std::fill(sums.magnitude.begin(), sums.magnitude.end(), exact.magnitude);
    expect_close(values, sums, eps, what);
  };
  compare(x.selected, exact.selected, naive.selected, TypeOf<float>::epsilon);
  compare(x.query, exact.query, naive.query, epsilon);
}

template <class E>
void expect_backward(const SelectCase& c, uint64_t seed = 5) {
  const Problem<E> problem(c, seed);
  const Gradients exact = reference_gradients<double>(problem);
  const Gradients naive = reference_gradients<float>(problem);
  Gradients first;
  for (Order order : kOrders) {
    Machine m({.order = order});
    TapeSelectBackward p = params(problem, m);
    cuda::tape_select_backward(p, nullptr);
    EXPECT_EQ(m.text(), "");
    const Gradients x = gradients(problem, p);
    expect_near(x, exact, naive, TypeOf<E>::epsilon, "gradients");
    if (first.query.empty()) first = x;
    EXPECT_TRUE(same_bits(x.selected, first.selected) && same_bits(x.query, first.query));
  }
  Machine m;
  TapeSelectBackward p = params(problem, m);
  cpu_kernels()->tape_select_backward(p, 0, p.batch);
  expect_near(gradients(problem, p), exact, naive, TypeOf<E>::epsilon, "the CPU's gradients");
}

TEST(TapeSelectBackward, FollowsTheRecurrence) {
  for (bool gini : {false, true}) {
    for (bool average : {false, true}) {
      for (bool shared : {false, true}) {
        const SelectCase c{.batch = 3,
                           .rows = 40,
                           .width = 24,
                           .max_tokens = 6,
                           .merge = 4,
                           .threshold = 3,
                           .gini = gini,
                           .average = average,
                           .shared = shared};
        expect_backward<float>(c);
        expect_backward<BFloat16>(c);
        expect_backward<Float16>(c);
      }
    }
  }
}

TEST(TapeSelectBackward, WidthsAndLayouts) {
  for (int width : {1, 7, 8, 31, 32, 33, 64, 127, 128, 129, 256, 300}) {
    SelectCase c{
        .batch = 2, .rows = 20, .width = width, .max_tokens = 4, .merge = 3, .scale = 1.0 / width};
    expect_backward<float>(c);
    c.padding = 3, c.misalignment = 1;
    expect_backward<BFloat16>(c);
  }
}

TEST(TapeSelectBackward, StepsExhaustionAndManyRows) {
  for (int merge : {1, 2, 5, 9, 33, 70}) {
    for (int rows : {1, 6, 80}) {
      for (double threshold : {0.5, 5.0}) {
        expect_backward<float>({.batch = 2,
                                .rows = rows,
                                .width = 16,
                                .max_tokens = 5,
                                .merge = merge,
                                .threshold = threshold});
      }
    }
  }
}

TEST(TapeSelectBackward, OneRowAStepGivesTheQueryNoGradient) {
  const Problem<float> problem(
      {.batch = 2, .rows = 9, .width = 8, .max_tokens = 4, .merge = 1, .threshold = 4});
  Machine m;
  TapeSelectBackward p = params(problem, m);
  cuda::tape_select_backward(p, nullptr);
  for (double g : gradients(problem, p).query) EXPECT_EQ(g, 0);
}

TEST(TapeSelectBackward, ExamplesWithoutASteporABatch) {
  Problem<float> problem({.batch = 3, .rows = 9, .width = 8, .max_tokens = 4, .merge = 2});
  Machine m;
  TapeSelectBackward p = params(problem, m);
  p.length = m.input("no steps", std::vector<int32_t>{0, 0, 0});
  cuda::tape_select_backward(p, nullptr);
  for (int i = 0; i < 24; ++i) EXPECT_EQ(static_cast<float*>(p.grad_query)[i], 0);
  p.batch = 0;
  cuda::tape_select_backward(p, nullptr);
  EXPECT_EQ(m.text(), "");
}

/// The loss whose gradient the backward gives, with the rows that were read held fixed.
double loss(const Problem<float>& problem, const SelectData<float>& moved) {
  const Selected x = reference_select<double>(moved, &problem.forward);
  double sum = 0;
  for (size_t i = 0; i < x.weight.size(); ++i) sum += problem.grad_weight[i] * x.weight[i];
  for (size_t b = 0; b < x.ponder.size(); ++b) sum += problem.grad_ponder[b] * x.ponder[b];
  return sum;
}

/// Central differences over exactly representable steps.
double slope(const Problem<float>& problem, std::vector<float> SelectData<float>::*part, size_t i) {
  constexpr float kStep = 0x1p-10f;
  SelectData<float> moved = problem.data;
  const float x = float(int((moved.*part)[i] * 1024)) / 1024;
  (moved.*part)[i] = x + kStep;
  const double above = loss(problem, moved);
  (moved.*part)[i] = x - kStep;
  return (above - loss(problem, moved)) / (2 * kStep);
}

TEST(TapeSelectBackward, AgreesWithFiniteDifferences) {
  for (bool gini : {false, true}) {
    for (bool average : {false, true}) {
      const SelectCase c{.batch = 2,
                         .rows = 12,
                         .width = 5,
                         .max_tokens = 4,
                         .merge = 3,
                         .threshold = 3,
                         .gini = gini,
                         .average = average};
      const Problem<float> problem(c);
      Machine m;
      TapeSelectBackward p = params(problem, m);
      cuda::tape_select_backward(p, nullptr);
      TapeScatter scatter{};
      scatter.source_dtype = scatter.out_dtype = DType::kFloat32;
      scatter.source = p.grad_selected;
      scatter.source_row_stride = c.width;
      scatter.length = p.length;
      scatter.index = p.index;
      scatter.batch = c.batch, scatter.rows = c.rows, scatter.width = c.width;
      scatter.max_tokens = c.max_tokens, scatter.merge = c.merge;
      float* grad_keys = m.output<float>("grad_keys", c.batch * c.rows * c.width);
      scatter.out = grad_keys;
      cuda::tape_scatter(scatter, nullptr);
      EXPECT_EQ(m.text(), "");
      const auto* grad_query = static_cast<const float*>(p.grad_query);
      for (int i = 0; i < c.batch * c.width; ++i) {
        EXPECT_NEAR(grad_query[i], slope(problem, &SelectData<float>::query, i), 3e-3);
      }
      for (int i = 0; i < c.batch * c.rows * c.width; ++i) {
        EXPECT_NEAR(grad_keys[i], slope(problem, &SelectData<float>::keys, i), 3e-3);
      }
    }
  }
}

}  // namespace
}  // namespace adatape::kernels

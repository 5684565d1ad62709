#include "tests/kernels/attention_problem.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <sstream>

#include "kernels/device.h"

namespace adatape::kernels {
namespace {

/// Base rows of all sequences, then a gap, then their tails, then a gap.
Segments segments(const std::vector<int>& lengths, bool tails, int gap) {
  Segments s;
  s.rows.resize(lengths.size());
  const auto append = [&](std::vector<int32_t>& offsets, auto part) {
    offsets.push_back(s.total);
    for (size_t b = 0; b < lengths.size(); ++b) {
      for (int i = 0; i < part(int(b), lengths[b]); ++i) s.rows[b].push_back(s.total++);
      offsets.push_back(s.total);
    }
    s.total += gap;
  };
  // Cut at a third, so that segments end inside of tiles; some tails and some bases are empty.
  const auto base = [&](int b, int n) { return !tails || b % 4 == 3 ? n : n / 3; };
  append(s.cu, base);
  if (tails) append(s.tail, [&](int b, int n) { return n - base(b, n); });
  return s;
}

template <class E>
double rounded(double value) {
  return widen(narrow<E>(float(value)));
}

struct Double {
  using type = double;
  static double round(double x) { return x; }
};
template <class E>
struct Naive {
  using type = float;
  static float round(float x) { return widen(narrow<E>(x)); }
};

/// Forward and backward of one sequence and head. Kind says in which type sums are kept and what
/// probabilities, score gradients and results are rounded to.
template <class Kind>
class Item {
 public:
  using A = typename Kind::type;

  Item(const AttentionProblem& problem, int b, int head, bool descending, AttentionResults& results)
      : p(problem),
        q(problem.queries.rows[b]),
        k(problem.keys.rows[b]),
        b(b),
        head(head),
        descending(descending),
        r(results) {}

  void run() {
    const int C = p.config.width;
    std::vector<A> dk(k.size() * C), dv(k.size() * C);
    for (int i = 0; i < int(q.size()); ++i) {
      const int n = p.visible(b, i);
      const std::vector<A> weight = probabilities(i, n);
      std::vector<A> dp(n), dq(C);
      for (int j = 0; j < n; ++j) dp[j] = dot(p.grad_out, q[i], p.value, k[j]);
      // In another order than dp: where one key is seen, the two would cancel exactly, by luck.
      const A delta = sum(C, !descending, [&](int c) {
        return A(p.grad_out[at(q[i], c)]) * A(r.out[at(q[i], c)]);
      });
      for (int j = 0; j < n; ++j) {
        const A ds = Kind::round(weight[j] * (dp[j] - delta)), w = Kind::round(weight[j]);
        for (int c = 0; c < C; ++c) {
          dq[c] += ds * A(p.key[at(k[j], c)]);
          dk[j * C + c] += ds * A(p.query[at(q[i], c)]);
          dv[j * C + c] += w * A(p.grad_out[at(q[i], c)]);
        }
      }
      for (int c = 0; c < C; ++c) r.grad_query[at(q[i], c)] = Kind::round(dq[c] * A(p.scale()));
    }
    for (int j = 0; j < int(k.size()); ++j) {
      for (int c = 0; c < C; ++c) {
        r.grad_key[at(k[j], c)] = Kind::round(dk[j * C + c] * A(p.scale()));
        r.grad_value[at(k[j], c)] = Kind::round(dv[j * C + c]);
      }
    }
  }

 private:
  size_t at(int row, int c) const { return p.at(row, head, c); }
  A dot(const std::vector<double>& x, int i, const std::vector<double>& y, int j) const {
    return sum(p.config.width, descending, [&](int c) { return A(x[at(i, c)]) * A(y[at(j, c)]); });
  }
  template <class F>
  static A sum(int n, bool descending, F term) {
    A total = 0;
    for (int c = 0; c < n; ++c) total += term(descending ? n - 1 - c : c);
    return total;
  }
  /// The probabilities of query i; writes out and lse.
  std::vector<A> probabilities(int i, int n) {
    std::vector<A> weight(n);
    A top = -std::numeric_limits<A>::infinity(), sum = 0;
    for (int j = 0; j < n; ++j) {
      weight[j] = dot(p.query, q[i], p.key, k[j]) * A(p.scale());
      if (!(weight[j] <= top)) top = weight[j];
    }
    for (A& w : weight) sum += w = std::exp(w - top);
    for (A& w : weight) w /= sum;
    for (int c = 0; c < p.config.width; ++c) {
      A out = 0;
      for (int j = 0; j < n; ++j) out += Kind::round(weight[j]) * A(p.value[at(k[j], c)]);
      r.out[at(q[i], c)] = Kind::round(out);
    }
    r.lse[size_t(head) * p.queries.total + q[i]] = n ? top + std::log(sum) : top;
    return weight;
  }

  const AttentionProblem& p;
  const std::vector<int>&q, k;
  const int b, head;
  const bool descending;  // the order in which channels are summed
  AttentionResults& r;
};

template <class Kind>
AttentionResults attend(const AttentionProblem& p, bool descending) {
  AttentionResults r;
  r.out.resize(p.query.size());
  r.grad_query.resize(p.query.size());
  r.grad_key.resize(p.key.size());
  r.grad_value.resize(p.key.size());
  r.lse.resize(size_t(p.config.heads) * p.queries.total);
  for (size_t b = 0; b < p.queries.rows.size(); ++b) {
    for (int head = 0; head < p.config.heads; ++head) {
      Item<Kind>(p, int(b), head, descending, r).run();
    }
  }
  return r;
}

/// The largest difference beyond `slack` times the exact value; infinite if one is finite and the
/// other is not, or is infinite otherwise.
double error(const std::vector<double>& x, const std::vector<double>& exact, double slack) {
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const bool same = x[i] == exact[i] || (std::isnan(x[i]) && std::isnan(exact[i]));
    const double difference = std::abs(x[i] - exact[i]) - slack * std::abs(exact[i]);
    worst = same ? worst : std::isfinite(difference) ? std::max(worst, difference) : INFINITY;
  }
  return worst;
}

/// The relative error of rounding to the type once.
double rounding(DType dtype) {
  return dtype == DType::kBFloat16 ? 0x1p-9 : dtype == DType::kFloat16 ? 0x1p-12 : 0x1p-24;
}

}  // namespace

double round_to(DType dtype, double value) {
  switch (dtype) {
    case DType::kBFloat16:
      return rounded<BFloat16>(value);
    case DType::kFloat16:
      return rounded<Float16>(value);
    case DType::kFloat32:
      return float(value);
    case DType::kFloat64:
      break;
  }
  return value;
}

AttentionProblem::AttentionProblem(const AttentionCase& c)
    : config(c),
      queries(segments(c.queries, c.query_tails, c.gap)),
      keys(segments(c.keys.empty() ? c.queries : c.keys, c.key_tails, c.gap)) {
  const auto fill = [&](const Segments& segments, unsigned tensor, double spread) {
    std::vector<double> values(size_t(segments.total) * c.heads * c.width, NAN);
    for (size_t b = 0; b < segments.rows.size(); ++b) {
      std::seed_seq seed{tensor, unsigned(c.names.empty() ? b : c.names[b])};
      std::mt19937 random(seed);
      std::normal_distribution<double> normal;
      for (int row : segments.rows[b]) {
        const size_t first = at(row, 0, 0), count = size_t(c.heads) * c.width;
        for (size_t i = first; i < first + count; ++i) {
          values[i] = round_to(c.dtype, spread * normal(random));
        }
      }
    }
    return values;
  };
  query = fill(queries, 0, c.spread);
  key = fill(keys, 1, c.spread);
  value = fill(keys, 2, 1);
  grad_out = fill(queries, 3, 1);
}

double AttentionProblem::scale() const {
  return config.scale != 0 ? config.scale : 1 / std::sqrt(double(config.width));
}

int AttentionProblem::visible(int b, int i) const {
  const int q = int(queries.rows[b].size()), k = int(keys.rows[b].size());
  return config.causal ? std::clamp(i + 1 + k - q, 0, k) : k;
}

AttentionResults attention_in_float64(const AttentionProblem& problem) {
  return attend<Double>(problem, false);
}

NaiveAttention attention_naive(const AttentionProblem& problem) {
  const auto both = [&](auto kind) -> NaiveAttention {
    return {attend<decltype(kind)>(problem, false), attend<decltype(kind)>(problem, true)};
  };
  switch (problem.config.dtype) {
    case DType::kBFloat16:
      return both(Naive<BFloat16>{});
    case DType::kFloat16:
      return both(Naive<Float16>{});
    default:
      return both(Naive<float>{});
  }
}

std::string compare(DType dtype, const AttentionResults& results, const AttentionResults& exact,
                    const NaiveAttention& naive, double times) {
  std::ostringstream text;
  const auto check = [&](const char* name, std::vector<double> AttentionResults::*part,
                         double slack) {
    const double ours = error(results.*part, exact.*part, slack);
    const double theirs = std::max(error(naive.ascending.*part, exact.*part, 0),
                                   error(naive.descending.*part, exact.*part, 0));
    if (!(ours <= times * theirs)) {
      text << name << ": error " << ours << ", naive " << theirs << "\n";
    }
  };
  const double slack = rounding(dtype);
  check("out", &AttentionResults::out, slack);
  check("lse", &AttentionResults::lse, rounding(DType::kFloat32));
  check("grad_query", &AttentionResults::grad_query, slack);
  check("grad_key", &AttentionResults::grad_key, slack);
  check("grad_value", &AttentionResults::grad_value, slack);
  return text.str();
}

std::vector<double> results_of(const AttentionProblem& p, const AttentionResults& r, int b) {
  std::vector<double> all;
  const auto append = [&](const std::vector<int>& rows, const std::vector<double>& values) {
    for (int row : rows) {
      const size_t first = p.at(row, 0, 0);
      all.insert(all.end(), values.begin() + first, values.begin() + p.at(row + 1, 0, 0));
    }
  };
  append(p.queries.rows[b], r.out);
  append(p.queries.rows[b], r.grad_query);
  append(p.keys.rows[b], r.grad_key);
  append(p.keys.rows[b], r.grad_value);
  for (int row : p.queries.rows[b]) {
    for (int h = 0; h < p.config.heads; ++h) all.push_back(r.lse[h * p.queries.total + row]);
  }
  return all;
}

}  // namespace adatape::kernels

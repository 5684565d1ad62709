// tape_select under emulation against a loop in float64 and against the CPU's kernel.
#include "kernels/cpu/table.h"
#include "tests/kernels/select_cases.h"

namespace adatape::kernels {
namespace {

using namespace testing;

/// Ways to run the same launch: how the bank is cut, and how many examples share a block.
std::vector<Settings> plans() {
  std::vector<Settings> all;
  for (Order order : kOrders) all.push_back({.order = order});
  all.push_back({.order = Order::kPermuted, .multiprocessors = 1});
  all.push_back({.order = Order::kReversed, .shared_bytes = 14000});
  all.push_back({.order = Order::kPermuted, .shared_bytes = 40000, .multiprocessors = 1});
  return all;
}

template <class E>
void expect_select(const SelectData<E>& d, const std::string& what) {
  const Selected exact = reference_select<double>(d);
  const Selected naive = reference_select<float>(d, &exact);
  Selected first;
  for (const Settings& settings : plans()) {
    Machine m(settings);
    TapeSelect p = d.params(m);
    cuda::tape_select(p, nullptr);
    EXPECT_EQ(m.text(), "") << what;
    const Selected x = selected(p);
    expect_selected(x, exact, naive, what);
    if (first.length.empty()) first = x;
    EXPECT_EQ(x.index, first.index) << what;
    EXPECT_TRUE(same_bits(x.weight, first.weight)) << what << ": the plan changes bits";
    EXPECT_TRUE(same_bits(x.ponder, first.ponder)) << what << ": the plan changes bits";
  }
  Machine m;
  TapeSelect p = d.params(m);
  cpu_kernels()->tape_select(p, 0, p.batch);
  expect_selected(selected(p), exact, naive, what + ", CPU");
}

template <class E>
void expect_case(const SelectCase& c, uint64_t seed = 1) {
  expect_select(SelectData<E>(c, seed),
                "case of width " + std::to_string(c.width) + ", rows " + std::to_string(c.rows));
}

TEST(TapeSelect, ReadsWhatTheReferenceReads) {
  for (bool shared : {false, true}) {
    for (bool gini : {false, true}) {
      for (bool average : {false, true}) {
        const SelectCase c{.batch = 3,
                           .rows = 40,
                           .width = 16,
                           .max_tokens = 6,
                           .merge = 4,
                           .threshold = 2,
                           .gini = gini,
                           .average = average,
                           .shared = shared};
        expect_case<float>(c);
        expect_case<BFloat16>(c);
        expect_case<Float16>(c);
      }
    }
  }
}

TEST(TapeSelect, Widths) {
  for (int width : {1, 3, 7, 8, 16, 24, 32, 33, 48, 64, 65, 96, 128, 256}) {
    const SelectCase c{
        .batch = 2, .rows = 33, .width = width, .max_tokens = 4, .merge = 3, .scale = 1.0 / width};
    expect_case<float>(c, 3);
    expect_case<BFloat16>(c, 3);
  }
}

TEST(TapeSelect, Layouts) {
  SelectCase c{.batch = 2, .rows = 20, .width = 16, .max_tokens = 4, .merge = 3};
  for (int padding : {0, 1}) {
    for (int misalignment : {0, 8, 1}) {
      for (int gap : {0, 1}) {
        c.padding = padding, c.misalignment = misalignment, c.gap = gap;
        expect_case<float>(c);
        expect_case<Float16>(c);
      }
    }
  }
}

TEST(TapeSelect, BanksAroundTheEdgesOfWarpsAndRounds) {
  for (int rows : {1, 2, 31, 32, 33, 63, 64, 65, 255, 256, 257, 600, 1025}) {
    expect_case<float>({.batch = 2, .rows = rows, .width = 8, .max_tokens = 4, .merge = 5}, 11);
  }
  expect_case<BFloat16>(
      {.batch = 10, .rows = 1500, .width = 8, .max_tokens = 3, .merge = 5, .shared = true});
}

TEST(TapeSelect, StepsAndThresholds) {
  const SelectCase base{.batch = 3, .rows = 60, .width = 8, .max_tokens = 5, .merge = 5};
  for (double threshold : {1e-30, 0.3, 1.0, 2.0, 5.0}) {
    for (int merge : {1, 2, 5, 8, 32}) {
      SelectCase c = base;
      c.threshold = threshold, c.merge = merge;
      expect_case<float>(c, 21);
    }
  }
}

TEST(TapeSelect, MoreRowsAStepThanLanes) {
  for (int merge : {33, 40, 64, 65, 100}) {
    expect_case<float>({.batch = 2, .rows = 150, .width = 8, .max_tokens = 3, .merge = merge}, 31);
    expect_case<float>(
        {.batch = 9, .rows = 90, .width = 8, .max_tokens = 3, .merge = merge, .shared = true}, 32);
  }
}

TEST(TapeSelect, StopsWhereTheBankIsExhausted) {
  for (int rows : {1, 2, 3, 5, 7, 10}) {
    for (int merge : {1, 3, 5, 12}) {
      const SelectCase c{
          .batch = 2, .rows = rows, .width = 8, .max_tokens = 8, .merge = merge, .threshold = 8};
      expect_case<float>(c, 41);
    }
  }
}

TEST(TapeSelect, RaggedAndBlockedBanks) {
  for (bool shared : {false, true}) {
    SelectData<float> d({.batch = 12,
                         .rows = 70,
                         .width = 8,
                         .max_tokens = 6,
                         .merge = 3,
                         .threshold = 3,
                         .shared = shared},
                        51);
    d.bank_length = {0, 1, 2, 3, 31, 32, 33, 64, 69, 70, 0, 40};
    expect_select(d, "ragged");
    d.blocked.resize(12 * 70);
    std::mt19937 random(5);
    for (uint8_t& b : d.blocked) b = random() % 3 == 0;
    std::fill_n(d.blocked.begin() + 9 * 70, 70, 1);  // example 9 has nothing
    expect_select(d, "ragged and blocked");
    d.bank_length.clear();
    expect_select(d, "blocked");
    d.shared_blocks = true;
    d.blocked.resize(70);
    expect_select(d, "blocked for all");
  }
}

TEST(TapeSelect, JunkBehindTheBanksEndIsNotRead) {
  SelectData<float> d({.batch = 3, .rows = 40, .width = 8, .max_tokens = 4, .merge = 3}, 61);
  d.bank_length = {10, 0, 39};
  for (int b = 0; b < 3; ++b) {
    for (int row = d.bank_length[b]; row < 40; ++row) {
      std::fill_n(d.key(b, row), 8, std::nanf(""));
    }
  }
  expect_select(d, "junk");
}

TEST(TapeSelect, TiesGoToTheLowerRow) {
  SelectData<float> d({.batch = 2,
                       .rows = 50,
                       .width = 4,
                       .max_tokens = 5,
                       .merge = 4,
                       .threshold = 5,
                       .scale = 1});
  std::fill(d.keys.begin(), d.keys.end(), 0.25f);  // flat
  Machine m;
  TapeSelect p = d.params(m);
  cuda::tape_select(p, nullptr);
  std::vector<int32_t> order(20);
  std::iota(order.begin(), order.end(), 0);
  EXPECT_EQ(to_vector(p.index, 20), order);
  EXPECT_EQ(p.length[0], 5);
  EXPECT_NEAR(static_cast<float*>(p.ponder)[0], 5 * (1 - 0.25), 1e-5);
}

TEST(TapeSelect, DuplicatedRowsAndSignedZeros) {
  SelectData<float> d({.batch = 2, .rows = 300, .width = 4, .max_tokens = 6, .merge = 4}, 71);
  for (int row = 3; row < 300; ++row) std::copy_n(d.key(0, row % 3), 4, d.key(0, row));
  for (int row = 0; row < 300; ++row) {  // scores of example 1: +0 and -0 in turn, and one 1
    std::fill_n(d.key(1, row), 4, row % 2 ? 0.0f : -0.0f);
  }
  std::fill_n(&d.query[4], 4, 1.0f);
  *d.key(1, 290) = 1.0f;
  expect_select(d, "duplicates");
}

TEST(TapeSelect, NanComesFirstAndStaysInItsExample) {
  for (bool shared : {false, true}) {
    SelectData<float> d(
        {.batch = 9, .rows = 300, .width = 4, .max_tokens = 3, .merge = 3, .shared = shared}, 81);
    d.query[2 * 4 + 1] = std::nanf("");  // example 2 has only NaN scores: rows 0, 1, 2, ...
    d.query[3 * 4 + 2] = HUGE_VALF;      // example 3: infinities of both signs
    if (!shared) {
      d.key(4, 0)[0] = -std::nanf("");  // the first row, and another one
      d.key(4, 299)[0] = std::nanf("");
      d.key(5, 7)[0] = HUGE_VALF;
      d.key(5, 9)[0] = -HUGE_VALF;
    }
    expect_select(d, "not finite");
  }
}

TEST(TapeSelect, ExamplesShareABlockAndTakeTurns) {
  for (int batch : {1, 3, 4, 5, 7, 8, 9, 31, 40}) {
    SelectData<BFloat16> d({.batch = batch,
                            .rows = 100,
                            .width = 16,
                            .max_tokens = 6,
                            .merge = 3,
                            .threshold = 1.5,
                            .scale = 1,
                            .shared = true},
                           91);
    d.bank_length.resize(batch, 100);
    for (int b = 0; b < batch; b += 3) d.bank_length[b] = b % 2 ? 0 : 7;
    expect_select(d, "batch " + std::to_string(batch));
  }
}

TEST(TapeSelect, OffsetsBeyond32Bits) {
  const SelectData<float> d({.batch = 1, .rows = 20, .width = 8, .max_tokens = 3, .merge = 3});
  Machine m;
  TapeSelect one = d.params(m), two = d.params(m);
  cuda::tape_select(one, nullptr);
  const auto* first = static_cast<const float*>(one.keys);
  const auto* second = static_cast<const float*>(two.keys);
  two.keys = first;
  two.keys_batch_stride = second - first;  // 2^30 elements and more between the two banks
  two.query_stride = 0;
  two.batch = 2;
  two.index = m.output<int32_t>("both", 18);
  two.weight = m.output<float>("both weights", 18);
  two.length = m.output<int32_t>("both lengths", 2);
  two.ponder = m.output<float>("both ponders", 2);
  cuda::tape_select(two, nullptr);
  EXPECT_EQ(m.text(), "");
  EXPECT_EQ(to_vector(two.index + 9, 9), to_vector(one.index, 9));
}

TEST(TapeSelect, RefusesABankOfTooManyRows) {
  Machine m;
  TapeSelect p{};
  p.batch = 1, p.rows = 3000000, p.width = 8, p.max_tokens = 1, p.merge = 1;
  EXPECT_THROW(cuda::tape_select(p, nullptr), std::runtime_error);
  p.batch = 0;
  cuda::tape_select(p, nullptr);
}

}  // namespace
}  // namespace adatape::kernels

// The tape kernels under emulation against a loop in float64 and against the CPU's kernels.
#include "kernels/tape_gather.h"

#include "kernels/cpu/table.h"
#include "tests/kernels/support.h"

namespace adatape::kernels {
namespace {

using namespace testing;

struct Case {
  std::vector<int> lengths;  // steps of each example
  int max_tokens, merge, rows, width;
  bool shared = false;
  int row_padding = 0;   // elements between the rows of the bank
  int misalignment = 0;  // elements in front of the bank
  int spare = 3;         // tape rows behind the last
  int gap = 8;           // elements between the banks
  int grad_padding = 0;  // elements between the rows of the tape's gradient

  int64_t batch() const { return int64_t(lengths.size()); }
  int64_t slots() const { return batch() * max_tokens * merge; }
  int64_t row_stride() const { return width + row_padding; }
  int64_t batch_stride() const { return shared ? 0 : rows * row_stride() + gap; }
  int64_t bank_size() const {
    return misalignment + (shared ? rows * row_stride() : batch() * batch_stride());
  }
};

std::vector<Case> cases() {
  std::vector<Case> all = {
      {{3, 0, 4}, 4, 5, 7, 64},
      {{3, 0, 4}, 4, 5, 7, 64, true},
      {{1}, 1, 1, 1, 1},
      {{2, 2}, 3, 3, 9, 8, false, 8},
      {{2, 2}, 3, 3, 9, 8, false, 1},            // rows that are not aligned
      {{2, 2}, 3, 3, 8, 8, false, 1},            // the same, but for each bank's first
      {{2, 2}, 3, 3, 9, 64, false, 0, 1},        // a bank that is not aligned
      {{2, 2}, 3, 3, 9, 64, false, 0, 0, 3, 1},  // only the first bank is aligned
      {{2, 2}, 3, 3, 9, 64, false, 0, 0, 3, 8, 1},
      {{2, 2}, 3, 3, 9, 64, false, 0, 0, 3, 8, 8},
      {{4, 1, 0, 2}, 4, 9, 40, 130, true},
      {{1, 2}, 2, 2, 4, 257},
      {{1, 2}, 2, 4, 4, 520, true, 0, 0, 0},
      {{0, 0}, 2, 3, 5, 16},
      {{}, 2, 3, 5, 16, true},
      {std::vector<int>(70, 1), 2, 2, 3, 24},  // more examples than lanes
  };
  for (int width : {7, 15, 16, 17, 31, 32, 33, 255, 256}) all.push_back({{2}, 2, 3, 6, width});
  for (const auto& lengths : batches_of_lengths()) {
    const int longest = lengths.empty() ? 1 : *std::max_element(lengths.begin(), lengths.end());
    all.push_back({lengths, longest + 1, 2, 11, 8, true});
  }
  return all;
}

template <class E>
struct Data {
  const Case c;
  std::vector<E> values, grad_tape;
  std::vector<int32_t> index, offsets;
  std::vector<float> weight;
  int64_t tape_rows, capacity;

  explicit Data(const Case& c_) : c(c_), offsets(offsets_of(c_.lengths)) {
    std::mt19937 random(3);
    values = normal<E>(c.bank_size(), 1);
    weight = normal<float>(c.slots(), 2);
    index.resize(c.slots());
    for (int32_t& i : index) i = random() % 6 ? int32_t(random() % c.rows) : -1;
    tape_rows = offsets.back();
    capacity = tape_rows + c.spare;
    grad_tape = normal<E>(capacity * (c.width + c.grad_padding), 4);
  }

  const E* bank(const E* memory, int64_t b) const {
    return memory + c.misalignment + b * c.batch_stride();
  }

  /// f(example, tape row, slot, bank row, weight) for every slot that is used.
  template <class F>
  void each_use(F f) const {
    for (int64_t b = 0; b < c.batch(); ++b) {
      for (int64_t t = 0; t < c.lengths[b]; ++t) {
        for (int64_t k = 0; k < c.merge; ++k) {
          const int64_t slot = (b * c.max_tokens + t) * c.merge + k;
          if (index[slot] >= 0) f(b, offsets[b] + t, slot, index[slot], weight[slot]);
        }
      }
    }
  }

  TapeGather params(Machine& m) const {
    TapeGather p{};
    p.dtype = TypeOf<E>::dtype;
    p.values = m.input("values", values) + c.misalignment;
    p.values_batch_stride = c.batch_stride();
    p.values_row_stride = c.row_stride();
    p.index = m.input("index", index);
    p.weight = m.input("weight", weight);
    p.offsets = m.input("offsets", offsets);
    p.batch = c.batch();
    p.rows = c.rows;
    p.width = c.width;
    p.max_tokens = c.max_tokens;
    p.merge = c.merge;
    p.capacity = capacity;
    return p;
  }
};

template <class E>
Sums reference_tape(const Data<E>& d) {
  Sums tape(d.capacity * d.c.width);
  d.each_use([&](int64_t b, int64_t row, int64_t, int64_t i, float w) {
    const E* value = d.bank(d.values.data(), b) + i * d.c.row_stride();
    for (int64_t j = 0; j < d.c.width; ++j) tape.add(row * d.c.width + j, w, widen(value[j]));
  });
  return tape.stored_as<E>();
}

template <class E>
Sums reference_weight_gradient(const Data<E>& d) {
  Sums grad(d.c.slots());
  d.each_use([&](int64_t b, int64_t row, int64_t slot, int64_t i, float) {
    const E* value = d.bank(d.values.data(), b) + i * d.c.row_stride();
    for (int64_t j = 0; j < d.c.width; ++j) {
      grad.add(slot, widen(d.grad_tape[row * (d.c.width + d.c.grad_padding) + j]), widen(value[j]));
    }
  });
  return grad;
}

template <class E>
void expect_forward(const Case& c) {
  const Data<E> d(c);
  const Sums reference = reference_tape(d);
  const size_t count = d.capacity * c.width;
  std::vector<uint32_t> first;
  for (Order order : kOrders) {
    Machine m({.order = order});
    TapeGather p = d.params(m);
    E* tape = m.output<E>("tape", count);
    p.tape = tape;
    cuda::tape_gather(p, nullptr);
    EXPECT_EQ(m.text(), "");
    expect_close(doubles(tape, count), reference, TypeOf<E>::epsilon, "tape");
    if (first.empty()) first = bits(tape, count);
    EXPECT_EQ(bits(tape, count), first) << "the order of threads changes bits";

    std::vector<E> cpu(count);
    p.tape = cpu.data();
    cpu_kernels()->tape_gather(p, 0, p.batch);
    expect_close(doubles(cpu.data(), count), reference, TypeOf<E>::epsilon, "the CPU's tape");
  }
}

template <class E>
void expect_weight_gradient(const Case& c) {
  const Data<E> d(c);
  const Sums reference = reference_weight_gradient(d);
  for (Order order : kOrders) {
    Machine m({.order = order});
    TapeGatherBackwardWeight p{d.params(m), m.input("grad_tape", d.grad_tape),
                               c.width + c.grad_padding, nullptr};
    float* grad = m.output<float>("grad_weight", c.slots());
    p.grad_weight = grad;
    cuda::tape_gather_backward_weight(p, nullptr);
    EXPECT_EQ(m.text(), "");
    expect_close(doubles(grad, c.slots()), reference, TypeOf<float>::epsilon, "grad_weight");

    std::vector<float> cpu(c.slots());
    p.grad_weight = cpu.data();
    cpu_kernels()->tape_gather_backward_weight(p, 0, p.forward.batch);
    expect_close(doubles(cpu.data(), c.slots()), reference, TypeOf<float>::epsilon, "the CPU's");
  }
}

TEST(TapeGather, Forward) {
  for (const Case& c : cases()) {
    SCOPED_TRACE("case " + std::to_string(&c - cases().data()));
    expect_forward<float>(c);
    expect_forward<BFloat16>(c);
    expect_forward<Float16>(c);
  }
}

TEST(TapeGather, GradientOfWeights) {
  for (const Case& c : cases()) {
    expect_weight_gradient<float>(c);
    expect_weight_gradient<BFloat16>(c);
    expect_weight_gradient<Float16>(c);
  }
}

TEST(TapeGather, BatchMatesChangeNoBit) {
  const Case together{{3, 2, 4, 0, 1}, 4, 5, 17, 72};
  const Data<BFloat16> d(together);
  Machine m;
  TapeGather p = d.params(m);
  BFloat16* tape = m.output<BFloat16>("tape", d.capacity * 72);
  p.tape = tape;
  cuda::tape_gather(p, nullptr);
  for (int b = 0; b < 5; ++b) {  // the same example alone
    TapeGather one = p;
    const std::vector<int32_t> offsets = {0, together.lengths[b]};
    one.offsets = m.input("own offsets", offsets);
    one.values = d.bank(static_cast<const BFloat16*>(p.values), b);
    one.index += b * 20;
    one.weight = static_cast<const float*>(p.weight) + b * 20;
    one.batch = 1;
    one.capacity = offsets[1];
    BFloat16* alone = m.output<BFloat16>("alone", offsets[1] * 72);
    one.tape = alone;
    cuda::tape_gather(one, nullptr);
    EXPECT_EQ(bits(alone, offsets[1] * 72), bits(tape + d.offsets[b] * 72, offsets[1] * 72));
  }
  EXPECT_EQ(m.text(), "");
}

TEST(TapeGather, NanAndInfStayInTheirRows) {
  Data<float> d(Case{{2, 2}, 2, 2, 6, 40});
  d.index = {0, 1, 2, 3, 0, 1, 2, -1};
  d.values[3 * 40 + 5] = std::nanf("");               // example 0, row 3
  d.values[d.c.batch_stride() + 5 * 40] = HUGE_VALF;  // example 1, a row that is not read
  Machine m;
  TapeGather p = d.params(m);
  float* tape = m.output<float>("tape", d.capacity * 40);
  p.tape = tape;
  cuda::tape_gather(p, nullptr);
  for (int i = 0; i < d.capacity * 40; ++i) EXPECT_EQ(std::isnan(tape[i]), i == 40 + 5);
}

TEST(TapeGather, OffsetsBeyond32Bits) {
  // Example 1's bank lies 2^33 elements behind example 0's.
  Machine m;
  const std::vector<float> bank = normal<float>(4 * 8, 5);
  const float* first = m.input("bank 0", bank);
  const float* second = m.input("bank 1", bank);
  TapeGather p{};
  p.dtype = DType::kFloat32;
  p.values = first;
  p.values_batch_stride = second - first;
  EXPECT_GE(p.values_batch_stride, int64_t(1) << 30);
  p.values_row_stride = 8;
  p.index = m.input("index", std::vector<int32_t>{1, 2});
  p.weight = m.input("weight", std::vector<float>{1, 1});
  p.offsets = m.input("offsets", std::vector<int32_t>{0, 1, 2});
  p.batch = 2, p.rows = 4, p.width = 8, p.max_tokens = 1, p.merge = 1, p.capacity = 2;
  float* tape = m.output<float>("tape", 16);
  p.tape = tape;
  cuda::tape_gather(p, nullptr);
  EXPECT_EQ(m.text(), "");
  EXPECT_EQ(bits(tape, 16), bits(bank.data() + 8, 16));
}

}  // namespace
}  // namespace adatape::kernels

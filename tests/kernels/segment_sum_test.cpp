// The scatter-adds under emulation against a loop in float64 and against the CPU's kernels.
#include "kernels/cpu/table.h"
#include "kernels/tape_gather.h"
#include "tests/kernels/support.h"

namespace adatape::kernels {
namespace {

using namespace testing;

template <class Source, class Out>
struct Segments {
  std::vector<int> lengths;
  int64_t width, stride, out_stride;
  bool scaled, reordered;
  std::vector<Source> source;
  std::vector<int64_t> row, start, out_row;
  std::vector<float> scale;

  Segments(std::vector<int> n, int64_t width_, int padding, int out_padding, bool scaled_,
           bool reordered_)
      : lengths(n),
        width(width_),
        stride(width_ + padding),
        out_stride(width_ + out_padding),
        scaled(scaled_),
        reordered(reordered_) {
    std::mt19937 random(6);
    source = normal<Source>(40 * stride, 7);
    start = {0};
    for (int length : lengths) start.push_back(start.back() + length);
    row.resize(start.back());
    for (int64_t& r : row) r = int64_t(random() % 40);
    scale = normal<float>(row.size(), 8);
    for (size_t s = 0; s < lengths.size(); ++s) out_row.push_back(int64_t(lengths.size() - 1 - s));
  }

  Sums reference() const {
    Sums out(lengths.size() * out_stride);
    for (size_t s = 0; s < lengths.size(); ++s) {
      const size_t first = (reordered ? out_row[s] : int64_t(s)) * out_stride;
      for (int64_t i = start[s]; i < start[s + 1]; ++i) {
        for (int64_t c = 0; c < width; ++c) {
          out.add(first + c, scaled ? scale[i] : 1.0f, widen(source[row[i] * stride + c]));
        }
      }
    }
    return out.stored_as<Out>();
  }
};

template <class Source, class Out>
void expect_sums(std::vector<int> lengths, int64_t width, int padding = 0, int out_padding = 0,
                 bool scaled = true, bool reordered = false) {
  const Segments<Source, Out> d(lengths, width, padding, out_padding, scaled, reordered);
  const Sums reference = d.reference();
  const size_t count = reference.exact.size();
  std::vector<uint32_t> first;
  for (Order order : kOrders) {
    Machine m({.order = order});
    SegmentSum p{};
    p.source_dtype = TypeOf<Source>::dtype;
    p.source = m.input("source", d.source);
    p.source_row_stride = d.stride;
    p.row = m.input("row", d.row);
    p.scale32 = scaled ? m.input("scale", d.scale) : nullptr;
    p.start = m.input("start", d.start);
    p.width = width;
    p.out_dtype = TypeOf<Out>::dtype;
    Out* out = m.both("out", std::vector<Out>(count));
    p.out = out;
    p.out_row = reordered ? m.input("out_row", d.out_row) : nullptr;
    p.out_row_stride = d.out_stride;
    cuda::segment_sum(p, int64_t(lengths.size()), nullptr);
    EXPECT_EQ(m.text(), "");
    expect_close(doubles(out, count), reference, TypeOf<Out>::epsilon, "sums");
    if (first.empty()) first = bits(out, count);
    EXPECT_EQ(bits(out, count), first);

    std::vector<Out> cpu(count);
    p.out = cpu.data();
    cpu_kernels()->segment_sum(p, 0, int64_t(lengths.size()));
    expect_close(doubles(cpu.data(), count), reference, TypeOf<Out>::epsilon, "the CPU's");
  }
}

TEST(SegmentSum, SumsInOrder) {
  const std::vector<int> mixed = {0, 1, 2, 3, 4, 5, 63, 64, 65, 0, 130, 7, 1, 700, 0};
  expect_sums<float, float>(mixed, 32);
  expect_sums<BFloat16, BFloat16>(mixed, 40);
  expect_sums<Float16, Float16>(mixed, 24);
  expect_sums<float, BFloat16>(mixed, 264);
  expect_sums<float, Float16>(mixed, 8);
}

TEST(SegmentSum, WidthsAndStrides) {
  for (int width : {1, 7, 8, 15, 16, 17, 31, 32, 33, 128, 257}) {
    expect_sums<float, float>({3, 70, 1}, width);
    expect_sums<float, BFloat16>({3, 70, 1}, width);
  }
  for (int padding : {0, 1, 8}) {  // rows that are aligned, and not, on either side
    for (int out_padding : {0, 1, 16}) {
      expect_sums<BFloat16, BFloat16>({3, 70, 1}, 64, padding, out_padding);
      expect_sums<float, Float16>({3, 70, 1}, 64, padding, out_padding);
    }
  }
}

TEST(SegmentSum, WithoutFactorsAndWithRowsOfTheirOwn) {
  expect_sums<float, float>({3, 70, 0, 1}, 36, 0, 0, false);
  expect_sums<float, float>({3, 70, 0, 1}, 36, 4, 8, true, true);
  expect_sums<Float16, Float16>({}, 36);
  expect_sums<Float16, Float16>({1000}, 16);
}

TEST(SegmentSum, RefusesTypesThatItDoesNotMix) {
  Machine m;
  SegmentSum p{};
  p.source_dtype = DType::kBFloat16;
  p.out_dtype = DType::kFloat32;
  p.width = 1;
  EXPECT_THROW(cuda::segment_sum(p, 1, nullptr), std::runtime_error);
}

struct ScatterCase {
  std::vector<int> lengths;
  int max_tokens, merge, rows, width;
  bool weighted = true;
  bool packed = true;  // sources are tape rows; else slots
};

template <class Source, class Out>
struct Scattered {
  const ScatterCase c;
  std::vector<int32_t> index, offsets, length;
  std::vector<float> weight;
  std::vector<Source> source;

  explicit Scattered(const ScatterCase& c_)
      : c(c_), offsets(offsets_of(c_.lengths)), length(c_.lengths.begin(), c_.lengths.end()) {
    std::mt19937 random(9);
    const int64_t slots = int64_t(c.lengths.size()) * c.max_tokens * c.merge;
    index.resize(slots);
    for (int32_t& i : index) i = random() % 5 ? int32_t(random() % c.rows) : -1;
    weight = normal<float>(slots, 10);
    source = normal<Source>((c.packed ? offsets.back() : slots) * c.width, 11);
  }

  Sums reference() const {
    const int64_t bank = int64_t(c.rows) * c.width;
    Sums out(c.lengths.size() * bank);
    for (size_t b = 0; b < c.lengths.size(); ++b) {
      for (int s = 0; s < c.lengths[b] * c.merge; ++s) {
        const int64_t slot = int64_t(b) * c.max_tokens * c.merge + s;
        const int64_t from = c.packed ? offsets[b] + s / c.merge : slot;
        for (int j = 0; j < c.width && index[slot] >= 0; ++j) {
          out.add(b * bank + index[slot] * c.width + j, c.weighted ? weight[slot] : 1.0f,
                  widen(source[from * c.width + j]));
        }
      }
    }
    return out.stored_as<Out>();
  }
};

template <class Source, class Out>
void expect_scatter(const ScatterCase& c) {
  const Scattered<Source, Out> d(c);
  const Sums reference = d.reference();
  const size_t count = reference.exact.size();
  for (Order order : kOrders) {
    Machine m({.order = order});
    TapeScatter p{};
    p.source_dtype = TypeOf<Source>::dtype;
    p.source = m.input("source", d.source);
    p.source_row_stride = c.width;
    p.offsets = c.packed ? m.input("offsets", d.offsets) : nullptr;
    p.length = c.packed ? nullptr : m.input("length", d.length);
    p.index = m.input("index", d.index);
    p.weight = c.weighted ? m.input("weight", d.weight) : nullptr;
    p.batch = int64_t(c.lengths.size());
    p.rows = c.rows, p.width = c.width, p.max_tokens = c.max_tokens, p.merge = c.merge;
    p.out_dtype = TypeOf<Out>::dtype;
    Out* out = m.output<Out>("out", count);
    p.out = out;
    cuda::tape_scatter(p, nullptr);
    EXPECT_EQ(m.text(), "");
    expect_close(doubles(out, count), reference, TypeOf<Out>::epsilon, "sums");
  }
}

TEST(TapeScatter, AddsUpEachExamplesSlots) {
  for (int width : {1, 8, 33, 64, 257, 520}) {
    expect_scatter<float, float>({{3, 0, 4}, 4, 5, 7, width});
    expect_scatter<BFloat16, BFloat16>({{3, 0, 4}, 4, 5, 7, width});
    expect_scatter<Float16, Float16>({{3, 0, 4}, 4, 5, 7, width});
    expect_scatter<float, BFloat16>({{3, 0, 4}, 4, 5, 7, width, false, false});
    expect_scatter<float, Float16>({{3, 0, 4}, 4, 5, 7, width, false, false});
  }
  expect_scatter<float, float>({{10, 3}, 10, 10, 90, 16, false, false});  // more slots than lanes
  expect_scatter<float, float>({{10, 9}, 10, 10, 2, 16});                 // many of one row
  expect_scatter<float, float>({{}, 10, 10, 2, 16});
  expect_scatter<float, float>({{0, 0}, 10, 10, 2, 16});
}

}  // namespace
}  // namespace adatape::kernels

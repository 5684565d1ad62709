// The compaction kernels under emulation against a loop.
#include "kernels/ragged_compact.h"

#include "tests/kernels/support.h"

namespace adatape::kernels {
namespace {

using namespace testing;

struct Compacted {
  std::vector<int32_t> kept_index, position, new_cu;
  bool operator==(const Compacted&) const = default;
};

Compacted reference(const std::vector<uint8_t>& keep, const std::vector<int32_t>& cu) {
  const int rows = int(keep.size());
  Compacted c{std::vector<int32_t>(rows, -1), std::vector<int32_t>(rows, -1),
              std::vector<int32_t>(cu.size(), 0)};
  int next = 0;
  for (int row = 0; row < rows; ++row) {
    const bool stays = keep[row] && row >= cu.front() && row < cu.back();
    if (stays) c.kept_index[next] = row;
    if (stays) c.position[row] = next++;
    for (size_t b = 0; b < cu.size(); ++b) c.new_cu[b] += stays && row < cu[b];
  }
  return c;
}

Compacted run(const std::vector<uint8_t>& keep, const std::vector<int32_t>& cu, Order order) {
  Machine machine({.order = order});
  const int64_t rows = int64_t(keep.size());
  const RaggedCompact p{
      .keep = machine.input("keep", keep),
      .cu = machine.input("cu", cu),
      .rows = rows,
      .batch = int64_t(cu.size()) - 1,
      .kept_index = machine.output<int32_t>("kept_index", rows),
      .position = machine.output<int32_t>("position", rows),
      .new_cu = machine.output<int32_t>("new_cu", cu.size()),
      .counts = machine.output<int32_t>("counts", ragged_compact_scratch(rows)),
  };
  cuda::ragged_compact(p, nullptr);
  EXPECT_EQ(machine.text(), "");
  return {to_vector(p.kept_index, rows), to_vector(p.position, rows),
          to_vector(p.new_cu, cu.size())};
}

void expect_reference(const std::vector<uint8_t>& keep, const std::vector<int32_t>& cu) {
  const Compacted expected = reference(keep, cu);
  for (Order order : kOrders) {
    const Compacted c = run(keep, cu, order);
    EXPECT_EQ(c.kept_index, expected.kept_index);
    EXPECT_EQ(c.position, expected.position);
    EXPECT_EQ(c.new_cu, expected.new_cu);
  }
}

std::vector<uint8_t> flags(size_t count, double share, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<uint8_t> keep(count);
  for (uint8_t& k : keep) k = random() % 1000 < share * 1000 ? uint8_t(1 + random() % 255) : 0;
  return keep;
}

TEST(RaggedCompact, KeepsRowsInOrder) {
  for (const std::vector<int>& lengths : batches_of_lengths()) {
    const std::vector<int32_t> cu = offsets_of(lengths);
    for (double share : {0.0, 0.3, 0.7, 1.0}) expect_reference(flags(cu.back(), share, 5), cu);
  }
}

TEST(RaggedCompact, SpansChunks) {
  for (int rows : {2047, 2048, 2049, 4096, 3 * 2048 + 7}) {
    const std::vector<int32_t> cu = {0, 5, 5, 2047, 2047 + (rows > 2048), rows};
    expect_reference(flags(rows, 0.5, rows), cu);
    expect_reference(flags(rows, 1.0, rows), {0, rows});
  }
}

TEST(RaggedCompact, ManySequences) {
  std::vector<int32_t> cu{0};
  for (int b = 0; b < 700; ++b) cu.push_back(cu.back() + b * 7 % 5);
  expect_reference(flags(cu.back(), 0.6, 1), cu);
}

TEST(RaggedCompact, RowsOfNoSequenceLeave) {
  expect_reference(flags(100, 0.8, 2), {10, 40, 70});
  expect_reference(flags(2100, 0.8, 2), {2040, 2060, 2070});
  expect_reference(flags(2048, 0.8, 2), {0, 2048});
}

/// The gather of a row on the host.
template <class E>
void expect_rows(int64_t width, int64_t source_stride, int64_t out_stride, int shift) {
  const std::vector<int32_t> index = {3, -1, 0, 0, 4, 2, -1, 1, 3};
  const int64_t count = int64_t(index.size());
  const std::vector<E> data = normal<E>(5 * source_stride + shift, 9);
  for (Order order : kOrders) {
    Machine machine({.order = order});
    const E* source = machine.input("source", data) + shift;
    E* out = machine.both("out", std::vector<E>(count * out_stride));
    cuda::row_gather({TypeOf<E>::dtype, source, source_stride, machine.input("index", index), count,
                      width, out, out_stride},
                     nullptr);
    EXPECT_EQ(machine.text(), "");
    for (int64_t i = 0; i < count; ++i) {
      std::vector<E> row(out_stride);
      if (index[i] >= 0) std::copy_n(source + index[i] * source_stride, width, row.begin());
      EXPECT_EQ(bits(out + i * out_stride, out_stride), bits(row.data(), out_stride));
    }
  }
}

TEST(RowGather, MovesRowsAndFillsWithZeros) {
  for (int64_t width : {1, 7, 8, 24, 31, 33, 64, 192, 257, 520}) {
    expect_rows<float>(width, width, width, 0);
    expect_rows<BFloat16>(width, width, width, 0);
  }
  expect_rows<Float16>(64, 72, 80, 0);  // strides that are multiples of 16 bytes, and not
  expect_rows<Float16>(64, 65, 64, 0);
  expect_rows<float>(64, 64, 66, 0);
  expect_rows<float>(64, 64, 64, 1);  // a source that is not aligned
}

TEST(RowGather, NothingToDo) {
  Machine machine;
  cuda::row_gather({DType::kFloat32, nullptr, 4, nullptr, 0, 4, nullptr, 4}, nullptr);
  cuda::row_gather({DType::kFloat32, nullptr, 0, nullptr, 4, 0, nullptr, 0}, nullptr);
  EXPECT_THROW(cuda::row_gather({DType::kFloat64, nullptr, 4, nullptr, 4, 4, nullptr, 4}, nullptr),
               std::runtime_error);
}

TEST(RaggedCompact, RowsComeBackWhereTheyWere) {
  const std::vector<int32_t> cu = {0, 20, 50, 90};
  const std::vector<uint8_t> keep = flags(90, 0.5, 3);
  const Compacted c = run(keep, cu, Order::kForward);
  const std::vector<float> rows = normal<float>(90 * 16, 4);
  Machine machine;
  float* kept = machine.output<float>("kept", 90 * 16);
  float* back = machine.output<float>("back", 90 * 16);
  const float* source = machine.input("rows", rows);
  cuda::row_gather(
      {DType::kFloat32, source, 16, machine.input("kept_index", c.kept_index), 90, 16, kept, 16},
      nullptr);
  cuda::row_gather(
      {DType::kFloat32, kept, 16, machine.input("position", c.position), 90, 16, back, 16},
      nullptr);
  EXPECT_EQ(machine.text(), "");
  for (int i = 0; i < 90 * 16; ++i) EXPECT_EQ(back[i], keep[i / 16] ? rows[i] : 0.0f);
}

}  // namespace
}  // namespace adatape::kernels

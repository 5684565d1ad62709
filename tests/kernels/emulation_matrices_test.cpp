// ldmatrix and mma by their lane maps, against plain matrix products; the 16-bit types.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "kernels/device.h"
#include "kernels/emulation/machine.h"

namespace adatape::kernels {
namespace {

using emulation::Kind;
using emulation::Machine;
using emulation::Order;

constexpr Order kOrders[] = {Order::kForward, Order::kReversed, Order::kPermuted};

/// c = a b for a [16, 16] and b [16, 8], or, transposed, b given as [8, 16]: operands by ldmatrix,
/// as attention kernels fetch queries, values (rows are the inner dimension) and keys.
template <class E>
__global__ void product(const E* a, const E* b, float* c, bool keys, int broken) {
  __shared__ __align__(16) E tile_a[16 * 16];
  __shared__ __align__(16) E tile_b[16 * 16];
  const int lane = int(threadIdx.x);
  for (int i = lane; i < 256; i += 32) {
    tile_a[i] = a[i];
    tile_b[i] = i < 128 ? b[i] : E{};
  }
  __syncwarp();
  uint32_t left[4], right[4];
  ldmatrix_x4(left, tile_a + lane % 16 * 16 + lane / 16 * 8);
  if (keys) {
    ldmatrix_x4(right, tile_b + lane % 8 * 16 + lane / 8 % 2 * 8);
  } else {
    ldmatrix_x4_trans(right, tile_b + lane % 16 * 8);
  }
  if (broken == 1) left[1] = left[2];
  const uint32_t pair[2] = {right[broken == 2], right[1]};
  float d[4] = {1, 1, 1, 1};
  mma_m16n8k16<E>(d, left, pair);
  const int row = lane / 4, column = lane % 4 * 2;
  c[row * 8 + column] = d[0];
  c[row * 8 + column + 1] = d[1];
  c[(row + 8) * 8 + column] = d[2];
  c[(row + 8) * 8 + column + 1] = d[3];
}

template <class E>
double worst_error(Order order, bool keys, int broken) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<E> a(256), b(128);
  for (E& x : a) x = narrow<E>(normal(random));
  for (E& x : b) x = narrow<E>(normal(random));
  Machine machine({.order = order});
  float* c = machine.output<float>("c", 128);
  launch(1, 32, 0, nullptr, &product<E>, machine.input("a", a), machine.input("b", b), c, keys,
         broken);
  EXPECT_EQ(machine.text(), "");
  double worst = 0;
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      double sum = 1;
      for (int k = 0; k < 16; ++k) {
        sum += double(widen(a[i * 16 + k])) * widen(b[keys ? j * 16 + k : k * 8 + j]);
      }
      worst = std::max(worst, std::abs(sum - c[i * 8 + j]));
    }
  }
  return worst;
}

TEST(EmulationMatrices, MultiplyLikePlainProducts) {
  for (Order order : kOrders) {
    for (bool keys : {false, true}) {
      EXPECT_LT(worst_error<BFloat16>(order, keys, 0), 1e-5);
      EXPECT_LT(worst_error<Float16>(order, keys, 0), 1e-5);
    }
  }
}

TEST(EmulationMatrices, SwappedFragmentsGiveWrongProducts) {
  for (int broken : {1, 2}) EXPECT_GT(worst_error<BFloat16>(Order::kForward, true, broken), 0.1);
}

/// y[lane] = the four registers of an ldmatrix over a tile that holds 0, 1, 2, ...
__global__ void fetch(uint32_t* y, bool transposed, int shift) {
  __shared__ __align__(16) uint16_t tile[4 * 64 + 8];
  const int lane = int(threadIdx.x);
  for (int i = lane; i < 264; i += 32) tile[i] = uint16_t(i);
  __syncthreads();
  uint32_t r[4];
  if (transposed) {
    ldmatrix_x4_trans(r, tile + lane * 8 + shift);
  } else {
    ldmatrix_x4(r, tile + lane * 8 + shift);
  }
  for (int i = 0; i < 4; ++i) y[lane * 4 + i] = r[i];
}

TEST(EmulationMatrices, LoadByTheLaneMap) {
  for (bool transposed : {false, true}) {
    Machine machine;
    uint32_t* y = machine.output<uint32_t>("y", 128);
    launch(1, 32, 0, nullptr, &fetch, y, transposed, 0);
    EXPECT_EQ(machine.text(), "");
    for (int lane = 0; lane < 32; ++lane) {
      for (int m = 0; m < 4; ++m) {
        const uint32_t across = lane / 4, along = lane % 4 * 2;
        const uint32_t low = 64 * m + (transposed ? along * 8 + across : across * 8 + along);
        const uint32_t high = low + (transposed ? 8 : 1);
        EXPECT_EQ(y[lane * 4 + m], low | high << 16);
      }
    }
  }
}

TEST(EmulationMatrices, LoadsNeedAlignedRows) {
  Machine machine;
  launch(1, 32, 0, nullptr, &fetch, machine.output<uint32_t>("y", 128), false, 4);
  EXPECT_EQ(machine.count(Kind::kMisaligned), 1);
}

TEST(EmulationMatrices, SixteenBitTypesRoundToNearestEven) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float b = bfloat16_value(uint16_t(bits)), h = float16_value(uint16_t(bits));
    if (b == b) {
      EXPECT_EQ(bfloat16_bits(b), bits);
    }
    if (h == h) {
      EXPECT_EQ(float16_bits(h), bits);
    }
  }
  EXPECT_EQ(bfloat16_bits(1 + 0x1p-8f), 0x3f80);  // a tie: to even
  EXPECT_EQ(bfloat16_bits(1 + 0x3p-8f), 0x3f82);
  EXPECT_EQ(float16_bits(1 + 0x1p-11f), 0x3c00);
  EXPECT_EQ(float16_bits(1 + 0x3p-11f), 0x3c02);
  EXPECT_EQ(float16_bits(0x1p-25f), 0);
  EXPECT_EQ(float16_bits(0x1.8p-25f), 1);
  EXPECT_EQ(float16_bits(65520), 0x7c00);
  EXPECT_TRUE(std::isnan(float16_value(float16_bits(std::nanf("")))));
  EXPECT_TRUE(std::isnan(bfloat16_value(bfloat16_bits(std::nanf("")))));
}

template <class E>
__global__ void through_vectors(const E* x, E* y) {
  float value[kPer16Bytes<E>];
  unpack<E>(load_128(x + kPer16Bytes<E> * threadIdx.x), value);
  for (float& v : value) v *= 2;
  store_128(y + kPer16Bytes<E> * threadIdx.x, pack<E>(value));
}

template <class E>
void expect_vectors() {
  Machine machine;
  constexpr int kCount = 32 * kPer16Bytes<E>;
  std::vector<E> x(kCount);
  for (int i = 0; i < kCount; ++i) x[i] = narrow<E>(float(i) - 50);
  E* y = machine.output<E>("y", kCount);
  launch(1, 32, 0, nullptr, &through_vectors<E>, machine.input("x", x), y);
  EXPECT_EQ(machine.text(), "");
  for (int i = 0; i < kCount; ++i) EXPECT_EQ(widen(y[i]), 2 * widen(x[i]));
}

TEST(EmulationMatrices, VectorsKeepTheOrderOfElements) {
  expect_vectors<float>();
  expect_vectors<BFloat16>();
  expect_vectors<Float16>();
}

}  // namespace
}  // namespace adatape::kernels

// cp.async under emulation: data come no earlier than the device promises, and every way of using
// them too early, or of overwriting what is still in use, is found.
#include <gtest/gtest.h>

#include <numeric>

#include "kernels/device.h"
#include "kernels/emulation/machine.h"

namespace adatape::kernels {
namespace {

using emulation::Kind;
using emulation::Machine;
using emulation::Order;
using emulation::Report;

constexpr Order kOrders[] = {Order::kForward, Order::kReversed, Order::kPermuted};

std::vector<float> numbers(int n) {
  std::vector<float> x(n);
  std::iota(x.begin(), x.end(), 0.0f);
  return x;
}

enum Mistake { kNone, kNoWait, kNoBarrier, kWaitForTooFew, kNoCommit, kRefillTooEarly };

/// Sums of neighbours over tiles of 32 x 16 bytes, two stages: while one is used the next arrives.
__global__ void pipeline(const float* x, float* y, int tiles, int mistake) {
  DYNAMIC_SHARED(float, stage);
  const int i = int(threadIdx.x);
  const auto fetch = [&](int tile) {
    cp_async_16(stage + (tile % 2 * 32 + i) * 4, x + (tile * 32 + i) * 4, tile < tiles);
    if (mistake != kNoCommit) cp_async_commit();
  };
  fetch(0);
  for (int tile = 0; tile < tiles; ++tile) {
    if (mistake != kRefillTooEarly) fetch(tile + 1);
    if (mistake == kWaitForTooFew)
      cp_async_wait<2>();
    else if (mistake == kRefillTooEarly)
      cp_async_wait<0>();
    else if (mistake != kNoWait)
      cp_async_wait<1>();
    if (mistake != kNoBarrier) __syncthreads();
    if (mistake == kRefillTooEarly) fetch(tile + 2);  // into the stage that is read below
    const float* other = stage + (tile % 2 * 32 + (31 - i)) * 4;
    y[tile * 32 + i] = other[0] + other[3];
    __syncthreads();
  }
}

void expect_pipeline(Mistake mistake, std::vector<Kind> expected) {
  constexpr int kTiles = 5;
  for (Order order : kOrders) {
    Machine machine({.order = order});
    const float* x = machine.input("x", numbers(kTiles * 32 * 4 + 256));
    float* y = machine.output<float>("y", kTiles * 32);
    launch(1, 32, 2 * 32 * 16, nullptr, &pipeline, x, y, kTiles, int(mistake));
    for (Kind kind : expected) EXPECT_GT(machine.count(kind), 0) << emulation::name(kind);
    if (!expected.empty()) continue;
    EXPECT_EQ(machine.text(), "");
    for (int i = 0; i < kTiles * 32; ++i) {
      EXPECT_EQ(y[i], float(8 * (i / 32 * 32 + 31 - i % 32) + 3));
    }
  }
}

TEST(EmulationCopies, PipelinesRun) { expect_pipeline(kNone, {}); }

TEST(EmulationCopies, FindsEachMistakeInAPipeline) {
  expect_pipeline(kNoWait, {Kind::kUnfinishedCopy});
  expect_pipeline(kNoBarrier, {Kind::kRace});
  expect_pipeline(kWaitForTooFew, {Kind::kUnfinishedCopy});
  expect_pipeline(kNoCommit, {Kind::kUnfinishedCopy});
  expect_pipeline(kRefillTooEarly, {Kind::kUnfinishedCopy});
}

__global__ void own_data(const float* x, float* y, bool wait) {
  DYNAMIC_SHARED(float, tile);
  const int i = int(threadIdx.x);
  cp_async_16(tile + 4 * i, x + 4 * i, i % 2 == 0);
  cp_async_commit();
  if (wait) cp_async_wait<0>();
  for (int j = 0; j < 4; ++j) y[4 * i + j] = tile[4 * i + j];
}

TEST(EmulationCopies, FillWithZerosAndReadNoSourceThen) {
  Machine machine;
  std::vector<float> x = numbers(4 * 31);  // the last, odd, thread's would be out of range
  float* y = machine.output<float>("y", 128);
  launch(1, 32, 512, nullptr, &own_data, machine.input("x", x), y, true);
  EXPECT_EQ(machine.text(), "");
  for (int i = 0; i < 128; ++i) EXPECT_EQ(y[i], i / 4 % 2 ? 0.0f : float(i));
}

TEST(EmulationCopies, EvenTheThreadThatCopiesMustWait) {
  Machine machine;
  float* y = machine.output<float>("y", 128);
  launch(1, 32, 512, nullptr, &own_data, machine.input("x", numbers(128)), y, false);
  EXPECT_GT(machine.count(Kind::kUnfinishedCopy), 0);
  const auto bits = __float_as_uint(y[0]);
  EXPECT_EQ(bits, 0xa5a5a5a5u) << "early readers see poison";
}

__global__ void misplaced(const float* x, float* y, int from, int to) {
  DYNAMIC_SHARED(float, tile);
  cp_async_16(tile + to, x + from, true);
  cp_async_commit();
  cp_async_wait<0>();
  y[0] = tile[to];
}

TEST(EmulationCopies, ChecksAddresses) {
  const auto findings = [](int from, int to) {
    Machine machine;
    float* y = machine.output<float>("y", 1);
    launch(1, 1, 64, nullptr, &misplaced, machine.input("x", numbers(16)), y, from, to);
    std::vector<Kind> kinds;
    for (const Report& r : machine.reports()) kinds.push_back(r.kind);
    return kinds;
  };
  EXPECT_EQ(findings(12, 12), std::vector<Kind>{});
  EXPECT_EQ(findings(13, 0), std::vector<Kind>{Kind::kOutOfRange});
  EXPECT_EQ(findings(0, 13), std::vector<Kind>{Kind::kOutOfRange});
  EXPECT_EQ(findings(2, 0), std::vector<Kind>{Kind::kMisaligned});
  EXPECT_EQ(findings(0, 2), std::vector<Kind>{Kind::kMisaligned});
}

__global__ void copy_while_others_read(const float* x, float* y, bool barrier) {
  DYNAMIC_SHARED(float, tile);
  const int i = int(threadIdx.x);
  tile[i] = float(i);
  __syncthreads();
  if (i > 0) y[i] = tile[0];
  if (barrier) __syncthreads();
  if (i == 0) {
    cp_async_16(tile, x, true);
    cp_async_commit();
    cp_async_wait<0>();
    y[0] = tile[0];
  }
}

TEST(EmulationCopies, RaceWithReadersFromTheMomentTheyStart) {
  for (Order order : kOrders) {
    for (bool barrier : {true, false}) {
      Machine machine({.order = order});
      float* y = machine.output<float>("y", 32);
      launch(1, 32, 128, nullptr, &copy_while_others_read, machine.input("x", numbers(4)), y,
             barrier);
      EXPECT_EQ(machine.reports().empty(), barrier) << machine.text();
    }
  }
}

}  // namespace
}  // namespace adatape::kernels

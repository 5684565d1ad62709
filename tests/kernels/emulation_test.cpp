// The emulation runs right kernels as a device would: barriers, warp collectives, early exits,
// shapes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "kernels/device.h"
#include "kernels/emulation/machine.h"

namespace adatape::kernels {
namespace {

using emulation::Machine;
using emulation::Order;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint32_t kAll = 0xffffffffu;
constexpr Order kOrders[] = {Order::kForward, Order::kReversed, Order::kPermuted};

std::vector<int> numbers(int n) {
  std::vector<int> x(n);
  std::iota(x.begin(), x.end(), 0);
  return x;
}

__global__ void reverse_blocks(const int* x, int* y) {
  DYNAMIC_SHARED(int, tile);
  const int n = int(blockDim.x), i = int(threadIdx.x), first = int(blockIdx.x) * n;
  tile[i] = x[first + i];
  __syncthreads();
  y[first + i] = tile[n - 1 - i];
}

TEST(Emulation, BarriersOrderThreads) {
  for (Order order : kOrders) {
    Machine machine({.order = order});
    const int* x = machine.input("x", numbers(5 * 70));
    int* y = machine.output<int>("y", 5 * 70);
    launch(5, 70, 70 * sizeof(int), nullptr, &reverse_blocks, x, y);
    EXPECT_EQ(machine.text(), "");
    for (int b = 0; b < 5; ++b) {
      for (int i = 0; i < 70; ++i) EXPECT_EQ(y[b * 70 + i], b * 70 + 69 - i);
    }
  }
}

__global__ void static_tiles(int* y) {
  __shared__ int first[32];
  __shared__ int second[32];
  const int i = int(threadIdx.x);
  first[i] = i;
  second[i] = 100 + i;
  __syncthreads();
  y[i] = first[31 - i] * 1000 + second[31 - i];
}

TEST(Emulation, HasStaticSharedMemory) {
  Machine machine;
  int* y = machine.output<int>("y", 32);
  launch(3, 32, 0, nullptr, &static_tiles, y);
  EXPECT_EQ(machine.count(emulation::Kind::kRace), 1) << "all blocks write y\n" << machine.text();
  EXPECT_EQ(machine.reports().size(), 1u);
  EXPECT_EQ(y[3], 28 * 1000 + 128);
}

__global__ void indices(int* y) {
  const dim3 t = threadIdx, b = blockIdx, n = blockDim, g = gridDim;
  const int block = int((b.z * g.y + b.y) * g.x + b.x);
  const int thread = int((t.z * n.y + t.y) * n.x + t.x);
  y[block * int(n.x * n.y * n.z) + thread] = block * 1000 + thread;
}

TEST(Emulation, HasThreeDimensionsOfBlocksAndThreads) {
  for (Order order : kOrders) {
    Machine machine({.order = order});
    int* y = machine.output<int>("y", 12 * 60);
    launch(dim3(2, 3, 2), dim3(3, 4, 5), 0, nullptr, &indices, y);
    EXPECT_EQ(machine.text(), "");
    for (int i = 0; i < 12 * 60; ++i) EXPECT_EQ(y[i], i / 60 * 1000 + i % 60);
  }
}

template <class T>
__global__ void shuffles(T* y) {
  const int i = int(threadIdx.x);
  const T x = T(i) * T(3);
  y[i] = __shfl_sync(kAll, x, 31 - i);
  y[32 + i] = __shfl_sync(kAll, x, 3, 8);
  y[64 + i] = __shfl_xor_sync(kAll, x, 5);
  y[96 + i] = __shfl_down_sync(kAll, x, 6u, 16);
  y[128 + i] = __shfl_up_sync(kAll, x, 3u, 8);
}

template <class T>
void expect_shuffles() {
  for (Order order : kOrders) {
    Machine machine({.order = order});
    T* y = machine.output<T>("y", 5 * 32);
    launch(1, 32, 0, nullptr, &shuffles<T>, y);
    EXPECT_EQ(machine.text(), "");
    for (int i = 0; i < 32; ++i) {
      EXPECT_EQ(y[i], T(3 * (31 - i)));
      EXPECT_EQ(y[32 + i], T(3 * (i / 8 * 8 + 3)));
      EXPECT_EQ(y[64 + i], T(3 * (i ^ 5)));
      EXPECT_EQ(y[96 + i], T(3 * (i % 16 + 6 < 16 ? i + 6 : i)));
      EXPECT_EQ(y[128 + i], T(3 * (i % 8 >= 3 ? i - 3 : i)));
    }
  }
}

TEST(Emulation, ShufflesValuesOfFourAndEightBytes) {
  expect_shuffles<int>();
  expect_shuffles<float>();
  expect_shuffles<uint64_t>();
  expect_shuffles<double>();
}

__global__ void votes(uint32_t* y) {
  const int i = int(threadIdx.x);
  y[i] = __ballot_sync(kAll, i % 3 == 0);
  y[32 + i] = uint32_t(__any_sync(kAll, i == 7)) + 2 * uint32_t(__any_sync(kAll, i == 32)) +
              4 * uint32_t(__all_sync(kAll, i < 32)) + 8 * uint32_t(__all_sync(kAll, i < 31));
  y[64 + i] = __reduce_add_sync(kAll, uint32_t(i));
  y[96 + i] = uint32_t(__reduce_min_sync(kAll, i - 5));
  y[128 + i] = __reduce_max_sync(kAll, uint32_t(i - 5));
  y[160 + i] = __reduce_and_sync(kAll, uint32_t(i) | 0x80u) + __reduce_or_sync(kAll, uint32_t(i)) +
               __reduce_xor_sync(kAll, 1u << i);
}

TEST(Emulation, VotesAndReduces) {
  for (Order order : kOrders) {
    Machine machine({.order = order});
    uint32_t* y = machine.output<uint32_t>("y", 192);
    launch(1, 32, 0, nullptr, &votes, y);
    EXPECT_EQ(machine.text(), "");
    for (int i = 0; i < 32; ++i) {
      EXPECT_EQ(y[i], 0x49249249u);
      EXPECT_EQ(y[32 + i], 1u + 4u);
      EXPECT_EQ(y[64 + i], 496u);
      EXPECT_EQ(int(y[96 + i]), -5);
      EXPECT_EQ(y[128 + i], 0xffffffffu);
      EXPECT_EQ(y[160 + i], 0x80u + 31u + 0xffffffffu);
    }
  }
}

__global__ void halves_of_a_warp(int* y) {
  const int i = int(threadIdx.x);
  if (i < 16) {
    y[i] = __shfl_xor_sync(0xffffu, i, 1);
  } else {
    y[i] = __shfl_xor_sync(0xffff0000u, i, 2);
    y[i] += __popc(__ballot_sync(0xffff0000u, i % 2));
  }
}

TEST(Emulation, MasksSplitAWarp) {
  for (Order order : kOrders) {
    Machine machine({.order = order});
    int* y = machine.output<int>("y", 32);
    launch(1, 32, 0, nullptr, &halves_of_a_warp, y);
    EXPECT_EQ(machine.text(), "");
    for (int i = 0; i < 32; ++i) EXPECT_EQ(y[i], i < 16 ? i ^ 1 : (i ^ 2) + 8);
  }
}

__global__ void leave_early(int* y) {
  const int i = int(threadIdx.x);
  if (i >= 40 || i % 32 > 20) return;
  y[i] = __popc(__ballot_sync(kAll, true));
}

TEST(Emulation, LanesThatLeftNeedNotVote) {
  for (Order order : kOrders) {
    Machine machine({.order = order});
    int* y = machine.both("y", std::vector<int>(50));
    launch(1, 50, 0, nullptr, &leave_early, y);
    EXPECT_EQ(machine.text(), "");
    for (int i = 0; i < 50; ++i) EXPECT_EQ(y[i], i <= 20 ? 21 : i >= 32 && i < 40 ? 8 : 0);
  }
}

__global__ void count_up(int* total, unsigned long long* best) {
  __shared__ int local;
  if (threadIdx.x == 0) local = 0;
  __syncthreads();
  atomicAdd(&local, int(threadIdx.x));
  __syncthreads();
  if (threadIdx.x == 0) atomicAdd(total, local);
  atomicMax(best, (unsigned long long)(blockIdx.x * blockDim.x + threadIdx.x));
}

TEST(Emulation, AtomicsOfAllBlocksAddUp) {
  for (Order order : kOrders) {
    Machine machine({.order = order});
    int* total = machine.both("total", std::vector<int>{7});
    auto* best = machine.both("best", std::vector<unsigned long long>{3});
    launch(4, 96, 0, nullptr, &count_up, total, best);
    EXPECT_EQ(machine.text(), "");
    EXPECT_EQ(*total, 7 + 4 * 95 * 96 / 2);
    EXPECT_EQ(*best, 4u * 96 - 1);
  }
}

__global__ void order_of_writes(int* next, int* order) {
  order[atomicAdd(next, 1)] = int(blockIdx.x * blockDim.x + threadIdx.x);
}

std::vector<int> run_order(Order order, uint64_t seed) {
  Machine machine({.order = order, .seed = seed});
  int* next = machine.both("next", std::vector<int>(1));
  int* y = machine.output<int>("order", 12);
  launch(3, 4, 0, nullptr, &order_of_writes, next, y);
  return std::vector<int>(y, y + 12);
}

TEST(Emulation, RunsThreadsAndBlocksInTheOrderAsked) {
  EXPECT_EQ(run_order(Order::kForward, 1), numbers(12));
  EXPECT_THAT(run_order(Order::kReversed, 1), ElementsAre(11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
  const std::vector<int> permuted = run_order(Order::kPermuted, 1);
  EXPECT_THAT(permuted, testing::UnorderedElementsAreArray(numbers(12)));
  EXPECT_NE(permuted, numbers(12));
  EXPECT_EQ(permuted, run_order(Order::kPermuted, 1));
  EXPECT_NE(permuted, run_order(Order::kPermuted, 2));
}

TEST(Emulation, RefusesWhatCudaRefuses) {
  const auto refusal = [](dim3 grid, dim3 block, size_t shared) -> std::string {
    try {
      launch(grid, block, shared, nullptr, &indices, static_cast<int*>(nullptr));
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_THAT(refusal(1, 1, 0), HasSubstr("no emulation::Machine"));
  Machine machine({.shared_bytes = 1000});
  EXPECT_THAT(refusal(dim3(3, 0), 1, 0), HasSubstr("grid 3x0x1 is empty"));
  EXPECT_THAT(refusal(dim3(1, 65536), 1, 0), HasSubstr("grid 1x65536x1 exceeds"));
  EXPECT_THAT(refusal(1, 1025, 0), HasSubstr("a block of 1025x1x1 threads; need 1 to 1024"));
  EXPECT_THAT(refusal(1, 0, 0), HasSubstr("a block of 0x1x1 threads"));
  EXPECT_THAT(refusal(1, dim3(1, 1, 65), 0), HasSubstr("a block of 1x1x65 threads"));
  EXPECT_THAT(refusal(1, 1, 1001), HasSubstr("1001 bytes of dynamic shared memory exceed 1000"));
  EXPECT_EQ(device_limits().shared_bytes, 1000u);
}

}  // namespace
}  // namespace adatape::kernels

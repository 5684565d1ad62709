// Threads that wait for each other in ways that a device does not allow: each is named.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/device.h"
#include "kernels/emulation/machine.h"

namespace adatape::kernels {
namespace {

using emulation::Kind;
using emulation::Machine;
using emulation::Order;
using testing::AllOf;
using testing::HasSubstr;

constexpr uint32_t kAll = 0xffffffffu;
constexpr Order kOrders[] = {Order::kForward, Order::kReversed, Order::kPermuted};

template <class Matcher>
void expect_divergence(int threads, void (*kernel)(int*), Matcher message) {
  for (Order order : kOrders) {
    Machine machine({.order = order});
    int* y = machine.both("y", std::vector<int>(threads));
    launch(2, threads, 0, nullptr, kernel, y);
    EXPECT_GE(machine.count(Kind::kDivergence), 1);
    EXPECT_THAT(machine.text(), message);
  }
}

__global__ void barrier_under_if(int* y) {
  if (threadIdx.x < 10) __syncthreads();
  y[threadIdx.x] = 1;
}

__global__ void leave_before_barrier(int*) {
  if (threadIdx.x >= 33) return;
  __syncthreads();
}

__global__ void two_barriers(int*) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

TEST(EmulationDivergence, FindsBarriersThatNotAllReach) {
  expect_divergence(64, &barrier_under_if,
                    AllOf(HasSubstr("waits in __syncthreads at emulation_divergence_test.cpp"),
                          HasSubstr("has left the kernel")));
  expect_divergence(64, &leave_before_barrier, HasSubstr("thread 33 has left the kernel"));
  expect_divergence(64, &two_barriers, HasSubstr("but thread"));
}

__global__ void shuffle_under_if(int* y) {
  if (threadIdx.x < 10) y[threadIdx.x] = __shfl_xor_sync(kAll, 1, 1);
  __syncthreads();
}

__global__ void ballot_against_shuffle(int* y) {
  if (threadIdx.x < 10) {
    y[threadIdx.x] = __shfl_xor_sync(kAll, 1, 1);
  } else {
    y[threadIdx.x] = int(__ballot_sync(kAll, 1));
  }
}

__global__ void masks_that_differ(int* y) {
  const uint32_t mask = threadIdx.x == 3 ? 0xffu : kAll;
  y[threadIdx.x] = __shfl_xor_sync(mask, 1, 1);
}

__global__ void syncwarp_under_if(int*) {
  if (threadIdx.x < 10) __syncwarp();
  __syncthreads();
}

TEST(EmulationDivergence, FindsCollectivesThatNotAllReach) {
  expect_divergence(32, &shuffle_under_if,
                    AllOf(HasSubstr("__shfl_sync at"), HasSubstr("__syncthreads at")));
  expect_divergence(32, &ballot_against_shuffle,
                    AllOf(HasSubstr("__shfl_sync at"), HasSubstr("a vote at")));
  expect_divergence(32, &masks_that_differ, HasSubstr("__shfl_sync at"));
  expect_divergence(32, &syncwarp_under_if,
                    AllOf(HasSubstr("__syncwarp at"), HasSubstr("__syncthreads at")));
}

__global__ void outside_of_own_mask(int* y) { y[threadIdx.x] = __shfl_sync(0xffu, 1, 0); }

__global__ void from_a_lane_that_left(int* y) {
  if (threadIdx.x >= 16) return;
  y[threadIdx.x] = __shfl_xor_sync(kAll, 1, 16);
}

__global__ void from_outside_of_the_mask(int* y) {
  if (threadIdx.x < 16) y[threadIdx.x] = __shfl_sync(0xffffu, 1, 20);
}

TEST(EmulationDivergence, FindsLanesThatDoNotTakePart) {
  expect_divergence(32, &outside_of_own_mask, HasSubstr("is not in the mask of its own __shfl"));
  expect_divergence(32, &from_a_lane_that_left, HasSubstr("of lane 16, which does not take part"));
  expect_divergence(32, &from_outside_of_the_mask, HasSubstr("of lane 20, which does not take"));
}

__global__ void matrices_of_half_a_warp(int* y) {
  uint32_t a[4] = {}, b[2] = {};
  float d[4] = {};
  if (threadIdx.x >= 16) return;
  mma_m16n8k16<BFloat16>(d, a, b);
  y[threadIdx.x] = int(d[0]);
}

__global__ void ldmatrix_of_global_memory(int* y) {
  uint32_t a[4];
  ldmatrix_x4(a, y);
}

TEST(EmulationDivergence, MatrixInstructionsNeedWholeWarpsAndSharedMemory) {
  expect_divergence(32, &matrices_of_half_a_warp,
                    HasSubstr("mma of thread 0 in a warp of which some"));
  expect_divergence(40, &ldmatrix_of_global_memory, HasSubstr("outside of shared memory"));
}

__global__ void fine(int* y) {
  __syncthreads();
  y[blockIdx.x * blockDim.x + threadIdx.x] = 1;
}

TEST(EmulationDivergence, LeavesTheMachineUsable) {
  Machine machine;
  int* y = machine.both("y", std::vector<int>(64));
  launch(2, 32, 0, nullptr, &barrier_under_if, y);
  EXPECT_EQ(machine.count(Kind::kDivergence), 1) << "the launch goes on after a block that hangs";
  machine.clear_reports();
  launch(2, 32, 0, nullptr, &fine, y);
  EXPECT_EQ(machine.text(), "");
  EXPECT_EQ(y[63], 1);
}

}  // namespace
}  // namespace adatape::kernels

// What the shadow memory must find in broken kernels, and must not find in right ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/device.h"
#include "kernels/emulation/machine.h"

namespace adatape::kernels {
namespace {

using emulation::Access;
using emulation::Contents;
using emulation::Kind;
using emulation::Machine;
using emulation::Order;
using emulation::Report;
using testing::HasSubstr;

constexpr uint32_t kAll = 0xffffffffu;
constexpr Order kOrders[] = {Order::kForward, Order::kReversed, Order::kPermuted};

/// Runs the kernel in all orders; in each the first kind of `expected` must be found; the others
/// may be, as the order wants it; nothing else.
template <class... P, class Setup>
void expect(std::vector<Kind> expected, int blocks, int threads, void (*kernel)(P...),
            Setup arguments) {
  for (Order order : kOrders) {
    Machine machine({.order = order});
    std::apply([&](auto... a) { launch(blocks, threads, 256, nullptr, kernel, a...); },
               arguments(machine));
    if (!expected.empty()) {
      EXPECT_GT(machine.count(expected[0]), 0) << emulation::name(expected[0]) << " was missed";
    }
    for (const Report& r : machine.reports())
      EXPECT_THAT(expected, testing::Contains(r.kind)) << r.text();
  }
}

auto one_output(size_t count) {
  return [count](Machine& m) { return std::tuple(m.output<int>("y", count)); };
}

__global__ void neighbour(int* y, bool first_barrier, bool second_barrier) {
  __shared__ int tile[64];
  const int i = int(threadIdx.x);
  for (int round = 0; round < 3; ++round) {
    tile[i] = round * i;
    if (first_barrier) __syncthreads();
    y[round * 64 + i] = tile[63 - i];
    if (second_barrier) __syncthreads();
  }
}

TEST(EmulationMemory, FindsEachMissingBarrier) {
  const auto with = [](bool first, bool second) {
    return [=](Machine& m) { return std::tuple(m.output<int>("y", 192), first, second); };
  };
  expect({}, 1, 64, &neighbour, with(true, true));
  expect({Kind::kRace}, 1, 64, &neighbour, with(true, false));
  expect({Kind::kRace, Kind::kUninitialised}, 1, 64, &neighbour, with(false, true));
}

TEST(EmulationMemory, NamesBothSidesOfARace) {
  Machine machine;
  int* y = machine.output<int>("y", 192);
  launch(1, 64, 0, nullptr, &neighbour, y, true, false);
  const Report& r = machine.reports().front();
  EXPECT_EQ(r.kind, Kind::kRace);
  EXPECT_EQ(r.range, "static shared memory");
  EXPECT_EQ(r.access, Access::kRead);  // of a cell that the next round has overwritten
  EXPECT_EQ(r.other_access, Access::kWrite);
  EXPECT_EQ(r.thread.thread, 63 - r.other.thread);
  EXPECT_NE(r.site, r.other_site);
  EXPECT_GT(r.count, 32);
  EXPECT_THAT(machine.text(), HasSubstr("emulation_memory_test.cpp:"));
}

// A warp's own exchange: needs __syncwarp, no more.
__global__ void exchange(int* y, int syncs) {
  __shared__ volatile int tile[64];
  const int i = int(threadIdx.x);
  tile[i] = i;
  if (syncs > 0) __syncwarp();
  const int x = tile[i ^ 1];
  if (syncs > 1) __syncwarp();
  tile[i] = x + 1;
  if (syncs > 2) __syncwarp();
  y[i] = tile[i ^ 2];
}

TEST(EmulationMemory, WarpsNeedSyncwarp) {
  const auto with = [](int syncs) {
    return [=](Machine& m) { return std::tuple(m.output<int>("y", 64), syncs); };
  };
  expect({}, 1, 64, &exchange, with(3));
  expect({Kind::kRace}, 1, 64, &exchange, with(2));
  expect({Kind::kRace}, 1, 64, &exchange, with(1));
  expect({Kind::kRace, Kind::kUninitialised}, 1, 64, &exchange, with(0));
}

__global__ void shuffle_is_no_fence(int* y) {
  __shared__ int tile[32];
  const int i = int(threadIdx.x);
  tile[i] = i;
  const int other = __shfl_xor_sync(kAll, i, 1);
  y[i] = tile[other];
}

TEST(EmulationMemory, ShufflesOrderNoMemory) {
  expect({Kind::kRace}, 1, 32, &shuffle_is_no_fence, one_output(32));
}

__global__ void syncwarp_across_warps(int* y) {
  __shared__ int tile[64];
  const int i = int(threadIdx.x);
  tile[i] = i;
  __syncwarp();
  y[i] = tile[i ^ 32];
}

TEST(EmulationMemory, SyncwarpOrdersOneWarpOnly) {
  expect({Kind::kRace, Kind::kUninitialised}, 1, 64, &syncwarp_across_warps, one_output(64));
}

// Lane 0 hands on to lane 1, which hands on to lane 2; lane 3 is told nothing.
__global__ void relay(int* y, int last) {
  __shared__ int cell;
  const int i = int(threadIdx.x);
  if (i == 0) cell = 5;
  if (i < 2) __syncwarp(3);
  if (i == 1) y[0] = cell;
  if (i == 1 || i == 2) __syncwarp(6);
  if (i == last) cell = 6;
}

TEST(EmulationMemory, PartialSyncwarpsAddUp) {
  const auto with = [](int last) {
    return [=](Machine& m) { return std::tuple(m.output<int>("y", 1), last); };
  };
  expect({}, 1, 32, &relay, with(2));
  expect({}, 1, 32, &relay, with(1));
  expect({Kind::kRace}, 1, 32, &relay, with(3));
}

__global__ void broadcast_then_write(int* y, bool sync) {
  __shared__ int cell;
  const int i = int(threadIdx.x);
  if (i == 0) cell = 1;
  __syncthreads();
  y[i] = cell;
  if (sync) __syncwarp();
  if (i == 0) cell = 2;
}

TEST(EmulationMemory, RemembersAllReadersOfACell) {
  const auto with = [](bool sync) {
    return [=](Machine& m) { return std::tuple(m.output<int>("y", 64), sync); };
  };
  expect({}, 1, 32, &broadcast_then_write, with(true));
  expect({Kind::kRace}, 1, 32, &broadcast_then_write, with(false));
  expect({Kind::kRace}, 1, 64, &broadcast_then_write, with(true));  // the other warp reads too
}

template <class T>
__global__ void small_neighbours(T* y) {
  __shared__ T tile[64];
  const int i = int(threadIdx.x);
  tile[i] = T(i);
  y[i] = tile[i];
}

TEST(EmulationMemory, TellsTheBytesOfAWordApart) {
  expect({}, 1, 64, &small_neighbours<uint8_t>,
         [](Machine& m) { return std::tuple(m.output<uint8_t>("y", 64)); });
  expect({}, 1, 64, &small_neighbours<uint16_t>,
         [](Machine& m) { return std::tuple(m.output<uint16_t>("y", 64)); });
}

__global__ void overrun(int* y, const int* x, int read, int write) {
  if (threadIdx.x == 0) y[write] = x[read];
}

TEST(EmulationMemory, FindsAddressesOutOfRange) {
  const auto with = [](int read, int write) {
    return [=](Machine& m) {
      int* y = m.output<int>("y", 10);
      return std::tuple(y, m.input("x", std::vector<int>(10)), read, write);
    };
  };
  expect({}, 1, 32, &overrun, with(9, 9));
  for (int bad : {-1, 10, 1000000, -1000000}) {
    expect({Kind::kOutOfRange}, 1, 32, &overrun, with(bad, 0));
    expect({Kind::kOutOfRange}, 1, 32, &overrun, with(0, bad));
  }
  Machine machine;
  int* y = machine.output<int>("y", 10);
  launch(1, 32, 0, nullptr, &overrun, y, machine.input("x", std::vector<int>(10)), 12, 0);
  const Report& r = machine.reports().front();
  EXPECT_EQ(r.range, "x");
  EXPECT_EQ(r.offset, 48);
  EXPECT_EQ(r.access, Access::kRead);
  EXPECT_EQ(r.thread.block, 0);
  EXPECT_EQ(r.thread.thread, 0);
}

__global__ void overrun_shared(int* y, int at) {
  DYNAMIC_SHARED(int, tile);
  tile[threadIdx.x + at] = 1;
  y[threadIdx.x] = tile[threadIdx.x + at];
}

TEST(EmulationMemory, KnowsTheEndOfDynamicSharedMemory) {
  const auto with = [](int at) {
    return [=](Machine& m) { return std::tuple(m.output<int>("y", 32), at); };
  };
  expect({}, 1, 32, &overrun_shared, with(32));
  expect({Kind::kOutOfRange}, 1, 32, &overrun_shared, with(33));
}

__global__ void leave_array(int* y, int shared_index, int local_index) {
  __shared__ int tile[8];
  __shared__ int neighbour[8];
  int mine[4] = {1, 2, 3, 4};
  tile[threadIdx.x % 8] = neighbour[threadIdx.x % 8] = 0;
  __syncthreads();
  y[threadIdx.x] = tile[shared_index] + mine[local_index] + neighbour[0];
}

TEST(EmulationMemory, KnowsTheEndOfArrays) {
  const auto with = [](int shared_index, int local_index) {
    return [=](Machine& m) { return std::tuple(m.output<int>("y", 8), shared_index, local_index); };
  };
  expect({}, 1, 8, &leave_array, with(7, 3));
  for (int bad : {8, -1}) expect({Kind::kOutOfRange}, 1, 8, &leave_array, with(bad, 3));
  for (int bad : {4, -1}) expect({Kind::kOutOfRange}, 1, 8, &leave_array, with(7, bad));
  Machine machine;
  launch(1, 8, 0, nullptr, &leave_array, machine.output<int>("y", 8), 9, 0);
  EXPECT_THAT(machine.text(),
              HasSubstr("index 9 of 'int [8]' at emulation_memory_test.cpp:"));
}

__global__ void write_input(int* x) { x[0] = 1; }
__global__ void read_output(int* y) { y[1 + threadIdx.x] = y[0]; }
__global__ void local_memory_of_another(int** where, int* y) {
  int mine = int(threadIdx.x);
  where[threadIdx.x] = &mine;
  __syncthreads();
  y[threadIdx.x] = *where[threadIdx.x ^ 1];
}

TEST(EmulationMemory, KnowsWhatMayBeDoneToARange) {
  expect({Kind::kReadOnly}, 1, 1, &write_input,
         [](Machine& m) { return std::tuple(m.input("x", std::vector<int>(1))); });
  expect({Kind::kUninitialised}, 1, 32, &read_output, one_output(33));
  expect({Kind::kOutOfRange}, 1, 32, &local_memory_of_another, [](Machine& m) {
    return std::tuple(m.output<int*>("where", 32), m.output<int>("y", 32));
  });
  std::vector<int> own(33);
  expect({}, 1, 32, &read_output, [&](Machine& m) {
    m.track("own", own.data(), own.size() * sizeof(int), Contents::kBoth);
    return std::tuple(own.data());
  });
}

__global__ void stale_shared(int* y) {
  DYNAMIC_SHARED(int, tile);
  if (blockIdx.x == 0) tile[threadIdx.x] = 1;
  y[blockIdx.x * blockDim.x + threadIdx.x] = tile[threadIdx.x];
}

TEST(EmulationMemory, NothingOfABlockIsLeftForTheNext) {
  expect({Kind::kUninitialised}, 2, 32, &stale_shared, one_output(64));
}

// what 0: own cells; 1: all blocks write one; 2: a block reads what another writes.
__global__ void across_blocks(int* y, int what) {
  const int b = int(blockIdx.x);
  if (what == 0) y[b] = b;
  if (what == 1) y[0] = 1;
  if (what == 2) y[b] = b ? y[b - 1] : 0;
  if (what == 3) atomicAdd(&y[0], 1);
  if (what == 4 && b == 1) atomicAdd(&y[0], 1);
  if (what == 4 && b == 2) y[0] = 3;
}

TEST(EmulationMemory, BlocksAreNeverOrdered) {
  const auto with = [](int what) {
    return [=](Machine& m) { return std::tuple(m.both("y", std::vector<int>(4)), what); };
  };
  expect({}, 4, 1, &across_blocks, with(0));
  expect({Kind::kRace}, 4, 1, &across_blocks, with(1));
  expect({Kind::kRace}, 4, 1, &across_blocks, with(2));
  expect({}, 4, 1, &across_blocks, with(3));
  expect({Kind::kRace}, 4, 1, &across_blocks, with(4));
}

TEST(EmulationMemory, LaunchesAreOrdered) {
  Machine machine;
  int* y = machine.output<int>("y", 4);
  for (int i = 0; i < 3; ++i) launch(4, 1, 0, nullptr, &across_blocks, y, 0);
  launch(1, 1, 0, nullptr, &across_blocks, y, 1);
  EXPECT_EQ(machine.text(), "");
}

// Thread 0 of each block reads a cell, and then its warp-mate or another block writes it.
__global__ void read_then_write(int* y, int* cell, int writer_block, int writer_thread) {
  const int b = int(blockIdx.x), i = int(threadIdx.x);
  if (i == 0) y[b] = *cell;
  __syncthreads();
  if (b == writer_block && i == writer_thread) *cell = 1;
}

TEST(EmulationMemory, RemembersReadersOfOtherBlocks) {
  const auto with = [](int block) {
    return [=](Machine& m) {
      return std::tuple(m.output<int>("y", 3), m.both("cell", std::vector<int>(1)), block, 5);
    };
  };
  expect({}, 1, 32, &read_then_write, with(0));
  for (int block : {0, 1, 2}) expect({Kind::kRace}, 3, 32, &read_then_write, with(block));
}

__global__ void wide(float* y, const float* x, int offset) {
  store_128(y + 4 * threadIdx.x, load_128(x + 4 * threadIdx.x + offset));
}
__global__ void wide_by_pointer(float* y, const float* x, int offset) {
  const double* pair = reinterpret_cast<const double*>(x + offset);
  reinterpret_cast<double*>(y)[threadIdx.x] = pair[threadIdx.x] + 1.0;
}

TEST(EmulationMemory, FindsMisalignedAccesses) {
  const auto with = [](int offset) {
    return [=](Machine& m) {
      float* y = m.output<float>("y", 128);
      return std::tuple(y, m.input("x", std::vector<float>(132)), offset);
    };
  };
  expect({}, 1, 32, &wide, with(4));
  expect({Kind::kMisaligned}, 1, 32, &wide, with(2));
  expect({}, 1, 32, &wide_by_pointer, with(2));
  expect({Kind::kMisaligned}, 1, 32, &wide_by_pointer, with(1));
}

__global__ void far_index(const float* x, float* y, int64_t offset) { *y = x[offset]; }

TEST(EmulationMemory, OffsetsMayExceed32Bits) {
  Machine machine;
  const float* x = machine.input("x", std::vector<float>{1, 2, 3});
  float* y = machine.output<float>("y", 1);
  const int64_t far = (int64_t(1) << 40) + 5;
  launch(1, 1, 0, nullptr, &far_index, x - far, y, far + 2);
  EXPECT_EQ(machine.text(), "");
  EXPECT_EQ(*y, 3);
  launch(1, 1, 0, nullptr, &far_index, x - far, y, int64_t(int32_t(far + 2)));
  EXPECT_EQ(machine.count(Kind::kOutOfRange), 1);
}

}  // namespace
}  // namespace adatape::kernels

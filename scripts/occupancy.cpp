// Blocks that fit a multiprocessor, by CUDA's own header and without a device. Reads lines "major
// registers static_shared dynamic_shared threads" and answers each with a number.
#include <cuda_occupancy.h>

#include <cstdio>

int main() {
  int major, registers, threads;
  size_t fixed, dynamic;
  while (std::scanf("%d %d %zu %zu %d", &major, &registers, &fixed, &dynamic, &threads) == 5) {
    cudaOccDeviceProp device;
    device.computeMajor = major;
    device.maxThreadsPerBlock = 1024;
    device.maxThreadsPerMultiprocessor = 2048;
    device.regsPerBlock = device.regsPerMultiprocessor = 65536;
    device.warpSize = 32;
    device.sharedMemPerBlock = 48 * 1024;
    device.sharedMemPerMultiprocessor = (major == 8 ? 164 : 228) * 1024;
    device.reservedSharedMemPerBlock = 1024;
    device.sharedMemPerBlockOptin = device.sharedMemPerMultiprocessor - 1024;
    device.numSms = 1;
    cudaOccFuncAttributes kernel{};
    kernel.maxThreadsPerBlock = 1024;
    kernel.numRegs = registers;
    kernel.sharedSizeBytes = fixed;
    kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
    kernel.maxDynamicSharedSizeBytes = dynamic;
    kernel.numBlockBarriers = 1;
    const cudaOccDeviceState state;
    cudaOccResult result{};
    if (cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, threads, dynamic)) {
      return 1;
    }
    std::printf("%d\n", result.activeBlocksPerMultiprocessor);
  }
}

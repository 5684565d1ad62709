// The queue that a launch goes to: cudaStream_t, without CUDA's headers.
#pragma once

struct CUstream_st;

namespace adatape::kernels {

using Stream = CUstream_st*;

}  // namespace adatape::kernels

# ADATAPE_CUDA, whether the CUDA kernels can be built. By default that is so where there is an nvcc
# of 12.8 or later (the first that knows sm_100), the CUDA headers beside it, and a torch wheel for
# CUDA. No GPU is needed. torch::cuda is what the ops link beside the kernels.

find_program(ADATAPE_NVCC nvcc HINTS "$ENV{CUDA_HOME}/bin" /usr/local/cuda/bin)
set(_cuda OFF)
if(ADATAPE_NVCC AND EXISTS "${ADATAPE_TORCH_DIR}/lib/libc10_cuda.so" AND NOT ADATAPE_SANITIZE)
  execute_process(COMMAND "${ADATAPE_NVCC}" --version OUTPUT_VARIABLE _version ERROR_QUIET)
  get_filename_component(_toolkit "${ADATAPE_NVCC}" REALPATH)
  get_filename_component(_toolkit "${_toolkit}" DIRECTORY)
  if(_version MATCHES "release ([0-9]+\\.[0-9]+)" AND CMAKE_MATCH_1 VERSION_GREATER_EQUAL 12.8
     AND EXISTS "${_toolkit}/../include/cuda_runtime.h")
    set(_cuda ON)
  endif()
endif()
option(ADATAPE_CUDA "Build the CUDA kernels (needs nvcc 12.8 or later)" ${_cuda})

if(ADATAPE_CUDA)
  if(NOT ADATAPE_NVCC)
    message(FATAL_ERROR "ADATAPE_CUDA is on, but there is no nvcc: set ADATAPE_NVCC to one of 12.8 or "
                        "later, or ADATAPE_CUDA to OFF")
  endif()
  set(CMAKE_CUDA_COMPILER "${ADATAPE_NVCC}")
  # Code for these, and PTX for what comes after them.
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 100)
  enable_language(CUDA)
  # What host code needs to find the current stream: c10's CUDA half and the wheel's own runtime.
  file(GLOB _runtime "${ADATAPE_TORCH_DIR}/../nvidia/*/lib/libcudart.so.*")
  add_library(torch::cuda INTERFACE IMPORTED)
  target_include_directories(torch::cuda SYSTEM INTERFACE "${_toolkit}/../include")
  target_link_libraries(torch::cuda INTERFACE "${ADATAPE_TORCH_DIR}/lib/libc10_cuda.so" ${_runtime})
endif()

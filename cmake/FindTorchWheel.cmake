# LibTorch out of a Python environment's torch wheel, as plain imported targets.
#
# Why not the wheel's own TorchConfig.cmake: it insists on the CUDA toolkit for a CUDA-built wheel,
# although a CPU program needs libtorch_cpu and libc10 only.
#
#   ADATAPE_PYTHON   the interpreter whose torch is used (default: .venv/bin/python)
#   torch::cpu       libtorch_cpu, libc10, libgomp: what every target links
#   ADATAPE_TORCH_VERSION, ADATAPE_TORCH_DIR

set(ADATAPE_TORCH_REQUIRED 2.11 CACHE STRING "LibTorch version this source is written for")
set(ADATAPE_PYTHON "${CMAKE_SOURCE_DIR}/.venv/bin/python" CACHE FILEPATH
    "Python interpreter with torch ${ADATAPE_TORCH_REQUIRED}")

# find_spec does not import torch: the CPU flavour lacks libraries that only `import torch` needs.
execute_process(
  COMMAND "${ADATAPE_PYTHON}" -c
          "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '', end='')"
  OUTPUT_VARIABLE ADATAPE_TORCH_DIR ERROR_VARIABLE _error RESULT_VARIABLE _failed)
if(_failed OR NOT ADATAPE_TORCH_DIR)
  message(FATAL_ERROR "No torch in ${ADATAPE_PYTHON}. Run scripts/bootstrap, or set ADATAPE_PYTHON to "
                      "an interpreter that has torch ${ADATAPE_TORCH_REQUIRED}. ${_error}")
endif()

file(STRINGS "${ADATAPE_TORCH_DIR}/version.py" _line REGEX "^__version__")
string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9]+" ADATAPE_TORCH_VERSION "${_line}")
if(NOT ADATAPE_TORCH_VERSION MATCHES "^${ADATAPE_TORCH_REQUIRED}\\.")
  message(FATAL_ERROR "${ADATAPE_PYTHON} has torch ${ADATAPE_TORCH_VERSION}; this source needs "
                      "${ADATAPE_TORCH_REQUIRED}. Run scripts/bootstrap without ADATAPE_PYTHON.")
endif()

add_library(torch::cpu INTERFACE IMPORTED)
set(_lib "${ADATAPE_TORCH_DIR}/lib")
target_include_directories(torch::cpu SYSTEM INTERFACE
  "${ADATAPE_TORCH_DIR}/include" "${ADATAPE_TORCH_DIR}/include/torch/csrc/api/include")
# The wheel's own libgomp.so.1 first: two OpenMP runtimes in one process mean two thread pools.
set(_gomp "${_lib}/libgomp.so.1")
if(NOT EXISTS "${_gomp}")
  set(_gomp gomp)
endif()
target_link_libraries(torch::cpu INTERFACE "${_lib}/libtorch_cpu.so" "${_lib}/libc10.so" "${_gomp}")
target_compile_options(torch::cpu INTERFACE -fopenmp)
# libtorch_cpu of a CUDA-built wheel needs libcudart and libcupti, which lie in sibling packages.
file(GLOB _nvidia LIST_DIRECTORIES true "${ADATAPE_TORCH_DIR}/../nvidia/*/lib")
set(ADATAPE_TORCH_RPATH "${_lib}" ${_nvidia})
list(JOIN ADATAPE_TORCH_RPATH ":" _rpath)
target_link_options(torch::cpu INTERFACE "LINKER:-rpath-link,${_rpath}")

#include "csrc/ops/launch.h"

#include <c10/util/Exception.h>

namespace adatape::ops {
namespace {

bool rank_is_one_of(const at::Tensor& tensor, std::initializer_list<int64_t> ranks) {
  return std::find(ranks.begin(), ranks.end(), tensor.dim()) != ranks.end();
}

std::string list_of(std::initializer_list<int64_t> ranks) {
  std::string text;
  for (int64_t rank : ranks) text += (text.empty() ? "" : " or ") + std::to_string(rank);
  return text;
}

}  // namespace

void check_same_device(const char* op, std::initializer_list<Argument> arguments) {
  const Argument& first = *arguments.begin();
  for (const Argument& a : arguments) {
    TORCH_CHECK(!a.tensor.defined() || a.tensor.device() == first.tensor.device(), "[", op, "] ", a.name,
                " is on ", a.tensor.device(), " but ", first.name, " is on ", first.tensor.device(),
                "; move them to one device");
  }
}

void check_tensor(const char* op, Argument a, at::ScalarType type, std::initializer_list<int64_t> ranks) {
  TORCH_CHECK(a.tensor.scalar_type() == type, "[", op, "] ", a.name, " must be ", type, ", got ",
              a.tensor.scalar_type());
  TORCH_CHECK(rank_is_one_of(a.tensor, ranks), "[", op, "] ", a.name, " must have ", list_of(ranks),
              " dimensions, got shape ", a.tensor.sym_sizes());
}

void check_floating(const char* op, Argument a, std::initializer_list<int64_t> ranks) {
  const at::ScalarType type = a.tensor.scalar_type();
  TORCH_CHECK(type == at::kFloat || type == at::kDouble || type == at::kBFloat16 || type == at::kHalf, "[", op,
              "] ", a.name, " must be float32, float64, bfloat16 or float16, got ", type);
  check_tensor(op, a, type, ranks);
}

void check_size(const char* op, Argument a, int64_t dim, int64_t expected, const char* meaning) {
  TORCH_CHECK(a.tensor.size(dim) == expected, "[", op, "] ", a.name, " has shape ", a.tensor.sizes(),
              " but dimension ", dim, " must be ", expected, ", ", meaning);
}

void check_dense_rows(const char* op, Argument a) {
  TORCH_CHECK(a.tensor.size(-1) <= 1 || a.tensor.stride(-1) == 1, "[", op, "] ", a.name,
              " has stride ", a.tensor.stride(-1), " in its last dimension; it must be dense there, call contiguous()");
}

void check_offsets(const char* op, Argument a, int64_t batch, int64_t first, int64_t last) {
  TORCH_CHECK(a.tensor.scalar_type() == at::kInt && a.tensor.dim() == 1 && a.tensor.size(0) == batch + 1 &&
                  a.tensor.is_contiguous(),
              "[", op, "] ", a.name, " must be contiguous int32[", batch + 1, "] (batch + 1 entries), got ",
              a.tensor.scalar_type(), a.tensor.sizes());
  const int32_t* offset = a.tensor.const_data_ptr<int32_t>();
  TORCH_CHECK(offset[0] >= first, "[", op, "] ", a.name, " starts at ", offset[0], ", before row ", first);
  for (int64_t b = 0; b < batch; ++b) {
    TORCH_CHECK(offset[b] <= offset[b + 1], "[", op, "] ", a.name, " decreases from ", offset[b], " to ",
                offset[b + 1], " at entry ", b + 1);
  }
  TORCH_CHECK(offset[batch] <= last, "[", op, "] ", a.name, " ends at ", offset[batch], ", past the ", last,
              " rows that there are");
}

at::ScalarType accumulator(at::ScalarType type) { return type == at::kDouble ? at::kDouble : at::kFloat; }

kernels::DType dtype(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kDouble: return kernels::DType::kFloat64;
    case at::kBFloat16: return kernels::DType::kBFloat16;
    case at::kHalf: return kernels::DType::kFloat16;
    default: return kernels::DType::kFloat32;
  }
}

const kernels::CpuKernels& cpu_kernels(const char* op) {
  const kernels::CpuKernels* table = kernels::cpu_kernels();
  TORCH_CHECK(table, "[", op, "] ADATAPE_CPU_ISA names an instruction set that this machine does not run; ",
              "use avx512, avx2 or baseline, or unset it");
  return *table;
}

}  // namespace adatape::ops

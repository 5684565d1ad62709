#include "trainers/tensor_file.h"

#include <torch/torch.h>

#include <set>

#include "csrc/formats/digest.h"
#include "csrc/formats/safetensors.h"

namespace adatape {
namespace {

using formats::Dtype;

Dtype dtype_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return Dtype::F32;
    case at::kDouble:
      return Dtype::F64;
    case at::kHalf:
      return Dtype::F16;
    case at::kBFloat16:
      return Dtype::BF16;
    case at::kLong:
      return Dtype::I64;
    case at::kInt:
      return Dtype::I32;
    case at::kByte:
      return Dtype::U8;
    case at::kBool:
      return Dtype::BOOL;
    default:
      throw formats::FormatError("a tensor of type " +
                                 std::string(c10::toString(tensor.scalar_type())) +
                                 " cannot be saved");
  }
}

std::string shape_text(c10::IntArrayRef shape) {
  std::string text = "[";
  for (int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

void check_matches(const std::string& path, const formats::TensorInfo& stored,
                   const NamedTensor& wanted) {
  const std::string where = path + ": tensor " + formats::quote(stored.name) + " ";
  if (c10::IntArrayRef(stored.shape) != wanted.tensor.sizes()) {
    throw formats::FormatError(where + "has shape " + shape_text(stored.shape) +
                               ", but the model needs " + shape_text(wanted.tensor.sizes()) +
                               "; is it a checkpoint of another configuration?");
  }
  if (stored.dtype != dtype_of(wanted.tensor)) {
    throw formats::FormatError(
        where + "has type " + std::string(formats::dtype_name(stored.dtype)) +
        ", but the model needs " + std::string(formats::dtype_name(dtype_of(wanted.tensor))));
  }
}

}  // namespace

std::map<std::string, std::string> write_tensors(const std::string& path,
                                                 const NamedTensors& tensors) {
  std::vector<at::Tensor> dense;
  std::vector<formats::TensorView> views;
  std::map<std::string, std::string> digests;
  for (const NamedTensor& n : tensors) {
    dense.push_back(n.tensor.detach().cpu().contiguous());
    const at::Tensor& t = dense.back();
    views.push_back({n.name, dtype_of(t), t.sizes().vec(), t.const_data_ptr()});
    digests[n.name] = formats::xxh3_hex(t.const_data_ptr(), t.nbytes());
  }
  formats::write_safetensors(path, views);
  return digests;
}

void read_tensors(const std::string& path, const NamedTensors& into) {
  const formats::SafetensorsFile file(path);
  std::set<std::string> wanted;
  std::vector<at::Tensor> read;
  for (const NamedTensor& n : into) {
    wanted.insert(n.name);
    const formats::TensorInfo& info = file.at(n.name);
    check_matches(path, info, n);
    read.push_back(
        torch::empty(n.tensor.sizes(), n.tensor.options().device(at::kCPU).requires_grad(false)));
    file.read(info, read.back().mutable_data_ptr());
  }
  for (const formats::TensorInfo& info : file.tensors()) {
    if (!wanted.count(info.name)) {
      throw formats::FormatError(
          path + ": tensor " + formats::quote(info.name) +
          " is not one of the model's; is it a checkpoint of another configuration?");
    }
  }
  torch::NoGradGuard no_grad;
  for (size_t i = 0; i < into.size(); ++i) at::Tensor(into[i].tensor).copy_(read[i]);
}

}  // namespace adatape

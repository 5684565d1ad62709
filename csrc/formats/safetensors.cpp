#include "csrc/formats/safetensors.h"

#include <array>
#include <bit>

#include "csrc/formats/atomic_file.h"

namespace adatape::formats {
namespace {

static_assert(std::endian::native == std::endian::little,
              "tensors are copied as they lie in files");

SafetensorsHeader read_header(const InputFile& file) {
  std::array<char, kSafetensorsPrefix> prefix{};
  const size_t have = std::min<uint64_t>(prefix.size(), file.size());
  file.read_at(0, prefix.data(), have);
  const uint64_t bytes = safetensors_header_bytes({prefix.data(), have}, file.size(), file.path());
  std::string json(bytes, '\0');
  file.read_at(kSafetensorsPrefix, json.data(), json.size());
  return parse_safetensors_header(json, file.size() - kSafetensorsPrefix - bytes, file.path());
}

TensorInfo placed(const TensorView& view, uint64_t begin, const std::string& path) {
  const std::optional<uint64_t> bytes = tensor_bytes(view.dtype, view.shape);
  if (!bytes || view.shape.size() > kMostDimensions || (*bytes > 0 && view.data == nullptr)) {
    throw FormatError("cannot write " + quote(path) + ": tensor " + quote(view.name) +
                      " has no data or an impossible shape; give it " +
                      "non-negative sizes, at most 64 of them, whose product does not overflow");
  }
  return {view.name, view.dtype, view.shape, begin, begin + *bytes};
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path)
    : file_(path), header_(read_header(file_)) {
  for (size_t i = 0; i < header_.tensors.size(); ++i) index_[header_.tensors[i].name] = i;
}

const TensorInfo* SafetensorsFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &header_.tensors[found->second];
}

const TensorInfo& SafetensorsFile::at(std::string_view name) const {
  const TensorInfo* tensor = find(name);
  if (tensor == nullptr) {
    throw FormatError(quote(path()) + " has no tensor " + quote(name) +
                      "; use a file written for this model");
  }
  return *tensor;
}

void SafetensorsFile::read(const TensorInfo& tensor, void* destination) const {
  file_.read_at(header_.data_begin + tensor.begin, destination, tensor.bytes());
}

void write_safetensors(const std::string& path, const std::vector<TensorView>& tensors,
                       const Metadata& metadata) {
  std::vector<TensorInfo> infos;
  uint64_t end = 0;
  for (const TensorView& view : tensors) {
    infos.push_back(placed(view, end, path));
    end = infos.back().end;
  }
  const std::string header = serialize_safetensors_header(infos, metadata, path);
  AtomicFile file(path);
  file.write(header.data(), header.size());
  for (size_t i = 0; i < tensors.size(); ++i) file.write(tensors[i].data, infos[i].bytes());
  file.commit();
}

}  // namespace adatape::formats

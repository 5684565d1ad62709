#include "csrc/formats/safetensors_json.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

namespace adatape::formats {
namespace {

using Json = nlohmann::json;

class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(const std::string& file) : file_(file) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool key(string_t& text) override {
    if (place_ == Place::kHeader) {
      open_entry(text);
    } else if (place_ == Place::kMetadata) {
      key_ = text;
      if (header_.metadata.contains(key_)) fail("has the key " + quote(key_) + " twice");
    } else {
      open_field(text);
    }
    return true;
  }

  bool start_object(size_t) override {
    if (place_ == Place::kOutside) {
      place_ = Place::kHeader;
    } else if (place_ == Place::kHeader) {
      place_ = key_ == "__metadata__" ? Place::kMetadata : Place::kTensor;
    } else {
      refuse("an object");
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor) close_tensor();
    place_ = place_ == Place::kHeader ? Place::kOutside : Place::kHeader;
    return true;
  }

  bool start_array(size_t) override {
    if (place_ != Place::kTensor || key_ == "dtype") refuse("a list");
    place_ = key_ == "shape" ? Place::kShape : Place::kOffsets;
    return true;
  }

  bool end_array() override {
    place_ = Place::kTensor;
    return true;
  }

  bool string(string_t& text) override {
    if (place_ == Place::kMetadata) {
      header_.metadata[key_] = text;
    } else if (place_ == Place::kTensor && key_ == "dtype") {
      const std::optional<Dtype> dtype = dtype_from_name(text);
      if (!dtype) fail("has the dtype " + quote(text) + ", which is not known or not supported");
      tensor_.dtype = *dtype;
    } else {
      refuse("the text " + quote(text));
    }
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::kShape) {
      add_size(value);
    } else if (place_ == Place::kOffsets && offsets_.size() < 2) {
      offsets_.push_back(value);
    } else {
      refuse("the number " + std::to_string(value));
    }
    return true;
  }

  bool number_integer(number_integer_t value) override {
    refuse("the number " + (value == 0 ? "-0" : std::to_string(value)));
  }
  bool number_float(number_float_t, const string_t& text) override {
    refuse("the number " + quote(text));
  }
  bool boolean(bool value) override { refuse(value ? "true" : "false"); }
  bool null() override { refuse("null"); }
  bool binary(binary_t&) override { refuse("binary data"); }

  bool parse_error(size_t position, const std::string&, const Json::exception&) override {
    throw damaged(file_, "its header is not JSON in UTF-8 at byte " + std::to_string(position) +
                             (entry_.empty() ? "" : ", in or after " + entry_));
  }

 private:
  enum class Place { kOutside, kHeader, kMetadata, kTensor, kShape, kOffsets };

  [[noreturn]] void fail(const std::string& what) const {
    throw damaged(file_, entry_ + " " + what);
  }

  [[noreturn]] void refuse(const std::string& found) const {
    std::string due = "have an object for its value";
    if (place_ == Place::kMetadata) due = "give text for " + quote(key_);
    if (place_ == Place::kTensor) due = key_ == "dtype" ? "give text for 'dtype'" : list_due();
    if (place_ == Place::kShape || place_ == Place::kOffsets) due = list_due();
    fail("must " + due + ", not " + found);
  }

  std::string list_due() const {
    return key_ == "shape" ? "give a list of non-negative integers for 'shape'"
                           : "give two non-negative integers for 'data_offsets'";
  }

  void open_entry(const std::string& name) {
    key_ = name;
    entry_ = name == "__metadata__" ? quote(name) : "tensor " + quote(name);
    if (!names_.insert(name).second) fail("is listed twice");
    tensor_ = TensorInfo{};
    tensor_.name = name;
    fields_.clear();
    offsets_.clear();
  }

  void open_field(const std::string& name) {
    if (name != "dtype" && name != "shape" && name != "data_offsets") {
      fail("has the key " + quote(name) + ", which the format does not know");
    }
    if (!fields_.insert(name).second) fail("has the key " + quote(name) + " twice");
    key_ = name;
  }

  void add_size(uint64_t value) {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      fail("has a shape whose size overflows: " + std::to_string(value));
    }
    if (tensor_.shape.size() == kMostDimensions) {
      fail("has more than " + std::to_string(kMostDimensions) + " dimensions");
    }
    tensor_.shape.push_back(static_cast<int64_t>(value));
  }

  void close_tensor() {
    for (const char* name : {"dtype", "shape", "data_offsets"}) {
      if (!fields_.contains(name)) fail("lacks the key " + quote(name));
    }
    if (offsets_.size() != 2) fail("must give two non-negative integers for 'data_offsets'");
    tensor_.begin = offsets_[0];
    tensor_.end = offsets_[1];
    if (tensor_.begin > tensor_.end) {
      fail("ends at byte " + std::to_string(tensor_.end) + " of the data, before it begins at " +
           std::to_string(tensor_.begin));
    }
    const std::optional<uint64_t> bytes = tensor_bytes(tensor_.dtype, tensor_.shape);
    if (!bytes) fail("has a shape whose size overflows");
    if (*bytes != tensor_.bytes()) {
      fail("needs " + std::to_string(*bytes) +
           " bytes for its dtype and shape, but its place has " + std::to_string(tensor_.bytes()));
    }
    header_.tensors.push_back(std::move(tensor_));
  }

  const std::string& file_;
  Place place_ = Place::kOutside;
  std::string key_;    // the last key read
  std::string entry_;  // the entry it belongs to, as messages call it
  TensorInfo tensor_;
  std::set<std::string> fields_;
  std::vector<uint64_t> offsets_;
  std::set<std::string> names_;
  SafetensorsHeader header_;
};

}  // namespace

FormatError damaged(const std::string& file, const std::string& what) {
  return FormatError("cannot read " + quote(file) + " as safetensors: " + what +
                     "; use an intact copy of the file");
}

SafetensorsHeader parse_safetensors_json(std::string_view json, const std::string& file) {
  // The format asks for '{' at once; the JSON parser would skip a byte-order mark and white space,
  // and takes a zero byte for the end of the text.
  if (!json.starts_with('{')) throw damaged(file, "its header does not begin with '{'");
  if (const size_t zero = json.find('\0'); zero != std::string_view::npos) {
    throw damaged(file, "its header has a zero byte at " + std::to_string(zero));
  }
  HeaderReader reader(file);
  Json::sax_parse(json.begin(), json.end(), &reader);
  return reader.take();
}

}  // namespace adatape::formats

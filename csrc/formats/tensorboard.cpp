#include "csrc/formats/tensorboard.h"

#include <tensorboard.pb-c.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "csrc/formats/digest.h"

namespace adatape::formats {
namespace {

namespace fs = std::filesystem;

using Event = Adatape__Tensorboard__Event;
using Histogram = Adatape__Tensorboard__Histogram;
using Value = Adatape__Tensorboard__Summary__Value;

constexpr std::string_view kFilePrefix = "events.out.tfevents.";
constexpr size_t kBufferBytes = size_t{64} << 10;
constexpr int64_t kMostSeconds = 9'999'999'999;  // ten digits: beyond, names do not sort by time
constexpr int32_t kStringType = 7;               // DT_STRING of TensorFlow's types.proto

/// The name of a new event file, later in order than those in `folder`.
std::string new_file(const std::string& folder, double wall_time) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw IoError("create", folder, error.value());
  auto seconds = static_cast<int64_t>(wall_time);
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    int64_t earlier = 0;
    if (!name.starts_with(kFilePrefix)) continue;
    std::from_chars(name.data() + kFilePrefix.size(), name.data() + name.size(), earlier);
    if (earlier < kMostSeconds) seconds = std::max(seconds, earlier + 1);
  }
  if (error) throw IoError("list", folder, error.value());
  std::array<char, 65> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) std::strcpy(host.data(), "localhost");
  std::array<char, 160> name{};
  std::snprintf(name.data(), name.size(), "%s%010lld.%s.%d", kFilePrefix.data(),
                static_cast<long long>(seconds), host.data(), static_cast<int>(::getpid()));
  return (fs::path(folder) / name.data()).string();
}

std::string little_endian(uint64_t value, size_t bytes) {
  std::string out(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<char>(value >> (8 * i) & 0xFF);
  return out;
}

/// TFRecord's checksum: rotated and shifted, since a CRC of data that hold CRCs is weak.
std::string masked_crc(std::string_view data) {
  const uint32_t crc = crc32c(data.data(), data.size());
  return little_endian(((crc >> 15) | (crc << 17)) + 0xA282EAD8U, 4);
}

Event event_at(int64_t step, double wall_time) {
  Event event;
  adatape__tensorboard__event__init(&event);
  event.step = step;
  event.wall_time = wall_time;
  return event;
}

std::string packed(const Event& event) {
  std::string out(adatape__tensorboard__event__get_packed_size(&event), '\0');
  adatape__tensorboard__event__pack(&event, reinterpret_cast<uint8_t*>(out.data()));
  return out;
}

std::string packed_summary(std::string_view tag, int64_t step, double wall_time, Value value) {
  std::string tag_text(tag);
  value.tag = tag_text.data();
  std::array<Value*, 1> values{&value};
  Adatape__Tensorboard__Summary summary;
  adatape__tensorboard__summary__init(&summary);
  summary.n_value = values.size();
  summary.value = values.data();
  Event event = event_at(step, wall_time);
  event.what_case = ADATAPE__TENSORBOARD__EVENT__WHAT_SUMMARY;
  event.summary = &summary;
  return packed(event);
}

Value empty_value() {
  Value value;
  adatape__tensorboard__summary__value__init(&value);
  return value;
}

/// Edges (the upper ones) and counts of equal buckets between the least and greatest value.
struct Buckets {
  std::vector<double> limit, count;
};

Buckets equal_buckets(const std::vector<double>& values, double min, double max) {
  const size_t buckets = min < max ? 30 : 1;
  Buckets out;
  out.count.resize(buckets);
  for (size_t i = 1; i < buckets; ++i) {
    // lerp: the difference of max and min may overflow.
    out.limit.push_back(std::lerp(min, max, static_cast<double>(i) / buckets));
  }
  out.limit.push_back(max);
  for (const double value : values) {
    const auto above = std::upper_bound(out.limit.begin(), out.limit.end() - 1, value);
    out.count[static_cast<size_t>(above - out.limit.begin())] += 1;
  }
  return out;
}

}  // namespace

EventWriter::EventWriter(const std::string& folder, double wall_time,
                         std::optional<int64_t> purge_step)
    : file_(new_file(folder, wall_time)) {
  std::string version = "brain.Event:2";
  Event first = event_at(purge_step.value_or(0), wall_time);
  first.what_case = ADATAPE__TENSORBOARD__EVENT__WHAT_FILE_VERSION;
  first.file_version = version.data();
  append(packed(first));
  if (purge_step) {
    Adatape__Tensorboard__SessionLog session;
    adatape__tensorboard__session_log__init(&session);
    session.status = ADATAPE__TENSORBOARD__SESSION_LOG__STATUS__START;
    Event start = event_at(*purge_step, wall_time);
    start.what_case = ADATAPE__TENSORBOARD__EVENT__WHAT_SESSION_LOG;
    start.session_log = &session;
    append(packed(start));
  }
  flush();
}

EventWriter::~EventWriter() {
  try {
    flush();
  } catch (const FormatError&) {
    // A destructor has nobody to tell; who wants to know calls flush().
  }
}

void EventWriter::scalar(std::string_view tag, int64_t step, double number, double wall_time) {
  Value value = empty_value();
  value.value_case = ADATAPE__TENSORBOARD__SUMMARY__VALUE__VALUE_SIMPLE_VALUE;
  value.simple_value = static_cast<float>(number);
  append(packed_summary(tag, step, wall_time, value));
}

void EventWriter::histogram(std::string_view tag, int64_t step, std::span<const double> values,
                            double wall_time) {
  std::vector<double> finite;
  std::copy_if(values.begin(), values.end(), std::back_inserter(finite),
               [](double number) { return std::isfinite(number); });
  if (finite.empty()) return;
  Histogram histogram;
  adatape__tensorboard__histogram__init(&histogram);
  const auto [min, max] = std::minmax_element(finite.begin(), finite.end());
  histogram.min = *min;
  histogram.max = *max;
  histogram.num = static_cast<double>(finite.size());
  for (const double number : finite) {
    histogram.sum += number;
    histogram.sum_squares += number * number;
  }
  Buckets buckets = equal_buckets(finite, *min, *max);
  histogram.n_bucket_limit = buckets.limit.size();
  histogram.bucket_limit = buckets.limit.data();
  histogram.n_bucket = buckets.count.size();
  histogram.bucket = buckets.count.data();
  Value value = empty_value();
  value.value_case = ADATAPE__TENSORBOARD__SUMMARY__VALUE__VALUE_HISTO;
  value.histo = &histogram;
  append(packed_summary(tag, step, wall_time, value));
}

void EventWriter::text(std::string_view tag, int64_t step, std::string_view text,
                       double wall_time) {
  std::string copy(text);
  ProtobufCBinaryData content{copy.size(), reinterpret_cast<uint8_t*>(copy.data())};
  Adatape__Tensorboard__TensorShape__Dim one;
  adatape__tensorboard__tensor_shape__dim__init(&one);
  one.size = 1;
  std::array<Adatape__Tensorboard__TensorShape__Dim*, 1> dims{&one};
  Adatape__Tensorboard__TensorShape shape;
  adatape__tensorboard__tensor_shape__init(&shape);
  shape.n_dim = dims.size();
  shape.dim = dims.data();
  Adatape__Tensorboard__Tensor tensor;
  adatape__tensorboard__tensor__init(&tensor);
  tensor.dtype = kStringType;
  tensor.tensor_shape = &shape;
  tensor.n_string_val = 1;
  tensor.string_val = &content;
  std::string plugin_name = "text";
  Adatape__Tensorboard__SummaryMetadata__PluginData plugin;
  adatape__tensorboard__summary_metadata__plugin_data__init(&plugin);
  plugin.plugin_name = plugin_name.data();
  Adatape__Tensorboard__SummaryMetadata metadata;
  adatape__tensorboard__summary_metadata__init(&metadata);
  metadata.plugin_data = &plugin;
  Value value = empty_value();
  value.metadata = &metadata;
  value.value_case = ADATAPE__TENSORBOARD__SUMMARY__VALUE__VALUE_TENSOR;
  value.tensor = &tensor;
  append(packed_summary(tag, step, wall_time, value));
}

void EventWriter::append(std::string_view event) {
  const std::string length = little_endian(event.size(), 8);
  buffer_ += length + masked_crc(length);
  buffer_ += event;
  buffer_ += masked_crc(event);
  if (buffer_.size() >= kBufferBytes) flush();
}

void EventWriter::flush() {
  const std::string records = std::exchange(buffer_, {});
  const uint64_t whole = file_.size();
  try {
    file_.write(records.data(), records.size());
  } catch (const IoError&) {
    // Half a record would hide all that follow it.
    file_.truncate(whole);
    throw;
  }
}

}  // namespace adatape::formats

// Files for test_formats.py, which reads them with the Python packages that users read ours with.
//
//   format_samples write FOLDER       samples of every format
//   format_samples copy FROM TO ...   each safetensors file through our reader and writer; prints
//                                     one line for each pair: "ok", or why FROM is refused
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "csrc/formats/safetensors.h"
#include "csrc/formats/tensorboard.h"

namespace {

using namespace adatape::formats;  // NOLINT: a program of its own

constexpr double kTime = 1.7e9;

std::vector<unsigned char> counting(size_t bytes) {
  std::vector<unsigned char> out(bytes);
  for (size_t i = 0; i < bytes; ++i) out[i] = static_cast<unsigned char>(i & 1);
  return out;
}

void write_tensors(const std::string& folder) {
  const std::vector<unsigned char> data = counting(64);
  std::vector<TensorView> types;
  for (int i = 0; i <= static_cast<int>(Dtype::U64); ++i) {
    const auto dtype = static_cast<Dtype>(i);
    types.push_back({std::string(dtype_name(dtype)), dtype, {2, 3}, data.data()});
  }
  write_safetensors(folder + "/types.safetensors", types, {{"format", "pt"}});

  const float scalar = 1.5F;
  const double pair[] = {-0.25, std::numeric_limits<double>::infinity()};
  const int64_t numbers[] = {1, -2, std::numeric_limits<int64_t>::min()};
  // Three bytes first: what follows is not aligned to its size.
  write_safetensors(folder + "/mixed.safetensors",
                    {{"odd", Dtype::U8, {3}, data.data()},
                     {"scalar", Dtype::F32, {}, &scalar},
                     {"pair", Dtype::F64, {1, 2}, pair},
                     {"blöcke.0/層 \"x\"\n", Dtype::I64, {3}, numbers},
                     {"empty", Dtype::F16, {0, 5}, nullptr},
                     {"", Dtype::BOOL, {2}, data.data()}},
                    {{"größe", "層\n\"\\"}, {"format", "pt"}});
  write_safetensors(folder + "/empty.safetensors", {});
}

void write_events(const std::string& folder) {
  {
    EventWriter writer(folder, kTime);
    writer.text("config", 0, "model: adatape # größe", kTime);
    for (int step = 10; step <= 50; step += 10) {
      writer.scalar("train/loss", step, 1.0 / step, kTime + step);
    }
    const std::vector<double> lengths{1, 2, 2, 3, 3, 3, 10, std::nan("")};
    writer.histogram("tape/length", 20, lengths, kTime + 20);
    const std::vector<double> equal(5, 4.0);
    writer.histogram("tape/equal", 20, equal, kTime + 20);
    const double most = std::numeric_limits<double>::max();
    const std::vector<double> wide{-most, 0, most};
    writer.histogram("tape/wide", 20, wide, kTime + 20);
    writer.scalar("train/odd", 20, std::nan(""), kTime + 20);
  }
  EventWriter resumed(folder, kTime, 31);
  for (int step = 40; step <= 60; step += 10) {
    resumed.scalar("train/loss", step, 2.0, kTime + 100 + step);
  }
}

void copy(const std::string& from, const std::string& to) {
  try {
    const SafetensorsFile file(from);
    std::vector<std::vector<char>> data;
    std::vector<TensorView> views;
    for (const TensorInfo& tensor : file.tensors()) {
      data.emplace_back(tensor.bytes());
      file.read(tensor, data.back().data());
      views.push_back({tensor.name, tensor.dtype, tensor.shape, data.back().data()});
    }
    write_safetensors(to, views, file.metadata());
    std::puts("ok");
  } catch (const FormatError& error) {
    std::puts(error.what());
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 2 && arguments[0] == "write") {
    write_tensors(arguments[1]);
    write_events(arguments[1] + "/events");
    return 0;
  }
  if (arguments.size() % 2 == 1 && arguments[0] == "copy") {
    for (size_t i = 1; i < arguments.size(); i += 2) copy(arguments[i], arguments[i + 1]);
    return 0;
  }
  std::fputs("usage: format_samples write FOLDER | format_samples copy FROM TO ...\n", stderr);
  return 2;
}

#include "csrc/formats/safetensors_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "tests/formats/safetensors_bytes.h"

namespace adatape::formats {
namespace {

using ::testing::HasSubstr;

constexpr char kFile[] = "model.safetensors";
constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();

/// Sizes and places that a reader could follow without leaving the file.
void expect_consistent(const SafetensorsHeader& header, size_t file_bytes) {
  uint64_t end = 0;
  for (const TensorInfo& tensor : header.tensors) {
    EXPECT_EQ(tensor.begin, end);
    EXPECT_EQ(tensor_bytes(tensor.dtype, tensor.shape), tensor.bytes());
    end = tensor.end;
  }
  EXPECT_EQ(header.data_begin + end, file_bytes);
}

TEST(SafetensorsHeader, ReadsTensorsAndMetadata) {
  const std::string content =
      test::safetensors_bytes(R"({"__metadata__":{"format":"pt","":""},)"
                              R"("b":{"dtype":"F32","shape":[2,1],"data_offsets":[3,11]},)"
                              R"("a":{"shape":[3],"data_offsets":[0,3],"dtype":"U8"}}   )",
                              11);
  const SafetensorsHeader header = parse_safetensors(content, kFile);
  EXPECT_EQ(header.metadata, (Metadata{{"format", "pt"}, {"", ""}}));
  EXPECT_EQ(header.tensors, (std::vector<TensorInfo>{{"a", Dtype::U8, {3}, 0, 3},
                                                     {"b", Dtype::F32, {2, 1}, 3, 11}}));
  EXPECT_EQ(header.data_begin, content.size() - 11);
}

TEST(SafetensorsHeader, ReadsAFileWithoutTensors) {
  EXPECT_TRUE(parse_safetensors(test::safetensors_bytes("{}", 0), kFile).tensors.empty());
}

TEST(SafetensorsHeader, ReadsScalarsAndEmptyTensors) {
  const SafetensorsHeader header = parse_safetensors(
      test::safetensors_bytes(R"({"none":{"dtype":"F32","shape":[0],"data_offsets":[8,8]},)"
                              R"("scalar":{"dtype":"F64","shape":[],"data_offsets":[0,8]},)"
                              R"("flat":{"dtype":"I8","shape":[5,0,7],"data_offsets":[0,0]}})",
                              8),
      kFile);
  EXPECT_EQ(header.tensors, (std::vector<TensorInfo>{{"flat", Dtype::I8, {5, 0, 7}, 0, 0},
                                                     {"scalar", Dtype::F64, {}, 0, 8},
                                                     {"none", Dtype::F32, {0}, 8, 8}}));
}

TEST(SafetensorsHeader, ReadsNamesOfEveryKind) {
  const SafetensorsHeader header = parse_safetensors(
      test::safetensors_bytes(
          "{\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
          "\"schicht.größe/層\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]},"
          R"("\ud83d\ude00\n\u0000":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
          3),
      kFile);
  EXPECT_EQ(header.tensors[0].name, "");
  EXPECT_EQ(header.tensors[1].name, "schicht.größe/層");
  EXPECT_EQ(header.tensors[2].name, std::string("😀\n\0", 6));
}

TEST(SafetensorsHeader, KnowsEveryDtypeByName) {
  for (int i = 0; i <= static_cast<int>(Dtype::U64); ++i) {
    const auto dtype = static_cast<Dtype>(i);
    const std::string name(dtype_name(dtype));
    EXPECT_EQ(dtype_from_name(name), dtype);
    const size_t digits = name.find_first_of("0123456789");
    const size_t bits = digits == std::string::npos ? 8 : std::stoul(name.substr(digits));
    EXPECT_EQ(dtype_size(dtype) * 8, bits) << name;
  }
  EXPECT_EQ(dtype_from_name("f32"), std::nullopt);
}

TEST(TensorBytes, MultipliesAndSeesOverflow) {
  EXPECT_EQ(tensor_bytes(Dtype::F32, {}), 4U);
  EXPECT_EQ(tensor_bytes(Dtype::F64, {2, 3, 5}), 240U);
  EXPECT_EQ(tensor_bytes(Dtype::F64, {2, 0, 5}), 0U);
  EXPECT_EQ(tensor_bytes(Dtype::U8, {kLargest}), static_cast<uint64_t>(kLargest));
  EXPECT_EQ(tensor_bytes(Dtype::I16, {kLargest}), std::nullopt);
  EXPECT_EQ(tensor_bytes(Dtype::U8, {0, kLargest, 2}), std::nullopt);
  EXPECT_EQ(tensor_bytes(Dtype::U8, {int64_t{1} << 32, int64_t{1} << 32}), std::nullopt);
  EXPECT_EQ(tensor_bytes(Dtype::U8, {-1}), std::nullopt);
}

TEST(SafetensorsHeader, WritesTheBytesOfTheReferenceImplementation) {
  EXPECT_EQ(serialize_safetensors_header({}, {}, kFile), test::prefix_of(8) + "{}      ");
  EXPECT_EQ(serialize_safetensors_header({}, {{"framework", "pt"}}, kFile),
            test::prefix_of(40) + R"({"__metadata__":{"framework":"pt"}}     )");
  EXPECT_EQ(serialize_safetensors_header({{"attn0", Dtype::F32, {1, 1, 2, 3}, 0, 24}}, {}, kFile),
            test::prefix_of(72) +
                R"({"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       )");
}

TEST(SafetensorsHeader, KeepsTheOrderGiven) {
  const std::string json =
      serialize_safetensors_header({{"z", Dtype::U8, {1}, 0, 1}, {"a", Dtype::U8, {}, 1, 2}},
                                   {{"k", "v"}, {"j", "\"\\\n"}}, kFile);
  EXPECT_THAT(json, HasSubstr(R"({"__metadata__":{"j":"\"\\\n","k":"v"},"z":{)"));
  EXPECT_THAT(json, HasSubstr(R"(,"a":{"dtype":"U8","shape":[],"data_offsets":[1,2]}})"));
  EXPECT_EQ(json.size() % 8, 0U);
}

void expect_refused(const std::vector<TensorInfo>& tensors, const Metadata& metadata,
                    const std::string& part) {
  try {
    serialize_safetensors_header(tensors, metadata, kFile);
    FAIL() << "no error for " << part;
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr(kFile));
    EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

TEST(SafetensorsHeader, RefusesToWriteWhatItWouldNotRead) {
  const TensorInfo tensor{"a", Dtype::U8, {}, 0, 1};
  expect_refused({tensor, tensor}, {}, "'a'");
  expect_refused({{"__metadata__", Dtype::U8, {}, 0, 1}}, {}, "'__metadata__'");
  expect_refused({{"\xFF", Dtype::U8, {}, 0, 1}}, {}, "UTF-8");
  expect_refused({}, {{"key", "\xC3"}}, "UTF-8");
  expect_refused({}, {{"key", std::string(kMostHeaderBytes, 'x')}}, "limit");
}

const std::string kSmall = test::safetensors_bytes(
    R"({"__metadata__":{"k":"v"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
    R"("b":{"dtype":"I64","shape":[],"data_offsets":[24,32]}})",
    32);

TEST(SafetensorsHeader, RefusesAFileCutAnywhere) {
  for (size_t bytes = 0; bytes < kSmall.size(); ++bytes) {
    const std::string cut = kSmall.substr(0, bytes);  // a copy: reading past it is an ASan error
    try {
      parse_safetensors(cut, kFile);
      ADD_FAILURE() << "accepted when cut to " << bytes << " bytes";
    } catch (const FormatError& error) {
      EXPECT_THAT(error.what(), HasSubstr(kFile));
    }
  }
}

TEST(SafetensorsHeader, RefusesAFileWithMoreBehindIt) {
  EXPECT_THROW(parse_safetensors(kSmall + '\0', kFile), FormatError);
}

TEST(SafetensorsHeader, SurvivesEveryFlippedBit) {
  const size_t header_end = kSmall.size() - 32;
  size_t accepted = 0;
  for (size_t bit = 0; bit < header_end * 8; ++bit) {
    std::string flipped = kSmall;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    try {
      expect_consistent(parse_safetensors(flipped, kFile), flipped.size());
      ++accepted;
    } catch (const FormatError& error) {
      EXPECT_THAT(error.what(), HasSubstr(kFile));
    }
  }
  // What remains legal are other names and texts, and types of the same size.
  EXPECT_GT(accepted, 10U);
  EXPECT_LT(accepted, 60U);
}

}  // namespace
}  // namespace adatape::formats

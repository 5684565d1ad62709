#include "csrc/formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "tests/formats/file_size_limit.h"
#include "tests/formats/safetensors_bytes.h"
#include "tests/support/temporary_folder.h"

namespace adatape::formats {
namespace {

using ::testing::HasSubstr;

class Safetensors : public ::testing::Test {
 protected:
  std::string message_of_opening() const {
    try {
      const SafetensorsFile file(path_);
    } catch (const FormatError& error) {
      return error.what();
    }
    return "opened";
  }

  test::TemporaryFolder folder_;
  const std::string path_ = folder_ / "model.safetensors";
};

template <typename Number>
std::vector<Number> read_all(const SafetensorsFile& file, const std::string& name) {
  const TensorInfo& tensor = file.at(name);
  std::vector<Number> values(tensor.bytes() / sizeof(Number));
  file.read(tensor, values.data());
  return values;
}

TEST_F(Safetensors, ReadsBackWhatWasWritten) {
  std::vector<float> weight(300);
  std::iota(weight.begin(), weight.end(), -7.5F);
  const std::vector<int64_t> step{-3};
  const std::vector<uint8_t> odd{1, 2, 3};
  const Metadata metadata{{"format", "pt"}, {"größe", "層\n\"\\"}};
  write_safetensors(path_,
                    {{"weight", Dtype::F32, {3, 100}, weight.data()},
                     {"odd", Dtype::U8, {3}, odd.data()},
                     {"empty", Dtype::BF16, {4, 0}, nullptr},
                     {"schritt/層", Dtype::I64, {}, step.data()}},
                    metadata);
  const SafetensorsFile file(path_);
  EXPECT_EQ(file.metadata(), metadata);
  ASSERT_EQ(file.tensors().size(), 4U);
  EXPECT_EQ(file.tensors()[0], (TensorInfo{"weight", Dtype::F32, {3, 100}, 0, 1200}));
  EXPECT_EQ(file.tensors()[2], (TensorInfo{"empty", Dtype::BF16, {4, 0}, 1203, 1203}));
  EXPECT_EQ(read_all<float>(file, "weight"), weight);
  EXPECT_EQ(read_all<uint8_t>(file, "odd"), odd);
  EXPECT_TRUE(read_all<uint16_t>(file, "empty").empty());
  EXPECT_EQ(read_all<int64_t>(file, "schritt/層"), step);
}

TEST_F(Safetensors, WritesTheSameBytesForTheSameTensors) {
  const std::vector<double> values{1, 2};
  const std::vector<TensorView> tensors{{"b", Dtype::F64, {2}, values.data()},
                                        {"a", Dtype::F64, {1}, values.data()}};
  write_safetensors(path_, tensors, {{"k", "v"}});
  const std::string first = test::read_bytes(path_);
  write_safetensors(path_, tensors, {{"k", "v"}});
  EXPECT_EQ(test::read_bytes(path_), first);
  EXPECT_LT(first.find("\"b\""), first.find("\"a\""));
}

TEST_F(Safetensors, WritesAFileWithoutTensors) {
  write_safetensors(path_, {});
  EXPECT_EQ(test::read_bytes(path_), test::prefix_of(8) + "{}      ");
  EXPECT_TRUE(SafetensorsFile(path_).tensors().empty());
}

TEST_F(Safetensors, FindsTensorsByName) {
  write_safetensors(path_, {{"a", Dtype::U8, {}, "x"}, {"", Dtype::U8, {}, "y"}});
  const SafetensorsFile file(path_);
  EXPECT_EQ(file.find("a"), &file.tensors()[0]);
  EXPECT_EQ(file.find(""), &file.tensors()[1]);
  EXPECT_EQ(file.find("b"), nullptr);
  try {
    file.at("blocks.0.weight");
    FAIL() << "found";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr(path_));
    EXPECT_THAT(error.what(), HasSubstr("'blocks.0.weight'"));
  }
}

TEST_F(Safetensors, CanBeMoved) {
  write_safetensors(path_, {{"a", Dtype::U8, {}, "x"}});
  SafetensorsFile file(path_);
  const SafetensorsFile moved = std::move(file);
  EXPECT_EQ(read_all<char>(moved, "a"), std::vector<char>{'x'});
}

TEST_F(Safetensors, ReadsFromManyThreads) {
  std::vector<int32_t> values(100000);
  std::iota(values.begin(), values.end(), 0);
  std::vector<TensorView> tensors;
  for (int i = 0; i < 8; ++i) {
    tensors.push_back({std::to_string(i), Dtype::I32, {100000 - i}, values.data() + i});
  }
  write_safetensors(path_, tensors);
  const SafetensorsFile file(path_);
  std::vector<std::thread> threads;
  std::vector<int> equal(8);
  for (size_t i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const auto got = read_all<int32_t>(file, std::to_string(i));
      equal[i] = std::equal(got.begin(), got.end(), values.begin() + static_cast<ptrdiff_t>(i));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(equal, ::testing::Each(1));
}

TEST_F(Safetensors, NamesAFileThatIsNone) {
  EXPECT_THAT(message_of_opening(), HasSubstr(path_ + "': No such file or directory"));
  std::filesystem::create_directory(path_);
  EXPECT_THAT(message_of_opening(), HasSubstr(path_ + "': it is not a regular file"));
}

TEST_F(Safetensors, DoesNotWaitForAPipe) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(message_of_opening(), HasSubstr("not a regular file"));
}

TEST_F(Safetensors, TakesNoMemoryForAClaimedHeader) {
  test::write_bytes(path_, test::prefix_of(kMostHeaderBytes) + "{}");
  EXPECT_THAT(message_of_opening(), HasSubstr("only 2 follow"));
}

TEST_F(Safetensors, NoticesAFileThatShrinks) {
  write_safetensors(path_, {{"a", Dtype::U8, {4}, "abcd"}});
  const SafetensorsFile file(path_);
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 1);
  char data[4];
  try {
    file.read(file.at("a"), data);
    FAIL() << "read";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr(path_));
    EXPECT_THAT(error.what(), HasSubstr("1 bytes too early"));
  }
}

TEST_F(Safetensors, RefusesViewsThatCannotBe) {
  for (const TensorView& view : std::vector<TensorView>{
           {"w", Dtype::F32, {-1}, "x"},
           {"w", Dtype::F32, {int64_t{1} << 62}, "x"},
           {"w", Dtype::F32, std::vector<int64_t>(65, 1), "x"},
           {"w", Dtype::F32, {2}, nullptr},
       }) {
    try {
      write_safetensors(path_, {view});
      FAIL() << "written";
    } catch (const FormatError& error) {
      EXPECT_THAT(error.what(), HasSubstr(path_));
      EXPECT_THAT(error.what(), HasSubstr("'w'"));
    }
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(Safetensors, LeavesTheEarlierFileWhenThereIsNoRoom) {
  write_safetensors(path_, {{"a", Dtype::U8, {4}, "abcd"}});
  const std::string before = test::read_bytes(path_);
  const std::vector<char> large(100000);
  {
    const test::FileSizeLimit limit(50000);
    EXPECT_THROW(write_safetensors(path_, {{"a", Dtype::U8, {100000}, large.data()}}), IoError);
  }
  EXPECT_EQ(test::read_bytes(path_), before);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1);
}

}  // namespace
}  // namespace adatape::formats

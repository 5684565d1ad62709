// Files that are not safetensors, each for one reason, and what the error must say.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "csrc/formats/safetensors.h"
#include "tests/formats/safetensors_bytes.h"
#include "tests/support/temporary_folder.h"

namespace adatape::formats {
namespace {

using ::testing::HasSubstr;

struct Malformed {
  std::string name;
  std::string content;
  std::vector<std::string> message;  // parts that the error must contain
};

void PrintTo(const Malformed& malformed, std::ostream* out) { *out << malformed.name; }

/// A file whose header has one tensor 'w' with this entry, and 8 bytes of data.
Malformed entry(const std::string& name, const std::string& value, const std::string& part) {
  return {name, test::safetensors_bytes("{\"w\":" + value + "}", 8), {"'w'", part}};
}

/// The same with two good fields and the rest given.
Malformed dtype(const std::string& name, const std::string& value, const std::string& part) {
  return entry(name, R"({"shape":[2],"data_offsets":[0,8],"dtype":)" + value + "}", part);
}
Malformed shape(const std::string& name, const std::string& value, const std::string& part) {
  return entry(name, R"({"dtype":"F32","data_offsets":[0,8],"shape":)" + value + "}", part);
}
Malformed offsets(const std::string& name, const std::string& value, const std::string& part) {
  return entry(name, R"({"dtype":"F32","shape":[2],"data_offsets":)" + value + "}", part);
}
Malformed header(const std::string& name, const std::string& json,
                 const std::vector<std::string>& parts, size_t data_bytes = 0) {
  return {name, test::safetensors_bytes(json, data_bytes), parts};
}

/// A U8 tensor's member of the header.
std::string place(const std::string& name, int begin, int end) {
  return "\"" + name + "\":{\"dtype\":\"U8\",\"shape\":[" + std::to_string(end - begin) +
         "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

const std::vector<Malformed> kPrefixes{
    {"Nothing", "", {"0 bytes"}},
    {"SevenBytes", "1234567", {"7 bytes"}},
    {"LengthBeyondTheFile", test::prefix_of(3) + "{}", {"3 bytes", "only 2"}},
    {"LengthOnly", test::prefix_of(2), {"2 bytes", "only 0"}},
    {"LengthAboveTheLimit", test::prefix_of(kMostHeaderBytes + 1) + "{}", {"100000001", "limit"}},
    {"LengthOfAllBits", test::prefix_of(~uint64_t{0}) + "{}", {"18446744073709551615", "limit"}},
    {"LengthBigEndian", std::string(7, '\0') + "\x02{}", {"144115188075855872", "limit"}},
    {"LengthTooSmall", test::prefix_of(1) + "{}", {"not JSON", "byte 2"}},
    {"LengthZero", test::prefix_of(0) + "{}", {"begin with '{'"}},
    {"Pickle", "\x80\x04\x95\x10\x00\x00\x00\x00 torch", {"header"}},
    {"Zip", "PK\x03\x04 an older torch checkpoint", {"limit"}},
};

const std::vector<Malformed> kHeaders{
    header("List", "[]", {"begin with '{'"}),
    header("Null", "null", {"begin with '{'"}),
    header("LeadingSpace", " {}", {"begin with '{'"}),
    header("ByteOrderMark", "\xEF\xBB\xBF{}", {"begin with '{'"}),
    header("OnlyABrace", "{", {"not JSON"}),
    header("TwoObjects", "{}{}", {"not JSON", "byte 3"}),
    header("Comment", "{} // note", {"not JSON"}),
    header("TrailingComma", "{" + place("w", 0, 1) + ",}", {"not JSON", "'w'"}, 1),
    header("SingleQuotes", "{'w':{}}", {"not JSON"}),
    header("NaN", R"({"w":NaN})", {"not JSON", "'w'"}),
    header("ZeroByte", std::string("{}\0", 3), {"zero byte at 2"}),
    header("ZeroByteThenText", std::string("{}\0{\"a\":1}", 10), {"zero byte at 2"}),
    header("InvalidUtf8", "{\"\xFF\":{}}", {"UTF-8"}),
    header("OverlongUtf8", "{\"\xC0\xAF\":{}}", {"UTF-8"}),
    header("SurrogateInUtf8", "{\"\xED\xA0\x80\":{}}", {"UTF-8"}),
    header("LoneSurrogate", R"({"\ud800":{}})", {"not JSON"}),
    header("ControlCharacter", "{\"a\nb\":{}}", {"not JSON"}),
    header("DeepLists", "{\"w\":" + repeated("[", 100000) + repeated("]", 100000) + "}",
           {"'w'", "an object", "a list"}),
    header("DeepObjects", repeated("{\"w\":", 100000) + "1" + repeated("}", 100000),
           {"'w'", "'w'", "does not know"}),
    header("HugeNumber", R"({"w":1e999})", {"not JSON", "'w'"}),
    header("NameTwice", "{" + place("w", 0, 1) + "," + place("w", 1, 2) + "}",
           {"'w' is listed twice"}, 2),
    header("NameTwiceByEscape", "{" + place("w", 0, 1) + "," + place("\\u0077", 1, 2) + "}",
           {"'w' is listed twice"}, 2),
    header("LongNameIsShortened", "{\"" + std::string(5000, 'n') + "\":1}",
           {"'" + std::string(120, 'n') + "...'"}),
    header("NameWithEscapeSequence", R"({"\u001b[2J":1})", {"'\\x1B[2J'"}),
};

const std::vector<Malformed> kMetadata{
    header("TextForMetadata", R"({"__metadata__":"pt"})", {"__metadata__", "an object", "'pt'"}),
    header("NullForMetadata", R"({"__metadata__":null})", {"__metadata__", "null"}),
    header("NumberInMetadata", R"({"__metadata__":{"epoch":1}})", {"'epoch'", "text", "number 1"}),
    header("NullInMetadata", R"({"__metadata__":{"a":null}})", {"'a'", "null"}),
    header("ObjectInMetadata", R"({"__metadata__":{"a":{}}})", {"'a'", "an object"}),
    header("ListInMetadata", R"({"__metadata__":{"a":[]}})", {"'a'", "a list"}),
    header("MetadataKeyTwice", R"({"__metadata__":{"a":"1","a":"2"}})", {"'a' twice"}),
    header("MetadataTwice", R"({"__metadata__":{},"__metadata__":{}})", {"listed twice"}),
    header("MetadataIsATensor", "{" + place("__metadata__", 0, 1) + "}", {"'shape'", "a list"}, 1),
};

const std::vector<Malformed> kEntries{
    entry("NullEntry", "null", "an object for its value, not null"),
    entry("TrueEntry", "true", "not true"),
    entry("TextEntry", R"("F32")", "not the text 'F32'"),
    entry("NumberEntry", "3", "not the number 3"),
    entry("ListEntry", R"(["F32",[2],[0,8]])", "not a list"),
    entry("EmptyEntry", "{}", "lacks the key 'dtype'"),
    entry("NoDtype", R"({"shape":[2],"data_offsets":[0,8]})", "lacks the key 'dtype'"),
    entry("NoShape", R"({"dtype":"F32","data_offsets":[0,8]})", "lacks the key 'shape'"),
    entry("NoOffsets", R"({"dtype":"F32","shape":[2]})", "lacks the key 'data_offsets'"),
    entry("UnknownKey", R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1})", "key 'x'"),
    entry("WrongCase", R"({"Dtype":"F32","shape":[2],"data_offsets":[0,8]})", "key 'Dtype'"),
    entry("DtypeTwice", R"({"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]})",
          "'dtype' twice"),
    entry("ShapeTwice", R"({"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]})",
          "'shape' twice"),
    entry("Unfinished", R"({"dtype":"F32","shape":[2)", "not JSON"),
    dtype("UnknownDtype", R"("F33")", "dtype 'F33'"),
    dtype("LowerCaseDtype", R"("f32")", "dtype 'f32'"),
    dtype("EmptyDtype", R"("")", "dtype ''"),
    dtype("SubByteDtype", R"("F4")", "dtype 'F4'"),
    dtype("NumberForDtype", "32", "text for 'dtype', not the number 32"),
    dtype("ListForDtype", R"(["F32"])", "text for 'dtype', not a list"),
    dtype("WiderDtype", R"("F64")", "needs 16 bytes"),
    shape("ScalarForShape", "2", "list of non-negative integers for 'shape'"),
    shape("NullForShape", "null", "for 'shape', not null"),
    shape("ObjectForShape", "{}", "for 'shape', not an object"),
    shape("NegativeSize", "[-2]", "not the number -2"),
    shape("NegativeZero", "[-0]", "not the number -0"),
    shape("FractionalSize", "[2.0]", "not the number '2.0'"),
    shape("ExponentSize", "[2e0]", "not the number '2e0'"),
    shape("TextSize", R"(["2"])", "not the text '2'"),
    shape("TrueSize", "[true]", "not true"),
    shape("NestedShape", "[[2]]", "not a list"),
    shape("SizeAboveInt64", "[9223372036854775808]", "overflows"),
    shape("SizeAboveUint64", "[18446744073709551616]", "integers for 'shape'"),
    shape("ProductOverflows", "[4294967296,4294967296]", "overflows"),
    shape("BytesOverflow", "[4611686018427387904]", "overflows"),
    shape("ProductWrapsToTwo", "[2,9223372036854775807,2]", "overflows"),
    shape("OverflowBesideZero", "[0,4294967296,4294967296]", "overflows"),
    shape("TooManyDimensions", "[2" + repeated(",1", 64) + "]", "more than 64 dimensions"),
    shape("TooLargeShape", "[3]", "needs 12 bytes for its dtype and shape, but its place has 8"),
    shape("TooSmallShape", "[1]", "needs 4 bytes"),
    shape("EmptyShapeWithData", "[0]", "needs 0 bytes"),
    offsets("NoOffsetsGiven", "[]", "two non-negative integers"),
    offsets("OneOffset", "[0]", "two non-negative integers"),
    offsets("ThreeOffsets", "[0,8,8]", "two non-negative integers"),
    offsets("NegativeOffset", "[-8,0]", "two non-negative integers"),
    offsets("FractionalOffset", "[0,8.0]", "two non-negative integers"),
    offsets("TextOffset", R"(["0","8"])", "two non-negative integers"),
    offsets("NumberForOffsets", "8", "two non-negative integers"),
    offsets("ReversedOffsets", "[8,0]", "before it begins"),
    offsets("OffsetsBeyondTheFile", "[8,16]", "a hole"),
    offsets("OffsetAtTheEndOfUint64", "[18446744073709551608,18446744073709551615]", "needs 8"),
    offsets("HoleAtTheStart", "[4,12]", "a hole"),
};

const std::vector<Malformed> kPlaces{
    header("Hole", "{" + place("v", 0, 2) + "," + place("w", 3, 5) + "}", {"'w'", "a hole"}, 5),
    header("Overlap", "{" + place("v", 0, 3) + "," + place("w", 2, 5) + "}", {"'w'", "an overlap"},
           5),
    header("SamePlace", "{" + place("v", 0, 3) + "," + place("w", 0, 3) + "}",
           {"'w'", "an overlap"}, 3),
    header("Within", "{" + place("w", 1, 2) + "," + place("v", 0, 3) + "}", {"'w'", "an overlap"},
           3),
    header("EmptyTensorInside", "{" + place("v", 0, 3) + "," + place("w", 2, 2) + "}",
           {"'w'", "an overlap"}, 3),
    header("EmptyTensorBeyond", "{" + place("v", 0, 3) + "," + place("w", 4, 4) + "}",
           {"'w'", "a hole"}, 3),
    header("DataTooShort", "{" + place("v", 0, 3) + "," + place("w", 3, 9) + "}",
           {"'w'", "ends at byte 9", "there are 8"}, 8),
    header("DataTooLong", "{" + place("w", 0, 3) + "}", {"5 bytes follow", "'w'"}, 8),
    header("DataWithoutTensors", "{}", {"8 bytes follow"}, 8),
};

class MalformedFile : public ::testing::TestWithParam<Malformed> {};

TEST_P(MalformedFile, IsRefusedByNameInMemoryAndOnDisk) {
  const Malformed& malformed = GetParam();
  std::string in_memory;
  try {
    parse_safetensors(malformed.content, "model.safetensors");
    FAIL() << "accepted";
  } catch (const FormatError& error) {
    in_memory = error.what();
  }
  EXPECT_THAT(in_memory, HasSubstr("'model.safetensors'"));
  for (const std::string& part : malformed.message) EXPECT_THAT(in_memory, HasSubstr(part));
  EXPECT_EQ(in_memory.find('\n'), std::string::npos);
  EXPECT_LT(in_memory.size(), 500U);

  const test::TemporaryFolder folder;
  const std::string path = folder / "model.safetensors";
  test::write_bytes(path, malformed.content);
  try {
    const SafetensorsFile file(path);
    FAIL() << "accepted from a file";
  } catch (const FormatError& error) {
    std::string expected = in_memory;
    expected.replace(expected.find("model.safetensors"), 17, path);
    EXPECT_EQ(error.what(), expected);
  }
}

std::string name_of(const ::testing::TestParamInfo<Malformed>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Prefix, MalformedFile, ::testing::ValuesIn(kPrefixes), name_of);
INSTANTIATE_TEST_SUITE_P(Header, MalformedFile, ::testing::ValuesIn(kHeaders), name_of);
INSTANTIATE_TEST_SUITE_P(Metadata, MalformedFile, ::testing::ValuesIn(kMetadata), name_of);
INSTANTIATE_TEST_SUITE_P(Entry, MalformedFile, ::testing::ValuesIn(kEntries), name_of);
INSTANTIATE_TEST_SUITE_P(Place, MalformedFile, ::testing::ValuesIn(kPlaces), name_of);

}  // namespace
}  // namespace adatape::formats

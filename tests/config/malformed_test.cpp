// Every malformed configuration is refused with a message that helps, and with nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/config/example_config.h"
#include "tests/config/malformed_cases.h"
#include "tests/support/temporary_folder.h"

namespace adatape::config {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::Contains;
using testing::EndsWith;
using testing::Field;
using testing::HasSubstr;
using testing::Not;

std::vector<Problem> problems_of(const MalformedCase& malformed) {
  const test::TemporaryFolder folder;
  for (const auto& [name, text] : malformed.others) folder.write(name, text);
  try {
    load<ExampleConfig>(folder.write("main.yaml", malformed.text), malformed.overrides);
  } catch (const Error& error) {
    return error.problems;
  }
  return {};
}

class Malformed : public testing::TestWithParam<MalformedCase> {};

TEST_P(Malformed, IsRefusedWithFileLineAndHelp) {
  const MalformedCase& malformed = GetParam();
  const std::vector<Problem> problems = problems_of(malformed);
  ASSERT_FALSE(problems.empty()) << "was accepted";
  EXPECT_THAT(problems,
              Contains(AllOf(Field("file", &Problem::file, EndsWith(malformed.file)),
                             Field("line", &Problem::line, malformed.line),
                             Field("message", &Problem::message, HasSubstr(malformed.phrase)))));
  for (const Problem& problem : problems) {
    for (const char* leak : {"yaml-cpp", "exception", "bad conversion", "std::", "\n", "\x1b"}) {
      EXPECT_THAT(problem.text(), Not(HasSubstr(leak)));
    }
    EXPECT_LT(problem.message.size(), 500u);
  }
}

std::string test_name(const testing::TestParamInfo<MalformedCase>& info) {
  std::string name;
  for (const char c : info.param.name) name += isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Yaml, Malformed, testing::ValuesIn(kMalformedYaml), test_name);
INSTANTIATE_TEST_SUITE_P(Settings, Malformed, testing::ValuesIn(kMalformedSettings), test_name);
INSTANTIATE_TEST_SUITE_P(Sources, Malformed, testing::ValuesIn(kMalformedSources), test_name);

}  // namespace
}  // namespace adatape::config

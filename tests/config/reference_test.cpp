// The reference names every setting once, with type, default, bounds and meaning.
#include "csrc/config/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/config/example_config.h"

namespace adatape::config {
namespace {

using testing::HasSubstr;

constexpr const char* kHead =
    "| key | type | default | allowed | meaning |\n|---|---|---|---|---|\n";

TEST(Reference, HasATablePerSection) {
  const std::string text = reference<ExampleConfig>();
  EXPECT_THAT(text, testing::StartsWith("# Configuration reference\n"));
  EXPECT_THAT(
      text, HasSubstr(std::string("\n## Top level\n\n") + kHead +
                      "| `seed` | whole number | `0` |  | seed of every random number |\n"
                      "| `deterministic` | true or false | `true` |  | same result on every run |\n"
                      "| `schedule` | list of numbers or null | `null` | between 0 and 1 | "
                      "rates to follow |\n\n## `model`\n"));
  EXPECT_THAT(
      text,
      HasSubstr(std::string("\n## `optimizer`\n\nhow it is trained\n\n") + kHead +
                "| `lr` | number | `0.003` | between 0 and 10 | peak learning rate |\n"
                "| `decay` | text | `all` | `all`, `matrices` | what weight decay applies to |\n"
                "| `betas` | list of 2 numbers | `[0.9, 0.999]` | at least 0 and less than 1 | "
                "decay of the moments |\n"
                "| `clip` | number or null | `null` | greater than 0 | largest norm of the "
                "gradient |\n"
                "| `milestones` | list of whole numbers | `[100, 200]` | between 0 and 1000000 | "
                "steps at which the rate drops |\n"));
}

TEST(Reference, GivesEachAlternativeItsTable) {
  const std::string text = reference<ExampleConfig>();
  EXPECT_THAT(
      text, HasSubstr("\n## `model`\n\nwhat is trained\n\nThe key `name` picks one of `adatape`, "
                      "`transformer`; the default is `adatape`. The other keys are that one's.\n"));
  EXPECT_THAT(
      text,
      HasSubstr("\n## `model` with `model.name: adatape`\n\nReads a tape of adaptive length.\n\n" +
                std::string(kHead) + "| `dim` | whole number | `96` |"));
  EXPECT_THAT(
      text,
      HasSubstr("\n## `model` with `model.name: transformer`\n\nReads everything | always.\n\n" +
                std::string(kHead) + "| `dim` | whole number | `32` |"));
  EXPECT_THAT(text,
              HasSubstr("\n## `model.halting` with `model.name: adatape`\n\nwhen reading stops\n"));
}

TEST(Reference, TellsOptionalAndRepeatedSections) {
  const std::string text = reference<ExampleConfig>();
  EXPECT_THAT(text, HasSubstr("\n## `ema`\n\naveraged weights. May be null, and is by default.\n"));
  EXPECT_THAT(text, HasSubstr("\n## `augment`\n\nchanges to the input. A list of such sections, by "
                              "default `[]`.\n"));
}

struct Piped {
  std::string x = "a|b";
  static void declare(auto& c, auto&& field) { field("x", c.x, "this | that"); }
};

TEST(Reference, KeepsBarsInsideTheirCell) {
  EXPECT_THAT(reference<Piped>(), HasSubstr("| `x` | text | `\"a\\|b\"` |  | this \\| that |\n"));
}

}  // namespace
}  // namespace adatape::config

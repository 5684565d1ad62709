// A printed configuration is complete and loads to an equal one, whatever its values.
#include "csrc/config/print.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>
#include <string>
#include <utility>

#include "tests/config/example_config.h"

namespace adatape::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

TEST(Print, ShowsEverySettingInDeclaredOrder) {
  ExampleConfig config;
  config.ema = EmaConfig{};
  config.augment = {{"crop", 1}};
  config.run.name = "no";
  EXPECT_EQ(to_yaml(config), R"(seed: 0
deterministic: true
model:
  name: adatape
  dim: 96
  heads: 4
  tape_length: 8
  halting:
    epsilon: 0.01
    max_steps: 12
optimizer:
  lr: 0.003
  decay: all
  betas: [0.9, 0.999]
  clip: null
  milestones: [100, 200]
ema:
  decay: 0.999
augment: [{kind: crop, probability: 1.0}]
run:
  name: "no"
  tags: []
schedule: null
nothing: {}
)");
}

class Random {
 public:
  explicit Random(unsigned seed) : bits_(seed) {}

  std::uint64_t below(std::uint64_t limit) { return bits_() % limit; }

  // A double of any magnitude, denormal numbers included, within [low, high).
  double number(double low, double high) {
    for (;;) {
      const double any = below(4) == 0 ? std::bit_cast<double>(bits_())
                                       : std::ldexp(static_cast<double>(below(1000)),
                                                    static_cast<int>(below(24)) - 20);
      if (low <= any && any < high) return any;
      if (below(16) == 0) return low;
    }
  }

  std::string text() {
    static const char* const kPieces[] = {
        "a",   "Z",    "0",    "1e3",    " ",      ":",      ": ",      "#",    " #",     "'",
        "\"",  "\\",   "\n",   "\t",     "\r",     "\x01",   "\x1b[2J", "\x7f", "-",      "- ",
        "?",   "null", "true", "no",     "~",      "é",      "日",      "😀",    "\u00a0", "%",
        "@",   "`",    "&a",   "*a",     "!t",     "{",      "]",       ",",    "|",      ">",
        "---", "...",  "<<",   "\u0085", "\u2028", "\u202e", "\ufeff",  "=",    "0x1",    "\\n"};
    std::string out;
    for (std::uint64_t n = below(5); n > 0; --n) out += kPieces[below(std::size(kPieces))];
    return out;
  }

  ExampleConfig config() {
    ExampleConfig c;
    c.seed = static_cast<std::int64_t>(bits_() >> below(64));
    c.deterministic = below(2) == 0;
    if (below(2) == 0) {
      TransformerConfig model;
      model.depth = 1 + static_cast<int>(below(128));
      c.model = model;
    } else {
      std::get<AdaTapeConfig>(c.model).halting.epsilon = number(0, 1);
    }
    c.optimizer.lr = number(0, 0.1);
    c.optimizer.decay = below(2) == 0 ? "all" : "matrices";
    for (double& beta : c.optimizer.betas) beta = number(0, 1);
    if (below(2) == 0) c.optimizer.clip = std::max(number(0, 1e300), 5e-324);
    c.optimizer.milestones.assign(below(4), static_cast<int>(below(1000000)));
    if (below(2) == 0) c.ema = EmaConfig{number(0.2, 1)};
    for (std::uint64_t n = below(3); n > 0; --n) c.augment.push_back({"crop", number(0, 1)});
    c.run.name = text();
    for (std::uint64_t n = below(4); n > 0; --n) c.run.tags.push_back(text());
    if (below(2) == 0) c.schedule = std::vector<double>(below(4), number(0, 1));
    return c;
  }

 private:
  std::mt19937_64 bits_;
};

TEST(Print, LoadsBackToAnEqualConfiguration) {
  Random random(20240607);
  for (int i = 0; i < 2000; ++i) {
    const ExampleConfig config = random.config();
    const std::string yaml = to_yaml(config);
    ASSERT_NO_THROW({ ASSERT_EQ(parse<ExampleConfig>(yaml, "printed"), config) << yaml; }) << yaml;
    ASSERT_EQ(yaml.find('\x1b'), std::string::npos);
  }
}

TEST(Flatten, GivesDottedKeys) {
  EXPECT_THAT(flatten(TransformerConfig{}), ElementsAre(Pair("dim", "32"), Pair("depth", "2")));
  const auto flat = flatten(ExampleConfig{});
  EXPECT_EQ(flat.size(), 18u);
  EXPECT_THAT(flat, testing::IsSupersetOf(std::vector<std::pair<std::string, std::string>>{
                        {"model.name", "adatape"},
                        {"model.halting.epsilon", "0.01"},
                        {"optimizer.betas", "[0.9, 0.999]"},
                        {"ema", "null"}}));
}

TEST(Differences, NameEverySettingThatDiffers) {
  ExampleConfig a;
  ExampleConfig b;
  EXPECT_TRUE(differences(a, b).empty());
  b.optimizer.lr = 1;
  b.model = TransformerConfig{};
  std::string all;
  for (const Difference& d : differences(a, b)) all += d.key + " " + d.a + " " + d.b + "\n";
  EXPECT_EQ(all,
            "model.name adatape transformer\n"
            "model.dim 96 32\n"
            "model.heads 4 (none)\n"
            "model.tape_length 8 (none)\n"
            "model.halting.epsilon 0.01 (none)\n"
            "model.halting.max_steps 12 (none)\n"
            "optimizer.lr 0.003 1.0\n"
            "model.depth (none) 2\n");
}

}  // namespace
}  // namespace adatape::config

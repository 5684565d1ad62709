// Configurations that must be refused, as data: what is written, and what the user must be told.
// The files of a case are written into a folder of its own and main.yaml there is loaded.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace adatape::config {

struct MalformedCase {
  std::string name;
  std::string text;                // of main.yaml
  int line;                        // of the problem; 0 where there is none, as in an override
  std::string phrase;              // that its message holds
  std::string file = "main.yaml";  // that the message names
  std::vector<std::string> overrides = {};
  std::map<std::string, std::string> others = {};  // further files, by name
};

inline std::string repeated(const std::string& unit, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += unit;
  return out;
}

// Ten levels of ten: 10^10 values if it were written out.
inline std::string alias_bomb() {
  std::string out = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n";
  for (int i = 1; i < 10; ++i) {
    const std::string name = "a" + std::to_string(i);
    out += name + ": &" + name + " [" + repeated("*a" + std::to_string(i - 1) + ", ", 10) + "]\n";
  }
  return out;
}

inline std::string staircase(int depth) {
  std::string out;
  for (int i = 0; i < depth; ++i) out += std::string(i, ' ') + "a:\n";
  return out;
}

inline std::map<std::string, std::string> long_chain() {
  std::map<std::string, std::string> files;
  for (int i = 1; i < 40; ++i) {
    files[std::to_string(i) + ".yaml"] = "base: " + std::to_string(i + 1) + ".yaml\n";
  }
  return files;
}

using std::string_literals::operator""s;

// Text that no YAML reader should take, or that it would take for something else than was meant.
inline const std::vector<MalformedCase> kMalformedYaml{
    {"duplicate key", "seed: 1\nrun: {}\nseed: 2\n", 3, "given twice, first on line 1"},
    {"duplicate nested key", "optimizer:\n  lr: 1\n  lr: 2\n", 3, "'lr' is given twice"},
    {"duplicate key in a flow map", "optimizer: {lr: 1, lr: 2}\n", 1, "first on line 1"},
    {"duplicate quoted key", "seed: 1\n\"seed\": 2\n", 2, "given twice"},
    {"alias bomb", alias_bomb(), 4, "counting each alias in full"},
    {"alias to itself", "run: &r {tags: [*r]}\n", 1, "inside the very value"},
    {"unknown alias", "seed: *nothing\n", 1, "must name an anchor"},
    {"star alone", "run: {name: *}\n", 1, "quote the text"},
    {"glob as a value", "run:\n  name: *.txt\n", 2, "must name an anchor"},
    {"merge key", "optimizer:\n  <<: {lr: 1}\n", 2, "merge keys (<<) are not supported"},
    {"tag", "seed: !!int 3\n", 1, "has no use here"},
    {"local tag", "run: !python/object {name: x}\n", 1, "has no use here"},
    {"directive", "%YAML 1.1\n---\nseed: 1\n", 1, "YAML directive"},
    {"second document", "seed: 1\n---\nseed: 2\n", 2, "second document"},
    {"text after the end", "seed: 1\n...\nseed: 2\n", 3, "second document"},
    {"less indented than the first", "  seed: 1\nrun: {}\n", 2, "indented less than the first"},
    {"tab as indentation", "optimizer:\n\tlr: 1\n", 2, "use spaces"},
    {"tab after spaces", "optimizer:\n  \tlr: 1\n", 2, "use spaces"},
    {"over-indented key", "seed: 1\n  run: {}\n", 2, "':' is not expected here"},
    {"between two indentations", "optimizer:\n    lr: 1\n  decay: all\n", 3, "indentation"},
    {"two colons", "run: name: x\n", 1, "':' is not expected here"},
    {"missing colon", "seed 1\nrun: {}\n", 2, "lacks a ':'"},
    {"no space after the colon", "seed:1\n", 1, "put a space after the ':'"},
    {"no space in a flow map", "optimizer: {lr:1}\n", 1, "put a space after the ':'"},
    {"unclosed bracket", "seed: 1\noptimizer: {betas: [0.1, 0.2\n", 2, "'[' of line 2"},
    {"unclosed brace", "seed: 1\noptimizer: {lr: 1\n\n\n", 2, "'{' of line 2"},
    {"bracket closed by the next key", "run: {tags: [a\nseed: 1\n", 2, "'[' of line 1"},
    {"missing comma", "optimizer: {betas: [\"0\" \"1\"]}\n", 1, "a ','"},
    {"stray bracket", "seed: 1\nrun: ]\n", 2, "closes nothing"},
    {"wrong bracket", "run: {tags: [a}\n", 1, "closes nothing"},
    {"unclosed double quote", "seed: 1\nrun:\n  name: \"x", 3, "never closed"},
    {"unclosed quote over many lines", "run:\n  name: \"x\n\n  y\n\n\n", 2, "never closed"},
    {"unclosed single quote", "run:\n  name: 'x\nseed: 1\n\n", 2, "never closed"},
    {"unknown escape", "run:\n  name: \"a\\qb\"\n", 2, "unknown escape"},
    {"short hexadecimal escape", "run: {name: \"\\xg0\"}\n", 1, "hexadecimal"},
    {"surrogate escape", "run: {name: \"\\ud800\"}\n", 1, "names no character"},
    {"NUL escape", "run: {name: \"a\\0b\"}\n", 1, "escape for a character"},
    {"escape that is no UTF-8", "run: {name: \"\\_\"}\n", 1, "escape for a character"},
    {"text after a quoted text", "run:\n  name: 'a' b\n", 2, "does not fit the section"},
    {"reserved character", "run:\n  name: @home\n", 2, "quote it"},
    {"list beside a key", "run: - a\n", 1, "a line of its own"},
    {"text on the line of a block", "run:\n  name: | text\n    more\n", 2, "the next line"},
    {"list as a key", "[a, b]: 1\n", 1, "plain word"},
    {"map as a key", "{a: b}: 1\n", 1, "plain word"},
    {"null as a key", "seed: 1\n~: 2\n", 2, "plain word"},
    {"no key", ": 1\n", 1, "plain word"},
    {"NUL byte", "seed: 1\nrun: \0\n"s, 2, "is not text"},
    {"end-of-transmission byte", "seed: 1\n\x04oops\n", 2, "is not text"},
    {"invalid UTF-8", "seed: 1\nrun: {name: \xff}\n", 2, "write UTF-8"},
    {"overlong UTF-8", "run: {name: \xc0\xaf}\n", 1, "write UTF-8"},
    {"UTF-16", "\xff\xfes\0e\0e\0d\0:\0 \0\x31\0"s, 1, "UTF-16"},
    {"binary junk",
     "\x7f"
     "ELF\x02\x01\x01\0\0\0\0"s,
     1, "is not text"},
    {"compressed file", "\x1f\x8b\x08\0\0\0\0"s, 1, "is not text"},
    {"deep blocks", staircase(40), 33, "nested more than 32 deep"},
    {"deep brackets", "run: {tags: " + repeated("[", 900) + "\n", 1, "nested more than 32 deep"},
    {"many brackets", "run: {tags: " + repeated("[", 100000) + "\n", 1, "are open at once"},
    {"deep list items", repeated("- ", 400), 1, "nested more than 32 deep"},
    {"too many values", "run:\n  tags: [" + repeated("a, ", 30000) + "]\n", 2, "20000 values"},
    {"over a mebibyte", "# " + repeated("0123456789", 110000) + "\n", 1, "is it the right file?"},
    {"a long line", "run:\n  nam: " + repeated("x", 500000) + "\n", 2, "did you mean 'run.name'?"},
};

// Readable YAML whose values are not those of the configuration.
inline const std::vector<MalformedCase> kMalformedSettings{
    {"unknown key", "optimizer:\n  lrr: 1\n", 2, "did you mean 'optimizer.lr'?"},
    {"unknown top-level key", "sed: 1\n", 1, "did you mean 'seed'?"},
    {"unknown key with capitals", "optimizer: {LR: 1}\n", 1, "did you mean 'optimizer.lr'?"},
    {"key of another section", "lr: 1\n", 1, "did you mean 'optimizer.lr'?"},
    {"key of several sections", "\nhalt: {}\ndecay: all\n", 3, "'ema.decay' or 'optimizer.decay'"},
    {"dotted key in a file", "optimizer.lr: 1\n", 1, "a section for each '.'"},
    {"key of another alternative", "model:\n  name: adatape\n  depth: 3\n", 3,
     "belongs to the name 'transformer'"},
    {"unknown name", "model:\n  name: adatap\n", 2, "did you mean 'adatape'?"},
    {"missing name", "seed: 1\nmodel:\n  dim: 8\n", 2, "write one of: adatape, transformer"},
    {"name that is no text", "model: {name: [adatape]}\n", 1, "a text is expected"},
    {"variant as a scalar", "model: adatape\n", 1, "write 'name: ...'"},
    {"section as a scalar", "optimizer: 3\n", 1, "a section is expected"},
    {"section as a list", "run: [a]\n", 1, "is a list, but a section"},
    {"empty section", "seed: 1\noptimizer:\n", 2, "remove the line"},
    {"list at the top", "- seed\n", 1, "'key: value' lines are expected"},
    {"scalar at the top", "seed\n", 1, "'key: value' lines are expected"},
    {"word for a number", "optimizer:\n  lr: fast\n", 2, "'optimizer.lr' is 'fast', but a number"},
    {"quoted number", "seed: \"3\"\n", 1, "remove the quotes"},
    {"boolean for a number", "seed: true\n", 1, "a whole number is expected"},
    {"list for a number", "seed: [1]\n", 1, "is a list, but a whole number"},
    {"section for a number", "seed: {a: 1}\n", 1, "is a section, but a whole number"},
    {"null for a number", "seed: ~\n", 1, "has no value"},
    {"nothing for a number", "run: {}\nseed:\nema: null\n", 2, "has no value"},
    {"fraction for a whole number", "seed: 1.5\n", 1, "a whole number is expected"},
    {"tiny whole number", "seed: 15e-1\n", 1, "a whole number is expected"},
    {"leading zero", "seed: 010\n", 1, "write 10"},
    {"negative leading zero", "optimizer: {lr: -007.5}\n", 1, "write -7.5"},
    {"hexadecimal", "seed: 0x10\n", 1, "without '0x'"},
    {"octal", "seed: 0o17\n", 1, "without '0o'"},
    {"binary", "seed: 0b11\n", 1, "without '0b'"},
    {"underscores", "seed: 1_000\n", 1, "write 1000"},
    {"commas", "seed: 1,000\n", 1, "write 1000"},
    {"unit", "seed: 64k\n", 1, "is '64k', but a whole number"},
    {"expression", "seed: 2**3\n", 1, "is '2**3', but a whole number"},
    {"infinity", "optimizer: {lr: .inf}\n", 1, "a finite number"},
    {"not a number", "optimizer: {lr: .NaN}\n", 1, "a finite number"},
    {"over a double", "optimizer: {lr: 1e999}\n", 1, "too large"},
    {"under a double", "optimizer: {lr: 1e-999}\n", 1, "too close to 0"},
    {"over 64 bits", "seed: 9223372036854775808\n", 1, "between -9223372036854775808 and"},
    {"under 64 bits", "seed: -9223372036854775809\n", 1, "does not fit"},
    {"over 64 bits by exponent", "seed: 1e19\n", 1, "does not fit"},
    {"over 32 bits", "model: {name: adatape, dim: 3000000000}\n", 1, "and 2147483647"},
    {"yes for a boolean", "deterministic: yes\n", 1, "write true"},
    {"off for a boolean", "deterministic: off\n", 1, "write false"},
    {"capital boolean", "deterministic: True\n", 1, "write true"},
    {"number for a boolean", "deterministic: 1\n", 1, "write true"},
    {"quoted boolean", "deterministic: 'true'\n", 1, "remove the quotes"},
    {"null for a text", "run:\n  name: null\n", 2, "write '' for an empty one"},
    {"list for a text", "run: {name: [a]}\n", 1, "a text is expected"},
    {"over the bound", "optimizer:\n  lr: 12\n", 2, "is '12', but it must be between 0 and 10"},
    {"under the bound", "model: {name: transformer, depth: 0}\n", 1, "between 1 and 128"},
    {"at an open lower bound", "optimizer: {clip: 0}\n", 1, "greater than 0"},
    {"at an open upper bound", "optimizer: {betas: [0.9, 1]}\n", 1, "'optimizer.betas[1]'"},
    {"no such choice", "optimizer: {decay: al}\n", 1, "one of: all, matrices; did you mean 'all'?"},
    {"short list", "optimizer:\n  betas: [0.9]\n", 2, "has 1 value, but a list of 2 numbers"},
    {"long list", "optimizer:\n  betas: [0, 0, 0]\n", 2, "has 3 values"},
    {"scalar for a list", "optimizer: {milestones: 3}\n", 1, "list of whole numbers"},
    {"wrong element", "optimizer:\n  milestones:\n    - 1\n    - two\n", 4, "milestones[1]"},
    {"wrong key in a list", "augment:\n  - kind: flip\n  - kin: crop\n", 3,
     "did you mean 'augment[1].kind'?"},
    {"wrong value under an alias", "ema: &e {decay: 2}\nseed: 1\n", 1, "less than 1"},
    {"rule between keys", "model:\n  name: adatape\n  dim: 10\n  heads: 4\n", 4, "must divide dim"},
    {"rule with a default", "model:\n  name: adatape\n  dim: 10\n", 1, "must divide dim"},
    {"control characters in a value", "deterministic: \"\\e[2J\"\n", 1, "'\\x1b[2J' in quotes"},
};

// A case whose file is fine and whose one override is not.
inline MalformedCase bad_override(const std::string& name, const std::string& text,
                                  const std::string& phrase) {
  return {name, "seed: 1\n", 0, phrase, "command line: '" + text + "'", {text}};
}

// Several files, and the command line.
inline const std::vector<MalformedCase> kMalformedSources{
    {"missing base", "seed: 1\nbase: none.yaml\n", 2, "none.yaml' cannot be read"},
    {"base in a missing folder", "base: no/such/file.yaml\n", 1, "cannot be read"},
    {"base is a folder", "base: .\n", 1, "is a directory"},
    {"base is a device", "base: /dev/zero\n", 1, "not a regular file"},
    {"base is a list", "base: [a.yaml, b.yaml]\n", 1, "the name of one YAML file"},
    {"base is a number", "base: 3\n", 1, "the name of one YAML file"},
    {"base is empty", "base:\n", 1, "the name of one YAML file"},
    {"base is itself", "base: main.yaml\n", 1, "leads back to itself"},
    {"cyclic base",
     "base: b.yaml\n",
     2,
     "main.yaml -> ",
     "c.yaml",
     {},
     {{"b.yaml", "base: c.yaml\n"}, {"c.yaml", "# back\nbase: ./main.yaml\n"}}},
    {"long chain of bases", "base: 1.yaml\n", 1, "more than 16 files", "15.yaml", {}, long_chain()},
    {"problem in a base",
     "base: b.yaml\n",
     2,
     "did you mean 'seed'?",
     "b.yaml",
     {},
     {{"b.yaml", "run: {}\nsede: 1\n"}}},
    {"overridden problem in a base",
     "base: b.yaml\nseed: 1\n",
     1,
     "a whole number",
     "b.yaml",
     {},
     {{"b.yaml", "seed: x\n"}}},
    {"syntax in a base",
     "base: b.yaml\nsede: 1\n",
     2,
     "closes nothing",
     "b.yaml",
     {},
     {{"b.yaml", "run: {}\nseed: }\n"}}},
    bad_override("override of a wrong type", "optimizer.lr=abc", "is 'abc', but a number"),
    bad_override("override out of range", "optimizer.lr=11", "between 0 and 10"),
    bad_override("override of an unknown key", "optimizer.lrr=1", "did you mean 'optimizer.lr'?"),
    bad_override("override without '='", "seed", "the '=' is missing"),
    bad_override("override without a key", "=3", "the key before '=' is missing"),
    bad_override("override with an empty part", "optimizer..lr=1", "empty part"),
    bad_override("override with dashes", "--seed=1", "without dashes"),
    bad_override("override through a scalar", "seed.x=1", "has no keys of its own"),
    bad_override("override with bad YAML", "run.tags=[a", "is missing"),
    bad_override("override with nothing", "seed=", "has no value"),
    bad_override("override of base", "base=x.yaml", "cannot be overridden"),
    bad_override("override of a variant", "model=adatape", "write 'name: ...'"),
    bad_override("override without a name", "model.dim=8", "write one of: adatape"),
    bad_override("override with a directive", "seed=%1", "remove it"),
    {"override with many parts",
     "",
     0,
     "more than 32 parts",
     ".a....'",
     {"a" + repeated(".a", 500) + "=1"}},
    {"override with bytes", "", 0, "is not text", "'seed=\\xff'", {"seed=\xff"}},
};

}  // namespace adatape::config

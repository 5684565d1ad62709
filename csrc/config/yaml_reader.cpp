#include "csrc/config/yaml_reader.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "csrc/config/text.h"
#include "csrc/config/tree_builder.h"

namespace adatape::config {
namespace {

// Line breaks as \n, without the byte order mark that some editors write.
std::string normalized(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::string out;
  out.reserve(text.size() + 1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      out += text[i];
    } else if (i + 1 == text.size() || text[i + 1] != '\n') {
      out += '\n';
    }
  }
  return out;
}

// What is wrong with one line before YAML is considered, or nothing.
std::string line_problem(std::string_view line) {
  for (std::size_t i = 0; i < line.size();) {
    const std::size_t start = i;
    const std::optional<char32_t> code = next_code_point(line, i);
    if (code && (*code == '\t' || (*code >= 0x20 && *code != 0x7F))) continue;
    return "byte " + std::to_string(start + 1) + " of the line (" +
           printable(line.substr(start, 1)) + ") is not text: write UTF-8 without " +
           "control characters";
  }
  if (line.starts_with('%')) {
    return "a line that begins with '%' is a YAML directive, which has no use here: remove it";
  }
  const std::size_t content = line.find_first_not_of(" \t");
  const std::size_t tab = line.find('\t');
  if (content != std::string_view::npos && tab < content && line[content] != '#') {
    return "the line is indented with a tab: use spaces";
  }
  return "";
}

// Checks every line; false if YAML is better not tried.
bool check_lines(std::string_view text, int source, bool has_lines, Report& report) {
  int line = 1;
  bool good = true;
  for (std::size_t begin = 0; begin < text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string problem = line_problem(text.substr(begin, end - begin));
    if (!problem.empty()) {
      good = false;
      report.add({source, has_lines ? line : 0}, problem);
      if (problem.starts_with("byte")) break;  // binary junk has no lines worth reporting
    }
    begin = end + 1;
  }
  return good;
}

// The scanner queues all of an unclosed bracket's content, and brackets pile up fastest.
bool brackets_are_bounded(std::string_view text) {
  constexpr long kMaxOpen = 1000;
  long open = 0;
  for (const char c : text) {
    if (c == '[' || c == '{') ++open;
    if ((c == ']' || c == '}') && open > 0) --open;
    if (open > kMaxOpen) return false;
  }
  return true;
}

// yaml-cpp's terse messages, said so that a user knows what to do.
std::string explain(const std::string& message) {
  namespace M = YAML::ErrorMsg;
  static const std::pair<const char*, const char*> kTexts[] = {
      {M::MAP_VALUE,
       "a ':' is not expected here: quote a text that holds ': ', or check the indentation of this "
       "line and whether the one above lacks a ':'"},
      {M::END_OF_MAP,
       "this does not fit the section it is in: check its indentation and the quotes before it"},
      {"unexpected scalar",  // yaml-cpp 0.8 and later, for which 0.7 says END_OF_MAP
       "this does not fit the section it is in: check its indentation and the quotes before it"},
      {"plain value cannot start", "a text cannot begin with this character: quote it"},
      {M::END_OF_SEQ, "this does not fit the list it is in: check its indentation"},
      {M::BLOCK_ENTRY, "a '- ' item is not expected here: put it on a line of its own"},
      {M::MAP_KEY, "a '?' is not expected here: quote the text"},
      {M::FLOW_END, "this ']' or '}' closes nothing"},
      {M::DOC_IN_SCALAR,
       "'---' or '...' stands inside a quoted text: its closing quote is missing"},
      {M::ALIAS_NOT_FOUND, "a '*' must be followed by an anchor's name: quote the text"},
      {M::ANCHOR_NOT_FOUND, "a '&' must be followed by an anchor's name: quote the text"},
      {M::CHAR_IN_ALIAS, "the name after '*' holds a character it cannot: quote the text"},
      {M::CHAR_IN_ANCHOR, "the name after '&' holds a character it cannot: quote the text"},
      {M::UNKNOWN_ANCHOR, "a '*' must name an anchor defined above with '&': quote a mere text"},
      {M::MULTIPLE_ANCHORS, "a value can have one '&' anchor only"},
      {M::UNKNOWN_TOKEN, "a text cannot begin with this character: quote it"},
      {M::INVALID_HEX, "the escape in this text needs hexadecimal digits"},
      {M::INVALID_UNICODE, "the escape in this text names no character"},
      {M::INVALID_ESCAPE,
       "the text holds an unknown escape: write \\\\ for a backslash, or use "
       "single quotes"},
      {M::TAB_IN_INDENTATION, "the line is indented with a tab: use spaces"},
      {M::CHAR_IN_BLOCK, "the text after '|' or '>' must begin on the next line"},
      {M::ZERO_INDENT_IN_BLOCK, "'|' and '>' cannot be followed by 0"}};
  for (const auto& [begin, text] : kTexts) {
    if (message.starts_with(begin)) return text;
  }
  return "this is not valid YAML: " + message;
}

void report_syntax(const YAML::Exception& error, std::size_t bytes, const TreeBuilder& builder,
                   Report& report) {
  namespace M = YAML::ErrorMsg;
  Location where = builder.locate(error.mark);
  if (error.msg == M::EOF_IN_SCALAR) {
    return report.add(builder.last(), "a quoted text that begins here or below is never closed");
  }
  if (error.msg == M::END_OF_MAP_FLOW || error.msg == M::END_OF_SEQ_FLOW) {
    const Location open = builder.innermost();
    const std::string bracket = error.msg == M::END_OF_MAP_FLOW ? "{" : "[";
    if (error.mark.pos < 0 || static_cast<std::size_t>(error.mark.pos) >= bytes) where = open;
    return report.add(where, "a ',' or the end of the '" + bracket + "'" +
                                 (open.line > 0 ? " of line " + std::to_string(open.line) : "") +
                                 " is missing");
  }
  report.add(where, explain(error.msg));
}

}  // namespace

std::optional<Node> read_yaml(std::string_view input, int source, bool has_lines, Report& report) {
  const Location start{source, has_lines ? 1 : 0};
  if (input.size() > kMaxBytes) {
    report.add(start, "the text is longer than " + std::to_string(kMaxBytes) + " bytes");
    return std::nullopt;
  }
  if (input.starts_with("\xFF\xFE") || input.starts_with("\xFE\xFF")) {
    report.add(start, "the file is UTF-16: save it as UTF-8");
    return std::nullopt;
  }
  const std::string text = normalized(input);
  if (!check_lines(text, source, has_lines, report)) return std::nullopt;
  if (!brackets_are_bounded(text)) {
    report.add(start, "more than 1000 brackets are open at once: close them");
    return std::nullopt;
  }
  const auto lines = static_cast<int>(std::count(text.begin(), text.end(), '\n'));
  TreeBuilder builder(source, has_lines ? std::max(1, lines + !text.ends_with('\n')) : 0, report);
  try {
    // yaml-cpp takes a quoted text that is open at the end for closed, if a line break comes last.
    std::istringstream stream(text + "\n#");
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) continue;
  } catch (const YAML::Exception& error) {
    report_syntax(error, text.size(), builder, report);
    return std::nullopt;
  } catch (const TreeBuilder::Stop&) {
    return std::nullopt;
  }
  return builder.take();
}

}  // namespace adatape::config

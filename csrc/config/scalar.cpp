#include "csrc/config/scalar.h"

#include <locale.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "csrc/config/text.h"

namespace adatape::config {
namespace {

// A decimal number taken apart: digits * 10^exponent.
struct Decimal {
  bool negative = false;
  bool leading_zero = false;
  std::string digits;
  long exponent = 0;
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

// [-+] digits [. digits] [e [-+] digits], with a digit before or after the point.
std::optional<Decimal> parse_decimal(std::string_view text) {
  Decimal out;
  std::size_t i = 0;
  const auto at = [&](std::size_t k) { return k < text.size() ? text[k] : '\0'; };
  if (at(i) == '-' || at(i) == '+') out.negative = text[i++] == '-';
  const std::size_t start = i;
  while (is_digit(at(i))) out.digits += text[i++];
  out.leading_zero = i - start > 1 && text[start] == '0';
  if (at(i) == '.') {
    ++i;
    for (; is_digit(at(i)); --out.exponent) out.digits += text[i++];
  }
  if (out.digits.empty()) return std::nullopt;
  if (lower(std::string(1, at(i))) == "e") {
    const bool negative = at(++i) == '-';
    if (negative || at(i) == '+') ++i;
    if (!is_digit(at(i))) return std::nullopt;
    long exponent = 0;
    for (; is_digit(at(i)); ++i) exponent = std::min(exponent * 10 + (text[i] - '0'), 100000000L);
    out.exponent += negative ? -exponent : exponent;
  }
  if (i != text.size()) return std::nullopt;
  return out;
}

// Forms that other readers of YAML take for numbers, and what to write in their place.
std::string foreign_number(std::string_view text) {
  std::string_view body = text;
  if (!body.empty() && (body.front() == '-' || body.front() == '+')) body.remove_prefix(1);
  const std::string word = lower(body);
  if (word == ".nan" || word == "nan" || word == ".inf" || word == "inf" || word == "infinity") {
    return "a finite number is expected";
  }
  if (word.size() > 2 && word[0] == '0' && (word[1] == 'x' || word[1] == 'o' || word[1] == 'b') &&
      word.find_first_not_of("0123456789abcdef_", 2) == std::string::npos) {
    return "numbers are decimal here: write it without '" + word.substr(0, 2) + "'";
  }
  for (const char separator : {'_', ','}) {
    std::string without(text);
    without.erase(std::remove(without.begin(), without.end(), separator), without.end());
    if (without.size() < text.size() && parse_decimal(without)) {
      return "numbers have no '" + std::string(1, separator) + "': write " + without;
    }
  }
  return "";
}

std::string without_leading_zeros(std::string_view text) {
  std::string out(text);
  const std::size_t sign = out[0] == '-' || out[0] == '+' ? 1 : 0;
  while (out.size() > sign + 1 && out[sign] == '0' && is_digit(out[sign + 1])) out.erase(sign, 1);
  return out;
}

// The number in the node, or the complaint that it holds none.
std::optional<Decimal> decimal_in(const Node& node, const std::string& expected,
                                  Complaint& complaint) {
  const std::string generic = what_it_is(node) + ", but " + expected + " is expected";
  if (node.kind != Node::Kind::kScalar) {
    complaint = generic;
    return std::nullopt;
  }
  const std::optional<Decimal> decimal = parse_decimal(node.text);
  if (node.quoted) {
    complaint = generic + (decimal ? ": remove the quotes" : "");
  } else if (!decimal) {
    const std::string foreign = foreign_number(node.text);
    complaint = foreign.empty() ? generic : what_it_is(node) + ", but " + foreign;
  } else if (decimal->leading_zero) {
    complaint = what_it_is(node) + ", and a leading zero is ambiguous (octal or not): write " +
                without_leading_zeros(node.text);
  } else {
    return decimal;
  }
  return std::nullopt;
}

template <class Int>
Complaint read_integer(const Node& node, Int& value) {
  Complaint complaint;
  std::optional<Decimal> decimal = decimal_in(node, "a whole number", complaint);
  if (!decimal) return complaint;
  std::string& digits = decimal->digits;
  while (!digits.empty() && digits.back() == '0') {
    digits.pop_back();
    ++decimal->exponent;
  }
  if (digits.empty()) decimal->exponent = 0;
  if (decimal->exponent < 0) return what_it_is(node) + ", but a whole number is expected";
  constexpr auto kLow = std::numeric_limits<Int>::min();
  constexpr auto kHigh = std::numeric_limits<Int>::max();
  digits.erase(0, digits.find_first_not_of('0'));
  if (digits.size() + static_cast<std::size_t>(decimal->exponent) <= 19) {
    digits.append(static_cast<std::size_t>(decimal->exponent), '0');
    const std::string text = (decimal->negative ? "-" : "") + (digits.empty() ? "0" : digits);
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec == std::errc{}) return {};
  }
  return what_it_is(node) + ", which does not fit: it must lie between " + std::to_string(kLow) +
         " and " + std::to_string(kHigh);
}

// strtod of the C locale: the program's own locale may want a decimal comma.
double to_double(const std::string& text) {
  static const locale_t kPlain = newlocale(LC_ALL_MASK, "C", nullptr);
  return strtod_l(text.c_str(), nullptr, kPlain);
}

std::string bound(double value) {
  std::string text = print_scalar(value);
  if (text.size() > 2 && text.ends_with(".0")) text.resize(text.size() - 2);
  return text;
}

struct BoundsText {
  std::string operator()(std::monostate) const { return ""; }
  std::string operator()(const OneOf& limit) const { return "one of: " + joined(limit.names); }
  std::string operator()(const Range& r) const {
    if (std::isinf(r.low)) return std::isinf(r.high) ? "" : "at most " + bound(r.high);
    if (std::isinf(r.high)) return "at least " + bound(r.low);
    return "between " + bound(r.low) + " and " + bound(r.high);
  }
  std::string operator()(const Above& r) const {
    const std::string low = "greater than " + bound(r.low);
    return std::isinf(r.high) ? low : low + " and at most " + bound(r.high);
  }
  std::string operator()(const HalfOpen& r) const {
    return "at least " + bound(r.low) + " and less than " + bound(r.high);
  }
};

struct Contains {
  double value;
  bool operator()(std::monostate) const { return true; }
  bool operator()(const OneOf&) const { return true; }
  bool operator()(const Range& r) const { return r.low <= value && value <= r.high; }
  bool operator()(const Above& r) const { return r.low < value && value <= r.high; }
  bool operator()(const HalfOpen& r) const { return r.low <= value && value < r.high; }
};

// Texts that need no quotes in any reader of YAML 1.1 or 1.2.
bool is_plain(const std::string& text) {
  const std::string word = lower(text);
  for (const char* taken : {"", "null", "true", "false", "yes", "no", "on", "off", "y", "n"}) {
    if (word == taken) return false;
  }
  const bool starts = text[0] == '_' || text[0] == '/' || (word[0] >= 'a' && word[0] <= 'z');
  return starts &&
         word.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-./") == std::string::npos;
}

}  // namespace

std::string what_it_is(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return "has no value";
    case Node::Kind::kList:
      return "is a list";
    case Node::Kind::kMap:
      return "is a section";
    case Node::Kind::kScalar:
      break;
  }
  return "is " + quote(node.text) + (node.quoted ? " in quotes" : "");
}

Complaint read_scalar(const Node& node, bool& value) {
  const std::string generic = what_it_is(node) + ", but true or false is expected";
  if (node.kind != Node::Kind::kScalar) return generic;
  const std::string word = lower(node.text);
  const bool yes = word == "true" || word == "yes" || word == "on" || word == "y" || word == "1";
  const bool no = word == "false" || word == "no" || word == "off" || word == "n" || word == "0";
  if (!node.quoted && (node.text == "true" || node.text == "false")) {
    value = yes;
    return {};
  }
  if (node.quoted && (node.text == "true" || node.text == "false")) {
    return generic + ": remove the quotes";
  }
  return yes || no ? generic + ": write " + print_scalar(yes) : generic;
}

Complaint read_scalar(const Node& node, int& value) { return read_integer(node, value); }
Complaint read_scalar(const Node& node, std::int64_t& value) { return read_integer(node, value); }

Complaint read_scalar(const Node& node, double& value) {
  Complaint complaint;
  const std::optional<Decimal> decimal = decimal_in(node, "a number", complaint);
  if (!decimal) return complaint;
  const double number = to_double(node.text);
  if (std::isinf(number)) return what_it_is(node) + ", which is too large for a number";
  if (number == 0 && decimal->digits.find_first_not_of('0') != std::string::npos) {
    return what_it_is(node) + ", which is too close to 0 for a number";
  }
  value = number;
  return {};
}

Complaint read_scalar(const Node& node, std::string& value) {
  if (node.kind != Node::Kind::kScalar) {
    return what_it_is(node) + ", but a text is expected" +
           (node.kind == Node::Kind::kNull ? ": write '' for an empty one" : "");
  }
  value = node.text;
  return {};
}

Complaint check_limit(const Node& node, const Limit& limit, double value) {
  if (std::visit(Contains{value}, limit)) return {};
  return what_it_is(node) + ", but it must be " + bounds_text(limit);
}

Complaint check_limit(const Node& node, const Limit& limit, const std::string& value) {
  const OneOf* choices = std::get_if<OneOf>(&limit);
  if (!choices) return {};
  const auto& names = choices->names;
  if (std::find(names.begin(), names.end(), value) != names.end()) return {};
  const std::optional<std::string> meant = nearest(value, names);
  return what_it_is(node) + ", but it must be " + bounds_text(limit) +
         (meant ? "; did you mean '" + *meant + "'?" : "");
}

std::string bounds_text(const Limit& limit) { return std::visit(BoundsText{}, limit); }

std::string print_scalar(bool value) { return value ? "true" : "false"; }

std::string print_scalar(std::int64_t value) { return std::to_string(value); }

std::string print_scalar(double value) {
  if (std::isnan(value)) return ".nan";
  if (std::isinf(value)) return value > 0 ? ".inf" : "-.inf";
  std::array<char, 32> buffer;
  char* const last = buffer.data() + buffer.size();
  const bool whole = std::trunc(value) == value && std::abs(value) < 1e15;
  const auto end = whole ? std::to_chars(buffer.data(), last, value, std::chars_format::fixed).ptr
                         : std::to_chars(buffer.data(), last, value).ptr;
  std::string text(buffer.data(), end);
  // Readers of YAML 1.1, such as PyYAML, take 1e-05 for a text and 1.0e-05 for a number.
  if (text.find('.') == std::string::npos) text.insert(std::min(text.find('e'), text.size()), ".0");
  return text;
}

std::string print_scalar(const std::string& value) {
  if (is_plain(value)) return value;
  std::string out = "\"";
  for (std::size_t i = 0; i < value.size();) {
    const std::size_t start = i;
    if (!next_code_point(value, i)) ++i;
    if (value[start] == '"' || value[start] == '\\') out += '\\';
    out += printable(std::string_view(value).substr(start, i - start));  // YAML's own escapes
  }
  return out + "\"";
}

}  // namespace adatape::config

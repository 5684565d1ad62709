#include "csrc/config/type_text.h"

namespace adatape::config {
namespace {

std::string plural(const std::string& noun) {
  if (noun == "true or false") return "true or false values";
  if (noun.starts_with("list")) return "lists" + noun.substr(4);
  return noun + "s";
}

struct TypeText {
  std::string operator()(const bool*) const { return "true or false"; }
  std::string operator()(const int*) const { return "whole number"; }
  std::string operator()(const std::int64_t*) const { return "whole number"; }
  std::string operator()(const double*) const { return "number"; }
  std::string operator()(const std::string*) const { return "text"; }
  std::string operator()(const std::shared_ptr<Sequence>& list) const {
    const auto size = list->fixed_size();
    return "list of " + (size ? std::to_string(*size) + " " : "") +
           plural(type_text(list->prototype()));
  }
  std::string operator()(const std::shared_ptr<Optional>& value) const {
    return type_text(value->prototype()) + " or null";
  }
  std::string operator()(const std::shared_ptr<Choice>&) const { return "section"; }
  std::string operator()(const std::shared_ptr<Section>&) const { return "section"; }
};

}  // namespace

std::string type_text(const Binding& value) { return std::visit(TypeText{}, value); }

}  // namespace adatape::config

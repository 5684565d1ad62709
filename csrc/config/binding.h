// A configuration struct with its types erased: a tree of fields that point into the struct.
//
// describe(c) runs the owner's declare() once; loading, printing and documenting then work on the
// tree, in ordinary functions. A tree is valid while its struct stays where it is.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "csrc/config/schema.h"

namespace adatape::config {

struct Section;
class Sequence;
class Optional;
class Choice;

/// Where a setting's value lives, by the kind of value.
using Binding =
    std::variant<bool*, int*, std::int64_t*, double*, std::string*, std::shared_ptr<Sequence>,
                 std::shared_ptr<Optional>, std::shared_ptr<Choice>, std::shared_ptr<Section>>;

using Limit = std::variant<std::monostate, Range, Above, HalfOpen, OneOf>;

/// Receives the complaints of an owner's validate(): a key of its section and a sentence.
using ProblemSink = std::function<void(const std::string& key, const std::string& message)>;

struct Field {
  std::string key;
  Limit limit;
  std::string doc;
  Binding value;
};

struct Section {
  std::vector<Field> fields;                         // in declared order
  std::function<void(const ProblemSink&)> validate;  // empty where the owner has none
};

/// A std::vector or std::array.
class Sequence {
 public:
  virtual ~Sequence() = default;
  virtual std::optional<std::size_t> fixed_size() const = 0;
  virtual std::size_t size() const = 0;
  /// Makes `count` fresh elements; `count` is the fixed size where there is one.
  virtual void restart(std::size_t count) = 0;
  virtual Binding at(std::size_t index) = 0;
  /// A fresh element outside the list, to ask for its type.
  virtual Binding prototype() = 0;
};

/// A std::optional.
class Optional {
 public:
  virtual ~Optional() = default;
  virtual bool has_value() const = 0;
  virtual void reset() = 0;
  /// The value, made fresh where there is none.
  virtual Binding value() = 0;
  /// A fresh value outside the struct, to ask for its type.
  virtual Binding prototype() = 0;
};

/// A std::variant of structs, told apart by kName.
class Choice {
 public:
  struct Alternative {
    std::string name;
    std::string doc;
  };
  virtual ~Choice() = default;
  virtual std::vector<Alternative> alternatives() const = 0;
  virtual std::size_t index() const = 0;
  /// Makes alternative `index` the value: as the owner initialised it, or else fresh.
  virtual void select(std::size_t index) = 0;
  virtual Section current() = 0;
  /// Alternative `index` as select would make it, outside the struct, until the next such call.
  virtual Section sample(std::size_t index) = 0;
};

template <class T>
Binding bind(T& value);
template <class C>
Section describe(C& config);

namespace detail {

struct IgnoreField {
  void operator()(auto&&...) const {}
};

template <class T>
concept Declared = requires(T& config) {
  T::declare(config, IgnoreField{});
};

template <class T>
constexpr bool kIsScalar =
    std::is_same_v<T, bool> || std::is_same_v<T, int> || std::is_same_v<T, std::int64_t> ||
    std::is_same_v<T, double> || std::is_same_v<T, std::string>;

// What a limit applies to: the scalar inside lists and optionals.
template <class T>
struct Leaf {
  using type = T;
};
template <class T>
struct Leaf<std::vector<T>> : Leaf<T> {};
template <class T, std::size_t N>
struct Leaf<std::array<T, N>> : Leaf<T> {};
template <class T>
struct Leaf<std::optional<T>> : Leaf<T> {};

template <class T>
constexpr bool kIsNumber =
    std::is_same_v<T, int> || std::is_same_v<T, std::int64_t> || std::is_same_v<T, double>;

// A validate() with a wrong signature must not be skipped in silence: its name alone is noticed by
// the ambiguity that it makes with Rival's.
struct Rival {
  int validate;
};
template <class C>
struct Clash : C, Rival {};
template <class C>
concept NamesValidate = !requires {
  &Clash<C>::validate;
};

struct Declarer {
  std::vector<Field>& fields;

  template <class T>
  void operator()(const char* key, T& member, const char* doc) const {
    fields.push_back({key, {}, doc, bind(member)});
  }

  template <class T, class L>
  void operator()(const char* key, T& member, const L& limit, const char* doc) const {
    using Scalar = typename Leaf<T>::type;
    static_assert(
        std::is_same_v<L, OneOf> ? std::is_same_v<Scalar, std::string> : kIsNumber<Scalar>,
        "OneOf limits texts; Range, Above and HalfOpen limit numbers");
    fields.push_back({key, limit, doc, bind(member)});
  }
};

template <class T>
class VectorSequence final : public Sequence {
 public:
  explicit VectorSequence(std::vector<T>& values) : values_(values) {}
  std::optional<std::size_t> fixed_size() const override { return std::nullopt; }
  std::size_t size() const override { return values_.size(); }
  void restart(std::size_t count) override { values_.assign(count, T{}); }
  Binding at(std::size_t index) override { return bind(values_[index]); }
  Binding prototype() override { return bind(sample_); }

 private:
  std::vector<T>& values_;
  T sample_{};
};

template <class T, std::size_t N>
class ArraySequence final : public Sequence {
 public:
  explicit ArraySequence(std::array<T, N>& values) : values_(values) {}
  std::optional<std::size_t> fixed_size() const override { return N; }
  std::size_t size() const override { return N; }
  void restart(std::size_t) override { values_ = {}; }
  Binding at(std::size_t index) override { return bind(values_[index]); }
  Binding prototype() override { return bind(sample_); }

 private:
  std::array<T, N>& values_;
  T sample_{};
};

template <class T>
class OptionalValue final : public Optional {
 public:
  explicit OptionalValue(std::optional<T>& value) : value_(value) {}
  bool has_value() const override { return value_.has_value(); }
  void reset() override { value_.reset(); }
  Binding value() override { return bind(value_ ? *value_ : value_.emplace()); }
  Binding prototype() override { return bind(sample_); }

 private:
  std::optional<T>& value_;
  T sample_{};
};

template <class... Ts>
class VariantChoice final : public Choice {
 public:
  explicit VariantChoice(std::variant<Ts...>& value)
      : value_(value), initial_(value), sample_(value) {}

  std::vector<Alternative> alternatives() const override { return {{Ts::kName, Ts::kDoc}...}; }
  std::size_t index() const override { return value_.index(); }
  void select(std::size_t index) override { make(index, value_); }
  Section current() override { return describe_active(value_); }
  Section sample(std::size_t index) override {
    make(index, sample_);
    return describe_active(sample_);
  }

 private:
  void make(std::size_t index, std::variant<Ts...>& target) {
    std::size_t i = 0;
    ((i++ == index ? static_cast<void>(target.template emplace<Ts>()) : void()), ...);
    if (index == initial_.index()) target = initial_;
  }
  static Section describe_active(std::variant<Ts...>& value) {
    return std::visit([](auto& alternative) { return describe(alternative); }, value);
  }

  std::variant<Ts...>& value_;
  std::variant<Ts...> initial_;
  std::variant<Ts...> sample_;
};

template <class T>
struct Binder {
  static_assert(sizeof(T) == 0,
                "a setting cannot have this type; schema.h lists those it can have");
  static Binding make(T& value);
};
template <class T>
struct Binder<std::vector<T>> {
  static_assert(!std::is_same_v<T, bool>, "std::vector<bool> has no elements to point at");
  static Binding make(std::vector<T>& v) { return std::make_shared<VectorSequence<T>>(v); }
};
template <class T, std::size_t N>
struct Binder<std::array<T, N>> {
  static Binding make(std::array<T, N>& v) { return std::make_shared<ArraySequence<T, N>>(v); }
};
template <class T>
struct Binder<std::optional<T>> {
  static Binding make(std::optional<T>& v) { return std::make_shared<OptionalValue<T>>(v); }
};
template <class... Ts>
struct Binder<std::variant<Ts...>> {
  static_assert((Declared<Ts> && ...), "every alternative of a variant needs declare()");
  static Binding make(std::variant<Ts...>& v) { return std::make_shared<VariantChoice<Ts...>>(v); }
};

}  // namespace detail

/// Points at one setting.
template <class T>
Binding bind(T& value) {
  if constexpr (detail::kIsScalar<T>) {
    return &value;
  } else if constexpr (detail::Declared<T>) {
    return std::make_shared<Section>(describe(value));
  } else {
    return detail::Binder<T>::make(value);
  }
}

/// Points at all settings of `config`, in declared order.
template <class C>
Section describe(C& config) {
  static_assert(detail::Declared<C>, "a configuration needs static void declare(auto&, auto&&)");
  Section section;
  C::declare(config, detail::Declarer{section.fields});
  if constexpr (detail::NamesValidate<C>) {
    section.validate = [&config](const ProblemSink& problem) {
      C::validate(std::as_const(config), problem);
    };
  }
  return section;
}

}  // namespace adatape::config

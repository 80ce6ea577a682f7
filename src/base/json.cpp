#include "gridmill/base/json.hpp"

#include <cstddef>
#include <unordered_set>
#include <utility>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json_members.hpp"

namespace gridmill {

namespace {

using MemberFunction = std::function<void(const std::string&, const Json&)>;

/// Far beyond any real file; keeps the recursive destructor within the stack.
constexpr std::size_t kDeepest = 256;
/// The tokenizer.json with the most values has about 2^21. A value takes up to about 100 bytes.
constexpr std::size_t kMostValues = std::size_t{1} << 23;
/// The longest member of a safetensors header is its metadata, some thousand values.
constexpr std::size_t kMostValuesOfMember = std::size_t{1} << 20;

/// Builds values from the events of the parser. The library's parser with a callback takes
/// quadratic time: it looks through a container whenever a child of it ends.
class Builder : public nlohmann::json_sax<Json> {
 public:
  /// @param member  if given, gets the members of the outermost object, which are not kept.
  Builder(const std::string& where, const MemberFunction* member)
      : where_(where),
        member_(member),
        most_values_(member == nullptr ? kMostValues : kMostValuesOfMember) {}

  [[nodiscard]] Json take() { return std::move(root_); }

  bool null() override { return scalar(nullptr); }
  bool boolean(bool value) override { return scalar(value); }
  bool number_integer(number_integer_t value) override { return scalar(value); }
  bool number_unsigned(number_unsigned_t value) override { return scalar(value); }
  bool number_float(number_float_t value, const string_t& /*text*/) override {
    return scalar(value);
  }
  bool string(string_t& value) override { return scalar(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return false; }  // JSON text has none
  bool start_object(std::size_t /*size*/) override { return open(Json::object()); }
  bool start_array(std::size_t /*size*/) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& key) override {
    if (at_member()) {
      if (!keys_.insert(key).second) {
        throw FormatError(fmt::format("{}: \"{}\" occurs twice", where_, key));
      }
      key_ = std::move(key);
      slot_ = &value_;
    } else {
      slot_ = &(*open_.back())[key];
    }
    return true;
  }

  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& error) override {
    throw FormatError(where_ + ": not valid JSON: " + error.what());
  }

 private:
  const std::string& where_;
  const MemberFunction* member_;
  std::size_t most_values_;
  std::size_t values_ = 0;
  Json root_;
  std::vector<Json*> open_;               // containers from the outermost to the innermost
  Json* slot_ = nullptr;                  // the value of the last key
  std::unordered_set<std::string> keys_;  // of the outermost object, with `member_`
  std::string key_;
  Json value_;

  [[nodiscard]] bool at_member() const { return member_ != nullptr && open_.size() == 1; }

  Json* place(Json&& value) {
    if (++values_ > most_values_) {
      throw FormatError(fmt::format("{}: more than {} JSON values", where_, most_values_));
    }
    Json* target = slot_;
    if (open_.empty()) {
      if (member_ != nullptr && !value.is_object()) {
        throw FormatError(fmt::format("{} is {}, expected a JSON object", where_,
                                      std::string(value.type_name())));
      }
      target = &root_;
    } else if (open_.back()->is_array()) {
      auto& elements = open_.back()->get_ref<Json::array_t&>();
      elements.push_back(std::move(value));
      return &elements.back();
    }
    *target = std::move(value);
    return target;
  }

  template <typename Value>
  bool scalar(Value&& value) {
    place(Json(std::forward<Value>(value)));
    finish_value();
    return true;
  }

  bool open(Json&& container) {
    if (open_.size() == kDeepest) {
      throw FormatError(fmt::format("{}: JSON is nested deeper than {} levels", where_, kDeepest));
    }
    open_.push_back(place(std::move(container)));
    return true;
  }

  bool close() {
    open_.pop_back();
    finish_value();
    return true;
  }

  void finish_value() {
    if (!at_member()) return;
    (*member_)(key_, value_);
    value_ = nullptr;
    values_ = 0;
  }
};

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  Builder builder(where, nullptr);
  Json::sax_parse(text, &builder);
  return builder.take();
}

void parse_json_members(std::string_view text, const std::string& where,
                        const MemberFunction& member) {
  Builder builder(where, &member);
  Json::sax_parse(text, &builder);
}

}  // namespace gridmill

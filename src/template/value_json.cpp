#include <limits>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/template/value.hpp"
#include "template/containers.hpp"

namespace gridmill::jinja {

namespace {

constexpr std::size_t kDeepestJson = 256;  // as base/json.hpp

/// Takes the parser's events; keeps what Json would lose: order, and numbers as they are written.
class ValueMaker final : public Json::json_sax_t {
 public:
  bool null() override { return add(Value::none()); }
  bool boolean(bool value) override { return add(Value::boolean(value)); }
  bool number_integer(number_integer_t value) override { return add(Value::integer(value)); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value <= static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max())) {
      return add(Value::integer(static_cast<std::int64_t>(value)));
    }
    return add(big(fmt::format("{}", value)));
  }
  bool number_float(number_float_t value, const string_t& written) override {
    const bool is_integer = written.find_first_of(".eE") == std::string::npos;
    return add(is_integer ? big(written) : Value::number(value));
  }
  bool string(string_t& value) override { return add(Value::text(std::move(value))); }
  bool binary(binary_t& /*value*/) override { return false; }
  bool start_object(std::size_t /*size*/) override { return open(true); }
  bool key(string_t& value) override {
    open_.back().key = std::move(value);
    return true;
  }
  bool end_object() override {
    Value value = std::move(open_.back().dict).finish();
    open_.pop_back();
    return add(std::move(value));
  }
  bool start_array(std::size_t /*size*/) override { return open(false); }
  bool end_array() override {
    Value value = make_list(std::move(open_.back().items), ListKind::list);
    open_.pop_back();
    return add(std::move(value));
  }
  bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                   const nlohmann::detail::exception& error) override {
    failure = error.what();
    return false;
  }

  Value result;
  std::string failure;

 private:
  struct Container {
    bool is_dict;
    std::vector<Value> items;
    DictBuilder dict;
    std::string key;
  };

  static Value big(std::string digits) {
    return Value(Value::Data(BigInteger{std::make_shared<const std::string>(std::move(digits))}));
  }

  bool open(bool is_dict) {
    if (open_.size() >= kDeepestJson) {
      failure = fmt::format("nested deeper than {} levels", kDeepestJson);
      return false;
    }
    open_.push_back({.is_dict = is_dict, .items = {}, .dict = {}, .key = {}});
    return true;
  }

  bool add(Value value) {
    if (open_.empty()) {
      result = std::move(value);
    } else if (open_.back().is_dict) {
      open_.back().dict.set(open_.back().key, std::move(value));
    } else {
      open_.back().items.push_back(std::move(value));
    }
    return true;
  }

  std::vector<Container> open_;
};

}  // namespace

Value Value::from_json(std::string_view json, const std::string& where) {
  ValueMaker maker;
  if (!Json::sax_parse(json.begin(), json.end(), &maker)) {
    throw FormatError(fmt::format("{}: not valid JSON: {}", where, maker.failure));
  }
  return std::move(maker.result);
}

}  // namespace gridmill::jinja

#include <algorithm>
#include <cmath>
#include <vector>

#include "template/printing.hpp"
#include "template/unicode_text.hpp"

namespace gridmill::jinja {

namespace {

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Budget& budget) : style_(style), budget_(budget) {}

  void write(const Value& value, int level) {
    budget_.steps(1);
    if (const std::string* text = value.as_text()) {
      write_text(*text);
    } else if (const List* list = value.as_list()) {
      write_list(*list, level);
    } else if (const Dict* dict = value.as_dict()) {
      write_dict(*dict, level);
    } else if (value.is_none()) {
      append("null");
    } else if (const bool* truth = value.get_if<bool>()) {
      append(*truth ? "true" : "false");
    } else if (const auto* integer = value.get_if<std::int64_t>()) {
      append(fmt::format("{}", *integer));
    } else if (const BigInteger* big = value.get_if<BigInteger>()) {
      append(*big->digits);
    } else if (const double* number = value.get_if<double>()) {
      append(number_text(*number));
    } else {
      throw Fault{fmt::format("Object of type {} is not JSON serializable", type_name(value))};
    }
  }

  std::string take() { return std::move(out_); }

 private:
  static std::string number_text(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return float_text(value);
  }

  void append(std::string_view text) { budget_.append(out_, text); }

  void new_line(int level) {
    if (!style_.multi_line) return;
    append("\n");
    for (int i = 0; i < level; ++i) append(style_.indent);
  }

  void write_list(const List& list, int level) {
    if (list.kind != ListKind::list && list.kind != ListKind::tuple) {
      throw Fault{"this sequence is not JSON serializable; apply the filter list first"};
    }
    if (list.items.empty()) return append("[]");
    append("[");
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) append(style_.item_separator);
      new_line(level + 1);
      write(list.items[i], level + 1);
    }
    new_line(level);
    append("]");
  }

  std::string key_text(const Value& key) {
    if (const std::string* text = key.as_text()) return *text;
    if (key.is_none()) return "null";
    if (const bool* truth = key.get_if<bool>()) return *truth ? "true" : "false";
    if (const auto* integer = key.get_if<std::int64_t>()) return fmt::format("{}", *integer);
    if (const double* number = key.get_if<double>()) return number_text(*number);
    throw Fault{"keys must be str, int, float, bool or None, not " + std::string(type_name(key))};
  }

  void write_dict(const Dict& dict, int level) {
    if (dict.entries.empty()) return append("{}");
    std::vector<std::pair<std::string, const Value*>> members;
    for (const auto& [key, value] : dict.entries) {
      members.emplace_back(key_text(key), &value);
      budget_.create(members.back().first.size());
    }
    if (style_.sort_keys) {
      // Bytes of UTF-8 order as code points do.
      std::stable_sort(members.begin(), members.end(),
                       [](const auto& a, const auto& b) { return a.first < b.first; });
    }
    append("{");
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (i > 0) append(style_.item_separator);
      new_line(level + 1);
      write_text(members[i].first);
      append(style_.key_separator);
      write(*members[i].second, level + 1);
    }
    new_line(level);
    append("}");
  }

  void write_unit(std::uint32_t unit) { out_ += fmt::format("\\u{:04x}", unit); }

  void write_text(std::string_view text) {
    budget_.create(text.size() + 2);
    out_ += '"';
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t begin = at;
      const auto c = static_cast<std::uint32_t>(next_character(text, at));
      switch (c) {
        case '"':
          out_ += "\\\"";
          break;
        case '\\':
          out_ += "\\\\";
          break;
        case '\n':
          out_ += "\\n";
          break;
        case '\r':
          out_ += "\\r";
          break;
        case '\t':
          out_ += "\\t";
          break;
        case '\f':
          out_ += "\\f";
          break;
        case '\b':
          out_ += "\\b";
          break;
        default:
          if (c < 0x20 || (style_.ensure_ascii && c >= 0x7F && c < 0x10000)) {
            write_unit(c);
          } else if (style_.ensure_ascii && c >= 0x10000) {
            write_unit(0xD800U + ((c - 0x10000U) >> 10U));
            write_unit(0xDC00U + ((c - 0x10000U) & 0x3FFU));
          } else {
            out_ += text.substr(begin, at - begin);
          }
      }
    }
    out_ += '"';
  }

  const JsonStyle& style_;
  Budget& budget_;
  std::string out_;
};

}  // namespace

std::string json_text(const Value& value, const JsonStyle& style, Budget& budget) {
  JsonWriter writer(style, budget);
  writer.write(value, 0);
  return writer.take();
}

}  // namespace gridmill::jinja

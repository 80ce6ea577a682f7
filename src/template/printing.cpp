#include "template/printing.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "template/unicode_text.hpp"

namespace gridmill::jinja {

namespace {

void print_escape(std::string& out, char32_t c) {
  const auto code = static_cast<std::uint32_t>(c);
  if (code < 0x100) {
    out += fmt::format("\\x{:02x}", code);
  } else if (code < 0x10000) {
    out += fmt::format("\\u{:04x}", code);
  } else {
    out += fmt::format("\\U{:08x}", code);
  }
}

void print_quoted(std::string_view text, std::string& out, Budget& budget) {
  budget.create(text.size() + 2);
  const bool single = text.find('\'') != std::string_view::npos;
  const char quote = single && text.find('"') == std::string_view::npos ? '"' : '\'';
  out += quote;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = next_character(text, at);
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\\' || c == static_cast<unsigned char>(quote)) {
      out += '\\';
      out += static_cast<char>(c);
    } else if (is_printable(c)) {
      out += text.substr(begin, at - begin);
    } else {
      print_escape(out, c);
    }
  }
  out += quote;
}

/// str() at the top, repr() within containers.
class Printer {
 public:
  Printer(std::string& out, Budget& budget) : out_(out), budget_(budget) {}

  void print(const Value& value, bool as_repr) {
    budget_.steps(1);
    if (const std::string* text = value.as_text()) {
      if (as_repr) {
        print_quoted(*text, out_, budget_);
      } else {
        budget_.append(out_, *text);
      }
    } else if (const List* list = value.as_list()) {
      print_list(*list);
    } else if (const Dict* dict = value.as_dict()) {
      print_dict(*dict);
    } else if (value.is_none()) {
      budget_.append(out_, "None");
    } else if (const bool* truth = value.get_if<bool>()) {
      budget_.append(out_, *truth ? "True" : "False");
    } else if (const auto* integer = value.get_if<std::int64_t>()) {
      budget_.append(out_, fmt::format("{}", *integer));
    } else if (const double* number = value.get_if<double>()) {
      budget_.append(out_, float_text(*number));
    } else if (const BigInteger* big = value.get_if<BigInteger>()) {
      budget_.append(out_, *big->digits);
    } else if (value.is_undefined()) {
      budget_.append(out_, as_repr ? "Undefined" : "");
    } else {
      throw Fault{fmt::format("a {} cannot be printed", type_name(value))};
    }
  }

 private:
  void print_list(const List& list) {
    if (list.kind != ListKind::list && list.kind != ListKind::tuple) {
      throw Fault{"this sequence cannot be printed; apply the filter list first"};
    }
    const bool tuple = list.kind == ListKind::tuple;
    budget_.append(out_, tuple ? "(" : "[");
    for (std::size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) budget_.append(out_, ", ");
      print(list.items[i], true);
    }
    if (tuple && list.items.size() == 1) budget_.append(out_, ",");
    budget_.append(out_, tuple ? ")" : "]");
  }

  void print_dict(const Dict& dict) {
    budget_.append(out_, "{");
    for (std::size_t i = 0; i < dict.entries.size(); ++i) {
      if (i > 0) budget_.append(out_, ", ");
      print(dict.entries[i].first, true);
      budget_.append(out_, ": ");
      print(dict.entries[i].second, true);
    }
    budget_.append(out_, "}");
  }

  std::string& out_;
  Budget& budget_;
};

}  // namespace

std::string_view type_name(const Value& value) {
  struct Names {
    std::string_view operator()(const Undefined& /**/) const { return "Undefined"; }
    std::string_view operator()(None /**/) const { return "NoneType"; }
    std::string_view operator()(bool /**/) const { return "bool"; }
    std::string_view operator()(std::int64_t /**/) const { return "int"; }
    std::string_view operator()(const BigInteger& /**/) const { return "int"; }
    std::string_view operator()(double /**/) const { return "float"; }
    std::string_view operator()(const Text& /**/) const { return "str"; }
    std::string_view operator()(const std::shared_ptr<const List>& list) const {
      switch (list->kind) {
        case ListKind::list:
          return "list";
        case ListKind::tuple:
          return "tuple";
        case ListKind::range:
          return "range";
        case ListKind::view:
          return "dict_view";
        case ListKind::once:
          return "generator";
      }
      return "list";
    }
    std::string_view operator()(const std::shared_ptr<const Dict>& /**/) const { return "dict"; }
    std::string_view operator()(Namespace* /**/) const { return "Namespace"; }
    std::string_view operator()(const Macro* /**/) const { return "Macro"; }
    std::string_view operator()(const Loop* /**/) const { return "LoopContext"; }
    std::string_view operator()(const std::shared_ptr<const Method>& /**/) const {
      return "method";
    }
    std::string_view operator()(GlobalFunction /**/) const { return "function"; }
  };
  return std::visit(Names{}, value.data());
}

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 40> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                    std::chars_format::scientific);
  const std::string_view written(buffer.data(),
                                 static_cast<std::size_t>(result.ptr - buffer.data()));
  const std::size_t e = written.find('e');
  std::string digits;
  for (const char c : written.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  const int exponent = std::atoi(std::string(written.substr(e + 1)).c_str());
  std::string text = std::signbit(value) ? "-" : "";
  const auto count = static_cast<int>(digits.size());
  const auto zeros = [](int number) { return std::string(static_cast<std::size_t>(number), '0'); };
  if (exponent < -4 || exponent >= 16) {
    text += digits[0];
    if (count > 1) text.append(1, '.').append(digits, 1);
    text += fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  } else if (exponent < 0) {
    text.append("0.").append(zeros(-exponent - 1)).append(digits);
  } else if (count <= exponent + 1) {
    text.append(digits).append(zeros(exponent + 1 - count)).append(".0");
  } else {
    const auto whole = static_cast<std::size_t>(exponent + 1);
    text.append(digits, 0, whole).append(1, '.').append(digits, whole);
  }
  return text;
}

void print(const Value& value, std::string& out, Budget& budget) {
  Printer(out, budget).print(value, false);
}

std::string printed(const Value& value, Budget& budget) {
  std::string out;
  print(value, out, budget);
  return out;
}

}  // namespace gridmill::jinja

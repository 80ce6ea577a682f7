#include "cli/export_table.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/temporary_file.hpp"
#include "gridmill/h5/table_file.hpp"
#include "gridmill/records/json_text.hpp"

namespace gridmill::cli {

namespace {

using h5::ColumnKind;

/// Common properties of the values of one field in all records.
struct FieldValues {
  bool text = false, integer = false, number = false, boolean = false, other = false;
  bool missing = false;
  std::uint64_t seen = 0;  ///< records with the field

  /// Lists, objects and mixtures are JSON texts.
  [[nodiscard]] bool is_json() const {
    if (other) return true;
    const int kinds = int{text} + int{integer || number} + int{boolean};
    return kinds != 1 || (boolean && missing);
  }
  [[nodiscard]] ColumnKind kind() const {
    if (is_json() || text) return ColumnKind::text;
    if (boolean) return ColumnKind::boolean;
    return number || missing ? ColumnKind::number : ColumnKind::integer;
  }
};

std::optional<Json> parsed(std::string_view value) {
  try {
    return parse_json(value, "value");
  } catch (const FormatError&) {
    return std::nullopt;  // NaN and the like, as Python writes them
  }
}

void look_at(FieldValues& kind, std::string_view value) {
  ++kind.seen;
  const std::optional<Json> json = parsed(value);
  constexpr std::int64_t kExact = std::int64_t{1} << 53;
  if (!json) {
    kind.other = true;
    return;
  }
  if (json->is_null()) {
    kind.missing = true;
  } else if (json->is_string()) {
    kind.text = true;
  } else if (json->is_boolean()) {
    kind.boolean = true;
  } else if (json->is_number_float()) {
    kind.number = true;
  } else if (json->is_number_integer()) {
    const bool fits = !json->is_number_unsigned() ||
                      json->get<std::uint64_t>() <=
                          static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    // As float64 it has to be exact, too: another record may lack the field.
    const bool exact =
        fits && json->get<std::int64_t>() >= -kExact && json->get<std::int64_t>() <= kExact;
    (exact ? kind.integer : kind.other) = true;
  } else {
    kind.other = true;
  }
}

/// HDF5's texts of any length end at a 0 byte.
std::string storable(std::string text) {
  for (std::size_t at = text.find('\0'); at != std::string::npos; at = text.find('\0', at)) {
    text.replace(at, 1, "\xEF\xBF\xBD");
  }
  return text;
}

/// A column that gets values one by one and writes them in blocks.
class ColumnBuffer {
 public:
  explicit ColumnBuffer(h5::Column column) : kind_(column.kind()), column_(std::move(column)) {}

  void add(const RowValue& value) {
    switch (kind_) {
      case ColumnKind::integer:
        push<std::int64_t>(value, 0);
        break;
      case ColumnKind::number:
        push<double>(value, std::numeric_limits<double>::quiet_NaN());
        break;
      case ColumnKind::boolean:
        booleans_.push_back(std::get_if<bool>(&value) != nullptr && std::get<bool>(value) ? 1 : 0);
        break;
      case ColumnKind::ids:
        ids_.push_back(list_of<TokenId>(value));
        break;
      case ColumnKind::numbers:
        numbers_.push_back(list_of<float>(value));
        break;
      default:
        texts_.push_back(text_of(value));
        break;
    }
    bytes_ += sizeof(RowValue) + (texts_.empty() ? 0 : texts_.back().size()) +
              (ids_.empty() ? 0 : ids_.back().size() * sizeof(TokenId)) +
              (numbers_.empty() ? 0 : numbers_.back().size() * sizeof(float));
    ++count_;
    if (count_ == kBlockRows || bytes_ > kBlockBytes) flush();
  }
  void flush() {
    if (count_ == 0) return;
    // The buffers of other kinds are empty.
    if (!integers_.empty()) column_.append(std::span<const std::int64_t>(integers_));
    if (!doubles_.empty()) column_.append(std::span<const double>(doubles_));
    if (!booleans_.empty()) column_.append(std::span<const std::uint8_t>(booleans_));
    if (!texts_.empty()) column_.append(std::span<const std::string>(texts_));
    if (!ids_.empty()) column_.append(std::span<const std::vector<TokenId>>(ids_));
    if (!numbers_.empty()) column_.append(std::span<const std::vector<float>>(numbers_));
    count_ = 0;
    bytes_ = 0;
    integers_.clear();
    doubles_.clear();
    booleans_.clear();
    texts_.clear();
    ids_.clear();
    numbers_.clear();
  }

 private:
  static constexpr std::uint64_t kBlockRows = 1024;
  static constexpr std::size_t kBlockBytes = std::size_t{4} << 20;

  template <typename T>
  void push(const RowValue& value, T missing) {
    T number = missing;
    if (const auto* integer = std::get_if<std::int64_t>(&value)) number = static_cast<T>(*integer);
    if constexpr (std::is_same_v<T, double>) {
      if (const auto* given = std::get_if<double>(&value)) number = *given;
      doubles_.push_back(number);
    } else {
      integers_.push_back(number);
    }
  }
  template <typename T>
  static std::vector<T> list_of(const RowValue& value) {
    const auto* list = std::get_if<std::span<const T>>(&value);
    return list == nullptr ? std::vector<T>() : std::vector<T>(list->begin(), list->end());
  }
  static std::string text_of(const RowValue& value) {
    if (std::holds_alternative<std::monostate>(value)) return "";
    if (const auto* text = std::get_if<std::string>(&value)) return storable(*text);
    return storable(json_of(value));
  }

  ColumnKind kind_;
  h5::Column column_;
  std::uint64_t count_ = 0;
  std::size_t bytes_ = 0;
  std::vector<std::int64_t> integers_;
  std::vector<double> doubles_;
  std::vector<std::uint8_t> booleans_;
  std::vector<std::string> texts_;
  std::vector<std::vector<TokenId>> ids_;
  std::vector<std::vector<float>> numbers_;
};

ColumnKind kind_of(RowField field) {
  switch (field) {
    case RowField::tokens:
    case RowField::top_ids:
      return ColumnKind::ids;
    case RowField::logprobs:
    case RowField::top_logprobs:
      return ColumnKind::numbers;
    case RowField::truncated:
      return ColumnKind::boolean;
    case RowField::sum_logprob:
    case RowField::mean_logprob:
      return ColumnKind::number;
    case RowField::index:
    case RowField::prompt_index:
    case RowField::sample_index:
    case RowField::stop_index:
    case RowField::prompt_tokens:
    case RowField::completion_tokens:
      return ColumnKind::integer;
    case RowField::text:
    case RowField::finish_reason:
    case RowField::stop:
    case RowField::failure:
    case RowField::prompt:
    case RowField::messages:
    case RowField::record:
      break;
  }
  return ColumnKind::text;
}

/// The columns of the records, and how many rows there are.
struct Survey {
  std::uint64_t rows = 0;
  std::map<std::string, FieldValues> columns;
};

Survey survey(const ResultRecords& records, const RowChoice& choice, bool with_records) {
  constexpr std::size_t kMostColumns = 1000;
  Survey found;
  std::uint64_t prompts = 0;
  RowWalk walk(records, choice);
  while (const std::optional<PromptRows> rows = walk.next()) {
    found.rows += rows->rows.size();
    if (!with_records) continue;
    ++prompts;
    const std::optional<std::string>& record = records.record(rows->prompt);
    if (!record) continue;
    for (const JsonMember& member : members_of_json(*record)) {
      look_at(found.columns[member.key], member.value);
    }
    if (found.columns.size() > kMostColumns) {
      throw FormatError(fmt::format(
          "the records have more than {} fields: leave them out (--fields), or use --format jsonl",
          kMostColumns));
    }
  }
  for (auto& [name, kind] : found.columns) {
    if (kind.seen < prompts) kind.missing = true;
    if (name.empty() || name == "." || name.find('/') != std::string::npos ||
        name.find('\0') != std::string::npos) {
      throw FormatError(fmt::format(
          "the records have a field '{}', which cannot be a name in an HDF5 file: leave the record "
          "out (--fields), or use --format jsonl",
          name));
    }
  }
  return found;
}

/// A value of a record as that of its column.
RowValue value_in(const FieldValues& kind, std::string_view text) {
  if (kind.is_json()) return JsonText{std::string(text)};
  const std::optional<Json> json = parsed(text);
  if (!json || json->is_null()) return {};
  if (json->is_string()) return json->get<std::string>();
  if (json->is_boolean()) return json->get<bool>();
  if (json->is_number_float()) return json->get<double>();
  return json->get<std::int64_t>();
}

}  // namespace

std::uint64_t export_table(const ResultRecords& records, const RowChoice& choice,
                           const LineShape& shape, const OutputTarget& target) {
  const bool has_record =
      shape.join || std::any_of(shape.fields.begin(), shape.fields.end(),
                                [](const auto& field) { return field.field == RowField::record; });
  const Survey found = survey(records, choice, has_record);
  TemporaryFile temporary(target.path());
  h5::TableFile file = h5::TableFile::create(temporary.path(), "gridmill-export");
  std::vector<std::pair<NamedField, std::unique_ptr<ColumnBuffer>>> columns;
  std::string record_group = shape.join ? "" : "/record";
  for (const NamedField& field : shape.fields) {
    if (field.field == RowField::record) {
      record_group = "/" + field.name;
      continue;
    }
    columns.emplace_back(field, std::make_unique<ColumnBuffer>(file.add_column(
                                    "/" + field.name, kind_of(field.field), found.rows)));
    if (field.field == RowField::top_ids || field.field == RowField::top_logprobs) {
      file.write_integer_attribute("/" + field.name, "top",
                                   static_cast<std::int64_t>(records.top()));
    }
    if (field.field == RowField::messages) {
      file.write_text_attribute("/" + field.name, "encoding", "json");
    }
  }
  std::map<std::string, std::unique_ptr<ColumnBuffer>> record_columns;
  for (const auto& column : found.columns) {
    const std::string& name = column.first;  // g++ lets lambdas see parts of a pair, clang does not
    const FieldValues& kind = column.second;
    const std::string path = record_group + "/" + name;
    const auto same = std::find_if(shape.fields.begin(), shape.fields.end(),
                                   [&](const auto& field) { return field.name == name; });
    if (shape.join && same != shape.fields.end()) {
      if (same->field == RowField::messages) continue;
      throw FormatError(fmt::format(
          "the records have a field '{}' of their own: give the row's another name, for example "
          "--fields {}_new={}",
          name, name, info_of(same->field).name));
    }
    record_columns.emplace(
        name, std::make_unique<ColumnBuffer>(file.add_column(path, kind.kind(), found.rows)));
    if (kind.is_json()) file.write_text_attribute(path, "encoding", "json");
  }
  RowWalk walk(records, choice);
  std::uint64_t written = 0;
  while (const std::optional<PromptRows> rows = walk.next()) {
    written += rows->rows.size();
    if (written > found.rows) break;
    for (const RowId row : rows->rows) {
      const StoredRow stored = records.result().read_row(row);
      for (auto& [field, column] : columns) column->add(records.value(field.field, row, stored));
      if (record_columns.empty()) continue;
      std::map<std::string, std::string_view> values;
      const std::optional<std::string>& record = records.record(rows->prompt);
      if (record) {
        for (const JsonMember& member : members_of_json(*record)) values[member.key] = member.value;
      }
      for (auto& [name, column] : record_columns) {
        const auto value = values.find(name);
        column->add(value == values.end() ? RowValue()
                                          : value_in(found.columns.at(name), value->second));
      }
    }
  }
  if (written != found.rows) {
    throw FormatError(fmt::format(
        "{} got more rows while it was exported: export it again when its job has ended, or use "
        "--format jsonl",
        records.result().path()));
  }
  for (auto& [field, column] : columns) column->flush();
  for (auto& [name, column] : record_columns) column->flush();
  columns.clear();
  record_columns.clear();
  file.close();
  temporary.publish();
  return walk.unfinished();
}

}  // namespace gridmill::cli

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gridmill/base/dtype.hpp"

namespace gridmill::convert_detail {

/// Extents of a foreign tensor; empty for a scalar.
using Extents = std::vector<std::int64_t>;

/// "[32, 4096]".
[[nodiscard]] std::string to_text(const Extents& extents);
/// Product of the extents; 1 for a scalar.
/// @return -1 if an extent is negative or the product exceeds 2^62.
[[nodiscard]] std::int64_t element_count(const Extents& extents);

/// A tensor of a foreign checkpoint: row-major elements in a file, read as fp32 where wanted.
class ForeignTensor {
 public:
  /// @param type  element type in the words of the file, e.g. "BF16".
  /// @param stored_as  how gridmill stores such elements; none for types that no parameter can
  /// have.
  ForeignTensor(std::string name, std::string file, Extents shape, std::string type)
      : name_(std::move(name)),
        file_(std::move(file)),
        shape_(std::move(shape)),
        type_(std::move(type)) {}
  ForeignTensor(const ForeignTensor&) = delete;
  ForeignTensor& operator=(const ForeignTensor&) = delete;
  virtual ~ForeignTensor() = default;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& file() const { return file_; }
  [[nodiscard]] const Extents& shape() const { return shape_; }
  [[nodiscard]] const std::string& type() const { return type_; }

  /// Whether elements are floating-point numbers; only those can be parameters.
  [[nodiscard]] virtual bool floating() const = 0;
  /// bf16 stays bf16; every other type becomes fp32.
  [[nodiscard]] virtual DType stored_as() const = 0;
  /// Elements [first, first + out.size()) as fp32; exact but for fp64, which is rounded.
  /// @throws FormatError if the file ends before, IoError if reading fails.
  virtual void read(std::int64_t first, std::span<float> out) const = 0;

 private:
  std::string name_;
  std::string file_;
  Extents shape_;
  std::string type_;
};

/// The tensors of a foreign checkpoint by name; remembers which were asked for.
class ForeignTensors {
 public:
  /// @throws FormatError if there is a tensor of that name already.
  void add(std::unique_ptr<ForeignTensor> tensor);
  [[nodiscard]] bool contains(const std::string& name) const { return tensors_.contains(name); }
  [[nodiscard]] std::size_t size() const { return tensors_.size(); }
  /// The tensor of that name, for looking at; nullptr if there is none.
  [[nodiscard]] const ForeignTensor* find(const std::string& name) const;
  /// The tensor of that name, for use.
  /// @param where  names the checkpoint in messages, e.g. the folder.
  /// @throws FormatError if it is missing, of another shape, or not of a floating type.
  [[nodiscard]] const ForeignTensor& use(const std::string& name, const Extents& expected,
                                         const std::string& where);
  /// For callers that read a tensor's numbers by another way than `use`.
  void mark_used(const std::string& name);
  /// Files every tensor under `new_name(name)`. @throws FormatError if two get one name.
  void rename(const std::function<std::string(const std::string&)>& new_name);
  /// Unused names, sorted.
  [[nodiscard]] std::vector<std::string> unused() const;

 private:
  struct Entry {
    std::unique_ptr<ForeignTensor> tensor;
    bool used = false;
  };
  std::map<std::string, Entry> tensors_;
};

}  // namespace gridmill::convert_detail

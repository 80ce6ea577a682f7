#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/base/file.hpp"
#include "gridmill/h5/dataset.hpp"
#include "gridmill/h5/element_type.hpp"
#include "gridmill/h5/handle.hpp"

namespace gridmill::h5 {

enum class LinkKind : std::uint8_t { group, dataset, other };

struct Link {
  std::string path;  ///< absolute, "/layers/0/wq"
  LinkKind kind = LinkKind::other;
};

/// An HDF5 file, through the serial library. Not thread-safe: the HDF5 library of the system is
/// used by one thread at a time. Objects are named by their absolute path; groups on the way to a
/// new object are made. HDF5's own error printing is off from the first use on; messages carry its
/// innermost reason.
///
/// Files are opened without locks, so a file that another process writes with pwrite can be read.
///
/// Only what lies in the file itself is read: external links, virtual datasets and external raw
/// storage are a FormatError that names the object and where it leads; nothing there is opened.
class File {
 public:
  /// Opens for reading.
  /// @throws MissingInputError if it cannot be read; FormatError if it is not HDF5 or cut short.
  [[nodiscard]] static File open(const std::string& path);
  /// Creates (or empties) a file whose bytes depend on nothing but what is put into it: no times,
  /// format of HDF5 1.8 at most, superblock 0 (no consistency flags that a kill could leave set),
  /// datasets at multiples of 4096 bytes.
  /// @throws OutputError
  [[nodiscard]] static File create(const std::string& path);

  [[nodiscard]] const std::string& path() const { return path_; }

  /// Whether `object` exists, and the groups on the way.
  /// @throws FormatError if an external link is met.
  [[nodiscard]] bool exists(const std::string& object) const;
  /// Everything below `group`, sorted by name, parents first. Links that lead nowhere are `other`.
  [[nodiscard]] std::vector<Link> links(const std::string& group = "/") const;
  /// @throws FormatError if there is no such dataset, or its bytes lie in another file or need a
  /// filter that this HDF5 does not have.
  [[nodiscard]] Dataset dataset(const std::string& object) const;
  /// A text of any length: a dataset of one string, or of bytes (uint8 or int8, as write_text
  /// makes).
  [[nodiscard]] std::string read_text(const std::string& object) const;

  [[nodiscard]] bool has_attribute(const std::string& object, const std::string& name) const;
  /// Names of the attributes of `object`, sorted.
  [[nodiscard]] std::vector<std::string> attribute_names(const std::string& object) const;
  /// A string attribute of fixed or variable length.
  /// @throws FormatError if it is missing or no string.
  [[nodiscard]] std::string read_text_attribute(const std::string& object,
                                                const std::string& name) const;
  /// @throws FormatError if it is missing or no single integer (or bool).
  [[nodiscard]] std::int64_t read_integer_attribute(const std::string& object,
                                                    const std::string& name) const;

  /// @throws FormatError if it is missing or no single number.
  [[nodiscard]] double read_number_attribute(const std::string& object,
                                             const std::string& name) const;

  void create_group(const std::string& object);
  /// Contiguous, allocated at once and never filled: zeros that take no room until written. An
  /// extent of 0 has no offset. @throws IoError
  Dataset create_dataset(const std::string& object, ElementType type,
                         const std::vector<std::uint64_t>& shape);
  /// `text` as a dataset of uint8 [size]: any bytes, any length.
  void write_text(const std::string& object, std::string_view text);
  /// A UTF-8 string of variable length (h5py: str), also above 64 KiB; no 0 bytes inside.
  void write_text_attribute(const std::string& object, const std::string& name,
                            std::string_view text);
  /// Stored as int64.
  void write_integer_attribute(const std::string& object, const std::string& name,
                               std::int64_t value);

  /// Writes everything out and closes. Datasets of a created file must be gone before.
  /// @throws IoError; InternalError if objects are still open.
  void close();

 private:
  File() = default;
  [[nodiscard]] std::string where(const std::string& object) const { return path_ + ":" + object; }
  [[nodiscard]] Handle open_object(const std::string& object) const;
  Handle open_attribute(const std::string& object, const std::string& name) const;

  Handle handle_;
  std::string path_;
  bool created_ = false;
  std::shared_ptr<const FileDescriptor> bytes_;
};

/// Root attribute `format` of an HDF5 file, "" if it has none or cannot be read; nothing if `path`
/// is not HDF5 or not there.
[[nodiscard]] std::optional<std::string> root_format_of(const std::string& path);

/// "1.10.8", of the library in use.
[[nodiscard]] std::string library_version();

}  // namespace gridmill::h5

#pragma once

#include <hdf5.h>

#include <string>

#include "gridmill/h5/handle.hpp"

namespace gridmill::h5::detail {

/// gridmill reads only bytes of the file that was named: its content hash covers nothing else, and
/// a file from a stranger must not choose which other file of the user is read. HDF5 knows three
/// ways out: external links, virtual datasets and external raw storage.

/// Access to links that stops at every external one, also behind soft links, without opening what
/// it leads to.
class LinksInside {
 public:
  explicit LinksInside(const std::string& where);
  LinksInside(const LinksInside&) = delete;
  LinksInside& operator=(const LinksInside&) = delete;
  /// For the access property list argument of HDF5's calls.
  [[nodiscard]] hid_t id() const { return access_.id(); }
  /// @throws FormatError if a call with id() met an external link, naming where it leads.
  void require_none_met() const;

 private:
  std::string where_;
  std::string met_;  ///< "FILE:/object" of the last external link met
  Handle access_;
};

/// @throws FormatError if the dataset's bytes lie in another file, or if they passed a filter that
/// this HDF5 does not have.
void require_readable_here(hid_t dataset, const std::string& where);

}  // namespace gridmill::h5::detail

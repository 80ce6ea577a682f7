#pragma once

#include <string>
#include <vector>

#include "gridmill/base/json.hpp"

namespace gridmill {

/// Fields that make two jobs equal: the options and inputs that influence a row, no others. Equal
/// identities promise byte-identical result files.
// NOLINTNEXTLINE(bugprone-exception-escape): the analyser cannot see through Json's move
struct JobIdentity {
  /// Object with at least `samples_per_prompt`; stored as attribute `job`.
  Json fields;

  /// One line, keys sorted: equal identities give equal texts.
  [[nodiscard]] std::string text() const { return fields.dump(); }
  /// @param where  names the source in the message. @throws FormatError if it is no JSON object.
  [[nodiscard]] static JobIdentity from_text(const std::string& text, const std::string& where);
  friend bool operator==(const JobIdentity&, const JobIdentity&) = default;
};

/// A field that two identities do not have in common; "not set" stands for one that is not there.
struct FieldDifference {
  std::string name;
  std::string there;
  std::string here;
};

/// Fields of `there` first, then those that only `here` has; values are cut to a readable length.
[[nodiscard]] std::vector<FieldDifference> differences_of(const JobIdentity& there,
                                                          const JobIdentity& here);

/// For a reader: which fields differ and how, e.g. "seed is 7 there and 8 here"; empty if none
/// does.
[[nodiscard]] std::string describe_difference(const JobIdentity& there, const JobIdentity& here);

}  // namespace gridmill

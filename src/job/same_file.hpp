#pragma once

#include <functional>
#include <string>

#include "gridmill/grid/mpi_handles.hpp"

namespace gridmill::job_detail {

/// The ranks that opened one copy of a file and share the work of checking it.
struct CopyShare {
  int rank = 0;
  int ranks = 1;
};

/// Collective: a file that every rank opens by itself must be the same everywhere, since a row
/// depends on it. Most ranks see at once that theirs is the very file of rank 0: on the same host
/// by device and number, on a network file system by number, size and times. Only copies (disks of
/// nodes, containers) are read: by `check`, once a copy, its ranks share out the work.
/// @param what   names the file in messages: "prompts".
/// @param check  local; what is wrong with this rank's file, "" if it holds what rank 0's holds.
/// @throws on every rank the same: FormatError naming rank, host and file.
void require_same_file(const Communicator& world, const std::string& what, const std::string& path,
                       const std::function<std::string(const CopyShare&)>& check);

/// The same by the hash of the whole content. @param hash_on_root  empty = not known yet.
void require_same_content(const Communicator& world, const std::string& what,
                          const std::string& path, std::string hash_on_root = {});

}  // namespace gridmill::job_detail

#pragma once

#include "gridmill/base/file.hpp"
#include "gridmill/grid/mpi_handles.hpp"

namespace gridmill::detail {

/// Collective over `comm`: every rank but 0 gets a descriptor of rank 0's open file by SCM_RIGHTS.
/// Processes of other users get nothing.
/// @param own  rank 0's file; ignored elsewhere.
/// @return invalid on rank 0.
/// @throws ResourceError on every rank if one cannot be reached.
[[nodiscard]] FileDescriptor pass_descriptor(const Communicator& comm, const FileDescriptor& own);

}  // namespace gridmill::detail

#pragma once

#include <mpi.h>

#include <string>
#include <utility>

#include "gridmill/base/error.hpp"

namespace gridmill {

/// @throws SystemError naming `call` and MPI's own text unless `code` is MPI_SUCCESS.
void check_mpi(int code, const char* call);

/// Initialises MPI (MPI_THREAD_FUNNELED: the thread that makes this object makes every MPI call)
/// and finalises it. If an embedding program has initialised MPI, that program finalises it.
class MpiSession {
 public:
  /// Collective. @throws UsageError as check_launcher, SystemError if MPI offers no FUNNELED.
  MpiSession();
  MpiSession(const MpiSession&) = delete;
  MpiSession& operator=(const MpiSession&) = delete;
  /// Collective.
  ~MpiSession();

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int size() const { return size_; }

 private:
  bool owned_ = false;
  int rank_ = 0;
  int size_ = 1;
};

/// Ends every process of the job with `code`; for an error that cannot be reported to other ranks.
[[noreturn]] void abort_job(ExitCode code);

/// "Open MPI v4.1.4" or "MPICH Version: 4.2.1".
[[nodiscard]] std::string mpi_library_version();

/// Owns one MPI communicator with MPI_ERRORS_RETURN. Must die before MPI_Finalize.
class Communicator {
 public:
  Communicator() = default;
  /// Collective over `parent`.
  [[nodiscard]] static Communicator duplicate(MPI_Comm parent);
  /// Collective over `parent`: ranks with equal `color` share the result, ordered by `key`.
  [[nodiscard]] static Communicator split(MPI_Comm parent, int color, int key);
  /// Collective over `parent`: ranks that can share memory, in the order of `parent`.
  [[nodiscard]] static Communicator split_by_node(MPI_Comm parent);

  Communicator(Communicator&& other) noexcept
      : comm_(std::exchange(other.comm_, MPI_COMM_NULL)), rank_(other.rank_), size_(other.size_) {}
  Communicator& operator=(Communicator&& other) noexcept {
    std::swap(comm_, other.comm_);
    std::swap(rank_, other.rank_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Communicator();

  [[nodiscard]] MPI_Comm get() const { return comm_; }
  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] int size() const { return size_; }
  /// Collective.
  void barrier() const;

 private:
  explicit Communicator(MPI_Comm comm);
  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0;
  int size_ = 1;
};

}  // namespace gridmill

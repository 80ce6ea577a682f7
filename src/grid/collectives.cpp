#include "gridmill/grid/collectives.hpp"

#include <algorithm>
#include <climits>
#include <cstring>
#include <limits>
#include <numeric>

#include "gridmill/base/check.hpp"

namespace gridmill {

namespace {

/// MPI counts are int; larger moves go in pieces.
constexpr std::size_t kPieceBytes = std::size_t{1} << 30;

[[noreturn]] void throw_error(ExitCode code, const std::string& message) {
  switch (code) {
    case ExitCode::usage:
      throw UsageError(message);
    case ExitCode::bad_input:
      throw FormatError(message);
    case ExitCode::missing_input:
      throw MissingInputError(message);
    case ExitCode::missing_resource:
      throw ResourceError(message);
    case ExitCode::internal:
      throw InternalError(message);
    case ExitCode::system:
      throw SystemError(message);
    case ExitCode::output_refused:
      throw OutputError(message);
    case ExitCode::io:
      throw IoError(message);
    default:
      throw Error(code, message);
  }
}

/// A datatype of `bytes` bytes, so that counts and displacements stay small.
class ElementType {
 public:
  explicit ElementType(std::size_t bytes) {
    GRIDMILL_ASSERT(bytes <= INT_MAX, "an element of " + std::to_string(bytes) + " bytes");
    check_mpi(MPI_Type_contiguous(static_cast<int>(bytes), MPI_BYTE, &type_),
              "MPI_Type_contiguous");
    check_mpi(MPI_Type_commit(&type_), "MPI_Type_commit");
  }
  ElementType(const ElementType&) = delete;
  ElementType& operator=(const ElementType&) = delete;
  ~ElementType() { MPI_Type_free(&type_); }
  [[nodiscard]] MPI_Datatype get() const { return type_; }

 private:
  MPI_Datatype type_ = MPI_DATATYPE_NULL;
};

/// Counts and displacements in elements, in the form of MPI.
struct Blocks {
  std::vector<int> counts;
  std::vector<int> offsets;
  explicit Blocks(std::span<const std::int64_t> wide) {
    std::int64_t offset = 0;
    for (const std::int64_t count : wide) {
      GRIDMILL_ASSERT(count >= 0 && offset + count <= INT_MAX,
                      "an exchange of " + std::to_string(offset + count) + " elements");
      counts.push_back(static_cast<int>(count));
      offsets.push_back(static_cast<int>(offset));
      offset += count;
    }
  }
};

}  // namespace

void agree(const Communicator& comm, const std::optional<Error>& local) {
  const int mine = local ? comm.rank() : comm.size();
  int first = 0;
  check_mpi(MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, comm.get()), "MPI_Allreduce");
  if (first == comm.size()) return;
  int code = local ? static_cast<int>(local->code()) : 0;
  std::string message = local ? local->what() : "";
  broadcast(comm, first, code);
  broadcast(comm, first, message);
  throw_error(static_cast<ExitCode>(code), message);
}

void broadcast_bytes(const Communicator& comm, int root, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const std::size_t piece = std::min(bytes.size(), kPieceBytes);
    check_mpi(MPI_Bcast(bytes.data(), static_cast<int>(piece), MPI_BYTE, root, comm.get()),
              "MPI_Bcast");
    bytes = bytes.subspan(piece);
  }
}

void broadcast(const Communicator& comm, int root, std::string& text) {
  std::uint64_t size = text.size();
  broadcast(comm, root, size);
  text.resize(static_cast<std::size_t>(size));
  broadcast_bytes(comm, root, std::as_writable_bytes(std::span(text)));
}

void all_gather_bytes(const Communicator& comm, std::span<const std::byte> part,
                      std::span<std::byte> whole) {
  const auto ranks = static_cast<std::size_t>(comm.size());
  GRIDMILL_ASSERT(whole.size() == part.size() * ranks, "all_gather needs room for every part");
  if (part.empty()) return;
  std::byte* own = whole.data() + part.size() * static_cast<std::size_t>(comm.rank());
  if (part.size() > kPieceBytes) {
    if (own != part.data()) std::memcpy(own, part.data(), part.size());
    for (int root = 0; root < comm.size(); ++root) {
      broadcast_bytes(comm, root,
                      whole.subspan(part.size() * static_cast<std::size_t>(root), part.size()));
    }
    return;
  }
  const auto count = static_cast<int>(part.size());
  const void* source = own == part.data() ? MPI_IN_PLACE : part.data();
  check_mpi(MPI_Allgather(source, count, MPI_BYTE, whole.data(), count, MPI_BYTE, comm.get()),
            "MPI_Allgather");
}

std::vector<std::string> all_gather_text(const Communicator& comm, const std::string& text) {
  const auto sizes = all_gather(comm, static_cast<std::int64_t>(text.size()));
  std::string joined(
      static_cast<std::size_t>(std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0})), '\0');
  all_gather_elements(comm, std::as_bytes(std::span(text)), sizes, 1,
                      std::as_writable_bytes(std::span(joined)));
  std::vector<std::string> texts;
  std::size_t offset = 0;
  for (const std::int64_t size : sizes) {
    texts.push_back(joined.substr(offset, static_cast<std::size_t>(size)));
    offset += static_cast<std::size_t>(size);
  }
  return texts;
}

void all_gather_elements(const Communicator& comm, std::span<const std::byte> part,
                         std::span<const std::int64_t> counts, std::size_t element_bytes,
                         std::span<std::byte> whole) {
  const ElementType type(element_bytes);
  const Blocks blocks(counts);
  const int mine = blocks.counts[static_cast<std::size_t>(comm.rank())];
  GRIDMILL_ASSERT(part.size() == static_cast<std::size_t>(mine) * element_bytes,
                  "a part differs from its announced size");
  check_mpi(MPI_Allgatherv(part.data(), mine, type.get(), whole.data(), blocks.counts.data(),
                           blocks.offsets.data(), type.get(), comm.get()),
            "MPI_Allgatherv");
}

void all_to_all_elements(const Communicator& comm, std::span<const std::byte> send,
                         std::span<const std::int64_t> send_counts, std::size_t element_bytes,
                         std::span<const std::int64_t> receive_counts,
                         std::span<std::byte> receive) {
  const ElementType type(element_bytes);
  const Blocks out(send_counts);
  const Blocks in(receive_counts);
  check_mpi(
      MPI_Alltoallv(send.data(), out.counts.data(), out.offsets.data(), type.get(), receive.data(),
                    in.counts.data(), in.offsets.data(), type.get(), comm.get()),
      "MPI_Alltoallv");
}

bool any_rank(const Communicator& comm, bool value) {
  const int mine = value ? 1 : 0;
  int any = 0;
  check_mpi(MPI_Allreduce(&mine, &any, 1, MPI_INT, MPI_MAX, comm.get()), "MPI_Allreduce");
  return any != 0;
}

std::uint64_t sum_over_ranks(const Communicator& comm, std::uint64_t value) {
  std::uint64_t sum = 0;
  check_mpi(MPI_Allreduce(&value, &sum, 1, MPI_UINT64_T, MPI_SUM, comm.get()), "MPI_Allreduce");
  return sum;
}

std::vector<Spread> spread_over_ranks(const Communicator& comm, std::span<const double> values) {
  const auto ranks = static_cast<std::size_t>(comm.size());
  std::vector<double> all(values.size() * ranks);
  all_gather_bytes(comm, std::as_bytes(values), std::as_writable_bytes(std::span(all)));
  std::vector<Spread> spreads;
  for (std::size_t index = 0; index < values.size(); ++index) {
    Spread spread{std::numeric_limits<double>::infinity(), 0,
                  -std::numeric_limits<double>::infinity()};
    for (std::size_t rank = 0; rank < ranks; ++rank) {
      const double value = all[rank * values.size() + index];
      spread.min = std::min(spread.min, value);
      spread.max = std::max(spread.max, value);
      spread.mean += value / static_cast<double>(ranks);
    }
    spreads.push_back(spread);
  }
  return spreads;
}

}  // namespace gridmill

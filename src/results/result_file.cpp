#include "gridmill/results/result_file.hpp"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/base/temporary_file.hpp"
#include "gridmill/h5/examination.hpp"
#include "gridmill/h5/file.hpp"
#include "metadata_check_detail.hpp"

namespace gridmill {

namespace {

constexpr const char* kFormat = "gridmill-results";
constexpr const char* kScoreFormat = "gridmill-scores";
constexpr const char* kSamplesField = "samples_per_prompt";
constexpr std::uint64_t kAlignment = 4096;

/// A dataset of the format and where its offset lies in a layout.
struct DatasetSpec {
  const char* name;
  h5::ElementType type;
  enum { one, tokens, top, vocab } per_row;  ///< extents behind N: max_length, and one more
  std::uint64_t ResultLayout::*offset;
};

std::vector<DatasetSpec> datasets_of(const ResultShape& shape) {
  using h5::ElementType;
  using h5::Kind;
  std::vector<DatasetSpec> specs = {
      {"/rows", ElementType::of(shape.version == 1 ? Kind::row_record : Kind::row_record_2),
       DatasetSpec::one, &ResultLayout::rows_offset},
      {"/tokens", ElementType::of(Kind::i32), DatasetSpec::tokens, &ResultLayout::tokens_offset},
      {"/failure", ElementType::fixed_text(kFailureBytes), DatasetSpec::one,
       &ResultLayout::failure_offset}};
  if (shape.logprobs != 0) {
    specs.push_back({"/token_logprobs", ElementType::of(Kind::fp32), DatasetSpec::tokens,
                     &ResultLayout::logprobs_offset});
  }
  if (shape.top != 0) {
    specs.push_back(
        {"/top_ids", ElementType::of(Kind::i32), DatasetSpec::top, &ResultLayout::top_ids_offset});
    specs.push_back({"/top_logprobs", ElementType::of(Kind::fp32), DatasetSpec::top,
                     &ResultLayout::top_logprobs_offset});
  }
  if (shape.valid != 0) {
    specs.push_back(
        {"/valid", ElementType::of(Kind::u8), DatasetSpec::tokens, &ResultLayout::valid_offset});
  }
  if (shape.scores != 0) {
    specs.push_back({"/sum_logprob", ElementType::of(Kind::fp64), DatasetSpec::one,
                     &ResultLayout::sums_offset});
    specs.push_back(
        {"/length", ElementType::of(Kind::i32), DatasetSpec::one, &ResultLayout::lengths_offset});
  }
  if (shape.vocab != 0) {
    specs.push_back(
        {"/logits", ElementType::of(Kind::fp32), DatasetSpec::vocab, &ResultLayout::logits_offset});
  }
  return specs;
}

std::vector<std::uint64_t> extent_of(const DatasetSpec& spec, const ResultShape& shape) {
  std::vector<std::uint64_t> extent = {shape.rows};
  if (spec.per_row != DatasetSpec::one) extent.push_back(shape.max_length);
  if (spec.per_row == DatasetSpec::top) extent.push_back(shape.top);
  if (spec.per_row == DatasetSpec::vocab) extent.push_back(shape.vocab);
  return extent;
}

std::uint64_t bytes_of(const DatasetSpec& spec, const ResultShape& shape) {
  std::uint64_t bytes = spec.type.size_bytes;
  for (const std::uint64_t items : extent_of(spec, shape)) bytes *= items;
  return bytes;
}

/// Bytes that a row of `row_tokens` tokens writes of a dataset.
double written_bytes_of(const DatasetSpec& spec, const ResultShape& shape, double row_tokens) {
  const auto slot = static_cast<double>(bytes_of(spec, shape)) / static_cast<double>(shape.rows);
  constexpr auto kPage = static_cast<double>(kAlignment);
  // Short slots are written whole, one behind the other; of long ones the hole behind a row stays.
  if (slot <= kPage || spec.per_row == DatasetSpec::one) return slot;
  const double used = slot * std::min(row_tokens / static_cast<double>(shape.max_length), 1.0);
  const bool aligned = std::fmod(slot, kPage) == 0;
  // A row that begins anywhere in a page touches one page more than it fills, on average.
  const double pages = aligned ? std::ceil(used / kPage) : used / kPage + 1;
  return std::min(slot, pages * kPage);
}

std::string shown(const std::vector<std::uint64_t>& extent) {
  return fmt::format("[{}]", fmt::join(extent, ", "));
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

void check_arguments(const JobIdentity& identity, const ResultShape& shape) {
  const auto samples = identity.fields.find(kSamplesField);
  if (samples == identity.fields.end() || !samples->is_number_integer() ||
      samples->get<std::int64_t>() != std::int64_t{shape.samples_per_prompt} ||
      shape.samples_per_prompt == 0 || shape.max_length == 0) {
    throw InternalError("a job's identity and the shape of its result file disagree");
  }
  // Offsets stay far below 2^63, where off_t ends.
  const double bytes =
      static_cast<double>(shape.rows) *
      (300.0 + (9.0 + 8.0 * shape.top + 4.0 * shape.vocab) * static_cast<double>(shape.max_length));
  if (bytes > 4e18) {
    throw OutputError(fmt::format("{} rows of {} tokens make a file of {:.0e} bytes; split the job",
                                  shape.rows, shape.max_length, bytes));
  }
}

/// Refuses now what would fail at the first commit. Tokens are not counted: a row takes what it
/// holds, and a disk that fills up later costs nothing that is finished.
void require_room(const std::string& path, std::uint64_t bytes) {
  struct statvfs status {};
  if (::statvfs(folder_of(path).c_str(), &status) != 0) {
    throw OutputError(fmt::format("cannot create {}: {}", path, system_reason()));
  }
  const std::uint64_t free = std::uint64_t{status.f_bavail} * status.f_frsize;
  if (free < bytes) {
    throw OutputError(fmt::format("cannot create {}: {} bytes are needed at least, {} are free",
                                  path, bytes, free));
  }
}

/// The top log-probabilities or logits of a job are its largest part by far: what no disk could
/// hold is refused before the work.
void require_room_for_widest(const std::string& path, const ResultShape& shape) {
  if (shape.top == 0 && shape.vocab == 0) return;
  struct statvfs status {};
  if (::statvfs(folder_of(path).c_str(), &status) != 0) return;  // require_room() has reported it
  const std::uint64_t disk = std::uint64_t{status.f_blocks} * status.f_frsize;
  std::uint64_t bytes = 0;
  for (const DatasetSpec& spec : datasets_of(shape)) bytes += bytes_of(spec, shape);
  if (bytes <= disk) return;
  throw OutputError(fmt::format(
      "cannot create {}: with {} its {} rows of {} tokens take up to {:.1f} GB, the disk "
      "has {:.1f} GB; lower --top-logprobs or --max-length, or split the job",
      path,
      shape.vocab != 0 ? std::string("all logits")
                       : fmt::format("{} top log-probabilities a token", shape.top),
      shape.rows, shape.max_length, static_cast<double>(bytes) / 1e9,
      static_cast<double>(disk) / 1e9));
}

void write_empty_file(const std::string& path, const JobIdentity& identity,
                      const ResultShape& shape, const std::string& version) {
  h5::File file = h5::File::create(path);
  file.write_text_attribute("/", "format", shape.scores != 0 ? kScoreFormat : kFormat);
  file.write_integer_attribute("/", "format_version", shape.version);
  file.write_text_attribute("/", "gridmill_version", version);
  file.write_text_attribute("/", "job", identity.text());
  for (const DatasetSpec& spec : datasets_of(shape)) {
    static_cast<void>(file.create_dataset(spec.name, spec.type, extent_of(spec, shape)));
  }
  file.close();
}

/// Blocks for the records, so that a commit never fails half way for want of room for them.
void reserve_records(const FileDescriptor& file, const std::string& path,
                     const ResultLayout& layout) {
  const auto size = static_cast<off_t>(layout.shape.rows * sizeof(RowRecord));
  const int refused =
      size == 0 ? 0 : ::posix_fallocate(file.get(), static_cast<off_t>(layout.rows_offset), size);
  // EINVAL and EOPNOTSUPP: a file system that cannot reserve; then the check of free room has to
  // do.
  if (refused != 0 && refused != EINVAL && refused != EOPNOTSUPP) {
    errno = refused;
    throw OutputError(
        fmt::format("cannot create {}: no room for its records: {}", path, system_reason()));
  }
}

h5::Dataset open_dataset(const h5::File& file, const DatasetSpec& spec, const ResultShape& shape) {
  h5::Dataset dataset = file.dataset(spec.name);
  const std::vector<std::uint64_t> expected = extent_of(spec, shape);
  if (dataset.type() != spec.type || dataset.shape() != expected) {
    throw FormatError(fmt::format("{} is {} {}, expected {} {}", dataset.where(),
                                  h5::name_of(dataset.type()), shown(dataset.shape()),
                                  h5::name_of(spec.type), shown(expected)));
  }
  return dataset;
}

/// Sizes as `rows` and `tokens` have them.
ResultShape shape_of(const h5::File& file, const JobIdentity& job, std::uint8_t version,
                     bool scores) {
  ResultShape shape;
  shape.version = version;
  shape.scores = scores ? 1 : 0;
  const auto samples = job.fields.find(kSamplesField);
  if (samples == job.fields.end() || !samples->is_number_integer() ||
      samples->get<std::int64_t>() <= 0 ||
      samples->get<std::int64_t>() > std::numeric_limits<std::uint32_t>::max()) {
    throw FormatError(
        fmt::format("{}:/, attribute 'job' lacks a usable {}", file.path(), kSamplesField));
  }
  shape.samples_per_prompt = samples->get<std::uint32_t>();
  const h5::Dataset tokens = file.dataset("/tokens");
  if (tokens.shape().size() != 2 || tokens.shape()[1] == 0 ||
      tokens.shape()[1] > std::numeric_limits<std::int32_t>::max()) {
    throw FormatError(fmt::format("{} is {}, expected [rows, max_length]", tokens.where(),
                                  shown(tokens.shape())));
  }
  shape.rows = tokens.shape()[0];
  shape.max_length = static_cast<std::uint32_t>(tokens.shape()[1]);
  shape.logprobs = file.exists("/token_logprobs") ? 1 : 0;
  shape.valid = file.exists("/valid") ? 1 : 0;
  if (shape.scores != 0 && file.exists("/logits")) {
    const h5::Dataset logits = file.dataset("/logits");
    if (logits.shape().size() != 3 || logits.shape()[2] == 0 ||
        logits.shape()[2] > std::numeric_limits<std::int32_t>::max()) {
      throw FormatError(fmt::format("{} is {}, expected [rows, max_length, vocabulary]",
                                    logits.where(), shown(logits.shape())));
    }
    shape.vocab = static_cast<std::uint32_t>(logits.shape()[2]);
  }
  if (file.exists("/top_ids")) {
    const h5::Dataset top = file.dataset("/top_ids");
    if (top.shape().size() != 3 || top.shape()[2] == 0 || top.shape()[2] > kMostTopLogprobs) {
      throw FormatError(fmt::format("{} is {}, expected [rows, max_length, 1 to {}]", top.where(),
                                    shown(top.shape()), kMostTopLogprobs));
    }
    shape.top = static_cast<std::uint32_t>(top.shape()[2]);
  }
  return shape;
}

/// Offsets that can be read without HDF5: apart from each other, inside the file.
ResultLayout layout_of(const h5::File& file, const ResultShape& shape, std::uint64_t size) {
  ResultLayout layout;
  layout.shape = shape;
  for (const DatasetSpec& spec : datasets_of(shape)) {
    const h5::Dataset dataset = open_dataset(file, spec, shape);
    if (shape.rows == 0) continue;
    const std::uint64_t offset = dataset.offset().value_or(0);
    if (offset == 0) {
      throw FormatError(
          fmt::format("{} is not stored in one piece: another program has rewritten the file in "
                      "chunks, or compressed; write it again with h5repack -l CONTI -f NONE",
                      dataset.where()));
    }
    const std::uint64_t bytes = bytes_of(spec, shape);
    if (offset > size || bytes > size - offset) {
      throw FormatError(fmt::format(
          "{} ends behind the end of the file ({} bytes): it is cut short", dataset.where(), size));
    }
    layout.*spec.offset = offset;
  }
  const std::vector<detail::Extent> extents = detail::data_extents(layout);
  for (std::size_t i = 1; i < extents.size(); ++i) {
    if (extents[i].begin < extents[i - 1].end) {
      throw FormatError(fmt::format("{}: datasets overlap; the file is damaged", file.path()));
    }
  }
  return layout;
}

/// Records are written in place: one that crosses a page could be torn, and pages of metadata must
/// not be touched.
void require_aligned(const std::string& path, const ResultLayout& layout) {
  if (layout.shape.rows == 0) return;
  for (const DatasetSpec& spec : datasets_of(layout.shape)) {
    if (layout.*spec.offset % kAlignment == 0) continue;
    throw FormatError(fmt::format(
        "{}:{} does not begin at a multiple of {}: another program has rewritten the file. It can "
        "be read, but not continued; copy the original byte for byte instead",
        path, spec.name, kAlignment));
  }
}

/// A file that cannot be made is an output that cannot be created.
template <typename Work>
auto creating(const std::string& path, Work&& work) {
  try {
    return work();
  } catch (const Error& error) {
    if (error.code() != ExitCode::io) throw;
    throw OutputError(fmt::format("cannot create {}: {}", path, error.what()));
  }
}

}  // namespace

ResultSize result_size(const ResultShape& shape, double row_tokens) {
  // Superblock, groups, headers of datasets and the job's identity, each from a page on.
  constexpr std::uint64_t kMetadata = 9 * kAlignment;
  ResultSize size{.apparent_bytes = kMetadata, .disk_bytes = kMetadata};
  if (shape.rows == 0) return size;
  for (const DatasetSpec& spec : datasets_of(shape)) {
    const std::uint64_t bytes = bytes_of(spec, shape);
    size.apparent_bytes += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (spec.offset == &ResultLayout::failure_offset) continue;  // a hole until a row fails
    size.disk_bytes += static_cast<std::uint64_t>(static_cast<double>(shape.rows) *
                                                  written_bytes_of(spec, shape, row_tokens));
  }
  return size;
}

void ResultFile::create(const std::string& path, const JobIdentity& identity,
                        const ResultShape& shape, const std::string& version) {
  TemporaryFile temporary = prepare(path, identity, shape, version);
  creating(path, [&] { temporary.publish(); });
}

TemporaryFile ResultFile::prepare(const std::string& path, const JobIdentity& identity,
                                  const ResultShape& shape, const std::string& version) {
  check_arguments(identity, shape);
  constexpr std::uint64_t kMetadataBytes = 64 << 10;
  const std::string target = follow_links(path);
  require_room(target, kMetadataBytes + shape.rows * sizeof(RowRecord));
  require_room_for_widest(target, shape);
  return creating(path, [&] {
    TemporaryFile temporary(target);
    write_empty_file(temporary.path(), identity, shape, version);
    // Opening checks all that writing relies on, above all that offsets are there and aligned.
    const ResultLayout layout = open_unguarded(temporary.path()).layout();
    require_aligned(temporary.path(), layout);
    detail::write_metadata_check(temporary.path(), layout);
    reserve_records(temporary.descriptor(), path, layout);
    return temporary;
  });
}

bool ResultFile::restore(const std::string& path, const JobIdentity& identity,
                         const ResultShape& shape, const std::string& version) {
  if (detail::has_intact_metadata(path)) return false;
  std::vector<std::string> versions = {version};
  try {
    versions.push_back(open(path).creator_version());
  } catch (const FormatError&) {  // its own word is not to be had
  }
  const TemporaryFile fresh(follow_links(path));
  bool restored = false;
  for (std::size_t i = 0; i < versions.size() && !restored; ++i) {
    write_empty_file(fresh.path(), identity, shape, versions[i]);
    const ResultLayout layout = open_unguarded(fresh.path()).layout();
    detail::write_metadata_check(fresh.path(), layout);
    restored = detail::restore_metadata(path, fresh.path(), layout);
  }
  if (restored) log::warn("the metadata of {} were damaged; they have been restored", path);
  return restored;
}

ResultFile ResultFile::open(const std::string& path, Origin origin) {
  const bool intact = detail::has_intact_metadata(path);
  if (!intact || origin == Origin::anywhere) h5::examine(path);
  ResultFile result = open_unguarded(path);
  if (!intact) {
    log::warn(
        "the metadata of {} are not as gridmill wrote them: damaged, or changed by another program",
        path);
  }
  return result;
}

ResultFile ResultFile::open_unguarded(const std::string& path) {
  const h5::File file = h5::File::open(path);
  const std::string format =
      file.has_attribute("/", "format") ? file.read_text_attribute("/", "format") : "";
  const bool scores = format == kScoreFormat;
  if (format != kFormat && !scores) {
    throw FormatError(
        fmt::format("{} is no result file of gridmill: root attribute 'format' is neither '{}' nor "
                    "'{}'",
                    path, kFormat, kScoreFormat));
  }
  const std::int64_t format_version = file.read_integer_attribute("/", "format_version");
  if (scores && format_version == 1) {
    throw FormatError(fmt::format(
        "{} is a score file of format version 1, which holds scores alone: read it with h5py; to "
        "continue or verify it, score again into another file",
        path));
  }
  if (format_version < 1 || format_version > kFormatVersion) {
    throw FormatError(fmt::format("{} has format_version {}, this gridmill knows 1 to {}", path,
                                  format_version, kFormatVersion));
  }
  ResultFile result;
  result.creator_version_ = file.read_text_attribute("/", "gridmill_version");
  result.job_ =
      JobIdentity::from_text(file.read_text_attribute("/", "job"), path + ":/, attribute 'job'");
  result.file_ = open_row_file(path, false);
  const std::uint64_t size = file_size(open_for_reading(path), path);
  result.layout_ = layout_of(
      file, shape_of(file, result.job_, static_cast<std::uint8_t>(format_version), scores), size);
  return result;
}

void ResultFile::require_same_job(const JobIdentity& identity, const ResultShape& shape) const {
  std::string advice = "choose another --output, or give the options that the file was made with";
  if (job_.fields.value("numerics", Json()) != identity.fields.value("numerics", Json())) {
    advice +=
        "; numerics names the arithmetic: rows have equal bits only from backends and a compute "
        "dtype of one numerics id, see --backend and --compute-dtype";
  }
  const std::string difference = describe_difference(job_, identity);
  if (!difference.empty()) {
    throw OutputError(fmt::format("{} belongs to another job: {}; {}", path(), difference, advice));
  }
  if (shape != layout_.shape) {
    throw OutputError(fmt::format(
        "{} belongs to another job: it has {} rows of {} tokens, logprobs {}, top {}, valid {}, "
        "format version {}; expected {} rows of {} tokens, logprobs {}, top {}, valid {}, format "
        "version {}; {}",
        path(), layout_.shape.rows, layout_.shape.max_length, layout_.shape.logprobs,
        layout_.shape.top, layout_.shape.valid, layout_.shape.version, shape.rows, shape.max_length,
        shape.logprobs, shape.top, shape.valid, shape.version, advice));
  }
  require_aligned(path(), layout_);
}

}  // namespace gridmill

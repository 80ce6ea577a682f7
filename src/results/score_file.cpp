#include "gridmill/results/score_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/h5/file.hpp"

namespace gridmill {

namespace {

std::uint64_t add_dataset(h5::File& file, const std::string& name, h5::Kind kind,
                          const std::vector<std::uint64_t>& shape) {
  const h5::Dataset dataset = file.create_dataset(name, h5::ElementType::of(kind), shape);
  for (const std::uint64_t extent : shape) {
    if (extent == 0) return 0;  // nothing will be written
  }
  if (!dataset.offset()) throw InternalError(dataset.where() + " has no offset");
  return *dataset.offset();
}

ScoreLayout lay_out(const std::string& path, ScoreLayout layout) {
  h5::File file = h5::File::create(path);
  file.write_text_attribute("/", "format", "gridmill-scores");
  file.write_integer_attribute("/", "format_version", 1);
  layout.logprobs_offset =
      add_dataset(file, "/token_logprobs", h5::Kind::fp32, {layout.rows, layout.columns});
  layout.sums_offset = add_dataset(file, "/sum_logprob", h5::Kind::fp64, {layout.rows});
  layout.lengths_offset = add_dataset(file, "/length", h5::Kind::i32, {layout.rows});
  if (layout.vocab > 0) {
    layout.logits_offset =
        add_dataset(file, "/logits", h5::Kind::fp32, {layout.rows, layout.columns, layout.vocab});
  }
  file.close();
  return layout;
}

}  // namespace

ScoreLayout create_score_file(const std::string& path, const ScoreLayout& layout) {
  try {
    return lay_out(path, layout);
  } catch (const IoError& error) {
    throw OutputError(fmt::format("cannot create {}: {}", path, error.what()));
  }
}

ScoreWriter::ScoreWriter(const std::string& path, const ScoreLayout& layout)
    : path_(path), layout_(layout), file_(::open(path_.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC)) {
  if (!file_.valid()) {
    throw OutputError(fmt::format("cannot write {}: {}", path_, system_reason()));
  }
}

void ScoreWriter::put(RowId row, std::span<const float> logprobs, double sum,
                      std::span<const float> logits) {
  const auto length = static_cast<std::int32_t>(logprobs.size());
  write_exactly(file_, layout_.logprobs_offset + row * layout_.columns * sizeof(float),
                std::as_bytes(logprobs), path_);
  write_exactly(file_, layout_.sums_offset + row * sizeof(double),
                std::as_bytes(std::span(&sum, 1)), path_);
  write_exactly(file_, layout_.lengths_offset + row * sizeof(length),
                std::as_bytes(std::span(&length, 1)), path_);
  if (layout_.vocab > 0) {
    write_exactly(file_,
                  layout_.logits_offset + row * layout_.columns * layout_.vocab * sizeof(float),
                  std::as_bytes(logits), path_);
  }
}

void ScoreWriter::sync() {
  if (::fdatasync(file_.get()) != 0) {
    throw IoError(fmt::format("syncing {} failed: {}", path_, system_reason()));
  }
}

}  // namespace gridmill

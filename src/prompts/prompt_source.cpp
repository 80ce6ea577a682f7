#include "gridmill/prompts/prompt_source.hpp"

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "sources_detail.hpp"

namespace gridmill {

std::unique_ptr<PromptSource> PromptSource::open(const std::string& path, PromptIndex index,
                                                 const std::string& prompt_field) {
  const std::uint64_t size = file_size(open_for_reading(path), path);
  if (size != index.size_bytes) {
    throw FormatError(
        fmt::format("{} has {} bytes, but had {} when the job looked at it first; "
                    "prompts must not change while a job runs",
                    path, size, index.size_bytes));
  }
  switch (index.format) {
    case PromptFormat::text_lines:
      return std::make_unique<detail::TextLines>(path, std::move(index));
    case PromptFormat::jsonl:
      return std::make_unique<detail::JsonLines>(path, std::move(index), prompt_field);
    case PromptFormat::h5:
      return std::make_unique<detail::H5Prompts>(path, std::move(index));
    case PromptFormat::results:
      break;  // needs a tokenizer: open_prompt_source() in records
  }
  throw InternalError("unknown prompt format");
}

Prompt PromptSource::read(PromptId prompt) const {
  if (prompt >= count()) {
    throw InternalError(fmt::format("prompt {} was asked for, {} has {}", prompt, path(), count()));
  }
  return read_checked(prompt);
}

std::optional<std::string> PromptSource::record(PromptId /*prompt*/) const { return std::nullopt; }

PrefixMatrix PromptSource::prefix_rows(std::uint64_t /*first*/, std::uint64_t /*count*/) const {
  throw UsageError(fmt::format(
      "{}: whole batches (--lockstep) take their prompts from an .h5 file with prefix_tokens",
      path()));
}

}  // namespace gridmill

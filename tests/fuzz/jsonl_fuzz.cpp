// LIBS: prompts sampling
// Any bytes as a .jsonl, then as a .txt file: every line is a text or a bad prompt with a reason,
// never a crash or an exception. So it is with a chat template and a template of records, and with
// the options of sampling in a record.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>  // setenv too: POSIX
#include <filesystem>
#include <fstream>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include "fuzz/lines_mutator.hpp"
#include "fuzz/mutator.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/prompts/prompt_options.hpp"
#include "gridmill/prompts/prompt_source.hpp"
#include "gridmill/prompts/record_renderer.hpp"
#include "gridmill/sampling/record_options.hpp"
#include "gridmill/sampling/sampling_options.hpp"
#include "support/temporary_folder.hpp"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

const char* const kChat =
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}";

/// Records as messages, and as variables of a template.
void render_all(const gridmill::PromptSource& prompts) {
  gridmill::PromptOptions chat;
  chat.chat_template = kChat;
  gridmill::PromptOptions of_record;
  of_record.record_template = "{{ prompt }}|{{ messages[0].content }}";
  const gridmill::RecordRenderer renderers[] = {// NOLINT(modernize-avoid-c-arrays)
                                                {chat, "prompt"},
                                                {of_record, "prompt"}};
  for (gridmill::PromptId i = 0; i < prompts.count(); ++i) {
    const std::optional<std::string> record = prompts.record(i);
    if (!record) continue;
    for (const gridmill::RecordRenderer& renderer : renderers) {
      const gridmill::RenderedPrompt rendered = renderer.render(*record, i + 1);
      const auto* bad = std::get_if<gridmill::BadPrompt>(&rendered.prompt);
      require(bad == nullptr || !bad->reason.empty());
    }
    const gridmill::Json options = gridmill::find_record_options(*record, "sampling");
    if (!options.is_object()) continue;
    gridmill::SamplingOptions sampling;
    gridmill::RowLimits limits;
    try {
      static_cast<void>(
          gridmill::override_from_record(options, sampling, limits, gridmill::Json::object()));
      gridmill::check_against_vocabulary(sampling, limits, 100, true);
    } catch (const gridmill::UsageError&) {  // NOLINT(bugprone-empty-catch): a failed row
    }
  }
}

void read_all(const std::string& path, std::span<const std::uint8_t> bytes) {
  {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  const gridmill::PromptIndex built = gridmill::PromptIndex::build(path);
  auto travelled = gridmill::PromptIndex::from_head(built.head());
  for (std::size_t i = 0; i < built.line_starts.blocks(); ++i) {
    const auto block = built.line_starts.block(i);
    std::copy(block.begin(), block.end(), travelled.line_starts.block(i).begin());
  }
  require(travelled == built);
  const auto prompts = gridmill::PromptSource::open(path, travelled);
  std::uint64_t characters = 0;
  for (gridmill::PromptId i = 0; i < prompts->count(); ++i) {
    const gridmill::Prompt prompt = prompts->read(i);
    if (const auto* text = std::get_if<std::string>(&prompt)) {
      characters += text->size();
      require(built.format != gridmill::PromptFormat::jsonl || prompts->record(i).has_value());
    } else {
      require(!std::get<gridmill::BadPrompt>(prompt).reason.empty());
    }
  }
  if (built.format == gridmill::PromptFormat::jsonl) render_all(*prompts);
  // Escapes shrink and line ends go: a text is never longer than its line.
  require(characters <= bytes.size());
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  using namespace gridmill::fuzz;  // NOLINT(google-build-using-namespace): its drivers' business
  const Dice dice = dice_of(seed);
  std::string input = text_of(data, size);
  for (std::size_t changes = 1 + dice(4); changes > 0; --changes) {
    input = mutated_lines(input, dice);
  }
  return hand_over(input, data, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // In memory if possible: a disk would be the slowest part by far.
  static const int once =
      std::filesystem::exists("/dev/shm") ? ::setenv("TMPDIR", "/dev/shm", 0) : 0;
  static_cast<void>(once);
  static const gridmill::test::TemporaryFolder folder;
  read_all(folder.file("p.jsonl"), {data, size});
  read_all(folder.file("p.txt"), {data, size});
  return 0;
}

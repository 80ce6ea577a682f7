// LIBS: prompts
// Any bytes as a .jsonl, then as a .txt file: every line is a text or a bad prompt with a reason,
// never a crash or an exception.

#include <cstdint>
#include <cstdlib>  // setenv too: POSIX
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <variant>

#include "gridmill/base/error.hpp"
#include "gridmill/prompts/prompt_source.hpp"
#include "support/temporary_folder.hpp"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void read_all(const std::string& path, std::span<const std::uint8_t> bytes) {
  {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  const gridmill::PromptIndex built = gridmill::PromptIndex::build(path);
  const auto travelled = gridmill::PromptIndex::from_bytes(built.to_bytes());
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
  // Escapes shrink and line ends go: a text is never longer than its line.
  require(characters <= bytes.size());
}

}  // namespace

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

// LIBS: prompts
// Any bytes as a .txt.gz and a .txt.zst file: refused with a FormatError, or lines that can be read
// in any order.

#include <cstddef>
#include <cstdint>
#include <cstdlib>  // setenv too: POSIX
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <utility>
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
  try {
    gridmill::PromptIndex index = gridmill::PromptIndex::build(path);
    const auto prompts = gridmill::PromptSource::open(path, std::move(index));
    constexpr std::uint64_t kMost = 100;
    const std::uint64_t count = prompts->count() < kMost ? prompts->count() : kMost;
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto prompt = static_cast<gridmill::PromptId>(count - 1 - i);
      require(std::holds_alternative<std::string>(prompts->read(prompt)));
    }
  } catch (const gridmill::FormatError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // In memory if possible: a disk would be the slowest part by far.
  static const int once =
      std::filesystem::exists("/dev/shm") ? ::setenv("TMPDIR", "/dev/shm", 0) : 0;
  static_cast<void>(once);
  static const gridmill::test::TemporaryFolder folder;
  read_all(folder.file("p.txt.gz"), {data, size});
  read_all(folder.file("p.txt.zst"), {data, size});
  return 0;
}

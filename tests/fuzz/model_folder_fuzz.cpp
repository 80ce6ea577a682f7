// LIBS: convert checkpoint
// A folder of files as a model of Hugging Face: it is converted to a checkpoint that can be opened,
// or refused with an exit code that is not ours; then nothing is left of the checkpoint. Files
// outside of the folder are neither read nor changed.
//
// Input: as folder_archive.hpp has it.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "fuzz/folder_archive.hpp"
#include "fuzz/mutator.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/convert/convert.hpp"
#include "support/temporary_folder.hpp"

namespace {

namespace fs = std::filesystem;
using namespace gridmill;  // NOLINT(google-build-using-namespace): a program of its own

void require(bool condition, const std::string& what) {
  if (condition) return;
  std::fprintf(stderr, "%s\n", what.c_str());
  std::abort();
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  const fuzz::Dice dice = fuzz::dice_of(seed);
  std::vector<fuzz::FolderFile> files = fuzz::unpack(fuzz::text_of(data, size));
  for (std::size_t changes = 1 + dice(3); changes > 0; --changes) fuzz::mutate_folder(files, dice);
  return fuzz::hand_over(fuzz::pack(files), data, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  log::configure(log::Level::error, 0);
  // In memory if possible: a disk would be the slowest part by far.
  static const int once = fs::exists("/dev/shm") ? ::setenv("TMPDIR", "/dev/shm", 0) : 0;
  static_cast<void>(once);
  static const test::TemporaryFolder place;
  static const std::string secret = "a file that nobody named\n";
  for (const char* name : {"model", "made", "outside"}) fs::remove_all(place.file(name));
  for (const char* name : {"model", "made"}) fs::create_directory(place.file(name));
  place.write("outside/secret", secret);
  for (const fuzz::FolderFile& file : fuzz::unpack(fuzz::text_of(data, size))) {
    const std::string path = place.file("model/" + file.name);
    if (fs::exists(fs::symlink_status(path))) continue;
    if (!file.link) {
      place.write("model/" + file.name, file.bytes);
    } else if (!file.bytes.empty() && file.bytes.find('\0') == std::string::npos &&
               file.bytes.size() < 200) {
      fs::create_symlink(file.bytes, path);
    }
  }
  const std::string made = place.file("made/model.h5");
  try {
    static_cast<void>(convert({.source = place.file("model"), .destination = made}));
    CheckpointFile::examine(made);
    require(CheckpointFile::open(made).damaged_parameters().empty(), "a damaged checkpoint");
  } catch (const Error& error) {
    require(error.code() != ExitCode::internal, error.what());
    require(fs::is_empty(place.file("made")), std::string("left behind after ") + error.what());
  }
  require(read_text_file(place.file("outside/secret")) == secret, "a file outside was changed");
  return 0;
}

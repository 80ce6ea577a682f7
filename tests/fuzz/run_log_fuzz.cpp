// LIBS: results
// Any bytes as the run log beside a result file: the last readable record is found, a run is added
// behind it and finished, and every line that was whole stays.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "fuzz/lines_mutator.hpp"
#include "fuzz/mutator.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/results/run_log.hpp"
#include "support/temporary_folder.hpp"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
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
  using gridmill::Json;
  using gridmill::OrderedJson;
  // In memory if possible: a disk would be the slowest part by far.
  static const int once =
      std::filesystem::exists("/dev/shm") ? ::setenv("TMPDIR", "/dev/shm", 0) : 0;
  static_cast<void>(once);
  static const gridmill::test::TemporaryFolder folder;
  const std::string before = gridmill::fuzz::text_of(data, size);
  const std::string path = folder.write("out.h5.runs.jsonl", before);
  const std::optional<Json> last = gridmill::last_run(folder.file("out.h5"));
  require(!last || last->is_object());

  gridmill::RunLog log(folder.file("out.h5"));
  log.begin(OrderedJson{{"run", "begun"}});
  log.finish(OrderedJson{{"run", "\xFF finished"}});
  const std::optional<Json> own = gridmill::last_run(folder.file("out.h5"));
  require(own && own->at("run") == "\uFFFD finished");
  require(gridmill::read_text_file(path).starts_with(before));
  return 0;
}

#include <cstddef>
#include <utility>
#include <vector>

#include "gridmill/grid/collectives.hpp"
#include "job/prompt_file_detail.hpp"

namespace gridmill::job_detail {

std::unique_ptr<PromptSource> open_prompts(const Communicator& world, const std::string& path,
                                           const std::string& field) {
  std::vector<std::byte> bytes;
  agree_on(world, [&] {
    if (world.rank() == 0) bytes = PromptIndex::build(path).to_bytes();
  });
  broadcast(world, 0, bytes);
  return agree_on(world,
                  [&] { return PromptSource::open(path, PromptIndex::from_bytes(bytes), field); });
}

}  // namespace gridmill::job_detail

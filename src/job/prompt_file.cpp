#include <cstddef>
#include <utility>
#include <vector>

#include "gridmill/base/log.hpp"
#include "gridmill/grid/collectives.hpp"
#include "job/prompt_file_detail.hpp"
#include "job/same_file.hpp"

namespace gridmill::job_detail {

std::unique_ptr<PromptSource> open_prompts(const Communicator& world, const std::string& path,
                                           const std::string& field) {
  std::vector<std::byte> bytes;
  agree_on(world, [&] {
    if (world.rank() == 0) bytes = PromptIndex::build(path).to_bytes();
  });
  broadcast(world, 0, bytes);
  const PromptIndex index = PromptIndex::from_bytes(bytes);
  require_same_content(world, "prompts", path, index.content_hash);
  return agree_on(world, [&] { return PromptSource::open(path, index, field); });
}

void check_first_prompts(const PromptSource& prompts, const RequestMaker& requests) {
  const auto why_not = [&requests](PromptId prompt) { return requests.why_unusable(prompt); };
  for (const std::string& reason : require_usable_prompts(prompts, why_not)) {
    log::warn("{}: {}; its row fails, the job goes on", prompts.path(), reason);
  }
}

}  // namespace gridmill::job_detail

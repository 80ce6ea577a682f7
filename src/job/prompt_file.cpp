#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "gridmill/base/log.hpp"
#include "gridmill/grid/collectives.hpp"
#include "gridmill/records/result_prompts.hpp"
#include "job/prompt_file_detail.hpp"
#include "job/same_file.hpp"

namespace gridmill::job_detail {

namespace {

/// Collective: block by block, so that rank 0 never holds a second copy.
void broadcast_index(const Communicator& world, PromptIndex& index) {
  std::vector<std::byte> head = index.head();
  broadcast(world, 0, head);
  if (world.rank() != 0) index = PromptIndex::from_head(head);
  for (std::size_t i = 0; i < index.line_starts.blocks(); ++i) {
    broadcast_bytes(world, 0, std::as_writable_bytes(index.line_starts.block(i)));
  }
}

}  // namespace

std::unique_ptr<PromptSource> open_prompts(const Communicator& world, const std::string& path,
                                           const PromptFields& fields) {
  PromptIndex index;
  agree_on(world, [&] {
    if (world.rank() == 0) index = PromptIndex::build(path, fields.messages);
  });
  broadcast_index(world, index);
  require_same_content(world, "prompts", path, index.content_hash);
  return agree_on(world, [&] {
    return open_prompt_source(path, std::move(index), fields.prompt, fields.model);
  });
}

void check_first_prompts(const PromptSource& prompts, const RequestMaker& requests) {
  const auto why_not = [&requests](PromptId prompt) { return requests.why_unusable(prompt); };
  for (const std::string& reason : require_usable_prompts(prompts, why_not)) {
    log::warn("{}: {}; its row fails, the job goes on", prompts.path(), reason);
  }
}

}  // namespace gridmill::job_detail

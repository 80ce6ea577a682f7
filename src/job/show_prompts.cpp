#include <algorithm>
#include <cstdio>
#include <string>
#include <variant>

#include "gridmill/base/json.hpp"
#include "job/prompting.hpp"

namespace gridmill::job_detail {

void show_prompts(const RequestMaker& requests, const JobConfig& config, const RowRange& range,
                  const Tokenizer* tokenizer) {
  const std::uint64_t samples = config.samples_per_prompt;
  const std::uint64_t first = range.first / samples;
  const std::uint64_t count =
      std::min(range.count / samples, static_cast<std::uint64_t>(config.show));
  for (std::uint64_t prompt = first; prompt < first + count; ++prompt) {
    const auto made = requests.make(prompt * samples);
    OrderedJson line = {{"prompt", prompt}};
    if (const auto* bad = std::get_if<BadPrompt>(&made)) {
      line["error"] = bad->reason;
    } else {
      const std::vector<TokenId>& ids = std::get<Request>(made).prompt;
      if (tokenizer != nullptr) line["text"] = tokenizer->decode(ids, false);
      line["ids"] = ids;
    }
    std::fputs((line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n").c_str(), stdout);
  }
}

}  // namespace gridmill::job_detail

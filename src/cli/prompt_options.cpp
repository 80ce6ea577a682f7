#include "cli/prompt_options.hpp"

#include <type_traits>
#include <variant>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::cli {

po::options_description prompt_options(PromptOptions& options, std::string& prompt_field) {
  po::options_description table("How a record becomes a prompt");
  auto add = table.add_options();
  add("prompt-field", po::value(&prompt_field)->default_value(prompt_field)->value_name("NAME"),
      "field of a .jsonl object that holds the text, or a list of token ids; dots lead inwards");
  for (const PromptOptionField& field : prompt_option_fields()) {
    if (field.help == nullptr) continue;
    std::visit(
        [&](auto member) {
          auto& place = options.*member;
          using T = std::decay_t<decltype(place)>;
          if constexpr (std::is_same_v<T, bool>) {
            add(field.name, switch_value(&place), field.help);
          } else {
            add(field.name, po::value(&place)->value_name(field.value), field.help);
          }
        },
        field.member);
  }
  return table;
}

void refuse_cut_options(const PromptOptions& options, const std::string& command) {
  if (options.max_prompt_tokens == 0 && options.truncate_prompt == "refuse") return;
  throw UsageError(
      fmt::format("{} does not cut prompts: --max-prompt-tokens and --truncate-prompt are options "
                  "of generate and score; generate --show prints what they leave",
                  command));
}

}  // namespace gridmill::cli

// LIBS: template
//
// Any text as a template and any text as the JSON of its variables: the answer is a text or an
// Error with an exit code that is not ours, never a crash, and a bounded one.
//
// Input: the template, "\n%%\n", a JSON object whose members are the variables.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "fuzz/json_mutator.hpp"
#include "fuzz/mutator.hpp"
#include "fuzz/template_mutator.hpp"
#include "gridmill/template/chat.hpp"

namespace {

using gridmill::jinja::Members;
using gridmill::jinja::Value;

constexpr gridmill::jinja::RenderLimits kLimits{
    .steps = 50'000, .created_bytes = 1 << 20, .output_bytes = 1 << 18};

Members variables_of(std::string_view json) {
  const Value value = Value::from_json(json, "fuzz");
  Members members;
  if (value.as_dict() == nullptr) return members;
  for (const auto& [name, member] : value.as_dict()->entries) {
    members.emplace_back(*name.as_text(), member);
  }
  return members;
}

constexpr std::string_view kSeparator = "\n%%\n";

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed) {
  using namespace gridmill::fuzz;  // NOLINT(google-build-using-namespace): its drivers' business
  const Dice dice = dice_of(seed);
  const std::string input = text_of(data, size);
  const std::size_t end = std::min(input.find(kSeparator), input.size());
  std::string text = input.substr(0, end);
  std::string json = input.substr(std::min(end + kSeparator.size(), input.size()));
  for (std::size_t changes = 1 + dice(4); changes > 0; --changes) {
    if (dice(4) == 0) {
      json = mutated_json(json, static_cast<std::uint32_t>(dice(1U << 31)));
    } else {
      text = mutated_template(text, dice);
    }
  }
  return hand_over(text + std::string(kSeparator) + json, data, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t end = std::min(input.find(kSeparator), input.size());
  const std::string_view json = input.substr(std::min(end + kSeparator.size(), input.size()));
  try {
    const auto program = gridmill::jinja::Template::parse(input.substr(0, end), "fuzz");
    const auto now = gridmill::jinja::local_time_from_text("2026-02-03T04:05:06");
    const Members variables = json.empty() ? Members{} : variables_of(json);
    if (program.render(variables, now, kLimits).size() > kLimits.output_bytes) std::abort();
    for (const auto& [name, value] : variables) {
      if (name != "messages") continue;
      gridmill::jinja::Chat chat;
      chat.messages = value;
      chat.add_generation_prompt = false;
      chat.continue_field = "content";
      static_cast<void>(render_chat(program, chat, now, kLimits));
    }
  } catch (const gridmill::Error& error) {
    if (error.code() == gridmill::ExitCode::internal) std::abort();
  }
  return 0;
}

#include "gridmill/template/template.hpp"

#include <algorithm>
#include <utility>

#include "gridmill/base/format.hpp"
#include "template/evaluator.hpp"
#include "template/lexer.hpp"
#include "template/parser.hpp"

namespace gridmill::jinja {

struct Template::Program {
  Source source;
  Names names;
  Body body;
};

Template::Template(std::unique_ptr<const Program> program) : program_(std::move(program)) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

Template Template::parse(std::string_view source, const std::string& name) {
  auto program = std::make_unique<Program>(Program{Source(source, name), {}, {}});
  try {
    program->body = parse_body(program->source, program->names);
  } catch (const Fault& fault) {
    throw FormatError(fmt::format("{}: {}", name, fault.message));
  }
  return Template(std::move(program));
}

bool Template::mentions(std::string_view name) const {
  return program_->names.find(name) != nullptr;
}

std::string Template::render(const Members& variables, std::optional<LocalTime> now,
                             const RenderLimits& limits) const {
  Evaluator evaluator(program_->names, limits, now);
  for (const auto& [name, value] : variables) {
    if (const NameId* id = program_->names.find(name)) evaluator.set_variable(*id, value);
  }
  try {
    return evaluator.run(program_->body);
  } catch (const Fault& fault) {
    throw RenderError(fmt::format("{}: {}: {}", program_->source.name(),
                                  program_->source.position(evaluator.at()), fault.message),
                      fault.message, fault.raised);
  }
}

}  // namespace gridmill::jinja

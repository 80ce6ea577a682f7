#include "gridmill/convert/convert.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "convert/coded_weights.hpp"
#include "convert/folder_report.hpp"
#include "convert/folder_tokenizer.hpp"
#include "convert/foreign_model_detail.hpp"
#include "convert/gguf/gguf.hpp"
#include "convert/tied_head.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/checkpoint/checkpoint_writer.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/output/output_target.hpp"
#include "gridmill/params/quantize.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill {

namespace {

using convert_detail::ForeignModel;
using convert_detail::ForeignTensor;
using convert_detail::FoundTokenizer;
using convert_detail::ParameterTake;

/// 64 MiB of fp32; with scratch and the converted bytes about 250 MiB at a time.
constexpr std::int64_t kPieceElements = std::int64_t{16} << 20;

/// One parameter of the new checkpoint and where its numbers come from.
struct Plan {
  ParameterSpec spec;
  ParameterTake take;
  const ForeignTensor* tensor;  ///< nullptr: zeros
  DType dtype;
  WeightFormat format;  ///< codes, in place of `dtype`
  std::int64_t block;   ///< with codes: inputs after which groups restart
};

/// A source, and the tokenizer that it brings.
struct Source {
  ForeignModel model;
  std::function<FoundTokenizer()> tokenizer = [] { return FoundTokenizer{}; };
};

Source open_file(const std::string& path) {
  constexpr std::string_view kHdf5Signature = "\x89HDF\r\n\x1a\n";
  const FileDescriptor file = open_for_reading(path);
  std::array<char, kHdf5Signature.size()> start{};
  const std::uint64_t size = file_size(file, path);
  if (size >= start.size()) {
    read_exactly(file, 0, std::as_writable_bytes(std::span(start)), path);
    if (std::string_view(start.data(), start.size()).starts_with(convert_detail::kGgufMagic)) {
      convert_detail::GgufModel gguf = convert_detail::open_gguf(path);
      return {.model = std::move(gguf.model), .tokenizer = std::move(gguf.tokenizer)};
    }
    if (std::string_view(start.data(), start.size()) == kHdf5Signature) {
      return {.model = convert_detail::open_xlstm_jax(path)};
    }
  }
  if (path.ends_with(".gguf")) throw FormatError(path + " is no GGUF file");
  if (path.ends_with(".safetensors")) {
    throw UsageError(path +
                     ": a single safetensors file says too little; give the folder that "
                     "also has config.json");
  }
  return {.model = convert_detail::open_llama2c(path)};
}

Source open_source(const std::string& path) {
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(path, ignored);
  if (!std::filesystem::exists(status)) {
    throw MissingInputError("cannot read " + path + ": no such file or folder");
  }
  if (!std::filesystem::is_directory(status)) return open_file(path);
  std::string folder = path;
  while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
  Source source{.model = convert_detail::open_hugging_face(folder)};
  source.tokenizer = [files = source.model.folder] {
    return convert_detail::find_tokenizer(*files);
  };
  return source;
}

void check_options(const ConvertOptions& options) {
  if (options.source.empty() || options.destination.empty()) {
    throw UsageError("convert needs a source and a destination");
  }
  if (options.dtype == DType::fp16) {
    throw UsageError("checkpoints hold fp32 or bf16; fp16 is no choice for --dtype");
  }
  const int group = options.weights.group;
  if (options.weights.coded() && group != 32 && group != 64 && group != 128) {
    throw UsageError(fmt::format("groups of {} inputs, expected 32, 64 or 128", group));
  }
}

OutputTarget decide_destination(const ConvertOptions& options) {
  return OutputTarget::decide(options.destination, {.name = "the destination",
                                                    .format = "gridmill-checkpoint",
                                                    .inputs = {{"the source", options.source},
                                                               {"--tokenizer", options.tokenizer}},
                                                    .side_files = {}});
}

/// Reads the tokenizer that was asked for, else that of the source, and makes sure that it loads.
FoundTokenizer settle_tokenizer(const Source& source, const std::string& asked_for) {
  const ForeignModel& foreign = source.model;
  FoundTokenizer found;
  if (!asked_for.empty()) {
    found = {.kind = std::string(tokenizer_kind_of(asked_for)),
             .bytes = read_text_file(asked_for),
             .where = asked_for};
  } else {
    found = source.tokenizer();
  }
  if (found.kind.empty()) {
    log::warn(
        "{}: no tokenizer; prompts for this checkpoint are given as token ids, or convert "
        "again with --tokenizer",
        foreign.where);
    return found;
  }
  const int vocab_size = foreign.model.at("vocab_size").get<int>();
  const auto tokenizer = make_tokenizer(found.kind, found.bytes, vocab_size, found.where);
  if (tokenizer->token_count() > vocab_size) {
    log::warn("{}: has ids up to {}, but the model knows {}; prompts with larger ids will fail",
              found.where, tokenizer->token_count() - 1, vocab_size);
  } else if (tokenizer->token_count() < vocab_size) {
    log::info("{}: has {} tokens, the model {}; ids from {} on stand for no text", found.where,
              tokenizer->token_count(), vocab_size, tokenizer->token_count());
  }
  return found;
}

std::vector<Plan> plan_parameters(ForeignModel& foreign, const ConvertOptions& options) {
  ModelParameters parameters;
  try {
    parameters = make_model(foreign.model)->parameters(1, 0);
  } catch (Error& error) {
    error.add_context("checking the configuration of " + foreign.where);
    throw;
  }
  std::map<std::string, std::int64_t> coded;  // with the inputs after which groups restart
  if (options.weights.coded()) coded = codable_parameters(parameters);
  std::vector<Plan> plans;
  for (const ParameterSpec& spec : parameters.stored) {
    ParameterTake take = foreign.take(spec, foreign.tensors);
    const ForeignTensor* tensor =
        take.tensor.empty() ? nullptr
                            : &foreign.tensors.use(take.tensor, take.shape, foreign.where);
    DType stored = options.dtype.value_or(tensor == nullptr ? DType::fp32 : tensor->stored_as());
    // A norm's 1 + w, and what else is folded into vectors, would lose its digits in bf16.
    if (foreign.model.contains("format") && spec.shape.size() == 1) stored = DType::fp32;
    const auto codes = coded.find(spec.name);
    plans.push_back({.spec = spec,
                     .take = std::move(take),
                     .tensor = tensor,
                     .dtype = stored,
                     .format = codes == coded.end() ? WeightFormat{} : options.weights,
                     .block = codes == coded.end() ? 0 : codes->second});
  }
  return plans;
}

void warn_of_leftovers(const ForeignModel& foreign) {
  constexpr std::size_t kMostNamed = 5;
  std::vector<std::string> names = foreign.tensors.unused();
  std::erase_if(
      names, [&](const std::string& name) { return foreign.harmless && foreign.harmless(name); });
  if (names.empty()) return;
  std::string list;
  for (std::size_t i = 0; i < std::min(names.size(), kMostNamed); ++i) {
    list += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > kMostNamed) list += ", ...";
  log::warn(
      "{}: {} tensors are not used by this model: {}; check that the configuration is the "
      "right one",
      foreign.where, names.size(), list);
}

void write_coded(const Plan& plan, CheckpointWriter& writer, int threads) {
  convert_detail::read_parameter(
      plan.spec, plan.take, plan.tensor, kPieceElements, [&](std::span<const float> values) {
        const convert_detail::CodedPiece piece = convert_detail::quantize_rows(
            values, plan.spec.shape[1], plan.format, plan.block, threads);
        writer.append(plan.spec.name, piece.codes);
        writer.append_scales(plan.spec.name, piece.scales);
      });
}

void write_parameter(const Plan& plan, CheckpointWriter& writer) {
  std::vector<Bf16> rounded;
  convert_detail::read_parameter(
      plan.spec, plan.take, plan.tensor, kPieceElements, [&](std::span<const float> values) {
        if (plan.dtype == DType::fp32) {
          writer.append(plan.spec.name, std::as_bytes(values));
          return;
        }
        rounded.resize(values.size());
        std::transform(values.begin(), values.end(), rounded.begin(), fp32_to_bf16);
        writer.append(plan.spec.name, std::as_bytes(std::span(rounded)));
      });
}

}  // namespace

ConvertReport convert(const ConvertOptions& options) {
  check_options(options);
  const OutputTarget destination = decide_destination(options);
  Source source = open_source(options.source);
  ForeignModel& foreign = source.model;
  convert_detail::untie_other_head(foreign);
  const FoundTokenizer tokenizer = settle_tokenizer(source, options.tokenizer);
  const std::vector<Plan> plans = plan_parameters(foreign, options);
  warn_of_leftovers(foreign);
  if (foreign.folder) convert_detail::report_unread_files(*foreign.folder);

  ConvertReport report{
      .source_kind = foreign.kind, .model = foreign.model, .tokenizer_kind = tokenizer.kind};
  CheckpointDescription description{.model = foreign.model,
                                    .parameters = {},
                                    .files = foreign.files,
                                    .tokenizer_kind = tokenizer.kind,
                                    .tokenizer = tokenizer.bytes};
  for (const Plan& plan : plans) {
    description.parameters.push_back(
        {.spec = plan.spec, .dtype = plan.dtype, .format = plan.format, .block = plan.block});
    const std::int64_t count = convert_detail::element_count(plan.spec.shape);
    report.parameters += count;
    if (plan.format.coded()) {
      const std::int64_t inputs = plan.spec.shape[1];
      report.coded_parameters += count;
      report.parameter_bytes += static_cast<std::uint64_t>(
          plan.spec.shape[0] * (code_bytes(plan.format.codes, inputs) +
                                groups_in(inputs, plan.block, plan.format.group) * kScaleBytes));
    } else {
      report.parameter_bytes += static_cast<std::uint64_t>(count) * size_of(plan.dtype);
    }
  }
  log::info("converting {} ({}): {} parameters, {} MiB", foreign.where, foreign.kind,
            report.parameters, report.parameter_bytes >> 20);
  CheckpointWriter writer(destination.path(), std::move(description));
  for (const Plan& plan : plans) {
    log::debug("{} from {}", plan.spec.name, plan.take.tensor);
    if (plan.format.coded()) {
      try {
        write_coded(plan, writer, options.threads);
      } catch (Error& error) {
        error.add_context(fmt::format("rounding {} to codes", plan.spec.name));
        throw;
      }
    } else {
      write_parameter(plan, writer);
    }
  }
  writer.finish();
  return report;
}

}  // namespace gridmill

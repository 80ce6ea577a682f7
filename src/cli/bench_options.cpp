#include "cli/bench_options.hpp"

#include <sstream>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/sampling/sampling_options.hpp"

namespace gridmill::cli {

namespace {

/// "1,8,32"
std::vector<int> integers_of(const std::string& option, const std::string& text) {
  std::vector<int> values;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    values.push_back(positive_integer(option, part));
  }
  if (values.empty()) throw UsageError(option + " is empty, expected integers like 1,8,32");
  return values;
}

SamplingOptions sampling_of(const std::string& text) {
  SamplingOptions options;
  RowLimits limits;
  try {
    static_cast<void>(
        override_from_record(parse_json(text, "--sampling"), options, limits, Json::object()));
  } catch (const FormatError& error) {
    throw UsageError(error.what());
  } catch (const UsageError& error) {
    throw UsageError(fmt::format("--sampling: {}", error.what()));
  }
  if (!(limits == RowLimits())) {
    throw UsageError(
        "--sampling: rows of bench end by --gen alone, no option of theirs may end one");
  }
  return options;
}

}  // namespace

CommandSyntax bench_syntax(BenchConfig& config) {
  CommandSyntax syntax{
      .name = "bench",
      .example = "Example: gridmill bench --shape llama-110m --batch 1,8,32 --threads 1",
      .summary =
          "Speed of prefill and decode on random weights: a JSON line a batch size, beside the "
          "limits of this machine measured in the same run."};
  const auto integer = [](int* target, const char* option) {
    return po::value<std::string>()
        ->default_value(std::to_string(*target))
        ->value_name("N")
        ->notifier([target, option](const std::string& text) {
          *target = positive_integer(option, text);
        });
  };
  auto add = syntax.options.add_options();
  const std::string shapes = fmt::format("{} or a config.json (gridmill's or Hugging Face's)",
                                         fmt::join(bench_shapes(), ", "));
  add("shape", po::value(&config.shape)->value_name("NAME"), shapes.c_str());
  add("dtype", po::value(&config.dtype)->default_value(config.dtype)->value_name("TYPE"),
      "bf16, fp32: of parameters and products; int8, int4: of the layers' matrices");
  add("batch",
      po::value<std::string>()->default_value("1,8")->value_name("N,...")->notifier(
          [&config](const std::string& text) { config.batches = integers_of("--batch", text); }),
      "rows in flight, a line each");
  add("prompt", integer(&config.prompt, "--prompt"), "tokens of every prompt");
  add("shared-prefix",
      po::value<std::string>()->default_value("off")->value_name("N")->notifier(
          [&config](const std::string& text) {
            config.shared_prefix.reset();
            if (text == "0") config.shared_prefix = 0;
            if (text != "off" && text != "0") {
              config.shared_prefix = positive_integer("--shared-prefix", text);
            }
          }),
      "tokens that all prompts begin with, before their own: measures what sharing saves");
  add("samples", integer(&config.samples, "--samples"),
      "rows of every prompt; more than 1 measures what sharing saves");
  add("gen", integer(&config.gen, "--gen"), "tokens generated for every row");
  const auto integer_or_auto = [](int* target, const char* option) {
    return po::value<std::string>()->default_value("auto")->value_name("N")->notifier(
        [target, option](const std::string& text) {
          *target = text == "auto" ? 0 : positive_integer(option, text);
        });
  };
  add("threads", integer_or_auto(&config.threads, "--threads"),
      "threads; auto = cores of this process");
  add("pass-rows", integer_or_auto(&config.pass_rows, "--pass-rows"),
      "prompt tokens fed in one pass, if the decode rows leave room; auto = as generate");
  add("repeat", integer(&config.repeat, "--repeat"), "runs of every batch; rates are medians");
  add("sampling",
      po::value<std::string>()->value_name("JSON")->notifier(
          [&config](const std::string& text) { config.sampling = sampling_of(text); }),
      "sampling options as in a record, such as {\"top_p\": 0.95}: the line says what they cost "
      "beside their temperature alone; default greedy");
  add("backend", po::value(&config.backend)->default_value(config.backend)->value_name("NAME"),
      "auto, reference, cpu, cuda");
  add("model", po::value(&config.model)->value_name("FILE.h5"),
      "checkpoint to measure; written with random weights of --shape if there is none. Without: "
      "on the host a temporary file, on a device weights that are made there");
  return syntax;
}

void check_bench_options(const BenchConfig& config) {
  require_one_of("--dtype", config.dtype, {"bf16", "fp32", "int8", "int4"});
  require_one_of("--backend", config.backend, {"auto", "reference", "cpu", "cuda"});
  if (config.gen < 2) {
    throw UsageError("--gen is 1, expected at least 2: the first token is prefill");
  }
  if (measures_sharing(config) && config.sampling) {
    throw UsageError("--sampling cannot be combined with --shared-prefix or --samples");
  }
  for (const int batch : config.batches) {
    if (batch % config.samples != 0) {
      throw UsageError(
          fmt::format("--batch {} is no multiple of --samples {}", batch, config.samples));
    }
  }
  if (config.shape.empty() && config.model.empty()) {
    throw UsageError("--shape is missing; without it --model has to name a checkpoint");
  }
}

}  // namespace gridmill::cli

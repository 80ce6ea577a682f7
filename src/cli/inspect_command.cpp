#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/base/printable.hpp"
#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/h5/examination.hpp"
#include "gridmill/h5/file.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/results/result_file.hpp"

namespace gridmill::cli {

namespace {

/// Bytes of states of one row on one rank, by compute dtype and length; or why there are none.
OrderedJson row_state_bytes(const Json& config) {
  try {
    const std::unique_ptr<Model> model = make_model(config);
    OrderedJson bytes = OrderedJson::object();
    for (const DType dtype : {DType::fp32, DType::bf16}) {
      OrderedJson& of_dtype = bytes[std::string(name_of(dtype))];
      for (const std::int64_t length : {1'000, 10'000, 100'000}) {
        of_dtype[std::to_string(length)] = model->state_bytes_per_slot(1, length, dtype);
      }
    }
    return bytes;
  } catch (const FormatError& error) {
    return error.what();
  }
}

OrderedJson describe_checkpoint(const std::string& path) {
  const CheckpointFile file = CheckpointFile::open(path);
  OrderedJson parameters = OrderedJson::array();
  std::uint64_t elements_total = 0;
  std::uint64_t bytes_total = 0;
  for (const StoredParameter& parameter : file.parameters()) {
    std::uint64_t elements = 1;
    for (const std::int64_t extent : parameter.spec.shape) {
      elements *= static_cast<std::uint64_t>(extent);
    }
    elements_total += elements;
    bytes_total += parameter.size_bytes();
    parameters.push_back({{"name", parameter.spec.name},
                          {"shape", parameter.spec.shape},
                          {"dtype", parameter.type_name()},
                          {"hash", parameter.hash}});
  }
  OrderedJson files = OrderedJson::object();
  for (const auto& [name, content] : file.files()) files[name] = content.size();
  return {{"file", path},
          {"format", "gridmill-checkpoint"},
          {"hash", file.hash()},
          {"model", file.model()},
          {"parameters", elements_total},
          {"parameter_bytes", bytes_total},
          {"row_state_bytes", row_state_bytes(file.model())},
          {"tokenizer", {{"kind", file.tokenizer_kind()}, {"hash", file.tokenizer_hash()}}},
          {"files", files},
          {"tensors", parameters}};
}

OrderedJson describe_result(const std::string& path) {
  const ResultFile file = ResultFile::open(path, ResultFile::Origin::anywhere);
  const ResultShape& shape = file.layout().shape;
  return {{"file", path},
          {"format", shape.scores != 0 ? "gridmill-scores" : "gridmill-results"},
          {"gridmill_version", file.creator_version()},
          {"rows", shape.rows},
          {"max_length", shape.max_length},
          {"samples_per_prompt", shape.samples_per_prompt},
          {"token_logprobs", shape.logprobs != 0},
          {"valid", shape.valid != 0},
          {"job", file.job().fields}};
}

/// @throws FormatError that names parameters whose bytes are not those that were written.
void check_parameters(const std::string& path) {
  const std::vector<std::string> damaged = CheckpointFile::open(path).damaged_parameters();
  if (damaged.empty()) return;
  throw FormatError(fmt::format(
      "{}: {} parameter{} differ{} from what was written (the first: {}); convert the model again",
      path, damaged.size(), damaged.size() == 1 ? "" : "s", damaged.size() == 1 ? "s" : "",
      damaged.front()));
}

/// Names and paths that are no UTF-8 get U+FFFD.
std::string dump_of(const OrderedJson& value) {
  return value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

/// "key: value" lines; tensors in a table.
std::string as_text(const OrderedJson& description) {
  std::string text;
  for (const auto& [key, value] : description.items()) {
    if (key == "tensors") continue;
    text +=
        fmt::format("{}: {}\n", key, value.is_string() ? value.get<std::string>() : dump_of(value));
  }
  if (description.contains("tensors")) {
    for (const OrderedJson& tensor : description.at("tensors")) {
      text += fmt::format("  {:<32} {:<5} {}\n", tensor.at("name").get<std::string>(),
                          tensor.at("dtype").get<std::string>(), tensor.at("shape").dump());
    }
  }
  return text;
}

}  // namespace

ExitCode run_inspect(const Arguments& arguments, const MpiSession* /*session*/) {
  std::string path;
  bool json = false;
  bool check = false;
  CommandSyntax syntax{.name = "inspect",
                       .example = "Example: gridmill inspect out/stories260K.h5",
                       .summary = "What is in a checkpoint or a result file."};
  syntax.arguments.add_options()("file", po::value(&path)->required());
  auto add = syntax.options.add_options();
  add("json", switch_value(&json), "one JSON object");
  add("check", switch_value(&check), "read every parameter of a checkpoint and compare its hash");
  syntax.positional.add("file", 1);
  if (!parse(syntax, arguments)) return ExitCode::ok;

  h5::examine(path);
  const std::string format = [&path] {
    const h5::File file = h5::File::open(path);
    return file.has_attribute("/", "format") ? file.read_text_attribute("/", "format") : "";
  }();
  OrderedJson description;
  if (format == "gridmill-checkpoint") {
    description = describe_checkpoint(path);
    if (check) {
      check_parameters(path);
      description["check"] = "every parameter has the bytes that were written";
    }
  } else if (format == "gridmill-results" || format == "gridmill-scores") {
    if (check) {
      throw UsageError(
          "--check reads the parameters of a checkpoint; gridmill verify checks the rows of a "
          "result file");
    }
    description = describe_result(path);
  } else {
    throw FormatError(path +
                      " is an HDF5 file, but neither a gridmill checkpoint nor a result file");
  }
  const std::string text =
      json ? dump_of(description) + "\n" : printable(as_text(description), Breaks::kept);
  std::fputs(text.c_str(), stdout);
  return ExitCode::ok;
}

}  // namespace gridmill::cli

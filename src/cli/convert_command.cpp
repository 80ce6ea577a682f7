#include <cstdio>
#include <string>

#include "cli/command.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/process.hpp"
#include "gridmill/convert/convert.hpp"

namespace gridmill::cli {

ExitCode run_convert(const Arguments& arguments, const MpiSession* /*session*/) {
  ConvertOptions convert_options;
  std::string dtype;
  std::string weights;
  CommandSyntax syntax{
      .name = "convert",
      .example =
          "Example: gridmill convert models/tiny-xlstm-shakespeare out/shakespeare.h5\n"
          "         gridmill convert stories260K.bin out/stories.h5 --tokenizer tok512.bin",
      .summary =
          "gridmill convert SRC DST.h5 [options]\n"
          "SRC: a Hugging Face folder, a .gguf file, a llama2.c .bin, or an xlstm-jax HDF5 file.",
      .options = po::options_description("Options")};
  syntax.arguments.add_options()("source",
                                 po::value(&convert_options.source)->required()->value_name("SRC"))(
      "destination", po::value(&convert_options.destination)->required()->value_name("DST.h5"));
  auto add = syntax.options.add_options();
  add("tokenizer", po::value(&convert_options.tokenizer)->value_name("FILE"),
      "tokenizer file; default: that of the source");
  add("dtype", po::value(&dtype)->value_name("TYPE"),
      "bf16, fp32: stored type of every parameter; default: as in the source");
  add("weights", po::value(&weights)->value_name("CODES"),
      "int8, int4: layers' matrices become codes with a scale a group; default: as they are");
  syntax.positional.add("source", 1).add("destination", 1);
  if (!parse(syntax, arguments)) return ExitCode::ok;
  if (!dtype.empty()) require_one_of("--dtype", dtype, {"bf16", "fp32"});
  if (dtype == "bf16") convert_options.dtype = DType::bf16;
  if (dtype == "fp32") convert_options.dtype = DType::fp32;

  if (!weights.empty()) {
    require_one_of("--weights", weights, {"int8", "int4"});
    convert_options.weights =
        default_format(weights == "int8" ? WeightCodes::int8 : WeightCodes::int4);
    convert_options.threads = usable_cores();
  }

  const ConvertReport report = convert(convert_options);
  std::fputs(fmt::format("{}: {} ({}), {} parameters{}, {:.1f} MiB, tokenizer {}\n",
                         convert_options.destination, report.model.value("family", ""),
                         report.source_kind, report.parameters,
                         report.coded_parameters == 0
                             ? ""
                             : fmt::format(", {} of them in {}", report.coded_parameters, weights),
                         static_cast<double>(report.parameter_bytes) / (1 << 20),
                         report.tokenizer_kind.empty() ? "none" : report.tokenizer_kind)
                 .c_str(),
             stderr);
  return ExitCode::ok;
}

}  // namespace gridmill::cli

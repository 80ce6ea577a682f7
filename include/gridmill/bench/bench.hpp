#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/generate/request.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/params/parameter_source.hpp"
#include "gridmill/params/weight_format.hpp"

namespace gridmill {

/// One run of `gridmill bench`. Names and defaults as in docs/cli.md.
struct BenchConfig {
  std::string shape;  ///< a name (bench_shapes) or a config.json; empty: `model` must exist
  /// Type of parameters and products: bf16, fp32; of the layers' matrices alone: int8, int4.
  std::string dtype = "bf16";
  std::vector<int> batches = {1, 8};  ///< rows in flight, one figure each
  int prompt = 64;                    ///< tokens of every prompt
  int gen = 64;                       ///< tokens generated for every row; at least 2
  int repeat = 3;
  /// Tokens that every prompt begins with, before `prompt` own ones: measures what sharing saves;
  /// nullopt = measures prefill and decode.
  std::optional<int> shared_prefix;
  int samples = 1;    ///< rows of a prompt; more than 1 measures sharing
  int pass_rows = 0;  ///< tokens fed in one pass, if the decode rows leave room; 0 = as generate
  std::string backend = "auto";
  int threads = 0;  ///< 0 = every core of this process
  /// How tokens are selected; nothing = greedily. Other than a temperature: beside it, in turns,
  /// and a line says what the other options cost.
  std::optional<SamplingOptions> sampling{};
  std::string model;  ///< checkpoint: made of random weights if it does not exist; empty = none
};

/// Whether lines are about what rows share.
[[nodiscard]] constexpr bool measures_sharing(const BenchConfig& config) {
  return config.shared_prefix.has_value() || config.samples > 1;
}
/// Tokens of the longest row.
[[nodiscard]] constexpr int row_length(const BenchConfig& config) {
  return config.shared_prefix.value_or(0) + config.prompt + config.gen;
}
/// Format of the layers' matrices: codes for dtype int8 and int4, in the groups of convert.
[[nodiscard]] WeightFormat format_of(const BenchConfig& config);

/// Names that --shape takes.
[[nodiscard]] const std::vector<std::string>& bench_shapes();

/// Makes our model configuration (docs/models.md) of a foreign config.json; the second argument
/// names the file in messages.
using ConfigTranslator = std::function<Json(const Json& config, const std::string& path)>;

/// Model configuration (docs/models.md) of a named shape, or of a config.json: gridmill's own (it
/// has "family") or a foreign one.
/// @param translate  for foreign ones; may be empty.
/// @throws UsageError for an unknown name, or a foreign config.json without `translate`;
/// MissingInputError, FormatError.
[[nodiscard]] Json model_of_shape(const std::string& shape, const ConfigTranslator& translate);

/// @throws UsageError if rows of row_length() tokens are longer than the model's limit.
void check_rows_fit(const BenchConfig& config, const ModelInfo& model);

/// A loaded model, and what its lines say of it beside the figures.
struct BenchSubject {
  const Model& model;
  ExecutionContext& context;
  ParameterSource& parameters;
  int threads = 1;
  double weight_bytes = 0;               ///< of the prepared parameters
  OrderedJson loading = Json::object();  ///< fields about where the weights came from
};

/// Runs prefill and decode of every batch size through the Generator and prints one JSON line each
/// on stdout (docs/performance.md says what is in it).
/// @throws UsageError as check_rows_fit(); ResourceError before the first pass of a batch that the
/// memory of a device has no room for.
void bench_batches(const BenchConfig& config, const BenchSubject& subject);

/// The backend that `config` names. @throws as make_backend().
[[nodiscard]] std::unique_ptr<Backend> make_bench_backend(const BenchConfig& config);

/// The same as bench_batches() on random weights that are made in the memory of `backend`
/// (make_bench_backend), without a file. @throws also ResourceError if they do not fit.
void bench_in_memory(const BenchConfig& config, const Json& model, Backend& backend);

}  // namespace gridmill

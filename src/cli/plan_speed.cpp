#include "cli/plan_speed.hpp"

#include <algorithm>
#include <cstdint>

#include "gridmill/base/available_memory.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/process.hpp"
#include "gridmill/bench/calibration.hpp"
#include "gridmill/bench/roofline.hpp"

namespace gridmill::cli {

namespace {

/// The last object of a file of lines, or the one object of a file.
Json last_object(const std::string& path) {
  const std::string text = read_text_file(path);
  const std::size_t end = text.find_last_not_of(" \n\r\t");
  if (end == std::string::npos) throw FormatError(path + " is empty");
  const std::size_t begin = text.rfind("\n{", end);
  Json object = parse_json(text.substr(begin == std::string::npos ? 0 : begin + 1,
                                       end - (begin == std::string::npos ? 0 : begin + 1) + 1),
                           path);
  if (!object.is_object()) throw FormatError(path + " holds no JSON object");
  return object;
}

}  // namespace

PlanSpeed speed_from_file(const std::string& path, const Backend& backend) {
  const Json object = last_object(path);
  const bool of_plan = object.contains("limits") && object["limits"].is_object();
  PlanSpeed speed{.limits = limits_from_json(of_plan ? object["limits"] : object, path),
                  .source = path};
  const double products = backend.compute_dtype() == DType::bf16 ? speed.limits.bf16_flop_per_s
                                                                 : speed.limits.fp32_flop_per_s;
  const bool codes = backend.numerics_id().ends_with("int8");
  if (speed.limits.read_bytes_per_s <= 0 || speed.limits.update_bytes_per_s <= 0 || products <= 0 ||
      (codes && speed.limits.int8_op_per_s <= 0)) {
    throw FormatError(fmt::format(
        "{}: read_gb_per_s, update_gb_per_s and {}_gflop_per_s{} are needed, each above 0", path,
        name_of(backend.compute_dtype()), codes ? ", int8_gop_per_s" : ""));
  }
  const auto share = object.find("share_of_limits");
  if (of_plan && share != object.end() && share->is_number()) {
    speed.share = share->get<double>();
    if (!(speed.share > 0 && speed.share <= 1)) {
      throw FormatError(
          fmt::format("{}: share_of_limits is {}, expected a number above 0 and at "
                      "most 1",
                      path, speed.share));
    }
  }
  return speed;
}

PlanSpeed measured_speed(const Json& config, Backend& backend, const PlanRequest& request,
                         std::vector<std::string>& notes) {
  const std::uint64_t memory = available_memory().share_of(1).value_or(std::uint64_t{4} << 30);
  const StateBudget budget = backend.host_state_budget(memory / 2);
  const std::uint64_t row =
      row_state_bytes(*request.model.model, backend, 1,
                      (request.slots.max_length + kKvPagePositions - 1) / kKvPagePositions);
  const std::uint64_t fit =
      std::max<std::uint64_t>(budget.bytes / std::max<std::uint64_t>(row, 1), 1);
  const int wanted = request.slots.slots > 0 ? request.slots.slots : budget.most_slots;
  // Little enough for random weights in seconds.
  constexpr std::uint64_t kMostWeights = std::uint64_t{4} << 30;
  const Calibration found = calibrate(
      config, backend,
      {.lengths = request.lengths,
       .slots = static_cast<int>(
           std::min<std::uint64_t>({fit, static_cast<std::uint64_t>(wanted), request.result.rows})),
       .threads = usable_cores(),
       .pass_rows = budget.pass_rows,
       .most_bytes = std::min(memory / 4, kMostWeights)});
  if (found.layers < found.all_layers) {
    notes.push_back(fmt::format("calibrated on {} of {} layers", found.layers, found.all_layers));
  }
  if (backend.numerics_id().ends_with("int8")) {
    notes.emplace_back(
        "calibrated with weights in bf16: that codes reach the same share of their limits is "
        "assumed");
  }
  return {.limits = found.limits, .share = found.share, .source = "measured now"};
}

}  // namespace gridmill::cli

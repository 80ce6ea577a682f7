#pragma once

#include <string>

#include "gridmill/base/json.hpp"

namespace gridmill::job_detail {

/// A record of --metrics in Prometheus' text format, for node_exporter's textfile collector. Each
/// number is a gauge `gridmill_<name>` with the label `output`; an object of min, mean and max over
/// ranks one with a further label `over_ranks`. Texts are left out.
/// @param output  the result file, so that jobs of one node are told apart.
/// Source: https://prometheus.io/docs/instrumenting/exposition_formats/, text format 0.0.4.
[[nodiscard]] std::string prometheus_text(const OrderedJson& record, const std::string& output);

/// Whether --metrics PATH selects this format: the collector reads files that end in `.prom`.
[[nodiscard]] bool is_prometheus_file(const std::string& path);

}  // namespace gridmill::job_detail

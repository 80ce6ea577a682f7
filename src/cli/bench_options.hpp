#pragma once

#include "cli/options.hpp"
#include "gridmill/bench/bench.hpp"

namespace gridmill::cli {

/// Options of `gridmill bench`, stored in `config`, which must outlive the syntax.
[[nodiscard]] CommandSyntax bench_syntax(BenchConfig& config);
/// Checks that parsing cannot make. @throws UsageError
void check_bench_options(const BenchConfig& config);

}  // namespace gridmill::cli

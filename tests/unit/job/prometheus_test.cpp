#include "job/prometheus.hpp"

#include <gtest/gtest.h>

namespace gridmill::job_detail {
namespace {

TEST(Prometheus, NumbersBecomeGaugesAndTextsAreLeftOut) {
  EXPECT_EQ(prometheus_text({{"record", "summary"},
                             {"rows_done", 12},
                             {"load_s", {{"min", 0.5}, {"mean", 1.0}, {"max", 1.5}}}},
                            "out/a \"b\".h5"),
            "# TYPE gridmill_rows_done gauge\n"
            "gridmill_rows_done{output=\"out/a \\\"b\\\".h5\"} 12\n"
            "# TYPE gridmill_load_s gauge\n"
            "gridmill_load_s{output=\"out/a \\\"b\\\".h5\",over_ranks=\"min\"} 0.5\n"
            "gridmill_load_s{output=\"out/a \\\"b\\\".h5\",over_ranks=\"mean\"} 1.0\n"
            "gridmill_load_s{output=\"out/a \\\"b\\\".h5\",over_ranks=\"max\"} 1.5\n");
}

TEST(Prometheus, TheNameOfTheFileAsksForIt) {
  EXPECT_TRUE(is_prometheus_file("/var/lib/node_exporter/gridmill.prom"));
  EXPECT_FALSE(is_prometheus_file("metrics.jsonl"));
}

}  // namespace
}  // namespace gridmill::job_detail

// The program as users run it, on emulated devices: what it makes of those that a node has.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "gridmill/base/ids.hpp"
#include "gridmill/h5/file.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::ProgramResult;
using Words = std::vector<std::string>;

/// The program's node has `devices`, each with `mib` of memory.
ProgramResult generate(const Words& extra, int ranks, int devices, int mib = 16384) {
  ::setenv("GRIDMILL_EMULATED_DEVICES", std::to_string(devices).c_str(), 1);
  ::setenv("GRIDMILL_EMULATED_MIB", std::to_string(mib).c_str(), 1);
  Words words = extra;
  if (std::find(extra.begin(), extra.end(), "--backend") == extra.end()) {
    words.insert(words.end(), {"--backend", "cuda"});
  }
  return cli().generate(words, ranks);
}

/// Two prompts as the lockstep mode takes them.
void write_token_prompts(const std::string& path) {
  const std::vector<TokenId> ids = {1, 403, 407, 261, 1, 300, 0, 0};
  const std::vector<std::uint8_t> mask = {1, 1, 1, 1, 1, 1, 0, 0};
  h5::File file = h5::File::create(path);
  file.create_dataset("/prefix_tokens", h5::ElementType::of(h5::Kind::i32), {2, 4})
      .write_rows(0, 2, std::as_bytes(std::span(ids)));
  file.create_dataset("/prefix_mask", h5::ElementType::of(h5::Kind::u8), {2, 4})
      .write_rows(0, 2, std::as_bytes(std::span(mask)));
  file.close();
}

TEST(EmulatedDevices, MoreRanksThanDevicesNeedShareGpu) {
  const ProgramResult refused = generate({"--dp", "2"}, 2, 1);
  EXPECT_EQ(refused.exit_code, 69) << refused.err;
  EXPECT_NE(refused.err.find("this node has more ranks than its 1 devices"), std::string::npos)
      << refused.err;
  EXPECT_NE(refused.err.find("--share-gpu"), std::string::npos) << refused.err;
  const ProgramResult shared = generate({"--dp", "2", "--share-gpu"}, 2, 1);
  EXPECT_EQ(shared.exit_code, 0) << shared.err;
  const ProgramResult each = generate({"--dp", "2"}, 2, 2);
  EXPECT_EQ(each.exit_code, 0) << each.err;
}

TEST(EmulatedDevices, AutoTakesTheDevice) {
  const ProgramResult result = generate({"--backend", "auto", "--log-level", "info"}, 1, 1);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("cuda backend (emulation), cuda-2-fp32"), std::string::npos)
      << result.err;
}

TEST(EmulatedDevices, SlotsFitIntoWhatIsFreeAndTooLittleIsRefusedBeforeTheFirstRow) {
  cli().folder().write("many.txt", [] {
    std::string lines;
    for (int i = 0; i < 8; ++i) lines += "Once upon a time " + std::to_string(i) + "\n";
    return lines;
  }());
  // 256 MiB stay free, and the model with what a pass takes has a few more.
  const Words options = {"--prompts", "many.txt", "--max-length", "12"};
  const ProgramResult plenty = generate(options, 1, 1, 1024);
  ASSERT_EQ(plenty.exit_code, 0) << plenty.err;
  const std::string expected = test::slurp(cli().file("out.h5"));
  int refused = 0;
  int done = 0;
  for (int mib = 256; mib <= 272; mib += 2) {
    const ProgramResult result = generate(options, 1, 1, mib);
    if (result.exit_code == 0) {
      ++done;
      EXPECT_TRUE(test::slurp(cli().file("out.h5")) == expected) << mib << " MiB";
      continue;
    }
    ++refused;
    EXPECT_EQ(result.exit_code, 69) << mib << " MiB: " << result.err;
    EXPECT_NE(result.err.find("memory"), std::string::npos) << result.err;
  }
  EXPECT_GT(refused, 0);
  EXPECT_GT(done, 0);
}

TEST(EmulatedDevices, RowsThatTheCacheHasNoRoomForAreFedAgainAndItDoesNotShow) {
  cli().folder().write("crowd.txt", [] {
    std::string lines;
    for (int i = 0; i < 8; ++i) lines += std::to_string(i) + " cats and a dog\n";
    return lines;
  }());
  // Three pages of 80 KiB a row, 1.9 MiB for all of them. 256 MiB stay free, and the model with
  // what a pass takes has a few more: one of these sizes leaves less than that for pages.
  const Words options = {"--prompts", "crowd.txt",  "--max-length", "130",        "--slots",
                         "8",         "--logprobs", "--metrics",    "crowd.jsonl"};
  const auto counted = [](const char* what) {
    return cli().metrics("crowd.jsonl").at(what).get<int>();
  };
  ASSERT_EQ(generate(options, 1, 1, 1024).exit_code, 0);
  const std::string expected = test::slurp(cli().file("out.h5"));
  EXPECT_EQ(counted("preempted_rows"), 0);
  EXPECT_EQ(counted("refed_tokens"), 0);
  bool crowded = false;
  for (int mib = 257; mib <= 264 && !crowded; ++mib) {
    const ProgramResult result = generate(options, 1, 1, mib);
    if (result.exit_code == 69) continue;  // no room for one row
    ASSERT_EQ(result.exit_code, 0) << mib << " MiB: " << result.err;
    EXPECT_TRUE(test::slurp(cli().file("out.h5")) == expected) << mib << " MiB";
    crowded = counted("preempted_rows") > 0 && counted("refed_tokens") > 0;
  }
  EXPECT_TRUE(crowded);
}

TEST(EmulatedDevices, ABatchOfBenchThatHasNoRoomIsRefusedBeforeItRuns) {
  ::setenv("GRIDMILL_EMULATED_MIB", "257", 1);  // 256 MiB stay free
  cli().folder().write("tiny.json", R"({"family": "llama", "vocab_size": 300, "hidden_size": 24,
    "layers": 2, "heads": 8, "kv_heads": 4, "head_dim": 4, "intermediate_size": 52,
    "norm_eps": 1e-5, "max_length": 1000, "bos_id": 1, "eod_ids": [2],
    "rotary": {"type": "default", "theta": 10000.0}})");
  const ProgramResult result =
      cli().run({"bench", "--shape", "tiny.json", "--backend", "cuda", "--threads", "1", "--batch",
                 "50", "--prompt", "900", "--gen", "100"});
  EXPECT_EQ(result.exit_code, 69) << result.out << result.err;
  EXPECT_NE(result.err.find("not enough memory"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("50 rows"), std::string::npos) << result.err;
  EXPECT_EQ(result.out, "");
}

TEST(EmulatedDevices, TheModesThatAreNotTheMainOneRunToo) {
  ASSERT_EQ(generate({"--logprobs"}, 1, 1).exit_code, 0);
  const ProgramResult verified =
      cli().run({"verify", "out.h5", "--model", "stories.h5", "--prompts", "prompts.txt",
                 "--backend", "cuda", "--threads", "1"});
  EXPECT_EQ(verified.exit_code, 0) << verified.out << verified.err;
  write_token_prompts(cli().file("two.h5"));
  const ProgramResult lockstep =
      generate({"--lockstep", "--eod-token-id", "-1", "--prompts", "two.h5"}, 2, 2);
  EXPECT_EQ(lockstep.exit_code, 0) << lockstep.err;
}

}  // namespace
}  // namespace gridmill

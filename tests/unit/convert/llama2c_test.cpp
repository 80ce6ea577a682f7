#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "gridmill/base/file.hpp"
#include "unit/convert/support.hpp"

namespace gridmill {
namespace {

using test::contains_all;
using test::convert_outcome;
using test::Outcome;
using test::SafetensorsWriter;
using test::stored_values;
using test::TemporaryFolder;

constexpr std::int32_t kDim = 8, kHidden = 12, kLayers = 2, kHeads = 2, kKvHeads = 1, kVocab = 6,
                       kSeqLen = 10;
constexpr std::int32_t kHeadDim = kDim / kHeads;
constexpr const char* kStories = GRIDMILL_MODELS_DIR "/stories260K/stories260K.bin";
constexpr const char* kStoriesTokenizer = GRIDMILL_MODELS_DIR "/stories260K/tok512.bin";

/// Writes the three versions of a tiny model; an array is random by its name, "wq.1" is layer 1.
class Llama2cWriter {
 public:
  void number(std::int32_t value) { bytes_ += SafetensorsWriter::bytes_of(std::vector{value}); }
  void header(std::int32_t vocab) {
    for (const std::int32_t value : {kDim, kHidden, kLayers, kHeads, kKvHeads, vocab, kSeqLen}) {
      number(value);
    }
  }
  void versioned_header(std::int32_t version, bool shared, std::int32_t group_size) {
    number(0x616B3432);
    number(version);
    header(kVocab);
    bytes_ += shared ? '\1' : '\0';
    if (version == 2) number(group_size);
    bytes_.resize(256);
  }
  void array(const std::string& name, std::int32_t rows, std::int32_t columns) {
    bytes_ += SafetensorsWriter::bytes_of(values(name, rows, columns));
  }
  void per_layer(const std::string& name, std::int32_t rows, std::int32_t columns) {
    for (int layer = 0; layer < kLayers; ++layer) {
      array(name + "." + std::to_string(layer), rows, columns);
    }
  }
  void zeros(std::int32_t floats) { bytes_.append(static_cast<std::size_t>(floats) * 4, '\0'); }
  /// int8 values and a scale a group of 4.
  void grouped(const std::string& name, std::int32_t rows, std::int32_t columns) {
    for (int i = 0; i < rows * columns; ++i) bytes_ += static_cast<char>(quantised(name, i));
    for (int i = 0; i < rows * columns / 4; ++i) {
      bytes_ += SafetensorsWriter::bytes_of(std::vector{scale(name, i)});
    }
  }
  void grouped_per_layer(const std::string& name, std::int32_t rows, std::int32_t columns) {
    for (int layer = 0; layer < kLayers; ++layer) {
      grouped(name + "." + std::to_string(layer), rows, columns);
    }
  }

  static std::vector<float> values(const std::string& name, std::int64_t rows,
                                   std::int64_t columns) {
    return SafetensorsWriter::random_values(name, {rows, columns});
  }
  static int quantised(const std::string& name, int i) {
    return (static_cast<int>(name.size()) * 37 + name.back() + i * 11) % 255 - 127;
  }
  static float scale(const std::string& name, int group) {
    return 0.25F * static_cast<float>(group % 5 + 1) + static_cast<float>(name.size());
  }
  static std::vector<float> dequantised(const std::string& name, int rows, int columns) {
    std::vector<float> result;
    for (int i = 0; i < rows * columns; ++i) {
      result.push_back(static_cast<float>(quantised(name, i)) * scale(name, i / 4));
    }
    return result;
  }

  std::string bytes_;
};

std::string legacy_file(bool shared) {
  Llama2cWriter file;
  file.header(shared ? kVocab : -kVocab);
  file.array("embedding", kVocab, kDim);
  file.per_layer("rms_att", 1, kDim);
  file.per_layer("wq", kDim, kDim);
  file.per_layer("wk", kKvHeads * kHeadDim, kDim);
  file.per_layer("wv", kKvHeads * kHeadDim, kDim);
  file.per_layer("wo", kDim, kDim);
  file.per_layer("rms_ffn", 1, kDim);
  file.per_layer("w1", kHidden, kDim);
  file.per_layer("w2", kDim, kHidden);
  file.per_layer("w3", kHidden, kDim);
  file.array("rms_final", 1, kDim);
  file.zeros(kSeqLen * kHeadDim);
  if (!shared) file.array("wcls", kVocab, kDim);
  return file.bytes_;
}

std::string version1_file(bool shared) {
  Llama2cWriter file;
  file.versioned_header(1, shared, 0);
  file.per_layer("rms_att", 1, kDim);
  file.per_layer("rms_ffn", 1, kDim);
  file.array("rms_final", 1, kDim);
  file.array("embedding", kVocab, kDim);
  file.per_layer("wq", kDim, kDim);
  file.per_layer("wk", kKvHeads * kHeadDim, kDim);
  file.per_layer("wv", kKvHeads * kHeadDim, kDim);
  file.per_layer("wo", kDim, kDim);
  file.per_layer("w1", kHidden, kDim);
  file.per_layer("w2", kDim, kHidden);
  file.per_layer("w3", kHidden, kDim);
  if (!shared) file.array("wcls", kVocab, kDim);
  return file.bytes_;
}

std::string version2_file() {
  Llama2cWriter file;
  file.versioned_header(2, true, 4);
  file.per_layer("rms_att", 1, kDim);
  file.per_layer("rms_ffn", 1, kDim);
  file.array("rms_final", 1, kDim);
  file.grouped("embedding", kVocab, kDim);
  file.grouped_per_layer("wq", kDim, kDim);
  file.grouped_per_layer("wk", kKvHeads * kHeadDim, kDim);
  file.grouped_per_layer("wv", kKvHeads * kHeadDim, kDim);
  file.grouped_per_layer("wo", kDim, kDim);
  file.grouped_per_layer("w1", kHidden, kDim);
  file.grouped_per_layer("w2", kDim, kHidden);
  file.grouped_per_layer("w3", kHidden, kDim);
  return file.bytes_;
}

/// Rows of interleaved pairs put in half-split order: 0 2 1 3 for a head of four.
std::vector<float> half_split(const std::vector<float>& rows) {
  std::vector<float> result;
  constexpr std::size_t kHeadElements = std::size_t{kHeadDim} * kDim;
  const std::size_t heads = rows.size() / kHeadElements;
  for (std::size_t head = 0; head < heads; ++head) {
    for (const std::size_t row : {0, 2, 1, 3}) {
      const auto start = rows.begin() + static_cast<std::ptrdiff_t>((head * kHeadDim + row) * kDim);
      result.insert(result.end(), start, start + kDim);
    }
  }
  return result;
}

class Llama2c : public testing::Test {
 protected:
  CheckpointFile converted(const std::string& bytes) {
    convert({.source = folder_.write("m.bin", bytes), .destination = folder_.file("m.h5")});
    return CheckpointFile::open(folder_.file("m.h5"));
  }
  Outcome outcome_of(const std::string& bytes) {
    return convert_outcome(
        {.source = folder_.write("m.bin", bytes), .destination = folder_.file("m.h5")});
  }
  void expect_float_arrays(const CheckpointFile& file) {
    EXPECT_EQ(stored_values(file, "embedding"), Llama2cWriter::values("embedding", kVocab, kDim));
    EXPECT_EQ(stored_values(file, "layers.1.attention_norm"),
              Llama2cWriter::values("rms_att.1", 1, kDim));
    EXPECT_EQ(stored_values(file, "layers.0.ffn_norm"),
              Llama2cWriter::values("rms_ffn.0", 1, kDim));
    EXPECT_EQ(stored_values(file, "layers.1.q"),
              half_split(Llama2cWriter::values("wq.1", kDim, kDim)));
    EXPECT_EQ(stored_values(file, "layers.0.k"),
              half_split(Llama2cWriter::values("wk.0", kHeadDim, kDim)));
    EXPECT_EQ(stored_values(file, "layers.1.v"), Llama2cWriter::values("wv.1", kHeadDim, kDim));
    EXPECT_EQ(stored_values(file, "layers.1.o"), Llama2cWriter::values("wo.1", kDim, kDim));
    EXPECT_EQ(stored_values(file, "layers.0.gate"), Llama2cWriter::values("w1.0", kHidden, kDim));
    EXPECT_EQ(stored_values(file, "layers.0.down"), Llama2cWriter::values("w2.0", kDim, kHidden));
    EXPECT_EQ(stored_values(file, "layers.1.up"), Llama2cWriter::values("w3.1", kHidden, kDim));
    EXPECT_EQ(stored_values(file, "final_norm"), Llama2cWriter::values("rms_final", 1, kDim));
  }
  TemporaryFolder folder_;
};

TEST_F(Llama2c, LegacyFilesAreReadArrayByArray) {
  const CheckpointFile file = converted(legacy_file(true));
  expect_float_arrays(file);
  EXPECT_EQ(file.model().at("tied"), true);
  EXPECT_EQ(file.model().at("max_length"), kSeqLen);
  EXPECT_EQ(file.model().at("norm_eps"), 1e-5);
  EXPECT_EQ(file.model().at("bos_id"), 1);
  EXPECT_EQ(file.model().at("eod_ids"), Json::array({1, 2}));
}

TEST_F(Llama2c, ANegativeVocabularyMeansAnOutputMatrixOfItsOwn) {
  const CheckpointFile file = converted(legacy_file(false));
  expect_float_arrays(file);
  EXPECT_EQ(stored_values(file, "head"), Llama2cWriter::values("wcls", kVocab, kDim));
}

TEST_F(Llama2c, Version1KeepsNormsInFront) {
  expect_float_arrays(converted(version1_file(true)));
  const CheckpointFile file = converted(version1_file(false));
  expect_float_arrays(file);
  EXPECT_EQ(stored_values(file, "head"), Llama2cWriter::values("wcls", kVocab, kDim));
}

TEST_F(Llama2c, Version2IsDequantisedGroupByGroup) {
  const CheckpointFile file = converted(version2_file());
  EXPECT_EQ(stored_values(file, "embedding"),
            Llama2cWriter::dequantised("embedding", kVocab, kDim));
  EXPECT_EQ(stored_values(file, "layers.1.q"),
            half_split(Llama2cWriter::dequantised("wq.1", kDim, kDim)));
  EXPECT_EQ(stored_values(file, "layers.1.up"), Llama2cWriter::dequantised("w3.1", kHidden, kDim));
  EXPECT_EQ(stored_values(file, "layers.0.ffn_norm"), Llama2cWriter::values("rms_ffn.0", 1, kDim));
}

TEST_F(Llama2c, AFileOfAnotherLengthSaysWhatItsHeaderPromises) {
  for (const std::string& whole : {legacy_file(true), version1_file(false), version2_file()}) {
    const Outcome shorter = outcome_of(whole.substr(0, whole.size() - 1));
    EXPECT_EQ(shorter.code, ExitCode::bad_input);
    EXPECT_TRUE(contains_all(shorter.message, {"m.bin", std::to_string(whole.size() - 1),
                                               "expected " + std::to_string(whole.size())}))
        << shorter.message;
    EXPECT_EQ(outcome_of(whole + "x").code, ExitCode::bad_input);
  }
}

TEST_F(Llama2c, EveryTruncationIsRefused) {
  const std::string whole = version2_file();
  for (std::size_t size = 0; size < whole.size(); size += 97) {
    EXPECT_EQ(outcome_of(whole.substr(0, size)).code, ExitCode::bad_input) << size;
  }
}

TEST_F(Llama2c, HeadersThatLieAreRefused) {
  struct Lie {
    std::size_t field;
    std::int32_t value;
    const char* named;
  };
  for (const Lie& lie :
       {Lie{0, 0, "dim"}, Lie{0, 7, "dim"}, Lie{1, -3, "hidden_dim"}, Lie{2, 0, "n_layers"},
        Lie{2, 1 << 27, "n_layers"}, Lie{3, 3, "n_heads"}, Lie{4, 5, "n_kv_heads"},
        Lie{5, INT32_MIN, "vocab_size"}, Lie{5, 7, "expected"}, Lie{6, 0, "seq_len"},
        Lie{6, 1 << 28, "expected"}}) {
    std::string bytes = legacy_file(true);
    bytes.replace(lie.field * 4, 4, SafetensorsWriter::bytes_of(std::vector{lie.value}));
    const Outcome outcome = outcome_of(bytes);
    EXPECT_EQ(outcome.code, ExitCode::bad_input) << lie.named << " " << lie.value;
    EXPECT_TRUE(contains_all(outcome.message, {"m.bin", lie.named})) << outcome.message;
  }
}

TEST_F(Llama2c, UnknownVersionsAndGroupSizesAreRefused) {
  std::string bytes = version1_file(true);
  bytes[4] = 3;
  EXPECT_TRUE(contains_all(outcome_of(bytes).message, {"version 3", "unsupported"}));
  bytes = version2_file();
  bytes[8 + 28 + 1] = 3;
  EXPECT_TRUE(contains_all(outcome_of(bytes).message, {"group size 3"}));
}

TEST_F(Llama2c, TheStoryModelConvertsWithItsTokenizer) {
  const ConvertReport report = convert({.source = kStories,
                                        .destination = folder_.file("stories.h5"),
                                        .tokenizer = kStoriesTokenizer});
  EXPECT_EQ(report.source_kind, "llama2.c");
  EXPECT_EQ(report.parameters, 260032);
  const CheckpointFile file = CheckpointFile::open(folder_.file("stories.h5"));
  EXPECT_EQ(file.tokenizer_kind(), "llama2.c");
  EXPECT_EQ(file.tokenizer(), read_text_file(kStoriesTokenizer));
  EXPECT_EQ(file.model().at("vocab_size"), 512);
  EXPECT_EQ(file.model().at("kv_heads"), 4);
}

TEST_F(Llama2c, ATokenizerOfAnotherVocabularyIsRefused) {
  const Outcome outcome = convert_outcome({.source = folder_.write("m.bin", legacy_file(true)),
                                           .destination = folder_.file("m.h5"),
                                           .tokenizer = kStoriesTokenizer});
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(outcome.message, {"tok512.bin"})) << outcome.message;
}

TEST_F(Llama2c, AMissingTokenizerIsAMissingInput) {
  EXPECT_EQ(convert_outcome({.source = kStories,
                             .destination = folder_.file("m.h5"),
                             .tokenizer = folder_.file("tok.bin")})
                .code,
            ExitCode::missing_input);
}

}  // namespace
}  // namespace gridmill

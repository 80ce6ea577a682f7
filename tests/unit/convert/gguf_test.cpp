// GGUF files: values of every type as the Python package gguf makes them, a model beside the same
// model in a Hugging Face folder (tests/data/convert/quantised), and files that lie.
#include "convert/gguf/gguf.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <ostream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "convert/gguf/gguf_blocks.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"
#include "unit/convert/support.hpp"

namespace gridmill {
namespace {

using convert_detail::GgufEntry;
using convert_detail::GgufFile;
using convert_detail::GgufTensor;
using test::contains_all;
using test::TemporaryFolder;

const std::string kData = GRIDMILL_TEST_DATA "/convert/quantised";
const std::string kModel = kData + "/tiny-llama.gguf";

std::vector<float> values_of(const GgufFile& file, const std::string& name) {
  for (const GgufEntry& entry : file.tensors) {
    if (entry.name != name) continue;
    const GgufTensor tensor(file, entry);
    std::vector<float> values(static_cast<std::size_t>(convert_detail::element_count(entry.shape)));
    // In pieces that divide no block.
    constexpr std::size_t kStep = 77;
    for (std::size_t first = 0; first < values.size(); first += kStep) {
      tensor.read(static_cast<std::int64_t>(first),
                  std::span(values).subspan(first, std::min(kStep, values.size() - first)));
    }
    return values;
  }
  throw FormatError("no tensor " + name);
}

class GgufType : public testing::TestWithParam<std::string> {};

TEST_P(GgufType, HasTheValuesOfThePythonPackage) {
  const GgufFile file = convert_detail::read_gguf_file(kData + "/blocks.gguf");
  EXPECT_EQ(values_of(file, GetParam()), values_of(file, "expected." + GetParam()));
}
INSTANTIATE_TEST_SUITE_P(Types, GgufType,
                         testing::Values("F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0",
                                         "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS",
                                         "MXFP4"),
                         [](const auto& one) { return one.param; });

TEST(Gguf, AModelConvertsToTheSameCheckpointAsItsFolder) {
  const TemporaryFolder folder;
  convert({.source = kModel, .destination = folder.file("gguf.h5")});
  convert({.source = kData + "/tiny-llama", .destination = folder.file("folder.h5")});
  const CheckpointFile ours = CheckpointFile::open(folder.file("gguf.h5"));
  const CheckpointFile expected = CheckpointFile::open(folder.file("folder.h5"));
  for (const StoredParameter& parameter : expected.parameters()) {
    EXPECT_EQ(test::stored_values(ours, parameter.spec.name),
              test::stored_values(expected, parameter.spec.name))
        << parameter.spec.name;
    EXPECT_EQ(test::stored_dtype(ours, parameter.spec.name), parameter.dtype);
  }
  EXPECT_EQ(ours.model(), expected.model());
  EXPECT_EQ(ours.hash(), expected.hash());
}

TEST(Gguf, SentencePieceInsideEncodesAsTheFileItWasMadeFrom) {
  const convert_detail::FoundTokenizer found =
      convert_detail::gguf_tokenizer(convert_detail::read_gguf_file(kModel));
  const auto ours = make_tokenizer(found.kind, found.bytes, 512);
  const std::string source = GRIDMILL_MODELS_DIR "/stories260K/tok512.bin";
  const auto expected = make_tokenizer(kLlama2cTokenizer, read_text_file(source), 512);
  for (const char* text :
       {"Once upon a time, there was a girl.", "a  b\n\xC3\xA9 \xF0\x9F\x99\x82", "", " x"}) {
    EXPECT_EQ(ours->encode(text, true), expected->encode(text, true)) << text;
  }
  EXPECT_EQ(ours->bos(), 1);
  EXPECT_TRUE(ours->is_special(2));
}

TEST(Gguf, KeepsTheChatTemplateAndTheSpecialTokens) {
  const TemporaryFolder folder;
  convert({.source = kModel, .destination = folder.file("m.h5")});
  const CheckpointFile file = CheckpointFile::open(folder.file("m.h5"));
  const auto& files = file.files();
  EXPECT_TRUE(files.at("chat_template.jinja").starts_with("{% for m in messages %}"));
  EXPECT_EQ(parse_json(files.at("tokenizer_config.json"), "t").at("bos_token"), "<s>");
}

/// Bytes of a GGUF file, key by key.
class GgufWriter {
 public:
  static std::string text(const std::string& value) {
    return number<std::uint64_t>(value.size()) + value;
  }
  template <typename T>
  static std::string number(T value) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
  }
  GgufWriter& add(const std::string& key, const std::string& value) {
    return raw(key, 8, text(value));
  }
  GgufWriter& add(const std::string& key, std::uint32_t value) {
    return raw(key, 4, number(value));
  }
  GgufWriter& add(const std::string& key, const std::vector<std::string>& values) {
    std::string bytes = number<std::uint32_t>(8) + number<std::uint64_t>(values.size());
    for (const std::string& value : values) bytes += text(value);
    return raw(key, 9, bytes);
  }
  GgufWriter& add(const std::string& key, const std::vector<std::int32_t>& values) {
    std::string bytes = number<std::uint32_t>(5) + number<std::uint64_t>(values.size());
    for (const std::int32_t value : values) bytes += number(value);
    return raw(key, 9, bytes);
  }
  GgufWriter& raw(const std::string& key, std::uint32_t type, const std::string& bytes) {
    keys_ += text(key) + number(type) + bytes;
    ++key_count_;
    return *this;
  }
  GgufWriter& tensor(const std::string& name, const std::vector<std::uint64_t>& extents,
                     std::uint32_t type, std::uint64_t offset) {
    tensors_ += text(name) + number(static_cast<std::uint32_t>(extents.size()));
    for (const std::uint64_t extent : extents) tensors_ += number(extent);
    tensors_ += number(type) + number(offset);
    ++tensor_count_;
    return *this;
  }
  [[nodiscard]] std::string bytes(std::size_t data, std::uint32_t version = 3) const {
    std::string file =
        "GGUF" + number(version) + number(tensor_count_) + number(key_count_) + keys_ + tensors_;
    file.resize((file.size() + 31) / 32 * 32 + data);
    return file;
  }

 private:
  std::string keys_;
  std::string tensors_;
  std::uint64_t key_count_ = 0;
  std::uint64_t tensor_count_ = 0;
};

TEST(Gguf, ByteLevelBpeInsideEncodesAsItsTokenizerJson) {
  // Given the tokenizer of a model as the keys that a converter writes
  const std::string source = GRIDMILL_TEST_DATA "/tokenizer/llama3-style/tokenizer.json";
  const Json json = parse_json(read_text_file(source), source);
  const Json& vocab = json.at("model").at("vocab");
  std::size_t size = 0;
  for (const Json& id : vocab) size = std::max(size, id.get<std::size_t>() + 1);
  for (const Json& added : json.at("added_tokens")) {
    size = std::max(size, added.at("id").get<std::size_t>() + 1);
  }
  std::vector<std::string> tokens(size);
  std::vector<std::int32_t> types(size, 5);
  for (const auto& [token, id] : vocab.items()) {
    tokens.at(id.get<std::size_t>()) = token;
    types.at(id.get<std::size_t>()) = 1;
  }
  for (const Json& added : json.at("added_tokens")) {
    tokens.at(added.at("id").get<std::size_t>()) = added.at("content").get<std::string>();
    types.at(added.at("id").get<std::size_t>()) = added.at("special") == true ? 3 : 4;
  }
  std::vector<std::string> merges;
  for (const Json& merge : json.at("model").at("merges")) {
    merges.push_back(merge.is_string()
                         ? merge.get<std::string>()
                         : merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  }
  GgufWriter writer;
  writer.add("tokenizer.ggml.model", std::string("gpt2"));
  writer.add("tokenizer.ggml.pre", std::string("llama-bpe"));
  writer.add("tokenizer.ggml.tokens", tokens);
  writer.add("tokenizer.ggml.token_type", types);
  writer.add("tokenizer.ggml.merges", merges);
  writer.raw("tokenizer.ggml.add_bos_token", 7, std::string(1, '\0'));
  const TemporaryFolder folder;
  const std::string path = folder.write("t.gguf", writer.bytes(0));
  // When it is read
  const convert_detail::FoundTokenizer found =
      convert_detail::gguf_tokenizer(convert_detail::read_gguf_file(path));
  const auto ours = make_tokenizer(found.kind, found.bytes, 0);
  const auto expected = make_tokenizer(read_text_file(source), source);
  // Then texts get the same ids
  for (const char* text : {"Hello, world! It's 12345 o'clock.", "x\n\n  y\t\xC3\xA9\xE4\xB8\xAD",
                           "<|begin_of_text|>a"}) {
    EXPECT_EQ(ours->encode(text, false), expected->encode(text, false)) << text;
  }
}

/// A file that lies.
struct BadGguf {
  std::string name;
  std::function<std::string()> bytes;
  std::vector<std::string> expected;
};
void PrintTo(const BadGguf& value, std::ostream* out) { *out << value.name; }

GgufWriter llama_keys() {
  GgufWriter writer;
  writer.add("general.architecture", std::string("llama"));
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, std::uint32_t>>{{"block_count", 1},
                                                          {"context_length", 16},
                                                          {"embedding_length", 32},
                                                          {"feed_forward_length", 32},
                                                          {"attention.head_count", 2}}) {
    writer.add(std::string("llama.") + key, value);
  }
  writer.raw("llama.attention.layer_norm_rms_epsilon", 6, GgufWriter::number(1e-5F));
  return writer;
}

std::vector<BadGguf> bad_files() {
  using W = GgufWriter;
  const auto count = [](std::uint64_t value) { return W::number(value); };
  return {
      {"version", [] { return W().bytes(0, 1); }, {"version 1", "unsupported"}},
      {"big_endian", [] { return W().bytes(0, 0x03000000); }, {"big-endian"}},
      {"huge_counts",
       [count] { return "GGUF" + W::number(std::uint32_t{3}) + count(~0ULL) + count(~0ULL); },
       {"tensors", "at most"}},
      {"many_keys",
       [count] { return "GGUF" + W::number(std::uint32_t{3}) + count(0) + count(65000); },
       {"a key", "cut short"}},
      {"long_key",
       [count] {
         return "GGUF" + W::number(std::uint32_t{3}) + count(0) + count(1) + count(1ULL << 62);
       },
       {"a key", "at most"}},
      {"long_array",
       [count] {
         return W().raw("k", 9, W::number(std::uint32_t{4}) + count(1ULL << 40)).bytes(0);
       },
       {"key k", "at most"}},
      {"nested_array",
       [count] { return W().raw("k", 9, W::number(std::uint32_t{9}) + count(1)).bytes(0); },
       {"key k", "type 9", "unsupported"}},
      {"unknown_value", [] { return W().raw("k", 99, "").bytes(0); }, {"key k", "99"}},
      {"key_twice",
       [] { return W().add("k", std::uint32_t{1}).add("k", std::uint32_t{1}).bytes(0); },
       {"key k", "second time"}},
      {"no_architecture", [] { return W().bytes(0); }, {"general.architecture"}},
      {"other_architecture",
       [] { return W().add("general.architecture", std::string("mamba")).bytes(0); },
       {"general.architecture", "mamba", "unsupported"}},
      {"unknown_tensor_type",
       [] { return llama_keys().tensor("t", {32}, 16, 0).bytes(64); },
       {"tensor t", "IQ2_XXS", "unsupported"}},
      {"no_tensor_type",
       [] { return llama_keys().tensor("t", {32}, 4711, 0).bytes(64); },
       {"tensor t", "4711", "unsupported"}},
      {"tensor_outside",
       [] { return llama_keys().tensor("t", {32}, 0, 0).bytes(64); },
       {"tensor t", "cut short"}},
      {"offset_outside",
       [] { return llama_keys().tensor("t", {32}, 0, 1ULL << 60).bytes(64); },
       {"tensor t", "cut short"}},
      {"huge_tensor",
       [] {
         return llama_keys().tensor("t", {1ULL << 40, 1ULL << 40}, 0, 0).bytes(64);
       },
       {"tensor t"}},
      {"blocks_do_not_divide",
       [] { return llama_keys().tensor("t", {33}, 8, 0).bytes(64); },
       {"tensor t", "Q8_0", "32"}},
      {"no_axes", [] { return llama_keys().tensor("t", {}, 0, 0).bytes(64); }, {"tensor t"}},
      {"empty_axis", [] { return llama_keys().tensor("t", {0}, 0, 0).bytes(64); }, {"tensor t"}},
      {"tensor_twice",
       [] { return llama_keys().tensor("t", {1}, 0, 0).tensor("t", {1}, 0, 32).bytes(64); },
       {"tensor t", "second time"}},
      {"no_embedding",
       [] { return llama_keys().tensor("t", {32}, 1, 0).bytes(64); },
       {"token_embd.weight"}},
      {"zero_heads",
       [] {
         GgufWriter writer = llama_keys();
         writer.add("llama.attention.head_count_kv", std::uint32_t{0});
         return writer.tensor("token_embd.weight", {32, 2}, 0, 0).bytes(256);
       },
       {"llama.attention.head_count_kv"}},
      {"unknown_key",
       [] {
         GgufWriter writer = llama_keys();
         writer.add("llama.new_mathematics", std::uint32_t{2});
         return writer.tensor("token_embd.weight", {32, 2}, 0, 0).bytes(256);
       },
       {"llama.new_mathematics", "unsupported"}},
      {"parts",
       [] { return llama_keys().raw("split.count", 2, W::number(std::uint16_t{2})).bytes(0); },
       {"split.count"}},
      {"adapter",
       [] { return llama_keys().add("general.type", std::string("adapter")).bytes(0); },
       {"general.type", "adapter", "unsupported"}},
      {"missing_tensor",
       [] {
         return llama_keys().tensor("token_embd.weight", {32, 2}, 0, 0).bytes(256);
       },
       {"missing"}},
  };
}

class BadGgufFile : public testing::TestWithParam<BadGguf> {};

TEST_P(BadGgufFile, IsRefusedByName) {
  const TemporaryFolder folder;
  const std::string path = folder.write("m.gguf", GetParam().bytes());
  const test::Outcome outcome =
      test::convert_outcome({.source = path, .destination = folder.file("m.h5")});
  EXPECT_EQ(outcome.code, ExitCode::bad_input) << outcome.message;
  EXPECT_TRUE(contains_all(outcome.message, GetParam().expected)) << outcome.message;
  EXPECT_FALSE(std::filesystem::exists(folder.file("m.h5")));
}
INSTANTIATE_TEST_SUITE_P(Cases, BadGgufFile, testing::ValuesIn(bad_files()),
                         [](const auto& one) { return one.param.name; });

TEST(Gguf, EveryCutOfAFileIsRefused) {
  const std::string whole = read_text_file(kModel);
  const TemporaryFolder folder;
  for (const std::size_t parts : {1, 3, 50, 90, 99}) {
    const std::string path = folder.write("m.gguf", whole.substr(0, whole.size() * parts / 100));
    EXPECT_EQ(test::convert_outcome({.source = path, .destination = folder.file("m.h5")}).code,
              ExitCode::bad_input)
        << parts;
  }
}

TEST(Gguf, AScaleThatIsNoNumberIsRefusedByName) {
  std::string bytes = GgufWriter().tensor("t", {32}, 8, 0).bytes(34);
  bytes[bytes.size() - 33] = '\x7E';  // fp16 0x7E00 is NaN
  const TemporaryFolder folder;
  const GgufFile file = convert_detail::read_gguf_file(folder.write("m.gguf", bytes));
  const test::Outcome outcome = test::outcome_of([&] { static_cast<void>(values_of(file, "t")); });
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(outcome.message, {"tensor t", "finite"})) << outcome.message;
}

TEST(Gguf, AFolderOfGgufFilesSaysHowTheyAreConverted) {
  const TemporaryFolder folder;
  folder.write("model-Q4_K_M.gguf", "GGUF");
  const test::Outcome outcome =
      test::convert_outcome({.source = folder.path().string(), .destination = "m.h5"});
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(outcome.message, {"gridmill convert", "model-Q4_K_M.gguf"}))
      << outcome.message;
}

TEST(Gguf, ATokenizerOfAnotherKindIsRefusedByNameAndMayBeReplaced) {
  const TemporaryFolder folder;
  GgufWriter writer;
  writer.add("tokenizer.ggml.model", std::string("gpt2"));
  writer.add("tokenizer.ggml.pre", std::string("deepseek-coder"));
  writer.add("tokenizer.ggml.tokens", std::vector<std::string>{"a"});
  const std::string path = folder.write("t.gguf", writer.bytes(0));
  const test::Outcome outcome = test::outcome_of([&] {
    static_cast<void>(convert_detail::gguf_tokenizer(convert_detail::read_gguf_file(path)));
  });
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(outcome.message,
                           {"tokenizer.ggml.pre", "deepseek-coder", "unsupported", "--tokenizer"}))
      << outcome.message;
}

}  // namespace
}  // namespace gridmill

#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/json_mutator.hpp"
#include "fuzz/lines_mutator.hpp"
#include "fuzz/mutator.hpp"
#include "fuzz/protobuf_mutator.hpp"
#include "fuzz/safetensors_mutator.hpp"
#include "fuzz/template_mutator.hpp"

namespace gridmill::fuzz {

/// A file of a folder. A link has its target as bytes.
struct FolderFile {
  std::string name;
  bool link = false;
  std::string bytes;
};

/// A folder as one input: of each file a line "file NAME SIZE" or "link NAME SIZE", its bytes, and
/// an end of line. Stops where the text says something else.
inline std::vector<FolderFile> unpack(std::string_view archive) {
  std::vector<FolderFile> files;
  while (archive.starts_with("file ") || archive.starts_with("link ")) {
    const std::size_t end = archive.find('\n');
    const std::size_t blank = archive.substr(0, end).rfind(' ');
    if (end == std::string_view::npos || blank < 5) break;
    FolderFile file;
    file.link = archive.starts_with("link ");
    file.name = archive.substr(5, blank - 5);
    std::size_t size = 0;
    std::from_chars(archive.data() + blank + 1, archive.data() + end, size);
    archive.remove_prefix(end + 1);
    file.bytes = archive.substr(0, size);
    archive.remove_prefix(std::min(size + 1, archive.size()));
    const bool plain = !file.name.empty() && file.name.find('/') == std::string::npos &&
                       file.name.find('\0') == std::string::npos && file.name != "." &&
                       file.name != ".." && file.name.size() < 200;
    if (plain) files.push_back(std::move(file));
  }
  return files;
}

inline std::string pack(const std::vector<FolderFile>& files) {
  std::string archive;
  for (const FolderFile& file : files) {
    archive += (file.link ? "link " : "file ") + file.name + " " +
               std::to_string(file.bytes.size()) + "\n" + file.bytes + "\n";
  }
  return archive;
}

/// One change of a file by what its name says it is.
inline std::string mutated_file(const FolderFile& file, const Dice& dice) {
  const auto seed = static_cast<std::uint32_t>(dice(1U << 31));
  if (file.name.ends_with(".json")) return mutated_json(file.bytes, seed);
  if (file.name.ends_with(".safetensors")) return mutated_safetensors(file.bytes, dice);
  if (file.name.ends_with(".model")) return mutated_message(file.bytes, dice);
  if (file.name.ends_with(".jinja")) return mutated_template(file.bytes, dice);
  if (file.name.ends_with(".txt") || file.name.ends_with(".jsonl")) {
    return mutated_lines(file.bytes, dice);
  }
  std::string bytes = file.bytes;
  change_bytes(bytes, dice);
  return bytes;
}

/// One change of a model folder: in a file, or of the files that there are.
inline void mutate_folder(std::vector<FolderFile>& files, const Dice& dice) {
  static constexpr std::array<const char*, 14> kNames = {"config.json",
                                                         "generation_config.json",
                                                         "model.safetensors",
                                                         "model.safetensors.index.json",
                                                         "model-00001-of-00002.safetensors",
                                                         "tokenizer.json",
                                                         "tokenizer.model",
                                                         "tokenizer_config.json",
                                                         "special_tokens_map.json",
                                                         "added_tokens.json",
                                                         "vocab.json",
                                                         "merges.txt",
                                                         "chat_template.jinja",
                                                         "adapter_config.json"};
  if (files.empty()) return;
  const std::size_t at = dice(files.size());
  FolderFile& file = files[at];
  switch (dice(12)) {
    case 0:
      files.erase(files.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    case 1:
      file.name = one_of(kNames, dice);
      break;
    case 2: {
      FolderFile copy = file;
      copy.name = one_of(kNames, dice);
      files.push_back(std::move(copy));
      break;
    }
    case 3:
      file.link = true;
      file.bytes =
          dice(2) == 0 ? std::string(one_of(kNames, dice)) : one_of(paths_elsewhere(), dice);
      break;
    case 4:
      change_bytes(file.bytes, dice);
      break;
    default:
      file.bytes = mutated_file(file, dice);
      break;
  }
}

}  // namespace gridmill::fuzz

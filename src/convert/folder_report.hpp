#pragma once

#include <string>
#include <string_view>

#include "convert/model_folder.hpp"
#include "gridmill/base/json.hpp"

namespace gridmill::convert_detail {

/// Whether a file's name says that it holds weights, in whatever format.
[[nodiscard]] bool is_weight_file(std::string_view name);

/// A sentence on the adapter that a folder with adapter_config.json has: its name and how to merge
/// it; empty without one.
[[nodiscard]] std::string adapter_advice(const ModelFolder& folder);

/// A sentence on the GGUF files of a folder, which are converted one by one; empty without one.
[[nodiscard]] std::string gguf_advice(const ModelFolder& folder);

/// Logs which files of the folder were not read: adapters, other weights, files of unknown meaning.
/// Files that never matter for text generation are passed over (docs/formats/foreign.md).
void report_unread_files(const ModelFolder& folder);

/// Logs in one line which settings of generation_config.json, or of a config.json that has them,
/// `gridmill generate` does not apply by itself.
/// @param settings  the parsed file; anything but an object is passed over.
void report_generation_settings(const Json& settings, const std::string& where);

}  // namespace gridmill::convert_detail

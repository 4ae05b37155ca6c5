// SPDX-License-Identifier: Apache-2.0
// `import config.json`: a model file from a Hugging Face configuration.
#include <fmt/core.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "models/import/hf_config.h"
#include "scenarios/cli/commands.h"
#include "scenarios/cli/session.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

namespace {

constexpr std::uintmax_t kLargestConfig = 16 << 20;  // bytes; real ones have a few thousand

std::string read_config(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) throw ConfigError(file.string() + ": no such file");
  if (std::filesystem::is_directory(file, error)) {
    throw ConfigError(file.string() + ": is a folder; name the config.json in it");
  }
  if (std::filesystem::is_regular_file(file, error) && std::filesystem::file_size(file, error) > kLargestConfig) {
    throw ConfigError(file.string() + ": is too large to be a model's config.json");
  }
  std::ifstream in(file, std::ios::binary);
  if (!in) throw ConfigError(file.string() + ": cannot be read");
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

int import_command(const Options& options) {
  const std::string& file = options.inputs.front();
  const models::ImportedModel model = models::import_hf_config(read_config(file), file);
  if (options.out) write_file(*options.out, model.textproto);
  if (options.json) {
    print(nlohmann::ordered_json{{"textproto", model.textproto}, {"ignored", model.ignored}}.dump(2) + "\n");
  } else if (!options.out) {
    print(model.textproto);
  }
  if (!options.quiet && !model.ignored.empty()) {
    std::string fields;
    for (const std::string& field : model.ignored) fields += (fields.empty() ? "" : ", ") + field;
    fmt::print(stderr, "fields that change no cost here: {}\n", fields);
  }
  return 0;
}

}  // namespace lightcone::scenarios

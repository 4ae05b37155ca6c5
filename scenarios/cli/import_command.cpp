// SPDX-License-Identifier: Apache-2.0
// `import config.json`: a model file from a Hugging Face configuration.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "models/import/hf_config.h"
#include "scenarios/cli/commands.h"
#include "scenarios/cli/session.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

namespace {

constexpr std::size_t kLargestConfig = 16 << 20;  // bytes; real ones have a few thousand

std::string read_config(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) throw ConfigError(file.string() + ": no such file");
  if (std::filesystem::is_directory(file, error)) {
    throw ConfigError(file.string() + ": is a folder; name the config.json in it");
  }
  std::ifstream in(file, std::ios::binary);
  if (!in) throw ConfigError(file.string() + ": cannot be read");
  std::string text(kLargestConfig + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() > kLargestConfig) throw ConfigError(file.string() + ": is too large to be a model's config.json");
  return text;
}

}  // namespace

int import_command(const Options& options) {
  const std::string& file = options.inputs.front();
  models::ImportOptions chosen;
  chosen.name = options.name;
  chosen.source = options.source;
  const models::ImportedModel model = models::import_hf_config(read_config(file), file, chosen);
  if (options.out) write_file(*options.out, model.textproto);
  if (options.json) {
    print(
        nlohmann::ordered_json{{"textproto", model.textproto}, {"harmless", model.harmless}, {"unknown", model.unknown}}
            .dump(2) +
        "\n");
  } else if (!options.out) {
    print(model.textproto);
  }
  if (options.quiet) return 0;
  if (!model.harmless.empty())
    fmt::print(stderr, "not used, change no cost here: {}\n", fmt::join(model.harmless, ", "));
  if (!model.unknown.empty())
    fmt::print(stderr, "warning: not used, meaning not known, check that the model does not depend on: {}\n",
               fmt::join(model.unknown, ", "));
  return 0;
}

}  // namespace lightcone::scenarios

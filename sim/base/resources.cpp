// SPDX-License-Identifier: Apache-2.0
#include "sim/base/resources.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "sim/base/error.h"
#include "sim/base/suggest.h"

#ifndef LIGHTCONE_SOURCE_DIR
#define LIGHTCONE_SOURCE_DIR ""
#endif

namespace lightcone {
namespace {

namespace fs = std::filesystem;
constexpr const char* kExtension = ".textproto";

bool is_share(const fs::path& folder) {
  std::error_code error;
  return !folder.empty() && fs::is_directory(folder / "hardware" / "catalog", error);
}

}  // namespace

std::string share_folder() {
  if (const char* chosen = std::getenv("LIGHTCONE_SHARE"); chosen != nullptr && *chosen != '\0') {
    if (is_share(chosen)) return chosen;
    throw ConfigError(fmt::format("LIGHTCONE_SHARE={}: holds no hardware/catalog", chosen));
  }
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path installed = program.parent_path().parent_path() / "share" / "lightcone";
  if (is_share(installed)) return installed.string();
  if (is_share(LIGHTCONE_SOURCE_DIR)) return LIGHTCONE_SOURCE_DIR;
  throw ConfigError(fmt::format("the catalogs are neither in {} nor in {}; set LIGHTCONE_SHARE to the folder with them",
                                LIGHTCONE_SOURCE_DIR, installed.string()));
}

std::vector<std::string> catalog_names(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fs::path(share_folder()) / folder, error)) {
    if (entry.path().extension() == kExtension) names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string find_catalog_file(const std::string& what, const std::string& folder, const std::string& name_or_path,
                              const std::string& relative_to) {
  std::error_code error;
  const fs::path given(name_or_path);
  if (given.extension() == kExtension || name_or_path.find('/') != std::string::npos) {
    if (!relative_to.empty() && given.is_relative() && fs::exists(fs::path(relative_to) / given, error))
      return (fs::path(relative_to) / given).string();
    if (fs::exists(given, error)) return name_or_path;
    throw ConfigError(fmt::format("{}: no such file; a {} file is needed", name_or_path, what));
  }
  const fs::path file = fs::path(share_folder()) / folder / (name_or_path + kExtension);
  if (!name_or_path.empty() && fs::exists(file, error)) return file.string();
  throw ConfigError(
      fmt::format("no {} is named \"{}\"{}", what, name_or_path, suggestion_text(name_or_path, catalog_names(folder))));
}

}  // namespace lightcone

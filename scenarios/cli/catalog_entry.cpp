// SPDX-License-Identifier: Apache-2.0
#include "scenarios/cli/catalog_entry.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <iterator>
#include <set>

#include "hardware/spec/load.h"
#include "models/load.h"
#include "scenarios/load/load_scenario.h"
#include "sim/base/error.h"
#include "sim/base/resources.h"
#include "sim/base/suggest.h"
#include "sim/base/textproto_overlay.h"
#include "sim/base/textproto_path.h"
#include "workloads/load.h"

namespace lightcone::scenarios {

namespace {

constexpr std::size_t kEnoughText = 1 << 20;  // files are far shorter

struct Catalog {
  EntryKind kind;
  std::vector<std::string> (*names)();
};
constexpr std::array<Catalog, 4> kCatalogs{{{EntryKind::model, models::list_models},
                                            {EntryKind::machine, hardware::list_machines},
                                            {EntryKind::workload, workloads::list_workloads},
                                            {EntryKind::scenario, list_scenarios}}};

bool is_path(const std::string& text) {
  const std::string ending = ".textproto";
  return text.find('/') != std::string::npos ||
         (text.size() > ending.size() && text.compare(text.size() - ending.size(), ending.size(), ending) == 0);
}

// The field names outside all braces and brackets; comments and strings are skipped.
std::set<std::string> top_level_fields(std::string_view text) {
  std::set<std::string> fields;
  int depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '#') {
      i = std::min(text.find('\n', i), text.size() - 1);
    } else if (c == '"' || c == '\'') {
      for (++i; i < text.size() && text[i] != c; ++i) i += text[i] == '\\';
    } else if (c == '{' || c == '[' || c == '<') {
      ++depth;
    } else if (c == '}' || c == ']' || c == '>') {
      --depth;
    } else if (std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_') {
      const std::size_t start = i;
      while (i + 1 < text.size() &&
             (std::isalnum(static_cast<unsigned char>(text[i + 1])) != 0 || text[i + 1] == '_')) {
        ++i;
      }
      if (depth == 0) fields.emplace(text.substr(start, i + 1 - start));
    }
  }
  return fields;
}

bool any_of(const std::set<std::string>& fields, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [&](const char* field) { return fields.count(field) != 0; });
}

struct PartRules {
  const char* folder;
  std::unique_ptr<google::protobuf::Message> (*new_message)();
  std::string (*find_base)(const std::string&, const FieldOrigin&);
};

PartRules rules(EntryKind kind) {
  switch (kind) {
    case EntryKind::model:
      return {models::kModelCatalog, models::new_model_message, models::find_model_base};
    case EntryKind::machine:
      return {hardware::kMachineCatalog, hardware::new_machine_message, hardware::find_machine_base};
    default:
      return {workloads::kWorkloadCatalog, workloads::new_workload_message, workloads::find_workload_base};
  }
}

}  // namespace

std::string_view name(EntryKind kind) {
  constexpr std::array<std::string_view, 4> kNames{"model", "machine", "workload", "scenario"};
  return kNames[static_cast<std::size_t>(kind)];
}

EntryKind kind_of_text(std::string_view text) {
  const std::set<std::string> fields = top_level_fields(text);
  if (any_of(fields, {"model", "machine", "workload", "plan", "sweep"})) return EntryKind::scenario;
  if (any_of(fields, {"gpu", "gpu_count"})) return EntryKind::machine;
  if (any_of(fields, {"prefill", "decode", "training", "formats", "launch"})) return EntryKind::workload;
  if (any_of(fields, {"vocabulary", "d_model", "block", "tied_embeddings", "norm", "position"}))
    return EntryKind::model;
  return EntryKind::scenario;
}

EntryKind find_entry(const std::string& name_or_path) {
  if (is_path(name_or_path)) {
    std::ifstream in(name_or_path, std::ios::binary);
    std::string text(kEnoughText, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(in.gcount()));
    return kind_of_text(text);
  }
  std::vector<std::string> all;
  for (const Catalog& catalog : kCatalogs) {
    const std::vector<std::string> names = catalog.names();
    if (std::find(names.begin(), names.end(), name_or_path) != names.end()) return catalog.kind;
    all.insert(all.end(), names.begin(), names.end());
  }
  throw ConfigError("\"" + name_or_path + "\" is in no catalog" + suggestion_text(name_or_path, all) +
                    " (a file is named by its path)");
}

LoadedPart load_part(EntryKind kind, const std::string& name_or_path, const std::vector<std::string>& sets) {
  const PartRules part = rules(kind);
  const std::string what(name(kind));
  LoadedPart loaded{part.new_message(), {}};
  const std::string file = find_catalog_file(what, part.folder, name_or_path);
  loaded.locations = load_over_base(file, *loaded.message, part.find_base);
  for (const std::string& assignment : sets) {
    const std::string prefix = what + ".";
    const bool has_prefix = assignment.rfind(prefix, 0) == 0;
    apply_set(*loaded.message, loaded.locations, has_prefix ? assignment.substr(prefix.size()) : assignment);
  }
  return loaded;
}

}  // namespace lightcone::scenarios

// SPDX-License-Identifier: Apache-2.0
#include "sim/base/field_locations.h"

#include <fmt/core.h>

#include <utility>

namespace lightcone {
namespace {

// Whether `path` is `root` or lies inside it.
bool inside(const std::string& path, const std::string& root) {
  if (root.empty()) return true;
  if (path.rfind(root, 0) != 0) return false;
  return path.size() == root.size() || path[root.size()] == '.' || path[root.size()] == '[';
}

std::string parent_of(const std::string& path) {
  const std::size_t cut = path.find_last_of(".[");
  return cut == std::string::npos ? std::string() : path.substr(0, cut);
}

}  // namespace

SourceLocation FieldOrigin::where() const { return {source ? source->name() : std::string(), line, column}; }

Diagnostic FieldOrigin::diagnostic(std::string field, std::string message) const {
  return {where(), std::move(field), std::move(message), source && line > 0 ? source->excerpt(line) : std::string()};
}

void FieldLocations::set(const std::string& path, FieldOrigin origin) { origins_[path] = std::move(origin); }

bool FieldLocations::has(const std::string& path) const { return origins_.count(path) != 0; }

FieldOrigin FieldLocations::origin(const std::string& path) const {
  for (std::string at = path;; at = parent_of(at)) {
    const auto found = origins_.find(at);
    if (found != origins_.end()) return found->second;
    if (at.empty()) return {};
  }
}

std::string FieldLocations::shown(const std::string& path) const {
  if (path.empty()) return shown_prefix_;
  return join_path(shown_prefix_, path);
}

Diagnostic FieldLocations::diagnostic(const std::string& path, std::string message) const {
  return origin(path).diagnostic(shown(path), std::move(message));
}

FieldLocations FieldLocations::below(const std::string& path) const {
  FieldLocations out;
  out.shown_prefix_ = shown(path);
  out.origins_[""] = origin(path);
  for (auto it = origins_.lower_bound(path); it != origins_.end() && it->first.rfind(path, 0) == 0; ++it) {
    if (it->first.size() > path.size() && inside(it->first, path))
      out.origins_[it->first.substr(path.empty() ? 0 : path.size() + 1)] = it->second;
  }
  return out;
}

void FieldLocations::erase(const std::string& path) {
  for (auto it = origins_.lower_bound(path); it != origins_.end() && it->first.rfind(path, 0) == 0;) {
    it = inside(it->first, path) ? origins_.erase(it) : std::next(it);
  }
}

void FieldLocations::adopt(const std::string& path, const FieldLocations& from, const std::string& from_path) {
  set(path, from.origin(from_path));
  for (auto it = from.origins_.lower_bound(from_path); it != from.origins_.end(); ++it) {
    if (it->first.rfind(from_path, 0) != 0) break;
    if (!inside(it->first, from_path)) continue;
    std::string rest = it->first.substr(from_path.size());
    if (path.empty() && !rest.empty() && rest.front() == '.') rest.erase(0, 1);
    if (from_path.empty() && !path.empty() && !rest.empty()) rest = fmt::format(".{}", rest);
    origins_[fmt::format("{}{}", path, rest)] = it->second;
  }
}

std::string join_path(const std::string& parent, const std::string& name) {
  return parent.empty() ? name : fmt::format("{}.{}", parent, name);
}

std::string element_path(const std::string& list, int index) { return fmt::format("{}[{}]", list, index); }

}  // namespace lightcone

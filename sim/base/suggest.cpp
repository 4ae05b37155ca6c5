// SPDX-License-Identifier: Apache-2.0
#include "sim/base/suggest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <numeric>
#include <utility>

namespace lightcone {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t above = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, above + 1, diagonal + (a[i] == b[j] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

namespace {
std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}
}  // namespace

std::vector<std::string> suggestions(std::string_view wrong, const std::vector<std::string>& allowed,
                                     std::size_t limit) {
  const std::string needle = lower(wrong);
  std::vector<std::pair<std::size_t, std::string>> near;
  for (const std::string& name : allowed) {
    const std::string candidate = lower(name);
    std::size_t distance = edit_distance(needle, candidate);
    // A name that contains the typed text (or the reverse) is probably meant, however long it is.
    const bool holds = needle.size() >= 3 && candidate.find(needle) != std::string::npos;
    if (holds) distance = std::min<std::size_t>(distance, 1);
    if (distance > std::max<std::size_t>(2, needle.size() / 3)) continue;
    // Of those, names that begin with it come first, short ones before long ones.
    const std::size_t order = holds && candidate.find(needle) != 0 ? candidate.size() * 2 : candidate.size();
    near.emplace_back(distance * 1000 + (holds ? order : 0), name);
  }
  std::stable_sort(near.begin(), near.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> out;
  for (const auto& [distance, name] : near) {
    if (out.size() == limit) break;
    out.push_back(name);
  }
  return out;
}

std::string suggestion_text(std::string_view wrong, const std::vector<std::string>& allowed) {
  const std::vector<std::string> near = suggestions(wrong, allowed);
  if (!near.empty()) return fmt::format("; did you mean \"{}\"?", fmt::join(near, "\" or \""));
  if (allowed.empty()) return {};
  constexpr std::size_t kShown = 12;
  const auto end = allowed.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, allowed.size()));
  return fmt::format("; allowed: {}{}", fmt::join(allowed.begin(), end, ", "), allowed.size() > kShown ? ", ..." : "");
}

}  // namespace lightcone

// SPDX-License-Identifier: Apache-2.0
// "Did you mean": the nearest of a list of allowed names, by edit distance.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace lightcone {

// Levenshtein distance (insert, delete, replace; each costs 1).
std::size_t edit_distance(std::string_view a, std::string_view b);

// The allowed names near enough to `wrong` to be meant, nearest first, at most `limit`. Case is ignored.
std::vector<std::string> suggestions(std::string_view wrong, const std::vector<std::string>& allowed,
                                     std::size_t limit = 3);

// Text to append to an error: `; did you mean "x"?`, else `; allowed: a, b, c` (shortened), else empty.
std::string suggestion_text(std::string_view wrong, const std::vector<std::string>& allowed);

}  // namespace lightcone

// SPDX-License-Identifier: Apache-2.0
#include "hardware/spec/link_table.h"

#include <algorithm>
#include <numeric>

namespace lightcone::hardware {

void LinkTable::finish(std::size_t vertices) {
  sort(vertices);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < links_.size(); ++i) {
    if (kept > 0 && links_[kept - 1].from == links_[i].from && links_[kept - 1].to == links_[i].to) {
      links_[kept - 1].count += links_[i].count;
      links_[kept - 1].wire += links_[i].wire;
    } else {
      links_[kept++] = links_[i];
    }
  }
  links_.resize(kept);
  index(vertices);
}

// Sources are counted first: a plain sort of a million links takes long.
void LinkTable::sort(std::size_t vertices) {
  index(vertices);
  std::vector<DirectedLink> sorted(links_.size());
  std::vector<std::uint32_t> next(first_.begin(), first_.end() - 1);
  for (const DirectedLink& link : links_) sorted[next[link.from]++] = link;
  const auto by_destination = [](const DirectedLink& a, const DirectedLink& b) { return a.to < b.to; };
  for (std::size_t v = 0; v < vertices; ++v) {
    const auto begin = sorted.begin() + first_[v], end = sorted.begin() + first_[v + 1];
    if (!std::is_sorted(begin, end, by_destination)) std::stable_sort(begin, end, by_destination);
  }
  links_ = std::move(sorted);
}

void LinkTable::index(std::size_t vertices) {
  first_.assign(vertices + 1, 0);
  for (const DirectedLink& link : links_) ++first_[link.from + 1];
  std::partial_sum(first_.begin(), first_.end(), first_.begin());
}

void LinkTable::remove(const std::function<bool(const DirectedLink&)>& dead) {
  links_.erase(std::remove_if(links_.begin(), links_.end(), dead), links_.end());
  index(first_.size() - 1);
}

LinkIndex LinkTable::between(VertexIndex from, VertexIndex to) const {
  const auto begin = links_.begin() + first_[from], end = links_.begin() + first_[from + 1];
  const auto found = std::lower_bound(begin, end, to, [](const DirectedLink& l, VertexIndex v) { return l.to < v; });
  return found != end && found->to == to ? static_cast<LinkIndex>(found - links_.begin()) : kNowhere;
}

}  // namespace lightcone::hardware

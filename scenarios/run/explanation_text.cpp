// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "scenarios/run/explain.h"
#include "scenarios/run/summary.h"

namespace lightcone::scenarios {
namespace {

using Json = nlohmann::ordered_json;

// The reasons that make up most of the node's time, at most three, each at least a tenth of it.
std::string reasons_text(const ExplanationNode& node) {
  std::array<std::size_t, kCycleReasonCount> order{};
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return node.reason_seconds[a] > node.reason_seconds[b]; });
  std::string text;
  for (std::size_t i = 0; i < 3; ++i) {
    const double share = node.time.count() > 0 ? node.reason_seconds[order[i]] / node.time.count() : 0;
    if (i > 0 && share < 0.1) break;
    text += fmt::format("{}{} {:.0f} %", text.empty() ? "" : ", ", describe(static_cast<CycleReason>(order[i])),
                        100 * share);
  }
  return text;
}

std::string savings_text(const ExplanationNode& node, std::size_t limit) {
  std::string text;
  for (std::size_t i = 0; i < std::min(limit, node.savings.size()); ++i) {
    text +=
        fmt::format("{}{} {:.1f} %", text.empty() ? "" : ", ", node.savings[i].resource, 100 * node.savings[i].share);
  }
  return text.empty() ? "no single resource" : text;
}

// What limits is what makes the time shorter when there is more of it: a kernel that one resource bounds alone ends
// 1 - 1/1.1 = 9.1 % earlier with 10 % more. Reasons say what the SMs did meanwhile, which is not the same: SMs that
// wait for HBM may wait for its latency, and SMs without work cost nothing where the others use up the bandwidth.
constexpr double kNotable = 0.02;

std::string verdict(const ExplanationNode& root) {
  if (root.savings.empty() || root.savings.front().share < kNotable) {
    return "no single resource: none saves as much as 2 % of the time when it is 10 % better; look at the kernels "
           "(their number, grids and tails)";
  }
  const double most = root.savings.front().share;
  std::string text;
  for (const Saving& saving : root.savings) {
    if (saving.share < std::max(kNotable, most / 2)) break;
    text += fmt::format("{}{} (10 % better saves {:.1f} %)", text.empty() ? "" : ", then ", saving.resource,
                        100 * saving.share);
  }
  return text + "; 9.1 % would be a resource that is all of the time";
}

std::string times(std::uint64_t repeat) { return repeat > 1 ? fmt::format(" x {}", repeat) : ""; }

void add_operators(std::string& out, const ExplanationNode& section, double smallest_share) {
  double folded_share = 0;
  std::size_t folded = 0;
  for (const ExplanationNode& leaf : section.children) {
    if (leaf.share < smallest_share) {
      folded_share += leaf.share;
      ++folded;
      continue;
    }
    out += fmt::format("|  |- {:5.1f} %  {} ({}){}: {}\n", 100 * leaf.share, leaf.name, leaf.kind, times(leaf.repeat),
                       reasons_text(leaf));
    out += fmt::format("|  |           10 % better saves: {}\n", savings_text(leaf, 3));
  }
  if (folded > 0)
    out += fmt::format("|  |- {:5.1f} %  {} more operator{}\n", 100 * folded_share, folded, folded == 1 ? "" : "s");
}

Json node_json(const ExplanationNode& node) {
  Json json{{"name", node.name}};
  if (!node.kind.empty()) json["kind"] = node.kind;
  json["repeat"] = node.repeat;
  json["time_us"] = node.time.count() * 1e6;
  json["share"] = node.share;
  for (std::size_t r = 0; r < kCycleReasonCount; ++r) {
    json["reasons_us"][std::string(kCycleReasonNames[r])] = node.reason_seconds[r] * 1e6;
  }
  json["with_10_percent_more"] = Json::array();
  for (const Saving& saving : node.savings) {
    json["with_10_percent_more"].push_back(
        {{"resource", saving.resource}, {"saved_us", saving.saved.count() * 1e6}, {"saved_share", saving.share}});
  }
  if (!node.children.empty()) {
    json["children"] = Json::array();
    for (const ExplanationNode& child : node.children) json["children"].push_back(node_json(child));
  }
  return json;
}

}  // namespace

std::string explanation_text(const ExplanationNode& root, double smallest_share) {
  std::string out = fmt::format("{}: {:.4g} ms\n", root.name, root.time.count() * 1e3);
  out += fmt::format("limited by: {}\n", verdict(root));
  out += fmt::format("what the SMs did: {}\n", reasons_text(root));
  for (const ExplanationNode& section : root.children) {
    out += fmt::format("|- {:5.1f} %  {}{}: {}\n", 100 * section.share, section.name, times(section.repeat),
                       reasons_text(section));
    add_operators(out, section, smallest_share);
  }
  out += "What would help next (one resource 10 % better, same kernels, closed form):\n";
  for (const Saving& saving : root.savings) {
    const double after = (root.time - saving.saved).count() * 1e3;
    out += fmt::format("  {:5.1f} %  {:<24}{:.4g} ms instead of {:.4g} ms\n", 100 * saving.share, saving.resource,
                       after, root.time.count() * 1e3);
  }
  if (root.savings.empty()) out += "  no single resource makes a difference\n";
  return out;
}

std::string explanation_json(const ExplanationNode& root) {
  Json json = node_json(root);
  for (const ResourceChange& change : resource_changes()) json["resources"][change.name] = change.meaning;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace lightcone::scenarios

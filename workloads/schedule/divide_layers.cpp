// SPDX-License-Identifier: Apache-2.0
#include "workloads/schedule/divide_layers.h"

#include <fmt/core.h>

namespace lightcone::workloads {
namespace {

// How many of embedding and head count as layers; 3: no way.
std::uint64_t counted(std::uint64_t layers, std::uint64_t parts) {
  for (std::uint64_t more = 0; more < 3; ++more) {
    if ((layers + more) % parts == 0) return more;
  }
  return 3;
}

}  // namespace

std::string layers_fault(std::uint64_t layers, std::uint64_t parts) {
  if (parts > 0 && counted(layers, parts) < 3) return "";
  return fmt::format("{} layers cannot be divided over {} parts, nor with the head, or embedding and head, as layers",
                     layers, parts);
}

std::vector<std::uint64_t> divide_layers(std::uint64_t layers, std::uint64_t parts) {
  const std::uint64_t more = counted(layers, parts);
  std::vector<std::uint64_t> each(parts, (layers + more) / parts);
  if (more > 0) --each.back();
  if (more > 1) --each.front();
  return each;
}

}  // namespace lightcone::workloads

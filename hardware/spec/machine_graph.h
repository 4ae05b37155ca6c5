// SPDX-License-Identifier: Apache-2.0
// The machine as a graph (Boost.Graph): GPUs, NICs and switches, and the directed links between them, built from a
// FabricSpec. Routes are computed once: minimal, and where several are equally short, spread over them by `path`.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hardware/spec/fabric_spec.h"
#include "sim/base/units.h"

namespace lightcone::hardware {

using VertexIndex = std::uint32_t;
using LinkIndex = std::uint32_t;

// One direction of a bundle of equal links between two vertices.
struct DirectedLink {
  VertexIndex from = 0, to = 0;
  std::uint16_t kind = 0;  // index into FabricSpec::links
  double count = 1;        // parallel links in the bundle, slowed ones in proportion
  BytesPerSecond wire;     // of the bundle, headers included
};

class MachineGraph {
 public:
  // Throws ConfigError for a machine that does not hang together.
  explicit MachineGraph(const FabricSpec& fabric);
  ~MachineGraph();
  MachineGraph(MachineGraph&&) noexcept;
  MachineGraph& operator=(MachineGraph&&) noexcept;

  [[nodiscard]] const FabricSpec& fabric() const;
  [[nodiscard]] std::uint32_t gpu_count() const;  // missing ones left out
  [[nodiscard]] std::size_t vertex_count() const;
  [[nodiscard]] std::string vertex_name(VertexIndex vertex) const;  // "gpu[3]", "node[0].switch[1]"
  [[nodiscard]] const std::vector<DirectedLink>& links() const;

  // Links from GPU a to GPU b, in order; empty when a == b. `path` picks among equally short ways.
  [[nodiscard]] std::vector<LinkIndex> route(std::uint32_t a, std::uint32_t b, std::uint32_t path) const;
  [[nodiscard]] std::uint32_t path_count(std::uint32_t a, std::uint32_t b) const;  // different ways there are
  // Of one small packet from a to b without queues: links, switches, NICs, time of flight.
  [[nodiscard]] Seconds latency(std::uint32_t a, std::uint32_t b) const;
  // Payload per second that one GPU can send to b over all its ways, packet headers taken off.
  [[nodiscard]] BytesPerSecond bandwidth(std::uint32_t a, std::uint32_t b) const;

  // Innermost level (0: the scale-up domain) of which both are members.
  [[nodiscard]] std::uint32_t level(std::uint32_t a, std::uint32_t b) const;
  [[nodiscard]] std::uint32_t level_count() const;
  [[nodiscard]] std::uint32_t level_size(std::uint32_t level) const;  // GPUs of one domain of that level
  // Whether one switch (of each plane) reaches all of them and can add and copy (NVSwitch with SHARP).
  [[nodiscard]] bool reduces_in_switch(const std::vector<std::uint32_t>& gpus) const;
  // Equal numbers: GPUs that a symmetry of the graph maps onto each other (same degree, same links, none degraded).
  [[nodiscard]] const std::vector<std::uint32_t>& symmetry() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lightcone::hardware

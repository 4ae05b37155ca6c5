// SPDX-License-Identifier: Apache-2.0
// The machine as a graph (Boost.Graph): GPUs, NICs and switches, and the directed links between them, built from a
// FabricSpec. Routes are computed once: minimal, and where several are equally short, spread over them by `path`.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hardware/spec/fabric_spec.h"
#include "sim/base/units.h"

namespace lightcone::hardware {

using VertexIndex = std::uint32_t;
using LinkIndex = std::uint32_t;

inline constexpr std::uint32_t kNoGpu = std::numeric_limits<std::uint32_t>::max();

// One direction of a bundle of equal links between two vertices.
struct DirectedLink {
  VertexIndex from = 0, to = 0;
  std::uint16_t kind = 0;  // index into FabricSpec::links
  double count = 1;        // parallel links in the bundle, slowed ones in proportion
  BytesPerSecond wire;     // of the bundle, headers included
  // Equal numbers: links that a symmetry of the graph maps onto each other; meant where the graph is not degraded.
  std::uint32_t orbit = 0;
  std::uint32_t gpu = kNoGpu;  // the GPU whose own port it is (or its NIC's); none: between switches
};

enum class VertexKind : std::uint8_t { gpu, nic, packet_switch, circuit_switch };

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
  [[nodiscard]] VertexKind vertex_kind(VertexIndex vertex) const;
  // Index into the kinds of FabricSpec (switches, nics, circuit_switches); of a GPU that forwards in a torus, its
  // router's. Absent: passing costs nothing.
  [[nodiscard]] std::optional<std::uint32_t> vertex_spec(VertexIndex vertex) const;
  [[nodiscard]] std::optional<VertexIndex> find_vertex(const std::string& name) const;
  // From the arrival of a first bit to its leaving: switch, NIC or router.
  [[nodiscard]] Seconds pass_latency(VertexIndex vertex) const;
  [[nodiscard]] const std::vector<DirectedLink>& links() const;
  // Copies of the vertex that the graph shows as one (switches of interleaved planes).
  [[nodiscard]] std::uint32_t vertex_copies(VertexIndex vertex) const;

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

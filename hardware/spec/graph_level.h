// SPDX-License-Identifier: Apache-2.0
// One level of a fabric as a part of the machine graph: which vertices and links its network has, and by which vertices
// a message goes. Routes are computed from the places of the two GPUs, never looked up, so that graphs of 100,000 GPUs
// need no table. One class per topology; internal to the machine graph.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "hardware/spec/machine_graph.h"

namespace lightcone::hardware {

// Where a level lies in the graph. A slot is a place for a GPU, counted over the machine; its vertex has its number.
struct LevelPlace {
  const FabricSpec* fabric = nullptr;
  std::uint32_t level = 0;
  std::uint32_t below = 1;       // GPUs of one domain of the level below
  std::uint32_t gpus = 1;        // of one domain of this level
  std::uint32_t domains = 1;     // of this level in the machine
  VertexIndex first_nic = 0;     // slot * planes + plane
  VertexIndex first_switch = 0;  // domain * switches() + number

  [[nodiscard]] const LevelSpec& spec() const { return fabric->levels[level]; }
};

// One bundle, both directions; `orbit`s are numbers of the level's own.
struct Bundle {
  VertexIndex a = 0, b = 0;
  std::uint16_t kind = 0;
  double count = 1;
  std::uint32_t orbit_there = 0, orbit_back = 0;  // a to b, b to a
  std::uint32_t gpu_there = kNoGpu, gpu_back = kNoGpu;
};
using BundleSink = std::function<void(const Bundle&)>;

class GraphLevel {
 public:
  explicit GraphLevel(const LevelPlace& place) : place_(place) {}
  virtual ~GraphLevel() = default;

  [[nodiscard]] virtual std::uint32_t switches() const = 0;  // of one domain
  virtual void build(std::uint32_t domain, const BundleSink& sink) const = 0;
  // Different ways from slot a to slot b of one domain.
  [[nodiscard]] virtual std::uint32_t ways(std::uint32_t a, std::uint32_t b) const = 0;
  // Vertices of one way from the port of a to the port of b (attach), both included. `way` below ways().
  virtual void way(std::uint32_t a, std::uint32_t b, std::uint32_t way, std::vector<VertexIndex>& out) const = 0;
  // Equal numbers: slots that a symmetry of the level maps onto each other.
  [[nodiscard]] virtual std::uint32_t symmetry(std::uint32_t slot) const = 0;
  [[nodiscard]] virtual std::string switch_name(std::uint32_t number) const = 0;
  // Whether its network reaches every GPU of the domain, or only those of the same place in their domains below.
  [[nodiscard]] virtual bool reaches_all() const { return true; }
  [[nodiscard]] virtual bool gpus_forward() const { return false; }

  [[nodiscard]] const LevelPlace& place() const { return place_; }
  [[nodiscard]] const LevelSpec& spec() const { return place_.spec(); }
  [[nodiscard]] bool has_nics() const { return spec().nic.has_value(); }
  [[nodiscard]] VertexIndex attach(std::uint32_t slot, std::uint32_t plane) const {
    return has_nics() ? place_.first_nic + slot * spec().planes + plane : slot;
  }
  [[nodiscard]] VertexIndex switch_vertex(std::uint32_t domain, std::uint32_t number) const {
    return place_.first_switch + domain * switches() + number;
  }
  [[nodiscard]] std::uint32_t domain_of(std::uint32_t slot) const { return slot / place_.gpus; }
  [[nodiscard]] double plane_links() const { return static_cast<double>(spec().links_per_gpu) / spec().planes; }

 protected:
  // From the port of a GPU to a switch; the GPU owns both directions.
  [[nodiscard]] Bundle port(std::uint32_t slot, std::uint32_t plane, VertexIndex to, double count,
                            std::uint32_t orbit) const {
    return {
        attach(slot, plane), to, static_cast<std::uint16_t>(spec().link), count, 2 * orbit, 2 * orbit + 1, slot, slot};
  }
  [[nodiscard]] Bundle trunk(VertexIndex a, VertexIndex b, double count, std::uint32_t orbit) const {
    return {a, b, static_cast<std::uint16_t>(spec().trunk_link()), count, 2 * orbit, 2 * orbit + 1, kNoGpu, kNoGpu};
  }

 private:
  LevelPlace place_;
};

std::unique_ptr<GraphLevel> make_star(const LevelPlace& place);  // switched and circuit
std::unique_ptr<GraphLevel> make_direct(const LevelPlace& place);
std::unique_ptr<GraphLevel> make_fat_tree(const LevelPlace& place);
std::unique_ptr<GraphLevel> make_torus(const LevelPlace& place);  // and ring
std::unique_ptr<GraphLevel> make_dragonfly(const LevelPlace& place);

}  // namespace lightcone::hardware

// SPDX-License-Identifier: Apache-2.0
// Fat tree, rail-optimised when it has several rails: GPU i of every domain below hangs on leaves of rail i mod rails.
// Leaves of a pod are joined by its spines, pods by cores; core c joins spine c mod spines of every pod.
#include <fmt/core.h>

#include <algorithm>

#include "hardware/spec/graph_level.h"
#include "sim/base/checked.h"

namespace lightcone::hardware {
namespace {

class FatTreeLevel : public GraphLevel {
 public:
  explicit FatTreeLevel(const LevelPlace& place) : GraphLevel(place), tree_(place.spec().tree) {
    if (tree_.pod_gpus == 0) tree_.pod_gpus = place.gpus;
    column_ = tree_.rails * tree_.leaf_gpus;
    pods_ = static_cast<std::uint32_t>(ceil_div(place.gpus, tree_.pod_gpus));
    leaves_ = static_cast<std::uint32_t>(ceil_div(std::min(tree_.pod_gpus, place.gpus), column_)) * tree_.rails;
  }

  // Of each plane: leaves of all pods, spines of all pods, cores.
  std::uint32_t switches() const override { return spec().planes * plane_switches(); }

  void build(std::uint32_t domain, const BundleSink& sink) const override {
    for (std::uint32_t plane = 0; plane < spec().planes; ++plane) {
      for (std::uint32_t local = 0; local < place().gpus; ++local) {
        const std::uint32_t slot = domain * place().gpus + local;
        sink(port(slot, plane, leaf(domain, plane, slot), plane_links(), kPorts));
      }
      build_trunks(domain, plane, sink);
    }
  }

  std::uint32_t ways(std::uint32_t a, std::uint32_t b) const override {
    const std::uint32_t planes = spec().planes;
    if (leaf(0, 0, a) == leaf(0, 0, b)) return planes;
    return planes * (pod_of(a) == pod_of(b) ? tree_.spines : tree_.cores);
  }

  void way(std::uint32_t a, std::uint32_t b, std::uint32_t way, std::vector<VertexIndex>& out) const override {
    const std::uint32_t domain = domain_of(a), plane = way % spec().planes;
    // GPUs of one leaf start at different spines, so that equal paths of all of them spread over the uplinks.
    const std::uint32_t turn = way / spec().planes + place_in_leaf(a);
    out.push_back(attach(a, plane));
    const VertexIndex up = leaf(domain, plane, a), down = leaf(domain, plane, b);
    out.push_back(up);
    if (up != down && pod_of(a) == pod_of(b)) {
      out.push_back(spine(domain, plane, pod_of(a), turn % tree_.spines));
    } else if (up != down) {
      const std::uint32_t core_number = turn % tree_.cores, spine_number = core_number % tree_.spines;
      out.push_back(spine(domain, plane, pod_of(a), spine_number));
      out.push_back(core(domain, plane, core_number));
      out.push_back(spine(domain, plane, pod_of(b), spine_number));
    }
    if (up != down) out.push_back(down);
    out.push_back(attach(b, plane));
  }

  // Leaves and pods that the last GPUs do not fill are different from full ones.
  std::uint32_t symmetry(std::uint32_t slot) const override {
    const std::uint32_t local = slot % place().gpus;
    const bool last_column = place().gpus % column_ != 0 && local / column_ == (place().gpus - 1) / column_;
    const bool last_pod = place().gpus % tree_.pod_gpus != 0 && local / tree_.pod_gpus == pods_ - 1;
    return (last_column ? 1 : 0) + (last_pod ? 2 : 0);
  }

  std::string switch_name(std::uint32_t number) const override {
    const std::uint32_t plane = number / plane_switches();
    std::uint32_t n = number % plane_switches();
    const std::string prefix = spec().planes > 1 ? fmt::format("plane[{}].", plane) : "";
    if (n < pods_ * leaves_) return fmt::format("{}leaf[{}]", prefix, n);
    n -= pods_ * leaves_;
    if (n < pods_ * tree_.spines) return fmt::format("{}spine[{}]", prefix, n);
    return fmt::format("{}core[{}]", prefix, n - pods_ * tree_.spines);
  }

 private:
  static constexpr std::uint32_t kPorts = 0, kLeafTrunks = 1, kSpineTrunks = 2;

  void build_trunks(std::uint32_t domain, std::uint32_t plane, const BundleSink& sink) const {
    if (tree_.spines == 0) return;
    const double up = static_cast<double>(tree_.leaf_uplinks) / tree_.spines;
    for (std::uint32_t pod = 0; pod < pods_; ++pod) {
      for (std::uint32_t l = 0; l < leaves_ && leaves_ * pods_ > 1; ++l) {
        for (std::uint32_t s = 0; s < tree_.spines; ++s) {
          sink(trunk(leaf_vertex(domain, plane, pod * leaves_ + l), spine(domain, plane, pod, s), up, kLeafTrunks));
        }
      }
      if (pods_ == 1) continue;
      const double core_links = static_cast<double>(tree_.spine_uplinks) * tree_.spines / tree_.cores;
      for (std::uint32_t c = 0; c < tree_.cores; ++c) {
        sink(trunk(spine(domain, plane, pod, c % tree_.spines), core(domain, plane, c), core_links, kSpineTrunks));
      }
    }
  }

  [[nodiscard]] std::uint32_t plane_switches() const { return pods_ * (leaves_ + tree_.spines) + tree_.cores; }
  [[nodiscard]] std::uint32_t pod_of(std::uint32_t slot) const { return slot % place().gpus / tree_.pod_gpus; }
  // Slots run over the GPUs of a node first, and so over the rails.
  [[nodiscard]] std::uint32_t rail_of(std::uint32_t slot) const { return slot % place().below % tree_.rails; }
  [[nodiscard]] std::uint32_t place_in_leaf(std::uint32_t slot) const {
    return slot % place().gpus % tree_.pod_gpus % column_ / tree_.rails;
  }
  [[nodiscard]] VertexIndex leaf(std::uint32_t domain, std::uint32_t plane, std::uint32_t slot) const {
    const std::uint32_t in_pod = slot % place().gpus % tree_.pod_gpus;
    return leaf_vertex(domain, plane, pod_of(slot) * leaves_ + in_pod / column_ * tree_.rails + rail_of(slot));
  }
  [[nodiscard]] VertexIndex leaf_vertex(std::uint32_t domain, std::uint32_t plane, std::uint32_t number) const {
    return switch_vertex(domain, plane * plane_switches() + number);
  }
  [[nodiscard]] VertexIndex spine(std::uint32_t domain, std::uint32_t plane, std::uint32_t pod, std::uint32_t s) const {
    return switch_vertex(domain, plane * plane_switches() + pods_ * leaves_ + pod * tree_.spines + s);
  }
  [[nodiscard]] VertexIndex core(std::uint32_t domain, std::uint32_t plane, std::uint32_t c) const {
    return switch_vertex(domain, plane * plane_switches() + pods_ * (leaves_ + tree_.spines) + c);
  }

  FatTree tree_;
  std::uint32_t column_ = 1;  // GPUs of one leaf of every rail
  std::uint32_t pods_ = 1;
  std::uint32_t leaves_ = 1;  // of one pod
};

}  // namespace

std::unique_ptr<GraphLevel> make_fat_tree(const LevelPlace& place) { return std::make_unique<FatTreeLevel>(place); }

}  // namespace lightcone::hardware

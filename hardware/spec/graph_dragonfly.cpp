// SPDX-License-Identifier: Apache-2.0
// Dragonfly (Kim et al., ISCA 2008): routers of a group are joined each to each, groups each to each by links that are
// dealt over their routers: port j of group g leads to group g + 1 + j mod (groups - 1). Minimal routing: to the router
// with a link to the other group, over, to the router of the destination.
#include <fmt/core.h>

#include <algorithm>

#include "hardware/spec/graph_level.h"

namespace lightcone::hardware {
namespace {

class DragonflyLevel : public GraphLevel {
 public:
  explicit DragonflyLevel(const LevelPlace& place) : GraphLevel(place), shape_(place.spec().dragonfly) {
    group_gpus_ = shape_.router_gpus * shape_.group_routers;
    groups_ = place.gpus / group_gpus_;
    if (groups_ > 1) repeats_ = shape_.group_routers * shape_.router_global_links / (groups_ - 1);
  }

  std::uint32_t switches() const override { return groups_ * shape_.group_routers; }

  void build(std::uint32_t domain, const BundleSink& sink) const override {
    for (std::uint32_t local = 0; local < place().gpus; ++local) {
      const std::uint32_t slot = domain * place().gpus + local;
      sink(port(slot, 0, router(domain, group_of(slot), router_of(slot)), spec().links_per_gpu, router_of(slot)));
    }
    for (std::uint32_t group = 0; group < groups_; ++group) {
      build_local(domain, group, sink);
      build_global(domain, group, sink);
    }
  }

  std::uint32_t ways(std::uint32_t a, std::uint32_t b) const override {
    return group_of(a) == group_of(b) ? 1 : repeats_;
  }

  void way(std::uint32_t a, std::uint32_t b, std::uint32_t way, std::vector<VertexIndex>& out) const override {
    const std::uint32_t domain = domain_of(a), from = group_of(a), to = group_of(b);
    out.insert(out.end(), {attach(a, 0), router(domain, from, router_of(a))});
    const auto enter = [&out](VertexIndex next) {
      if (out.back() != next) out.push_back(next);
    };
    if (from != to) {
      enter(router(domain, from, port_router(port_to(from, to, way))));
      enter(router(domain, to, port_router(port_to(to, from, way))));
    }
    enter(router(domain, to, router_of(b)));
    out.push_back(attach(b, 0));
  }

  // Moving every group on by one is a symmetry; routers of a group lead to different groups.
  std::uint32_t symmetry(std::uint32_t slot) const override { return router_of(slot); }
  std::string switch_name(std::uint32_t number) const override { return fmt::format("router[{}]", number); }

 private:
  void build_local(std::uint32_t domain, std::uint32_t group, const BundleSink& sink) const {
    const std::uint32_t n = shape_.group_routers;
    for (std::uint32_t r = 0; r < n; ++r) {
      for (std::uint32_t s = r + 1; s < n; ++s) {
        sink(trunk(router(domain, group, r), router(domain, group, s), shape_.local_links, n + r * n + s));
      }
    }
  }
  // Each pair of groups is built once, by the lower one. Links of two ways may join the same two routers: one bundle.
  void build_global(std::uint32_t domain, std::uint32_t group, const BundleSink& sink) const {
    const std::uint32_t n = shape_.group_routers, base = n + n * n;
    for (std::uint32_t other = group + 1; other < groups_; ++other) {
      std::uint32_t first = 0;
      while (first < repeats_) {
        const std::uint32_t there = port_router(port_to(group, other, first));
        const std::uint32_t back = port_router(port_to(other, group, first));
        std::uint32_t last = first + 1;
        while (last < repeats_ && port_router(port_to(group, other, last)) == there &&
               port_router(port_to(other, group, last)) == back) {
          ++last;
        }
        Bundle bundle = trunk(router(domain, group, there), router(domain, other, back), last - first, 0);
        bundle.orbit_there = 2 * (base + port_to(group, other, first));
        bundle.orbit_back = 2 * (base + port_to(other, group, first));
        sink(bundle);
        first = last;
      }
    }
  }

  [[nodiscard]] std::uint32_t port_to(std::uint32_t group, std::uint32_t other, std::uint32_t way) const {
    return way * (groups_ - 1) + (other + groups_ - group) % groups_ - 1;
  }
  // Ports of successive ways lie on one router after the other.
  [[nodiscard]] std::uint32_t port_router(std::uint32_t port) const { return port / shape_.router_global_links; }
  [[nodiscard]] std::uint32_t group_of(std::uint32_t slot) const { return slot % place().gpus / group_gpus_; }
  [[nodiscard]] std::uint32_t router_of(std::uint32_t slot) const {
    return slot % place().gpus % group_gpus_ / shape_.router_gpus;
  }
  [[nodiscard]] VertexIndex router(std::uint32_t domain, std::uint32_t group, std::uint32_t r) const {
    return switch_vertex(domain, group * shape_.group_routers + r);
  }

  Dragonfly shape_;
  std::uint32_t group_gpus_ = 1, groups_ = 1;
  std::uint32_t repeats_ = 0;  // links between two groups
};

}  // namespace

std::unique_ptr<GraphLevel> make_dragonfly(const LevelPlace& place) { return std::make_unique<DragonflyLevel>(place); }

}  // namespace lightcone::hardware

// SPDX-License-Identifier: Apache-2.0
// Levels of a fabric: what joins GPUs to domains and domains to larger ones, with their shapes and ports checked.
#include <fmt/core.h>

#include <algorithm>
#include <numeric>

#include "hardware/spec/load_fabric.h"
#include "sim/base/checked.h"

namespace lightcone::hardware {
namespace {

constexpr std::uint32_t kMostGpus = 1u << 20;

void must_divide(const MessageReader& from, const std::string& field, std::uint64_t part, std::uint64_t whole,
                 const std::string& of_what) {
  if (part == 0 || whole % part != 0) from.fault(field, fmt::format("{} must divide the {} {}", part, whole, of_what));
}

void must_fit(const MessageReader& from, const std::string& field, std::uint64_t links, const SwitchSpec& kind,
              const std::string& what) {
  if (links > kind.ports)
    from.fault(field, fmt::format("{} takes {} links, but {} has {} ports", what, links, kind.name, kind.ports));
}

std::uint32_t product(const std::vector<std::uint32_t>& extents) {
  return std::accumulate(extents.begin(), extents.end(), 1u, std::multiplies<>());
}

// Links of one GPU in one plane.
std::uint64_t plane_links(const LevelSpec& level) { return ceil_div(level.links_per_gpu, level.planes); }

class LevelReader {
 public:
  LevelReader(const MessageReader& from, const FabricSpec& kinds, std::uint32_t gpus_below)
      : from_(from), kinds_(kinds), below_(gpus_below) {}

  LevelSpec read() {
    out_.name = from_.text("name");
    const int topology = from_.enumeration("topology");
    if (topology > 0) out_.topology = static_cast<Topology>(topology - 1);
    out_.size = from_.integer32("size", {1, kMostGpus});
    if (std::uint64_t{out_.size} * below_ > kMostGpus) {
      from_.fault("size", fmt::format("makes more than {} GPUs", kMostGpus));
      out_.size = 1;
    }
    out_.link = index_of(from_, "link", kinds_.links).value_or(0);
    out_.links_per_gpu = from_.integer32("links_per_gpu", {1, 1024});
    out_.planes = static_cast<std::uint32_t>(from_.integer_or("planes", 1, {1, 256}));
    out_.interleaved = from_.has("interleaved") && from_.boolean("interleaved");
    read_kinds();
    if (kinds_.links.empty()) return out_;
    read_shape();
    return out_;
  }

 private:
  void read_kinds() {
    const auto optional_kind = [this](const char* field, const auto& list) -> std::optional<std::uint32_t> {
      return from_.has(field) ? index_of(from_, field, list) : std::nullopt;
    };
    out_.switch_kind = optional_kind("switch_kind", kinds_.switches);
    out_.nic = optional_kind("nic", kinds_.nics);
    out_.circuit_switch = optional_kind("circuit_switch", kinds_.circuit_switches);
    out_.trunk = optional_kind("trunk", kinds_.links);
    out_.block_link = optional_kind("block_link", kinds_.links);
    out_.dimensions = from_.integers("dimensions");
    out_.block = from_.integers("block");
    if (out_.interleaved && out_.topology != Topology::switched)
      from_.fault("interleaved", "only switched levels deal packets over planes");
    if (!out_.interleaved && out_.links_per_gpu % out_.planes != 0)
      must_divide(from_, "planes", out_.planes, out_.links_per_gpu, "links_per_gpu, unless interleaved");
  }

  void read_shape() {
    switch (out_.topology) {
      case Topology::switched:
        if (const SwitchSpec* kind = need_switch())
          must_fit(from_, "size", ceil_div(std::uint64_t{out_.links_per_gpu} * gpus(), out_.planes), *kind,
                   fmt::format("a switch of {} GPUs", gpus()));
        return;
      case Topology::fat_tree:
        return read_tree();
      case Topology::ring:
        if (!out_.dimensions.empty()) from_.fault("dimensions", "a ring has one dimension, its size");
        out_.dimensions = {out_.size};
        return read_torus();
      case Topology::torus:
        return read_torus();
      case Topology::dragonfly:
        return read_dragonfly();
      case Topology::circuit:
        return read_circuit();
      case Topology::direct:
        if (gpus() > 256) from_.fault("size", "only 256 GPUs can be joined each to each");
        if (gpus() > 1 && out_.links_per_gpu % (gpus() - 1) != 0)
          must_divide(from_, "links_per_gpu", gpus() - 1, out_.links_per_gpu, "links of a GPU");
        return;
    }
  }

  const SwitchSpec* need_switch() {
    if (!out_.switch_kind) {
      if (!from_.has("switch_kind")) from_.fault("switch_kind", "is missing: this topology has switches");
      return nullptr;
    }
    return &kinds_.switches[*out_.switch_kind];
  }

  void read_tree() {
    const MessageReader from = from_.child("tree");
    FatTree& t = out_.tree;
    const IntegerBounds any{0, kMostGpus}, some{1, kMostGpus};
    t.rails = static_cast<std::uint32_t>(from.integer_or("rails", 1, some));
    t.leaf_gpus = from.integer32("leaf_gpus", some);
    t.leaf_uplinks = static_cast<std::uint32_t>(from.integer_or("leaf_uplinks", 0, any));
    t.spines = static_cast<std::uint32_t>(from.integer_or("spines", 0, any));
    t.pod_gpus = static_cast<std::uint32_t>(from.integer_or("pod_gpus", 0, any));
    t.cores = static_cast<std::uint32_t>(from.integer_or("cores", 0, any));
    t.spine_uplinks = static_cast<std::uint32_t>(from.integer_or("spine_uplinks", 0, any));
    if (t.pod_gpus == 0 || t.pod_gpus > gpus()) t.pod_gpus = gpus();
    const SwitchSpec* kind = need_switch();
    const std::size_t faults = from_.fault_count();
    if (below_ > 1 || t.rails > 1) must_divide(from, "rails", t.rails, below_, "GPUs of a domain of the level below");
    if (kind == nullptr || from_.fault_count() != faults) return;
    // A small machine has its last leaf half empty: what must fit is a full one.
    check_tree(from, *kind);
  }

  void check_tree(const MessageReader& from, const SwitchSpec& kind) {
    const FatTree& t = out_.tree;
    const std::uint64_t column = std::uint64_t{t.rails} * t.leaf_gpus;  // GPUs of one leaf of every rail
    const std::uint64_t leaves = ceil_div(t.pod_gpus, column) * t.rails;
    const std::uint64_t pods = ceil_div(gpus(), t.pod_gpus);
    if (pods > 1) must_divide(from, "pod_gpus", column, t.pod_gpus, "GPUs of a pod (rails x leaf_gpus)");
    must_fit(from, "leaf_gpus", t.leaf_gpus * plane_links(out_) + t.leaf_uplinks, kind, "a leaf");
    if (leaves > 1 && t.spines == 0) {
      from.fault("spines", fmt::format("is missing: {} leaves must be joined", leaves));
      return;
    }
    if (t.spines > 0) must_divide(from, "leaf_uplinks", t.spines, t.leaf_uplinks, "links of a leaf to its spines");
    if (t.spines > 0)
      must_fit(from, "spines", leaves * (t.leaf_uplinks / t.spines) + (pods > 1 ? t.spine_uplinks : 0), kind,
               "a spine");
    if (pods == 1) return;
    if (t.cores == 0) {
      from.fault("cores", fmt::format("is missing: {} pods must be joined", pods));
      return;
    }
    must_divide(from, "cores", t.spines, t.cores, "cores (over the spines of a pod)");
    if (t.cores % t.spines != 0) return;
    const std::uint64_t cores_of_spine = t.cores / t.spines;
    must_divide(from, "spine_uplinks", cores_of_spine, t.spine_uplinks, "links of a spine to its cores");
    must_fit(from, "cores", pods * (t.spine_uplinks / cores_of_spine), kind, "a core");
  }

  void read_torus() {
    if (out_.dimensions.empty() || out_.dimensions.size() > 3) {
      from_.fault("dimensions", "must be one to three extents");
      return;
    }
    const bool zero = std::count(out_.dimensions.begin(), out_.dimensions.end(), 0u) > 0;
    if (zero || product(out_.dimensions) != out_.size) {
      from_.fault("dimensions",
                  fmt::format("multiply to {}, not to the size of {}", product(out_.dimensions), out_.size));
      return;
    }
    const auto wide = static_cast<std::uint32_t>(
        std::count_if(out_.dimensions.begin(), out_.dimensions.end(), [](std::uint32_t e) { return e > 1; }));
    if (wide > 0) must_divide(from_, "links_per_gpu", 2 * wide, out_.links_per_gpu, "links of a GPU (directions)");
    if (out_.planes != 1) from_.fault("planes", "a torus has one plane: give more links_per_gpu");
    if (out_.switch_kind)
      must_fit(from_, "links_per_gpu", out_.links_per_gpu, kinds_.switches[*out_.switch_kind], "the router of a GPU");
    if (!out_.block.empty()) read_blocks();
  }

  void read_blocks() {
    if (out_.block.size() != out_.dimensions.size()) {
      from_.fault("block", "must have as many extents as dimensions");
      return;
    }
    std::uint64_t blocks = 1;
    for (std::size_t d = 0; d < out_.block.size(); ++d) {
      must_divide(from_, "block", out_.block[d], out_.dimensions[d], "GPUs of its dimension");
      if (out_.block[d] > 0) blocks *= out_.dimensions[d] / out_.block[d];
    }
    if (!from_.has("block_link")) from_.fault("block_link", "is missing: the kind of link that leaves a block");
    if (!from_.has("circuit_switch")) from_.fault("circuit_switch", "is missing: links that leave a block pass one");
    if (!out_.circuit_switch) return;
    // As in TPU v4: one switch per place on a pair of opposite faces, with both ends of every block on it.
    const CircuitSwitchSpec& kind = kinds_.circuit_switches[*out_.circuit_switch];
    if (2 * blocks > kind.radix)
      from_.fault("circuit_switch", fmt::format("{} blocks bring {} fibres to a switch, but {} has a radix of {}",
                                                blocks, 2 * blocks, kind.name, kind.radix));
  }

  void read_dragonfly() {
    const MessageReader from = from_.child("dragonfly");
    Dragonfly& d = out_.dragonfly;
    const IntegerBounds some{1, 65536};
    d.router_gpus = from.integer32("router_gpus", some);
    d.group_routers = from.integer32("group_routers", some);
    d.local_links = static_cast<std::uint32_t>(from.integer_or("local_links", 1, some));
    d.router_global_links = from.integer32("router_global_links", {0, 65536});
    if (out_.planes != 1) from_.fault("planes", "a dragonfly has one plane");
    const SwitchSpec* kind = need_switch();
    if (kind == nullptr) return;
    must_fit(from, "router_gpus",
             std::uint64_t{d.router_gpus} * out_.links_per_gpu + (d.group_routers - 1) * std::uint64_t{d.local_links} +
                 d.router_global_links,
             *kind, "a router");
    const std::uint64_t group = std::uint64_t{d.router_gpus} * d.group_routers;
    must_divide(from, "group_routers", group, gpus(), "GPUs (routers x GPUs of a router)");
    const std::uint64_t groups = gpus() / group;
    if (std::uint64_t{d.group_routers} * d.router_global_links + 1 < groups)
      from.fault("router_global_links",
                 fmt::format("{} groups need {} links to each other, a group has {}", groups, groups - 1,
                             std::uint64_t{d.group_routers} * d.router_global_links));
  }

  void read_circuit() {
    if (!out_.circuit_switch) {
      if (!from_.has("circuit_switch")) from_.fault("circuit_switch", "is missing");
      return;
    }
    const CircuitSwitchSpec& kind = kinds_.circuit_switches[*out_.circuit_switch];
    const std::uint64_t fibres = plane_links(out_) * gpus();
    if (fibres > kind.radix)
      from_.fault("circuit_switch", fmt::format("{} GPUs bring {} links to a switch, but {} has a radix of {}", gpus(),
                                                fibres, kind.name, kind.radix));
  }

  [[nodiscard]] std::uint32_t gpus() const { return out_.size * below_; }

  const MessageReader& from_;
  const FabricSpec& kinds_;
  std::uint32_t below_;  // GPUs of one domain of the level below
  LevelSpec out_;
};

}  // namespace

std::vector<LevelSpec> read_levels(const MessageReader& from, const FabricSpec& kinds) {
  std::vector<LevelSpec> out;
  std::uint32_t gpus = 1;
  for (const MessageReader& level : from.children("level")) {
    out.push_back(LevelReader(level, kinds, gpus).read());
    gpus *= out.back().size;
  }
  if (out.empty()) from.fault("level", "is missing: at least one level joins the GPUs");
  if (kinds.links.empty()) from.fault("link", "is missing: at least one kind of link");
  return out;
}

}  // namespace lightcone::hardware

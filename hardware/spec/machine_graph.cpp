// SPDX-License-Identifier: Apache-2.0
// The graph is kept as sorted arrays (out-links of each vertex, by destination); routes come from the levels
// (graph_level.h). Only a degraded machine, where such a route may be broken, is searched (graph_search.h).
#include "hardware/spec/machine_graph.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "hardware/spec/graph_level.h"
#include "hardware/spec/graph_search.h"
#include "hardware/spec/link_table.h"
#include "sim/base/error.h"

namespace lightcone::hardware {
namespace {

std::unique_ptr<GraphLevel> make_level(const LevelPlace& place) {
  switch (place.spec().topology) {
    case Topology::switched:
    case Topology::circuit:
      return make_star(place);
    case Topology::fat_tree:
      return make_fat_tree(place);
    case Topology::ring:
    case Topology::torus:
      return make_torus(place);
    case Topology::dragonfly:
      return make_dragonfly(place);
    case Topology::direct:
      return make_direct(place);
  }
  return nullptr;
}

// The loader knows the place of the field.
Diagnostic diagnostic(std::string field, std::string message) {
  Diagnostic out;
  out.field = std::move(field);
  out.message = std::move(message);
  return out;
}

constexpr std::uint32_t kMostWaysSummed = 64;  // of which bandwidth() adds up the rates

}  // namespace

struct MachineGraph::Impl {
  explicit Impl(const FabricSpec& spec) : fabric(spec) {
    place_vertices();
    build_links();
    slow_down();
    number_gpus();
    drop_dead_links();
    degraded = !fabric.missing_gpus.empty() || !fabric.slow_links.empty();
    if (degraded) {
      build_search();
      require_connected();
    }
    number_symmetry();
  }

  // ---- Building ----

  void place_vertices() {
    slots = fabric.slots();
    VertexIndex next = slots;
    for (std::uint32_t l = 0; l < fabric.levels.size(); ++l) {
      LevelPlace place;
      place.fabric = &fabric;
      place.level = l;
      place.below = l == 0 ? 1 : fabric.domain_size(l - 1);
      place.gpus = fabric.domain_size(l);
      place.domains = slots / place.gpus;
      place.first_nic = next;
      if (fabric.levels[l].nic) next += slots * fabric.levels[l].planes;
      place.first_switch = next;
      levels.push_back(make_level(place));
      next += place.domains * levels.back()->switches();
    }
    vertices = next;
  }

  void add(const Bundle& bundle, std::uint32_t orbit_base) {
    const BytesPerSecond wire(fabric.links[bundle.kind].wire().count() * bundle.count);
    links.add({bundle.a, bundle.b, bundle.kind, bundle.count, wire, orbit_base + bundle.orbit_there, bundle.gpu_there});
    links.add({bundle.b, bundle.a, bundle.kind, bundle.count, wire, orbit_base + bundle.orbit_back, bundle.gpu_back});
  }

  // Orbits of one level stand behind those of the level before it; the first two are of the host links.
  void build_links() {
    std::uint32_t orbit_base = 0;
    for (const auto& level : levels) {
      if (level->has_nics()) {
        const auto kind = static_cast<std::uint16_t>(fabric.nics[*level->spec().nic].host_link);
        for (std::uint32_t slot = 0; slot < slots; ++slot) {
          for (std::uint32_t plane = 0; plane < level->spec().planes; ++plane)
            add({slot, level->attach(slot, plane), kind, 1, 2 * plane, 2 * plane + 1, slot, slot}, orbit_base);
        }
        orbit_base += 2 * level->spec().planes;
      }
      std::uint32_t most = 0;
      for (std::uint32_t domain = 0; domain < level->place().domains; ++domain) {
        level->build(domain, [&](const Bundle& bundle) {
          most = std::max({most, bundle.orbit_there, bundle.orbit_back});
          add(bundle, orbit_base);
        });
      }
      orbit_base += most + 1;
    }
    links.finish(vertices);
  }

  void slow_down() {
    std::vector<Diagnostic> faults;
    for (std::size_t i = 0; i < fabric.slow_links.size(); ++i) {
      const SlowLink& slow = fabric.slow_links[i];
      const auto fault = [&](const char* field, std::string text) {
        faults.push_back(diagnostic(fmt::format("slow_link[{}].{}", i, field), std::move(text)));
      };
      const auto from = find(slow.from), to = find(slow.to);
      if (!from) fault("from", fmt::format("\"{}\" is no vertex of this machine (such as {})", slow.from, name(0)));
      if (!to)
        fault("to", fmt::format("\"{}\" is no vertex of this machine (such as {})", slow.to, name(vertices - 1)));
      if (!from || !to) continue;
      const LinkIndex there = links.between(*from, *to), back = links.between(*to, *from);
      if (there == kNowhere || back == kNowhere) {
        fault("to", fmt::format("no link joins {} and {}", slow.from, slow.to));
        continue;
      }
      for (const LinkIndex link : {there, back}) {
        links.at(link).count *= slow.share;
        links.at(link).wire = links.at(link).wire * slow.share;
      }
    }
    if (!faults.empty()) throw ConfigError(std::move(faults));
  }

  void number_gpus() {
    gpu_of_slot.assign(slots, kNowhere);
    std::vector<bool> missing(slots, false);
    for (const std::uint32_t slot : fabric.missing_gpus) missing[slot] = true;
    for (std::uint32_t slot = 0; slot < slots; ++slot) {
      if (missing[slot]) continue;
      gpu_of_slot[slot] = static_cast<std::uint32_t>(slot_of_gpu.size());
      slot_of_gpu.push_back(slot);
    }
  }

  void drop_dead_links() {
    const auto dead = [this](const DirectedLink& link) {
      const auto gone = [this](VertexIndex v) {
        const std::uint32_t slot = owner_slot(v);
        return slot != kNowhere && gpu_of_slot[slot] == kNowhere;
      };
      return link.count <= 0 || gone(link.from) || gone(link.to);
    };
    links.remove(dead);
    for (LinkIndex link = 0; link < links.all().size(); ++link) {
      std::uint32_t& gpu = links.at(link).gpu;
      if (gpu != kNoGpu) gpu = gpu_of_slot[gpu];
    }
  }

  // ---- Search, for degraded machines ----

  // Only switches pass messages on, and GPUs (or their NICs) where the topology says so.
  void build_search() {
    search = std::make_unique<GraphSearch>(links, vertices, [this](VertexIndex vertex) { return forwards(vertex); });
  }

  void require_connected() const {
    const std::vector<VertexIndex> before = search->before(slot_of_gpu.front());
    std::string apart;
    for (const std::uint32_t slot : slot_of_gpu) {
      if (before[slot] == kNowhere) apart += (apart.empty() ? "" : ", ") + name(slot);
    }
    if (apart.empty()) return;
    std::vector<Diagnostic> faults;
    faults.push_back(diagnostic("slow_link", fmt::format("{} cannot reach {}: the machine does not hang together",
                                                         name(slot_of_gpu.front()), apart)));
    throw ConfigError(std::move(faults));
  }

  [[nodiscard]] bool forwards(VertexIndex vertex) const {
    if (vertex < slots) {
      return std::any_of(levels.begin(), levels.end(), [](const auto& level) {
        return (level->gpus_forward() && !level->has_nics()) || !level->reaches_all();
      });
    }
    return true;
  }

  // ---- Routes ----

  [[nodiscard]] std::uint32_t common_level(std::uint32_t slot_a, std::uint32_t slot_b) const {
    std::uint32_t level = 0;
    while (level + 1 < levels.size() && levels[level]->domain_of(slot_a) != levels[level]->domain_of(slot_b)) ++level;
    return level;
  }

  // In a torus of domains the message first goes to the GPU of b's place in a's domain.
  [[nodiscard]] std::uint32_t handed_over(const GraphLevel& level, std::uint32_t a, std::uint32_t b) const {
    if (level.reaches_all()) return a;
    const std::uint32_t below = level.place().below;
    return a / below * below + b % below;
  }

  [[nodiscard]] std::uint32_t ways(std::uint32_t a, std::uint32_t b) const {
    if (a == b) return 1;
    const GraphLevel& level = *levels[common_level(a, b)];
    const std::uint32_t over = handed_over(level, a, b);
    return level.ways(over, b) * ways(a, over);
  }

  void vertices_of(std::uint32_t a, std::uint32_t b, std::uint32_t way, std::vector<VertexIndex>& out) const {
    if (out.empty() || out.back() != a) out.push_back(a);
    if (a == b) return;
    const GraphLevel& level = *levels[common_level(a, b)];
    const std::uint32_t over = handed_over(level, a, b);
    const std::uint32_t own = level.ways(over, b);
    if (over != a) vertices_of(a, over, way / own, out);
    std::vector<VertexIndex> part;
    level.way(over, b, way % own, part);
    for (const VertexIndex vertex : part) {
      if (out.back() != vertex) out.push_back(vertex);
    }
    if (out.back() != b) out.push_back(b);
  }

  // False when a link of the way is missing.
  [[nodiscard]] bool links_of(const std::vector<VertexIndex>& way, std::vector<LinkIndex>& out) const {
    out.clear();
    for (std::size_t i = 1; i < way.size(); ++i) {
      const LinkIndex link = links.between(way[i - 1], way[i]);
      if (link == kNowhere) return false;
      out.push_back(link);
    }
    return true;
  }

  [[nodiscard]] std::vector<LinkIndex> route(std::uint32_t gpu_a, std::uint32_t gpu_b, std::uint32_t path) const {
    const std::uint32_t a = slot_of_gpu[gpu_a], b = slot_of_gpu[gpu_b];
    std::vector<LinkIndex> out;
    if (a == b) return out;
    const std::uint32_t count = ways(a, b);
    std::vector<VertexIndex> way;
    for (std::uint32_t tried = 0; tried < count; ++tried) {
      way.clear();
      vertices_of(a, b, (path % count + tried) % count, way);
      if (links_of(way, out)) return out;
      LIGHTCONE_ASSERT(degraded);
    }
    const std::vector<VertexIndex> before = search->before(a);
    way.assign(1, b);
    while (way.back() != a) {
      LIGHTCONE_ASSERT(before[way.back()] != kNowhere);
      way.push_back(before[way.back()]);
    }
    std::reverse(way.begin(), way.end());
    const bool whole = links_of(way, out);
    LIGHTCONE_ASSERT(whole);
    return out;
  }

  // ---- Vertices ----

  [[nodiscard]] const GraphLevel* level_of(VertexIndex vertex) const {
    const GraphLevel* found = nullptr;
    for (const auto& level : levels) {
      if (vertex >= level->place().first_nic) found = level.get();
    }
    return found;
  }
  [[nodiscard]] VertexKind kind(VertexIndex vertex) const {
    if (vertex < slots) return VertexKind::gpu;
    const GraphLevel& level = *level_of(vertex);
    if (vertex < level.place().first_switch) return VertexKind::nic;
    return level.spec().topology == Topology::circuit ? VertexKind::circuit_switch : VertexKind::packet_switch;
  }
  [[nodiscard]] std::optional<std::uint32_t> spec_of(VertexIndex vertex) const {
    switch (kind(vertex)) {
      case VertexKind::gpu:
        for (const auto& level : levels) {
          if (level->gpus_forward() && level->spec().switch_kind) return level->spec().switch_kind;
        }
        return std::nullopt;
      case VertexKind::nic:
        return level_of(vertex)->spec().nic;
      case VertexKind::packet_switch:
        return level_of(vertex)->spec().switch_kind;
      case VertexKind::circuit_switch:
        return level_of(vertex)->spec().circuit_switch;
    }
    return std::nullopt;
  }
  [[nodiscard]] Seconds pass_latency(VertexIndex vertex) const {
    const auto spec = spec_of(vertex);
    if (!spec) return Seconds(0);
    switch (kind(vertex)) {
      case VertexKind::nic:
        return fabric.nics[*spec].latency;
      case VertexKind::circuit_switch:
        return Seconds(0);  // light goes through
      default:
        return fabric.switches[*spec].latency;
    }
  }
  // The slot whose GPU or NIC the vertex is.
  [[nodiscard]] std::uint32_t owner_slot(VertexIndex vertex) const {
    if (vertex < slots) return vertex;
    const GraphLevel& level = *level_of(vertex);
    if (vertex >= level.place().first_switch) return kNowhere;
    return (vertex - level.place().first_nic) / level.spec().planes;
  }
  // A NIC is called after its level when several levels have NICs.
  [[nodiscard]] std::string name(VertexIndex vertex) const {
    if (vertex < slots) return fmt::format("gpu[{}]", vertex);
    const GraphLevel& level = *level_of(vertex);
    if (vertex < level.place().first_switch) {
      const std::uint32_t n = vertex - level.place().first_nic;
      return fmt::format("gpu[{}].{}_nic[{}]", n / level.spec().planes, level.spec().name, n % level.spec().planes);
    }
    const std::uint32_t n = vertex - level.place().first_switch;
    return fmt::format("{}[{}].{}", level.spec().name, n / level.switches(), level.switch_name(n % level.switches()));
  }
  // Files name few vertices; a table of all names would be larger than the graph.
  [[nodiscard]] std::optional<VertexIndex> find(const std::string& wanted) const {
    for (VertexIndex vertex = 0; vertex < vertices; ++vertex) {
      if (name(vertex) == wanted) return vertex;
    }
    return std::nullopt;
  }

  void number_symmetry() {
    symmetry.resize(slot_of_gpu.size());
    if (degraded) {
      std::iota(symmetry.begin(), symmetry.end(), 0u);
      return;
    }
    std::map<std::vector<std::uint32_t>, std::uint32_t> numbers;
    std::vector<std::uint32_t> key(levels.size());
    for (std::uint32_t gpu = 0; gpu < symmetry.size(); ++gpu) {
      for (std::size_t l = 0; l < levels.size(); ++l) key[l] = levels[l]->symmetry(gpu);
      symmetry[gpu] = numbers.emplace(key, static_cast<std::uint32_t>(numbers.size())).first->second;
    }
  }

  FabricSpec fabric;
  std::uint32_t slots = 0;
  VertexIndex vertices = 0;
  bool degraded = false;
  std::vector<std::unique_ptr<GraphLevel>> levels;
  LinkTable links;
  std::vector<std::uint32_t> slot_of_gpu, gpu_of_slot;
  std::vector<std::uint32_t> symmetry;
  std::unique_ptr<GraphSearch> search;  // of a degraded machine
};

MachineGraph::MachineGraph(const FabricSpec& fabric) : impl_(std::make_unique<Impl>(fabric)) {}
MachineGraph::~MachineGraph() = default;
MachineGraph::MachineGraph(MachineGraph&&) noexcept = default;
MachineGraph& MachineGraph::operator=(MachineGraph&&) noexcept = default;

const FabricSpec& MachineGraph::fabric() const { return impl_->fabric; }
std::uint32_t MachineGraph::gpu_count() const { return static_cast<std::uint32_t>(impl_->slot_of_gpu.size()); }
std::size_t MachineGraph::vertex_count() const { return impl_->vertices; }
std::string MachineGraph::vertex_name(VertexIndex vertex) const { return impl_->name(vertex); }
VertexKind MachineGraph::vertex_kind(VertexIndex vertex) const { return impl_->kind(vertex); }
std::optional<std::uint32_t> MachineGraph::vertex_spec(VertexIndex vertex) const { return impl_->spec_of(vertex); }
std::optional<VertexIndex> MachineGraph::find_vertex(const std::string& name) const { return impl_->find(name); }
Seconds MachineGraph::pass_latency(VertexIndex vertex) const { return impl_->pass_latency(vertex); }
const std::vector<DirectedLink>& MachineGraph::links() const { return impl_->links.all(); }
const std::vector<std::uint32_t>& MachineGraph::symmetry() const { return impl_->symmetry; }

std::uint32_t MachineGraph::vertex_copies(VertexIndex vertex) const {
  if (vertex < impl_->slots || impl_->kind(vertex) != VertexKind::packet_switch) return 1;
  const LevelSpec& level = impl_->level_of(vertex)->spec();
  return level.interleaved ? level.planes : 1;
}

std::vector<LinkIndex> MachineGraph::route(std::uint32_t a, std::uint32_t b, std::uint32_t path) const {
  return impl_->route(a, b, path);
}

std::uint32_t MachineGraph::path_count(std::uint32_t a, std::uint32_t b) const {
  return a == b ? 1 : impl_->ways(impl_->slot_of_gpu[a], impl_->slot_of_gpu[b]);
}

Seconds MachineGraph::latency(std::uint32_t a, std::uint32_t b) const {
  if (a == b) return Seconds(0);
  Seconds sum = fabric().port_latency * 2.0;
  const std::vector<LinkIndex> way = route(a, b, 0);
  for (std::size_t i = 0; i < way.size(); ++i) {
    const DirectedLink& link = links()[way[i]];
    sum += fabric().links[link.kind].latency();
    if (i > 0) sum += pass_latency(link.from);
  }
  return sum;
}

// The narrowest stage of all ways together: links that several ways share count once.
BytesPerSecond MachineGraph::bandwidth(std::uint32_t a, std::uint32_t b) const {
  if (a == b) return BytesPerSecond(std::numeric_limits<double>::infinity());
  std::vector<std::map<LinkIndex, double>> stages;
  for (std::uint32_t path = 0; path < std::min(path_count(a, b), kMostWaysSummed); ++path) {
    const std::vector<LinkIndex> way = route(a, b, path);
    stages.resize(std::max(stages.size(), way.size()));
    for (std::size_t i = 0; i < way.size(); ++i) {
      const DirectedLink& link = links()[way[i]];
      const LinkSpec& kind = fabric().links[link.kind];
      stages[i][way[i]] = kind.sustained().count() * link.count * kind.packet_efficiency();
    }
  }
  double narrowest = std::numeric_limits<double>::infinity();
  for (const auto& stage : stages) {
    double sum = 0;
    for (const auto& [link, rate] : stage) sum += rate;
    narrowest = std::min(narrowest, sum);
  }
  return BytesPerSecond(narrowest);
}

std::uint32_t MachineGraph::level(std::uint32_t a, std::uint32_t b) const {
  return impl_->common_level(impl_->slot_of_gpu[a], impl_->slot_of_gpu[b]);
}
std::uint32_t MachineGraph::level_count() const { return static_cast<std::uint32_t>(impl_->levels.size()); }
std::uint32_t MachineGraph::level_size(std::uint32_t level) const { return impl_->levels[level]->place().gpus; }

bool MachineGraph::reduces_in_switch(const std::vector<std::uint32_t>& gpus) const {
  if (gpus.empty()) return false;
  std::uint32_t outermost = 0;
  for (const std::uint32_t gpu : gpus) outermost = std::max(outermost, level(gpus.front(), gpu));
  const LevelSpec& spec = impl_->levels[outermost]->spec();
  if (spec.topology != Topology::switched || !spec.switch_kind) return false;
  const SwitchSpec& kind = fabric().switches[*spec.switch_kind];
  return kind.reduces && kind.multicasts;
}

}  // namespace lightcone::hardware

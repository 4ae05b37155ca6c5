// SPDX-License-Identifier: Apache-2.0
// Every GPU of a domain on the same switches (NVSwitch planes, optical circuit switches), or on every other GPU.
#include <fmt/core.h>

#include "hardware/spec/graph_level.h"

namespace lightcone::hardware {
namespace {

class Star : public GraphLevel {
 public:
  using GraphLevel::GraphLevel;

  std::uint32_t switches() const override { return spec().interleaved ? 1 : spec().planes; }

  void build(std::uint32_t domain, const BundleSink& sink) const override {
    const double count = spec().interleaved ? spec().links_per_gpu : plane_links();
    for (std::uint32_t place = 0; place < this->place().gpus; ++place) {
      const std::uint32_t slot = domain * this->place().gpus + place;
      for (std::uint32_t plane = 0; plane < switches(); ++plane) {
        sink(port(slot, plane, switch_vertex(domain, plane), count, plane));
      }
    }
  }
  std::uint32_t ways(std::uint32_t, std::uint32_t) const override { return switches(); }
  void way(std::uint32_t a, std::uint32_t b, std::uint32_t way, std::vector<VertexIndex>& out) const override {
    out.insert(out.end(), {attach(a, way), switch_vertex(domain_of(a), way), attach(b, way)});
  }
  std::uint32_t symmetry(std::uint32_t) const override { return 0; }
  std::string switch_name(std::uint32_t number) const override {
    return fmt::format("{}[{}]", spec().topology == Topology::circuit ? "circuit" : "switch", number);
  }
};

class Direct : public GraphLevel {
 public:
  using GraphLevel::GraphLevel;

  std::uint32_t switches() const override { return 0; }

  void build(std::uint32_t domain, const BundleSink& sink) const override {
    const std::uint32_t n = place().gpus, first = domain * n;
    if (n < 2) return;
    const double count = static_cast<double>(spec().links_per_gpu) / (n - 1);
    for (std::uint32_t a = 0; a < n; ++a) {
      for (std::uint32_t b = a + 1; b < n; ++b) {
        sink({attach(first + a, 0), attach(first + b, 0), static_cast<std::uint16_t>(spec().link), count, b - a,
              n - (b - a), first + a, first + b});
      }
    }
  }
  std::uint32_t ways(std::uint32_t, std::uint32_t) const override { return 1; }
  void way(std::uint32_t a, std::uint32_t b, std::uint32_t, std::vector<VertexIndex>& out) const override {
    out.insert(out.end(), {attach(a, 0), attach(b, 0)});
  }
  std::uint32_t symmetry(std::uint32_t) const override { return 0; }
  std::string switch_name(std::uint32_t) const override { return {}; }
  bool gpus_forward() const override { return true; }
};

}  // namespace

std::unique_ptr<GraphLevel> make_star(const LevelPlace& place) { return std::make_unique<Star>(place); }
std::unique_ptr<GraphLevel> make_direct(const LevelPlace& place) { return std::make_unique<Direct>(place); }

}  // namespace lightcone::hardware

// SPDX-License-Identifier: Apache-2.0
// Ring and torus of up to three dimensions: a message goes along one dimension after the other, the shorter way round.
// Ways differ in which dimension comes first, and in the direction where both are equally long. With blocks, links that
// leave a block are of another kind and pass an optical circuit switch that holds its circuits for the whole run, as in
// TPU v4 (Jouppi et al., ISCA 2023): it costs light (link budget) and power, no time.
// In a torus of domains, GPUs of the same place in their domains form a torus each.
#include <algorithm>
#include <array>

#include "hardware/spec/graph_level.h"

namespace lightcone::hardware {
namespace {

class Torus : public GraphLevel {
 public:
  explicit Torus(const LevelPlace& place) : GraphLevel(place), extents_(place.spec().dimensions) {
    if (extents_.empty()) extents_ = {place.spec().size};
    for (const std::uint32_t extent : extents_) wide_ += extent > 1 ? 1 : 0;
  }

  std::uint32_t switches() const override { return 0; }

  void build(std::uint32_t domain, const BundleSink& sink) const override {
    if (wide_ == 0) return;
    const double per_direction = static_cast<double>(spec().links_per_gpu) / (2 * wide_);
    for (std::uint32_t local = 0; local < place().gpus; ++local) {
      const std::uint32_t slot = domain * place().gpus + local;
      for (std::size_t d = 0; d < extents_.size(); ++d) {
        if (extents_[d] < 2) continue;
        const bool two = extents_[d] == 2;  // both directions lead to the same neighbour
        if (two && coordinate(slot, d) == 1) continue;
        const std::uint32_t other = moved(slot, d, 1);
        const auto kind = static_cast<std::uint16_t>(leaves_block(slot, d) ? *spec().block_link : spec().link);
        sink({attach(slot, 0), attach(other, 0), kind, two ? 2 * per_direction : per_direction, orbit(slot, d, 0),
              orbit(other, d, two ? 0 : 1), slot, other});
      }
    }
  }

  std::uint32_t ways(std::uint32_t a, std::uint32_t b) const override {
    std::uint32_t moving = 0, ties = 0;
    for (std::size_t d = 0; d < extents_.size(); ++d) {
      const std::uint32_t forward = distance(a, b, d);
      moving += forward != 0 ? 1 : 0;
      ties += forward != 0 && extents_[d] > 2 && 2 * forward == extents_[d] ? 1 : 0;
    }
    return std::max(moving, 1u) << ties;
  }

  void way(std::uint32_t a, std::uint32_t b, std::uint32_t way, std::vector<VertexIndex>& out) const override {
    std::array<std::size_t, 3> order{};
    std::uint32_t moving = 0;
    for (std::size_t d = 0; d < extents_.size(); ++d) {
      if (distance(a, b, d) != 0) order[moving++] = d;
    }
    std::uint32_t ties = way / std::max(moving, 1u);
    out.push_back(attach(a, 0));
    std::uint32_t at = a;
    for (std::uint32_t i = 0; i < moving; ++i) {
      const std::size_t d = order[(i + way) % moving];
      const std::uint32_t forward = distance(a, b, d), extent = extents_[d];
      bool ahead = 2 * forward < extent;
      if (2 * forward == extent && extent > 2) {
        ahead = ties % 2 == 0;
        ties /= 2;
      }
      for (std::uint32_t hops = ahead ? forward : extent - forward; hops > 0; --hops) {
        at = moved(at, d, ahead ? 1 : extent - 1);
        out.push_back(attach(at, 0));
      }
    }
  }

  std::uint32_t symmetry(std::uint32_t slot) const override {
    std::uint32_t place_in_block = 0;
    for (std::size_t d = 0; d < spec().block.size(); ++d) {
      place_in_block = place_in_block * spec().block[d] + coordinate(slot, d) % spec().block[d];
    }
    return place_in_block;
  }
  std::string switch_name(std::uint32_t) const override { return {}; }
  bool reaches_all() const override { return place().below == 1; }
  bool gpus_forward() const override { return true; }

 private:
  [[nodiscard]] std::uint32_t stride(std::size_t d) const {
    std::uint32_t stride = place().below;
    for (std::size_t inner = extents_.size(); inner-- > d + 1;) stride *= extents_[inner];
    return stride;
  }
  [[nodiscard]] std::uint32_t coordinate(std::uint32_t slot, std::size_t d) const {
    return slot % place().gpus / stride(d) % extents_[d];
  }
  [[nodiscard]] std::uint32_t moved(std::uint32_t slot, std::size_t d, std::uint32_t by) const {
    const std::uint32_t here = coordinate(slot, d), there = (here + by) % extents_[d];
    return slot + there * stride(d) - here * stride(d);
  }
  [[nodiscard]] std::uint32_t distance(std::uint32_t a, std::uint32_t b, std::size_t d) const {
    return (coordinate(b, d) + extents_[d] - coordinate(a, d)) % extents_[d];
  }
  [[nodiscard]] bool leaves_block(std::uint32_t slot, std::size_t d) const {
    return !spec().block.empty() && coordinate(slot, d) % spec().block[d] == spec().block[d] - 1;
  }
  // Of the link from `slot` along dimension d, ahead (0) or back (1).
  [[nodiscard]] std::uint32_t orbit(std::uint32_t slot, std::size_t d, std::uint32_t back) const {
    return (symmetry(slot) * 3 + static_cast<std::uint32_t>(d)) * 2 + back;
  }

  std::vector<std::uint32_t> extents_;
  std::uint32_t wide_ = 0;  // dimensions with neighbours
};

}  // namespace

std::unique_ptr<GraphLevel> make_torus(const LevelPlace& place) { return std::make_unique<Torus>(place); }

}  // namespace lightcone::hardware

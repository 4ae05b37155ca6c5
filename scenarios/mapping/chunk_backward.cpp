// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/chunk_backward.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/recurrent_parts.h"
#include "sim/base/checked.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

using namespace hardware;
using models::LinearAttention;
using models::LinearRule;

namespace {

constexpr std::uint32_t kWarps = 4;
// Operands larger than this come in blocks along their inner dimension, as Triton's loops bring them.
constexpr std::uint64_t kMostShared = 96 * 1024;
constexpr std::uint64_t kColumns = 64;    // value columns of a state that one CTA carries
constexpr std::uint64_t kSetUpInts = 40;  // per thread: addresses

class ChunkBackward {
 public:
  explicit ChunkBackward(const models::Backward<LinearAttention>& backward)
      : op_(backward.forward),
        grid_{op_.tokens, op_.chunk, op_.value_heads / op_.heads, op_.batch * op_.heads},
        c_(op_.chunk),
        dk_(op_.key_dim),
        dv_(op_.value_dim) {}

  std::vector<TileProgram> run() const {
    std::vector<TileProgram> kernels;
    if (is_delta()) kernels.push_back(w_and_u());
    kernels.push_back(states());
    if (is_ssd()) kernels.push_back(group_scores());
    if (is_delta()) kernels.push_back(local_dv());
    kernels.push_back(state_gradients());
    if (!is_delta()) kernels.push_back(value_gradients());
    kernels.push_back(key_gradients());
    if (is_delta()) kernels.push_back(wy_gradients());
    if (is_ssd()) kernels.push_back(group_gradients());
    return kernels;
  }

 private:
  bool is_delta() const {
    return op_.rule == LinearRule::delta || op_.rule == LinearRule::gated_delta ||
           op_.rule == LinearRule::channel_delta;
  }
  bool is_ssd() const { return op_.rule == LinearRule::ssd; }
  bool has_vectors() const { return op_.rule == LinearRule::vector_decay || op_.rule == LinearRule::channel_delta; }
  bool decays() const { return op_.rule != LinearRule::sum && op_.rule != LinearRule::delta; }

  std::uint64_t key_row() const { return storage(op_.format, dk_).count(); }
  std::uint64_t value_row() const { return storage(op_.format, dv_).count(); }
  std::uint64_t score_row() const { return storage(op_.format, c_).count(); }
  std::uint64_t decay_row() const { return 4 * (has_vectors() ? dk_ : 1); }

  Tensor keys(const char* label) const { return {label, Bytes(grid_.key_rows() * key_row()), Residency::cold, false}; }
  Tensor of_heads(const char* label, std::uint64_t row, bool written = false,
                  Residency residency = Residency::warm) const {
    return {label, Bytes(grid_.value_rows() * row), residency, written};
  }
  Tensor chunk_states(const char* label, bool written) const {
    return {label, Bytes(grid_.sequences * grid_.members * grid_.chunks() * dk_ * value_row()), Residency::warm,
            written};
  }
  Box key_tile(std::uint32_t tensor, Var chunk, std::uint64_t row) const {
    return tile_box(grid_.key_view(tensor, row), chunk, c_);
  }
  Box head_tile(std::uint32_t tensor, Var chunk, std::uint64_t row) const {
    return tile_box(grid_.value_view(tensor, row), chunk, c_);
  }
  Box state_tile(std::uint32_t tensor, Var chunk) const {
    return tile_box(grid_.chunk_view(tensor, dk_, value_row(), chunk), Var::none, dk_);
  }
  // Kernels that carry a state take a block of its value columns each.
  std::uint64_t columns() const { return dv_ % kColumns == 0 && !is_mlstm() ? kColumns : dv_; }
  std::uint64_t column_bytes() const { return storage(op_.format, columns()).count(); }
  Box column_tile(std::uint32_t tensor) const {
    return tile_box(grid_.value_view(tensor, value_row()), Var::loop0, c_, Var::cta0, column_bytes());
  }
  Box state_columns(std::uint32_t tensor) const {
    return tile_box(grid_.chunk_view(tensor, dk_, value_row(), Var::loop0), Var::none, dk_, Var::cta0, column_bytes());
  }
  Mma with_columns(std::uint64_t t) const {
    const std::uint64_t width = columns() + value_width() - dv_;
    return product_of(c_, width, dk_, t, width, dk_, op_.format, false);
  }
  VectorWork set_up() const { return lane_work(0, kSetUpInts * 32 * kWarps, 0, 100); }
  std::string label(const char* kernel) const { return fmt::format("chunk_backward_{}_{}", kernel, name(op_.rule)); }

  // mLSTM's normaliser is one more column of V and of the state.
  bool is_mlstm() const { return op_.rule == LinearRule::mlstm; }
  std::uint64_t value_width() const { return dv_ + (is_mlstm() ? 1 : 0); }

  // Products of a chunk of t tokens: tokens by tokens over a head's width, and with a state.
  Mma square(std::uint64_t t, std::uint64_t width) const {
    return product_of(c_, c_, width, t, t, width, op_.format, false);
  }
  Mma with_state(std::uint64_t t) const {
    return product_of(c_, value_width(), dk_, t, value_width(), dk_, op_.format, false);
  }
  Mma uncounted_square(std::uint64_t width) const { return product_of(c_, c_, width, 0, 0, 0, op_.format, false); }

  // Scales by decays: of `values` values, with their exponentials.
  std::vector<Op> scale(std::uint64_t values, std::uint64_t chain = 60) const {
    if (!decays()) return {lane_work(values, values / 2, 0, chain)};
    return {lane_work(3 * values, values, has_vectors() ? values : c_, chain)};
  }

  // A kernel over all chunks of all heads: loads, then products and lane work, then stores.
  TileProgram side_by_side(const char* kernel, const ChunkGrid& grid, std::uint64_t shared, std::vector<Tensor> tensors,
                           const ChunkBody& body) const {
    return over_chunks(label(kernel), grid, 1, {kWarps, 168, std::min(shared, kMostShared)}, std::move(tensors), body);
  }

  // W = T (beta K), U = T (beta V) again; T is saved.
  TileProgram w_and_u() const {
    return side_by_side(
        "w_u", grid_, 2 * (c_ * (key_row() + value_row()) / 2 + c_ * score_row()),
        {keys("k"), of_heads("v", value_row(), false, Residency::cold), of_heads("beta", 4),
         of_heads("inverse", score_row(), false, Residency::cold), of_heads("w", key_row(), true),
         of_heads("u", value_row(), true)},
        [&](std::uint64_t t) {
          std::vector<Op> ops;
          append(ops, set_up(), GlobalLoad{key_tile(0, Var::cta2, key_row())},
                 GlobalLoad{head_tile(1, Var::cta2, value_row())}, GlobalLoad{head_tile(2, Var::cta2, 4)},
                 GlobalLoad{head_tile(3, Var::cta2, score_row())}, WaitLoads{}, scale(c_ * (dk_ + dv_)),
                 SharedAccess{0, c_ * (key_row() + value_row())}, square(t, dk_), square(t, dv_), MmaWait{0},
                 lane_work(c_ * (dk_ + dv_), 0, 0, 20), GlobalStore{head_tile(4, Var::cta2, key_row()), CopyPath::lsu},
                 GlobalStore{head_tile(5, Var::cta2, value_row()), CopyPath::lsu});
          return ops;
        });
  }

  // The states before every chunk again; delta rules first take W S from U.
  TileProgram states() const {
    std::vector<Tensor> tensors{
        keys("k"), of_heads(is_delta() ? "u" : "v", value_row(), false, is_delta() ? Residency::warm : Residency::cold),
        chunk_states("chunk states workspace", true), of_heads("decay", 4)};
    if (is_delta()) {
      tensors.push_back(of_heads("w", key_row()));
      tensors.push_back(of_heads("new v workspace", value_row(), true));
    }
    return along_chunks(
        label("states"), grid_, dv_ / columns(), walker(), std::move(tensors), {set_up()},
        [&](std::uint64_t t) {
          std::vector<Op> ops;
          append(ops, GlobalLoad{key_tile(0, Var::loop0, key_row())}, GlobalLoad{column_tile(1)});
          if (decays()) append(ops, GlobalLoad{head_tile(3, Var::loop0, 4)});
          if (is_delta()) append(ops, GlobalLoad{head_tile(4, Var::loop0, key_row())});
          append(ops, GlobalStore{state_columns(2), CopyPath::lsu}, WaitLoads{});
          if (is_delta()) {
            append(ops, SharedAccess{0, dk_ * column_bytes()}, with_columns(t), MmaWait{0}, scale(c_ * columns()),
                   GlobalStore{column_tile(5), CopyPath::lsu});
          }
          append(ops, scale(dk_ * columns(), 40), SharedAccess{0, c_ * column_bytes()}, with_columns(t), MmaWait{0});
          return ops;
        },
        {});
  }

  // What carries a state in registers: few CTAs, each with many registers.
  CtaShape walker() const {
    const std::uint64_t registers = 96 + dk_ * columns() / (32 * kWarps);
    return {kWarps, static_cast<std::uint32_t>(std::min<std::uint64_t>(255, registers)),
            std::min(kMostShared, 2 * c_ * (2 * key_row() + column_bytes()))};
  }

  // From the last chunk: dS += Q^T dO, for delta rules with dV' += K dS and dS -= W^T dV' between.
  TileProgram state_gradients() const {
    std::vector<Tensor> tensors{keys("q"), of_heads("output_gradient", value_row()),
                                chunk_states("state gradients workspace", true), of_heads("decay", 4)};
    if (is_delta()) {
      tensors.push_back(keys("k"));
      tensors.push_back(of_heads("w", key_row()));
      tensors.push_back(of_heads("new_v_gradient", value_row(), true));
    }
    return along_chunks(label("dh"), grid_, dv_ / columns(), walker(), std::move(tensors), {set_up()},
                        [&](std::uint64_t t) {
                          std::vector<Op> ops;
                          append(ops, GlobalLoad{key_tile(0, Var::loop0, key_row())}, GlobalLoad{column_tile(1)});
                          if (decays()) append(ops, GlobalLoad{head_tile(3, Var::loop0, 4)});
                          append(ops, GlobalStore{state_columns(2), CopyPath::lsu});
                          if (is_delta()) {
                            append(ops, GlobalLoad{key_tile(4, Var::loop0, key_row())},
                                   GlobalLoad{head_tile(5, Var::loop0, key_row())}, GlobalLoad{column_tile(6)},
                                   WaitLoads{}, SharedAccess{0, dk_ * column_bytes()}, with_columns(t), MmaWait{0},
                                   scale(c_ * columns()), GlobalStore{column_tile(6), CopyPath::lsu}, with_columns(t));
                          }
                          append(ops, WaitLoads{}, scale(dk_ * columns(), 40), SharedAccess{0, c_ * column_bytes()},
                                 with_columns(t), MmaWait{0});
                          return ops;
                        },
                        {});
  }

  // Delta rules: (Q K^T)^T dO, before the states' gradients are known.
  TileProgram local_dv() const {
    return side_by_side(
        "dv_local", grid_, 2 * c_ * (key_row() + value_row()),
        {keys("q"), keys("k"), of_heads("output_gradient", value_row()), of_heads("decay", 4),
         of_heads("new_v_gradient", value_row(), true)},
        [&](std::uint64_t t) {
          std::vector<Op> ops;
          append(ops, set_up(), GlobalLoad{key_tile(0, Var::cta2, key_row())},
                 GlobalLoad{key_tile(1, Var::cta2, key_row())}, GlobalLoad{head_tile(2, Var::cta2, value_row())},
                 GlobalLoad{head_tile(3, Var::cta2, 4)}, WaitLoads{}, square(t, dk_), MmaWait{0}, scale(c_ * c_),
                 SharedAccess{0, c_ * score_row()}, square(t, dv_), MmaWait{0}, lane_work(c_ * dv_, 0, 0, 20),
                 GlobalStore{head_tile(4, Var::cta2, value_row()), CopyPath::lsu});
          return ops;
        });
  }

  // dV = scores^T dO + K dS; the scores here, or a group's.
  TileProgram value_gradients() const {
    return side_by_side("dv", grid_, 2 * c_ * (key_row() + value_row()),
                        {keys("q"),
                         keys("k"),
                         of_heads("output_gradient", value_row()),
                         chunk_states("state gradients", false),
                         of_heads("value_gradient", value_row(), true),
                         of_heads("decay", 4),
                         {"scores", Bytes(grid_.key_rows() * score_row()), Residency::warm, false}},
                        [&](std::uint64_t t) {
                          std::vector<Op> ops;
                          append(ops, set_up(), GlobalLoad{key_tile(1, Var::cta2, key_row())},
                                 GlobalLoad{head_tile(2, Var::cta2, value_row())},
                                 GlobalLoad{state_tile(3, Var::cta2)});
                          if (decays()) append(ops, GlobalLoad{head_tile(5, Var::cta2, 4)});
                          append(ops,
                                 is_ssd() ? GlobalLoad{key_tile(6, Var::cta2, score_row())}
                                          : GlobalLoad{key_tile(0, Var::cta2, key_row())},
                                 WaitLoads{});
                          if (!is_ssd()) append(ops, square(t, dk_), MmaWait{0});
                          append(ops, scale(c_ * c_), SharedAccess{0, c_ * score_row()}, square(t, value_width()),
                                 with_state(t), MmaWait{0}, lane_work(2 * c_ * dv_, 0, 0, 20),
                                 GlobalStore{head_tile(4, Var::cta2, value_row()), CopyPath::lsu});
                          return ops;
                        });
  }

  // dQ = dO S^T + dP K, dK = V dS^T + dP^T Q with dP = dO V^T; delta rules dW = -dV' S^T besides. Mamba-2's dP goes to
  // its group.
  TileProgram key_gradients() const {
    std::vector<Tensor> tensors{keys("q"),
                                keys("k"),
                                of_heads(is_delta() ? "new v" : "v", value_row()),
                                of_heads("output_gradient", value_row()),
                                chunk_states("chunk states", false),
                                chunk_states("state gradients", false),
                                of_heads("decay", decay_row()),
                                of_heads("query_gradient", key_row(), true),
                                of_heads("key_gradient", key_row(), true),
                                of_heads("decay_gradient", decay_row(), true)};
    const auto extra = static_cast<std::uint32_t>(tensors.size());
    if (is_delta()) {
      tensors.push_back(of_heads("new_v_gradient", value_row()));
      tensors.push_back(of_heads("w_gradient", key_row(), true));
    }
    if (is_ssd()) tensors.push_back(of_heads("score_gradients workspace", score_row(), true));
    return side_by_side("dqk", grid_, 2 * c_ * (key_row() + value_row()) + dk_ * value_row(), std::move(tensors),
                        [&](std::uint64_t t) { return key_gradient_body(t, extra); });
  }

  std::vector<Op> key_gradient_body(std::uint64_t t, std::uint32_t extra) const {
    std::vector<Op> ops;
    append(ops, set_up());
    if (!is_ssd()) {
      append(ops, GlobalLoad{key_tile(0, Var::cta2, key_row())}, GlobalLoad{key_tile(1, Var::cta2, key_row())});
    }
    append(ops, GlobalLoad{head_tile(2, Var::cta2, value_row())}, GlobalLoad{head_tile(3, Var::cta2, value_row())},
           GlobalLoad{state_tile(4, Var::cta2)}, GlobalLoad{state_tile(5, Var::cta2)});
    if (decays()) append(ops, GlobalLoad{head_tile(6, Var::cta2, decay_row())});
    if (is_delta()) append(ops, GlobalLoad{head_tile(extra, Var::cta2, value_row())});
    append(ops, WaitLoads{}, square(t, value_width()), with_state(t), with_state(t));
    if (is_delta()) append(ops, with_state(t));
    append(ops, MmaWait{0}, scale(c_ * c_), scale(2 * c_ * dk_), SharedAccess{0, c_ * score_row()});
    if (is_ssd()) {
      append(ops, GlobalStore{head_tile(extra, Var::cta2, score_row()), CopyPath::lsu});
    } else {
      append(ops, square(t, dk_), square(t, dk_), MmaWait{0});
    }
    append(ops, lane_work(4 * c_ * dk_, 0, 0, 60), GlobalStore{head_tile(7, Var::cta2, key_row()), CopyPath::lsu},
           GlobalStore{head_tile(8, Var::cta2, key_row()), CopyPath::lsu});
    if (decays()) append(ops, GlobalStore{head_tile(9, Var::cta2, decay_row()), CopyPath::lsu});
    if (is_delta()) append(ops, GlobalStore{head_tile(extra + 1, Var::cta2, key_row()), CopyPath::lsu});
    return ops;
  }

  // Gradients through W = T (beta K) and U = T (beta V), through the inverse, and of K K^T. Two products of c^3 carry a
  // gradient through the inverse of a triangle, which the formula counts as one.
  TileProgram wy_gradients() const {
    return side_by_side(
        "wy", grid_, 2 * c_ * (key_row() + value_row()) + 2 * c_ * score_row(),
        {keys("k"), of_heads("v", value_row(), false, Residency::cold), of_heads("beta", 4),
         of_heads("inverse", score_row(), false, Residency::cold), of_heads("w_gradient", key_row()),
         of_heads("new_v_gradient", value_row()), of_heads("key_gradient", key_row(), true),
         of_heads("value_gradient", value_row(), true), of_heads("beta_gradient", 4, true)},
        [&](std::uint64_t t) {
          std::vector<Op> ops;
          append(ops, set_up(), GlobalLoad{key_tile(0, Var::cta2, key_row())},
                 GlobalLoad{head_tile(1, Var::cta2, value_row())}, GlobalLoad{head_tile(2, Var::cta2, 4)},
                 GlobalLoad{head_tile(3, Var::cta2, score_row())}, GlobalLoad{head_tile(4, Var::cta2, key_row())},
                 GlobalLoad{head_tile(5, Var::cta2, value_row())}, GlobalLoad{head_tile(6, Var::cta2, key_row())},
                 WaitLoads{}, scale(c_ * (dk_ + dv_)), square(t, dk_), square(t, dv_), square(t, dk_), square(t, dv_),
                 MmaWait{0}, lane_work(2 * c_ * c_, c_ * c_, 0, 60), SharedAccess{0, 2 * c_ * score_row()},
                 square(t, t), MmaWait{0}, uncounted_square(c_), MmaWait{0}, square(t, dk_), MmaWait{0}, scale(c_ * c_),
                 square(t, dk_), square(t, dk_), MmaWait{0}, lane_work(4 * c_ * (dk_ + dv_), 0, 0, 60),
                 GlobalStore{head_tile(6, Var::cta2, key_row()), CopyPath::lsu},
                 GlobalStore{head_tile(7, Var::cta2, value_row()), CopyPath::lsu},
                 GlobalStore{head_tile(8, Var::cta2, 4), CopyPath::lsu});
          return ops;
        });
  }

  // Mamba-2: C B^T of a group again.
  TileProgram group_scores() const {
    ChunkGrid groups = grid_;
    groups.members = 1;
    return side_by_side(
        "group_scores", groups, 2 * c_ * key_row(),
        {keys("C"), keys("B"), {"scores", Bytes(grid_.key_rows() * score_row()), Residency::warm, true}},
        [&](std::uint64_t t) {
          std::vector<Op> ops;
          append(ops, set_up(), GlobalLoad{key_tile(0, Var::cta2, key_row())},
                 GlobalLoad{key_tile(1, Var::cta2, key_row())}, WaitLoads{}, square(t, dk_), MmaWait{0},
                 lane_work(c_ * c_, 0, 0, 20), GlobalStore{key_tile(2, Var::cta2, score_row()), CopyPath::lsu});
          return ops;
        });
  }

  // Mamba-2: the heads' gradients of the group's scores added up, then dC and dB of the group.
  TileProgram group_gradients() const {
    ChunkGrid groups = grid_;
    groups.members = 1;
    const std::uint64_t heads = grid_.members;
    const auto of_members = [&](std::uint32_t tensor, std::uint64_t row) {
      MatrixView view{tensor, grid_.tokens, row * heads, row * heads, {}, 0};
      view.outer[0] = {Var::cta3, static_cast<std::int64_t>(grid_.tokens * row * heads)};
      return tile_box(view, Var::cta2, c_);
    };
    return side_by_side("group_gradients", groups, 2 * c_ * key_row() + c_ * score_row(),
                        {keys("C"),
                         keys("B"),
                         of_heads("score_gradients", score_row()),
                         of_heads("query_gradient", key_row()),
                         of_heads("key_gradient", key_row()),
                         {"C_gradient", Bytes(grid_.key_rows() * key_row()), Residency::warm, true},
                         {"B_gradient", Bytes(grid_.key_rows() * key_row()), Residency::warm, true}},
                        [&](std::uint64_t t) {
                          std::vector<Op> ops;
                          append(ops, set_up(), GlobalLoad{key_tile(0, Var::cta2, key_row())},
                                 GlobalLoad{key_tile(1, Var::cta2, key_row())}, GlobalLoad{of_members(2, score_row())},
                                 GlobalLoad{of_members(3, key_row())}, GlobalLoad{of_members(4, key_row())},
                                 WaitLoads{}, lane_work(heads * c_ * (c_ + 2 * dk_), 0, 0, 60),
                                 SharedAccess{0, c_ * score_row()}, square(t, dk_), square(t, dk_), MmaWait{0},
                                 lane_work(2 * c_ * dk_, 0, 0, 20),
                                 GlobalStore{key_tile(5, Var::cta2, key_row()), CopyPath::lsu},
                                 GlobalStore{key_tile(6, Var::cta2, key_row()), CopyPath::lsu});
                          return ops;
                        });
  }

  LinearAttention op_;
  ChunkGrid grid_;
  std::uint64_t c_, dk_, dv_;
};

}  // namespace

std::vector<TileProgram> chunk_backward_programs(const models::Backward<LinearAttention>& op) {
  const LinearAttention& a = op.forward;
  (void)models::cost(models::Operator(op));
  if (a.rule == LinearRule::dplr) {
    throw ConfigError(fmt::format("linear attention backward with rule {} has no kernels yet", name(a.rule)));
  }
  if (a.tokens == 1) throw ConfigError("linear attention backward of a single token has no kernels");
  return ChunkBackward(op).run();
}

}  // namespace lightcone::scenarios

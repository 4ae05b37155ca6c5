// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>

#include "scenarios/mapping/chunk_kernels.h"
#include "scenarios/mapping/op_list.h"
#include "scenarios/mapping/recurrent_parts.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;
using models::LinearAttention;
using models::LinearRule;

namespace {

constexpr std::uint64_t kSubChunk = 16;   // of the triangular solve and of scores with one decay per key value
constexpr std::uint64_t kSetUpInts = 40;  // per thread: strides, bounds, block pointers

// Value columns of one CTA: `most`, or all where they do not divide.
std::uint64_t columns_per_block(std::uint64_t value_dim, std::uint64_t most) {
  for (std::uint64_t columns = most; columns >= 16; columns /= 2) {
    if (value_dim % columns == 0) return columns;
  }
  return value_dim;
}

// The kernels of one operator. Intermediates are in the storage format, decays and scores in fp32.
class FlaKernels {
 public:
  explicit FlaKernels(const LinearAttention& op)
      : op_(op), grid_{op.tokens, op.chunk, op.value_heads / op.heads, op.batch * op.heads} {}

  std::vector<TileProgram> run() const {
    std::vector<TileProgram> kernels;
    if (has_gates()) kernels.push_back(cumulative_decay());
    if (is_delta()) {
      if (has_vectors()) {
        kernels.push_back(off_diagonal_scores());
        kernels.push_back(diagonal_scores());
      } else {
        kernels.push_back(key_scores());
      }
      kernels.push_back(invert_diagonal());
      kernels.push_back(merge_inverse());
      kernels.push_back(w_and_u());
    } else if (has_vectors()) {
      kernels.push_back(off_diagonal_scores());
      kernels.push_back(diagonal_scores());
    }
    kernels.push_back(is_mlstm() ? with_first_block(states(true), states(false)) : states(false));
    const bool counts_once = is_mlstm() || op_.rule == LinearRule::scalar_decay;
    kernels.push_back(counts_once ? with_first_block(outputs(true), outputs(false)) : outputs(false));
    return kernels;
  }

 private:
  bool is_delta() const {
    return op_.rule == LinearRule::delta || op_.rule == LinearRule::gated_delta ||
           op_.rule == LinearRule::channel_delta;
  }
  bool has_vectors() const { return op_.rule == LinearRule::vector_decay || op_.rule == LinearRule::channel_delta; }
  bool is_mlstm() const { return op_.rule == LinearRule::mlstm; }
  bool has_gates() const { return has_vectors() || is_mlstm() || op_.rule == LinearRule::gated_delta; }
  bool decays() const { return op_.rule != LinearRule::sum && op_.rule != LinearRule::delta; }
  std::uint64_t score_flops(std::uint64_t tokens) const { return decays() ? tokens * tokens : 0; }
  std::uint64_t sub_chunks() const { return ceil_div(op_.chunk, kSubChunk); }

  std::uint64_t key_row() const { return storage(op_.format, op_.key_dim).count(); }
  std::uint64_t value_row() const { return storage(op_.format, op_.value_dim).count(); }
  // mlstm has an input gate beside the decay.
  std::uint64_t decay_row() const { return 4 * (has_vectors() ? op_.key_dim : is_mlstm() ? 2 : 1); }
  std::uint64_t state_row() const { return storage(op_.format, op_.value_dim).count(); }

  // Tensors of the operator by name; kernels list those they touch.
  Tensor keys(const char* label, bool written = false) const {
    return {label, Bytes(grid_.key_rows() * key_row()), Residency::warm, written};
  }
  Tensor per_value_head(const char* label, std::uint64_t row_bytes, bool written = false) const {
    return {label, Bytes(grid_.value_rows() * row_bytes), Residency::warm, written};
  }
  Tensor decay(bool written = false) const {
    return {"cumulative decay", Bytes((has_vectors() ? grid_.key_rows() : grid_.value_rows()) * decay_row()),
            Residency::warm, written};
  }
  Tensor chunk_states(bool written) const {
    return {"chunk states", Bytes(grid_.sequences * grid_.members * grid_.chunks() * op_.key_dim * state_row()),
            Residency::warm, written};
  }
  Box key_tile(std::uint32_t tensor, Var chunk, std::uint64_t row) const {
    return tile_box(grid_.key_view(tensor, row), chunk, op_.chunk);
  }
  Box value_tile(std::uint32_t tensor, Var chunk, std::uint64_t row, std::uint64_t columns_bytes = 0) const {
    return tile_box(grid_.value_view(tensor, row), chunk, op_.chunk, columns_bytes == 0 ? Var::none : Var::cta0,
                    columns_bytes);
  }
  Box decay_tile(std::uint32_t tensor, Var chunk) const {
    return has_vectors() ? key_tile(tensor, chunk, decay_row()) : value_tile(tensor, chunk, decay_row());
  }
  Mma product(std::uint64_t m, std::uint64_t n, std::uint64_t k, std::uint64_t useful_m, std::uint64_t useful_n,
              std::uint64_t useful_k) const {
    return product_of(m, n, k, useful_m, useful_n, useful_k, op_.format, false);
  }
  VectorWork set_up(std::uint32_t warps) const { return lane_work(0, kSetUpInts * 32 * warps, 0, 100); }
  std::string label(const char* kernel) const { return fmt::format("fla_{}_{}", kernel, models::name(op_.rule)); }

  // chunk_local_cumsum: a scan down the tokens of a chunk, in log2 steps.
  TileProgram cumulative_decay() const {
    const std::uint64_t values = op_.chunk * (has_vectors() ? op_.key_dim : 1);
    const std::uint64_t raw = has_vectors() ? key_row() : decay_row();
    ChunkGrid grid = grid_;
    if (has_vectors()) grid.members = 1;
    return over_chunks(
        label("cumsum"), grid, 1, {has_vectors() ? 8u : 1u, 64, 4 * values},
        {{"decay", Bytes((has_vectors() ? grid_.key_rows() : grid_.value_rows()) * raw), Residency::warm, false},
         decay(true)},
        [&](std::uint64_t) {
          std::vector<Op> ops;
          append(ops, set_up(1),
                 GlobalLoad{has_vectors() ? key_tile(0, Var::cta2, raw) : value_tile(0, Var::cta2, raw)}, WaitLoads{},
                 lane_work(values * 6, values * 4, 0, 200), GlobalStore{decay_tile(1, Var::cta2), CopyPath::lsu});
          return ops;
        });
  }

  // chunk_scaled_dot_kkt: beta K K^T with the decay between two tokens, below the diagonal.
  TileProgram key_scores() const {
    const std::uint64_t c = op_.chunk, row = 4 * c;
    std::vector<Tensor> tensors{keys("k"), per_value_head("beta", 4), per_value_head("scores", row, true)};
    if (decays()) tensors.push_back(decay());
    return over_chunks(label("kkt"), grid_, 1, {8, 64, 2 * c * key_row()}, std::move(tensors), [&](std::uint64_t t) {
      std::vector<Op> ops;
      append(ops, set_up(8), GlobalLoad{key_tile(0, Var::cta2, key_row())}, GlobalLoad{value_tile(1, Var::cta2, 4)});
      if (decays()) append(ops, GlobalLoad{decay_tile(3, Var::cta2)});
      append(ops, WaitLoads{}, SharedAccess{0, c * key_row()}, product(c, c, op_.key_dim, t, t, op_.key_dim),
             MmaWait{0}, lane_work(c * c * 5, c * c * 2, decays() ? c * c : 0, 60, score_flops(t)),
             GlobalStore{value_tile(2, Var::cta2, row), CopyPath::lsu});
      return ops;
    });
  }

  // Scores with a decay per key value, sub-chunks of 16 tokens apart: both sides are scaled, then multiplied.
  TileProgram off_diagonal_scores() const {
    const std::uint64_t c = op_.chunk, row = 4 * c, pairs = sub_chunks() * (sub_chunks() - 1) / 2;
    const std::uint64_t products = is_delta() ? 2 : 1, values = kSubChunk * op_.key_dim;
    return over_chunks(
        label("scores_off_diagonal"), grid_, std::max<std::uint64_t>(1, pairs), {4, 96, 4 * values * 2},
        {keys("q"), keys("k"), decay(), per_value_head("scores", row * products, true)}, [&](std::uint64_t) {
          std::vector<Op> ops;
          Box q = key_tile(0, Var::cta2, key_row()), k = key_tile(1, Var::cta2, key_row()),
              g = decay_tile(2, Var::cta2);
          for (Box* box : {&q, &k, &g}) {
            box->rows = kSubChunk;
            box->row_step = c;
          }
          append(ops, set_up(4), GlobalLoad{q}, GlobalLoad{k}, GlobalLoad{k}, GlobalLoad{g}, GlobalLoad{g}, WaitLoads{},
                 lane_work((2 * products + 1) * 3 * values, values, 2 * values, 150));
          for (std::uint64_t i = 0; i < products; ++i) {
            append(ops, product_of(kSubChunk, kSubChunk, op_.key_dim, 0, 0, 0, op_.format, true));
          }
          append(ops, MmaWait{0});
          return ops;
        });
  }

  // The blocks of 16 tokens on the diagonal, on the vector lanes: token after token, 16 x key_dim exponentials each.
  // All products of the scores are counted here, and their store, with that of the other blocks.
  TileProgram diagonal_scores() const {
    const std::uint64_t c = op_.chunk, row = 4 * c, products = is_delta() ? 2 : 1;
    const std::uint64_t step = kSubChunk * op_.key_dim * sub_chunks();
    return over_chunks(
        label("scores_diagonal"), grid_, 1, {8, 128, 1024},
        {keys("q"), keys("k"), decay(), per_value_head("scores", row * products, true)}, [&](std::uint64_t t) {
          std::vector<Op> ops;
          append(ops, set_up(8), GlobalLoad{key_tile(0, Var::cta2, key_row())},
                 GlobalLoad{key_tile(1, Var::cta2, key_row())}, GlobalLoad{decay_tile(2, Var::cta2)}, WaitLoads{});
          // Difference, product with the key, a multiply-add per product and its share of the sum across lanes.
          for (std::uint64_t i = 0; i < kSubChunk; ++i) {
            append(ops, lane_work(step * (3 + 2 * products), step, step, 150,
                                  i > 0 ? 0 : products * 2 * t * t * op_.key_dim + score_flops(t)));
          }
          append(ops, GlobalStore{value_tile(3, Var::cta2, row * products), CopyPath::lsu});
          return ops;
        });
  }

  // solve_tril_16x16: forward substitution by rows; each turn loads a row and sums a masked 16 x 16 block.
  TileProgram invert_diagonal() const {
    const std::uint64_t row = 4 * op_.chunk * (has_vectors() ? 2 : 1), block = kSubChunk * kSubChunk;
    return over_chunks(
        label("solve"), grid_, 1, {static_cast<std::uint32_t>(sub_chunks()), 48, 1024},
        {per_value_head("scores", row), per_value_head("diagonal inverses", 4 * kSubChunk, true)},
        [&](std::uint64_t t) {
          std::vector<Op> ops;
          append(ops, set_up(4));
          Box turn = value_tile(0, Var::cta2, row);
          turn.row_bytes = 4 * kSubChunk;
          append(ops, GlobalLoad{turn}, WaitLoads{});
          Box one = turn;
          one.rows = 1;
          one.row_step = op_.chunk;
          for (std::uint64_t i = 2; i < kSubChunk; ++i) {
            append(ops, GlobalLoad{one}, WaitLoads{},
                   lane_work(3 * block * sub_chunks(), block * sub_chunks(), 0, 120, i > 2 ? 0 : 2 * t * t * t / 3));
          }
          append(ops, GlobalStore{value_tile(1, Var::cta2, 4 * kSubChunk), CopyPath::lsu});
          return ops;
        });
  }

  // merge_16x16_to_64x64_inverse: blocks below the diagonal by products of 16, three deep.
  TileProgram merge_inverse() const {
    const std::uint64_t c = op_.chunk, row = 4 * c * (has_vectors() ? 2 : 1);
    const std::uint64_t out = storage(op_.format, c).count(), n = sub_chunks();
    return over_chunks(
        label("merge_inverse"), grid_, 1, {4, 128, 1024},
        {per_value_head("scores", row), per_value_head("diagonal inverses", 4 * kSubChunk),
         per_value_head("inverse", out, true)},
        [&](std::uint64_t) {
          std::vector<Op> ops;
          Box scores = value_tile(0, Var::cta2, row);
          scores.row_bytes = 4 * c;
          append(ops, set_up(4), GlobalLoad{scores}, GlobalLoad{value_tile(1, Var::cta2, 4 * kSubChunk)}, WaitLoads{});
          for (std::uint64_t depth = 1; depth < n; ++depth) {
            append(ops,
                   product_of(kSubChunk, kSubChunk * (n - depth), kSubChunk * (depth + 1), 0, 0, 0, op_.format, true),
                   MmaWait{0}, lane_work(4 * kSubChunk * kSubChunk * (n - depth), 0, 0, 120));
          }
          append(ops, GlobalStore{value_tile(2, Var::cta2, out), CopyPath::lsu});
          return ops;
        });
  }

  // recompute_w_u: W = T (beta K decay), U = T (beta V); with vector decays the scaled keys too.
  TileProgram w_and_u() const {
    const std::uint64_t c = op_.chunk, square = storage(op_.format, c).count();
    const std::uint64_t key_values = c * op_.key_dim, value_values = c * op_.value_dim;
    std::vector<Tensor> tensors{keys("k"),
                                per_value_head("v", value_row()),
                                per_value_head("beta", 4),
                                per_value_head("inverse", square),
                                per_value_head("w", key_row(), true),
                                per_value_head("u", value_row(), true)};
    if (decays()) tensors.push_back(decay());
    if (has_vectors()) tensors.push_back(per_value_head("scaled k", key_row(), true));
    return over_chunks(
        label("w_u"), grid_, 1, {4, 128, 2 * c * (key_row() + square)}, std::move(tensors), [&](std::uint64_t t) {
          std::vector<Op> ops;
          append(ops, set_up(4), GlobalLoad{value_tile(3, Var::cta2, square)}, GlobalLoad{value_tile(2, Var::cta2, 4)},
                 GlobalLoad{value_tile(1, Var::cta2, value_row())}, WaitLoads{},
                 lane_work(3 * value_values, value_values / 2, 0, 40), SharedAccess{0, c * value_row()},
                 product(c, op_.value_dim, c, t, op_.value_dim, t), MmaWait{0}, lane_work(value_values, 0, 0, 20),
                 GlobalStore{value_tile(5, Var::cta2, value_row()), CopyPath::lsu},
                 GlobalLoad{key_tile(0, Var::cta2, key_row())});
          if (decays()) append(ops, GlobalLoad{decay_tile(6, Var::cta2)});
          append(ops, WaitLoads{},
                 lane_work(4 * key_values, key_values / 2,
                           has_vectors() ? 2 * key_values
                           : decays()    ? c
                                         : 0,
                           60),
                 SharedAccess{0, c * key_row()}, product(c, op_.key_dim, c, t, op_.key_dim, t), MmaWait{0},
                 lane_work(key_values, 0, 0, 20), GlobalStore{value_tile(4, Var::cta2, key_row()), CopyPath::lsu});
          if (has_vectors()) append(ops, GlobalStore{value_tile(7, Var::cta2, key_row()), CopyPath::lsu});
          return ops;
        });
  }

  // The normaliser and the running maximum of mlstm: of every chunk's first token, and of the sequence's state.
  Tensor normalisers(bool written) const {
    return {"normalisers", Bytes(grid_.sequences * grid_.members * grid_.chunks() * normaliser_row()), Residency::warm,
            written};
  }
  std::uint64_t normaliser_row() const { return 4 * (op_.key_dim + 1); }
  Box normaliser(std::uint32_t tensor, Var chunk) const {
    return tile_box(grid_.chunk_view(tensor, 1, normaliser_row(), chunk), Var::none, 1);
  }
  Box normaliser_state(std::uint32_t tensor) const {
    return tile_box(grid_.chunk_view(tensor, 1, storage(op_.state_format, op_.key_dim + 1).count(), Var::none),
                    Var::none, 1);
  }

  // chunk_delta_h (delta rules) or chunk_h: the state, in registers, from chunk to chunk. mlstm (mlstm_kernels,
  // triton/chunkwise/xl_chunk/fw_kernel_recurrent.py, has the same grid): every CTA carries the normaliser; the `first`
  // of a head stores it.
  TileProgram states(bool first) const {
    const std::uint64_t c = op_.chunk, columns = columns_per_block(op_.value_dim, is_delta() ? 32 : 64);
    const std::uint64_t bytes = storage(op_.format, columns).count(), state_values = op_.key_dim * columns;
    const bool scaled_keys = op_.rule == LinearRule::channel_delta;
    std::vector<Tensor> tensors{
        scaled_keys ? per_value_head("scaled k", key_row()) : keys("k"),
        per_value_head(is_delta() ? "u" : "v", value_row()),
        chunk_states(true),
        {"state", storage(op_.state_format, grid_.sequences * grid_.members * op_.key_dim * op_.value_dim),
         Residency::cold, op_.writes_state}};
    if (decays()) tensors.push_back(has_gates() ? decay() : per_value_head("constant decay", 4));
    const auto w = static_cast<std::uint32_t>(tensors.size());
    if (is_delta()) {
      tensors.push_back(per_value_head("w", key_row()));
      tensors.push_back(per_value_head("new v", value_row(), true));
    }
    if (is_mlstm()) {
      tensors.push_back(normalisers(true));
      tensors.push_back({"normaliser state",
                         storage(op_.state_format, grid_.sequences * grid_.members * (op_.key_dim + 1)),
                         Residency::cold, op_.writes_state});
    }
    const Box state =
        tile_box(grid_.chunk_view(3, op_.key_dim, storage(op_.state_format, op_.value_dim).count(), Var::none),
                 Var::none, op_.key_dim, Var::cta0, storage(op_.state_format, columns).count());
    const Box saved =
        tile_box(grid_.chunk_view(2, op_.key_dim, state_row(), Var::loop0), Var::none, op_.key_dim, Var::cta0, bytes);
    std::vector<Op> before, after;
    append(before, set_up(4));
    if (op_.reads_state) {
      if (is_mlstm()) append(before, GlobalLoad{normaliser_state(w + 1)});
      append(before, GlobalLoad{state}, WaitLoads{});
    }
    if (op_.writes_state) append(after, GlobalStore{state, CopyPath::lsu});
    if (op_.writes_state && first) append(after, GlobalStore{normaliser_state(w + 1), CopyPath::lsu});
    const auto body = [&](std::uint64_t t) {
      std::vector<Op> ops;
      // Loads of the chunk were issued a chunk ahead; they are waited for here as one.
      append(ops, GlobalLoad{scaled_keys ? value_tile(0, Var::loop0, key_row()) : key_tile(0, Var::loop0, key_row())},
             GlobalLoad{value_tile(1, Var::loop0, value_row(), bytes)});
      if (decays()) {
        Box g = has_gates() ? decay_tile(4, Var::loop0) : value_tile(4, Var::loop0, 4);
        if (has_vectors()) {  // the last token's alone
          g.rows = 1;
          g.row_step = c;
        }
        append(ops, GlobalLoad{g});
      }
      if (is_delta()) append(ops, GlobalLoad{value_tile(w, Var::loop0, key_row())});
      append(ops, lane_work(state_values, state_values / 4, 0, 20), GlobalStore{saved, CopyPath::lsu});
      if (is_mlstm()) {  // gated sum of the keys, and the maximum of the gates across the chunk
        if (first) append(ops, GlobalStore{normaliser(w, Var::loop0), CopyPath::lsu});
        append(ops, lane_work(2 * c * op_.key_dim, c, c, 100, first ? 2 * t * op_.key_dim + op_.key_dim + 1 : 0));
      }
      Mma update = product(op_.key_dim, columns, c, op_.key_dim, columns, t);
      if (is_delta()) {
        Mma old = product(c, columns, op_.key_dim, t, columns, op_.key_dim);
        append(ops, SharedAccess{0, op_.key_dim * bytes}, WaitLoads{}, old, MmaWait{0},
               lane_work(3 * c * columns, c * columns / 2, decays() ? c : 0, 60),
               GlobalStore{value_tile(w + 1, Var::loop0, value_row(), bytes), CopyPath::lsu});
      } else {
        append(ops, WaitLoads{}, lane_work(2 * c * columns, 0, decays() ? c : 0, 60));
      }
      append(
          ops, SharedAccess{0, c * bytes},
          lane_work(decays() ? state_values : 0, 0, has_vectors() ? op_.key_dim : 1, 40, decays() ? state_values : 0),
          update, MmaWait{0});
      return ops;
    };
    return along_chunks(label("states"), grid_, op_.value_dim / columns,
                        {4, static_cast<std::uint32_t>(std::min<std::uint64_t>(255, 96 + state_values / 128)),
                         2 * c * (2 * key_row() + bytes)},
                        std::move(tensors), std::move(before), body, std::move(after));
  }

  // chunk_o: Q S of the chunk's first state plus the scores times V. mlstm divides by the product of Q with the
  // normaliser and the sum of the scores. These, and the decays between two tokens where a head's decay is constant,
  // count in the `first` CTA of a head and chunk.
  TileProgram outputs(bool first) const {
    const std::uint64_t c = op_.chunk;
    const bool own_scores = !has_vectors();
    const bool constant = op_.rule == LinearRule::scalar_decay;
    const std::uint64_t columns = columns_per_block(op_.value_dim, 64);
    const std::uint64_t bytes = storage(op_.format, columns).count();
    const std::uint64_t score_row = 4 * c;
    std::vector<Tensor> tensors{keys("q"), keys("k"), per_value_head(is_delta() ? "new v" : "v", value_row()),
                                chunk_states(false), per_value_head("o", value_row(), true)};
    const auto extra = static_cast<std::uint32_t>(tensors.size());
    if (decays()) tensors.push_back(has_gates() ? decay() : per_value_head("constant decay", 4));
    if (!own_scores) tensors.push_back(per_value_head("scores", score_row));
    const auto sums = static_cast<std::uint32_t>(tensors.size());
    if (is_mlstm()) tensors.push_back(normalisers(false));
    const Box saved =
        tile_box(grid_.chunk_view(3, op_.key_dim, state_row(), Var::cta2), Var::none, op_.key_dim, Var::cta0, bytes);
    return over_chunks(
        label("outputs"), grid_, op_.value_dim / columns, {4, 128, c * key_row() * 2 + op_.key_dim * bytes},
        std::move(tensors), [&](std::uint64_t t) {
          std::vector<Op> ops;
          append(ops, set_up(4), GlobalLoad{key_tile(0, Var::cta2, key_row())}, GlobalLoad{saved});
          if (own_scores) append(ops, GlobalLoad{key_tile(1, Var::cta2, key_row())});
          if (decays()) {
            append(ops, GlobalLoad{has_gates() ? decay_tile(extra, Var::cta2) : value_tile(extra, Var::cta2, 4)});
          }
          if (!own_scores) append(ops, GlobalLoad{value_tile(extra + 1, Var::cta2, score_row)});
          if (is_mlstm()) append(ops, GlobalLoad{normaliser(sums, Var::cta2)});
          append(ops, WaitLoads{});
          if (is_mlstm()) {
            append(ops, lane_work(c * (op_.key_dim + 2 * c), c * c, 2 * c, 100,
                                  first ? 2 * t * (op_.key_dim + t) + score_flops(t) : 0));
          }
          if (has_vectors()) append(ops, lane_work(3 * c * op_.key_dim, 0, c * op_.key_dim, 60));
          append(ops, SharedAccess{0, c * key_row() + op_.key_dim * bytes},
                 product(c, columns, op_.key_dim, t, columns, op_.key_dim));
          if (own_scores) {  // every block of columns computes them; they count once
            Mma scores = product(c, c, op_.key_dim, t, t, op_.key_dim);
            scores.useful.n_var = Var::cta0;
            scores.useful.n_step = c;
            append(ops, scores);
          }
          append(ops, GlobalLoad{value_tile(2, Var::cta2, value_row(), bytes)}, MmaWait{0},
                 lane_work((own_scores ? 5 : 2) * c * c, c * c, own_scores && decays() ? c * c : 0, 60,
                           constant && first ? score_flops(t) : 0),
                 WaitLoads{}, SharedAccess{0, c * bytes + storage(op_.format, c * c).count()},
                 product(c, columns, c, t, columns, t), MmaWait{0}, lane_work(3 * c * columns, 0, 0, 30),
                 GlobalStore{value_tile(4, Var::cta2, value_row(), bytes), CopyPath::lsu});
          return ops;
        });
  }

  const LinearAttention& op_;
  ChunkGrid grid_;
};

}  // namespace

std::vector<TileProgram> fla_programs(const LinearAttention& op) { return FlaKernels(op).run(); }

}  // namespace lightcone::scenarios

// SPDX-License-Identifier: Apache-2.0
// Scores of DeepSeek-V3.2's indexer, as DeepGEMM computes them (fp8_mqa_logits, fp8_paged_mqa_logits): a tile of Q
// holds the light heads of one or two tokens; S = Q K^T of a block of keys stays in registers, where ReLU, the weight
// of each head and the sum over the heads leave one number per token and key. In the format of the operator.
#include <algorithm>

#include "scenarios/mapping/attention_splits.h"
#include "scenarios/mapping/attention_tiles.h"
#include "scenarios/mapping/mla_attention.h"
#include "scenarios/mapping/op_list.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

using namespace hardware;

namespace {

constexpr std::uint8_t kK = 0, kQ = 1;
constexpr std::uint64_t kTileRows = 128;

AttentionPlan plan_indexer(const models::Attention& op, const GpuSpec& gpu) {
  AttentionPlan plan;
  plan.multiply = multiply_format(op, gpu);
  plan.head_dim = static_cast<std::uint32_t>(round_up(op.head_dim, 16));
  plan.value_dim = 16;  // none in truth
  plan.packed = plan.values_in_keys = plan.bulk_queries = true;
  plan.bulk_pages = true;
  plan.columns = 128;
  const std::uint64_t tokens =
      std::max<std::uint64_t>(1, std::min(op.q_len, kTileRows / std::min(op.heads, kTileRows)));
  plan.rows = static_cast<std::uint32_t>(round_up(tokens * op.heads, 64));
  shrink_to_fit(plan, gpu);
  const std::uint64_t tiles = op.batch * ceil_div(op.q_len * op.heads, plan.rows);
  plan.splits = split_heuristic(tiles, gpu.sm_count, ceil_div(op.kv_len, plan.columns), SplitRule::any);
  plan.most_splits = plan.splits;
  return plan;
}

}  // namespace

TileProgram indexer_scores(const models::Attention& op, const GpuSpec& gpu) {
  const AttentionPlan plan = plan_indexer(op, gpu);
  const AttentionLayout layout(op, plan, gpu);
  TileProgram program = layout.start("indexer_scores");
  program.threads_per_cta = 32 * 5;
  program.registers_per_thread = 168;
  const auto logits = static_cast<std::uint32_t>(program.tensors.size());
  const std::uint64_t row = 4 * op.kv_len, sequence = op.q_len * row;
  program.tensors.push_back({"logits", Bytes(op.batch * sequence), Residency::warm, true});
  MatrixView view{logits, op.q_len, row, row, {}, 0};
  view.outer[0] = {Var::cta3, static_cast<std::int64_t>(sequence)};
  const std::uint64_t tokens = std::max<std::uint64_t>(1, plan.rows / op.heads);
  const std::uint64_t scores = std::uint64_t{plan.rows} * plan.columns;
  Role producer{"producer", 1, {}};
  append(producer.ops, layout.set_up(), AcquireStage{kQ}, layout.load_q(kQ), CommitStage{kQ}, LoopBegin{0},
         AcquireStage{kK}, layout.load_k(kK, Var::loop0, 0), CommitStage{kK}, LoopEnd{});
  // ReLU, multiply-add, and the sum across the threads that hold a column.
  const VectorWork sum = lane_work(2 * scores, scores / 8, 0, 100, 2 * scores);
  Role consumer{"consumer", 4, {}};
  append(consumer.ops, WaitStage{kQ}, LoopBegin{0}, WaitStage{kK}, layout.scores(0, 1, Var::loop0, 0), MmaWait{0},
         ReleaseStage{kK}, sum, GlobalStore{tile_box(view, Var::cta0, tokens, Var::loop0, 4ull * plan.columns)},
         LoopEnd{}, ReleaseStage{kQ});
  program.classes = {{"tile", {producer, consumer}, {{"k", plan.stages, 1}, {"q", 1, 1}}}};
  program.groups = layout.groups();
  return program;
}

}  // namespace lightcone::scenarios

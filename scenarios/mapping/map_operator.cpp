// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/map_operator.h"

#include <fmt/core.h>

#include <iterator>

#include "scenarios/mapping/attention_program.h"
#include "scenarios/mapping/backward_rows.h"
#include "scenarios/mapping/causal_conv.h"
#include "scenarios/mapping/choose_gemm.h"
#include "scenarios/mapping/dynamic_scale.h"
#include "scenarios/mapping/elementwise.h"
#include "scenarios/mapping/expert_kernels.h"
#include "scenarios/mapping/grouped_gemm.h"
#include "scenarios/mapping/linear_attention.h"
#include "scenarios/mapping/linear_scan.h"
#include "scenarios/mapping/long_convolution.h"
#include "scenarios/mapping/map_backward.h"
#include "scenarios/mapping/optimiser.h"
#include "scenarios/mapping/row_kernels.h"
#include "scenarios/mapping/selection_kernels.h"
#include "scenarios/mapping/selective_scan.h"
#include "scenarios/mapping/serial_recurrence.h"
#include "scenarios/mapping/sparse_attention.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

namespace {

using namespace models;

// One kernel kind per operator kind; the overload set is the list.
struct Mapper {
  const hardware::GpuSpec& gpu;
  const MappingOptions& options;

  KernelSequence operator()(const Gemm& op) const { return choose_gemm(gemm_problem(op, gpu), gpu, options); }
  KernelSequence operator()(const BatchedGemm& op) const { return choose_gemm(gemm_problem(op, gpu), gpu, options); }
  KernelSequence operator()(const Attention& op) const { return map_attention(op, gpu, options); }
  KernelSequence operator()(const SparseAttention& op) const { return map_sparse_attention(op, gpu, options); }
  KernelSequence operator()(const Norm& op) const { return single(norm_program(op, options.library)); }
  KernelSequence operator()(const Softmax& op) const { return single(softmax_program(op)); }
  KernelSequence operator()(const Elementwise& op) const {
    KernelSequence sequence = single(elementwise_program(op, gpu, options.library));
    if (!op.dynamic_scale) return sequence;
    std::vector<hardware::TileProgram> scale = dynamic_scale_programs(op, options.library);
    sequence.kernels.insert(sequence.kernels.begin(), std::make_move_iterator(scale.begin()),
                            std::make_move_iterator(scale.end()));
    return sequence;
  }
  KernelSequence operator()(const Rotary& op) const { return single(rotary_program(op)); }
  KernelSequence operator()(const EmbeddingGather& op) const { return single(embedding_program(op)); }
  KernelSequence operator()(const CausalConv& op) const {
    return single(causal_conv_program(op, gpu, options.library));
  }
  KernelSequence operator()(const SelectiveScan& op) const { return single(selective_scan_program(op)); }
  KernelSequence operator()(const LinearScan& op) const { return single(linear_scan_program(op)); }
  KernelSequence operator()(const LinearAttention& op) const {
    return in_turn(linear_attention_programs(op, gpu, options.library));
  }
  KernelSequence operator()(const FftConv& op) const { return in_turn(fft_conv_programs(op, gpu)); }
  KernelSequence operator()(const StateFilter& op) const { return in_turn(state_filter_programs(op, gpu)); }
  KernelSequence operator()(const SerialRecurrence& op) const { return single(serial_recurrence_program(op, gpu)); }
  KernelSequence operator()(const PoolRows& op) const { return single(pool_rows_program(op)); }
  KernelSequence operator()(const PageScores& op) const { return single(page_scores_program(op)); }
  KernelSequence operator()(const Sort& op) const { return in_turn(sort_programs(op)); }
  KernelSequence operator()(const TopK& op) const { return single(top_k_program(op)); }
  KernelSequence operator()(const GatherRows& op) const { return in_turn(gather_rows_programs(op, options.library)); }
  KernelSequence operator()(const CombineRows& op) const { return single(combine_rows_program(op)); }
  KernelSequence operator()(const GroupedGemm& op) const { return choose_grouped_gemm(op, gpu, options); }
  template <class Forward>
  KernelSequence operator()(const Backward<Forward>& op) const {
    return map_backward(op, gpu, options);
  }
  KernelSequence operator()(const ColumnSum& op) const { return in_turn(column_sum_programs(op, gpu)); }
  KernelSequence operator()(const CrossEntropy& op) const { return single(cross_entropy_program(op)); }
  KernelSequence operator()(const AdamW& op) const { return single(adamw_program(op)); }
  KernelSequence operator()(const Communication& op) const {
    throw ConfigError("operator " + kind_name(op) +
                      " is messages between GPUs, not a kernel of one: it needs a machine with a fabric");
  }
};

}  // namespace

KernelSequence in_turn(std::vector<hardware::TileProgram> kernels) {
  KernelSequence sequence;
  for (const hardware::TileProgram& kernel : kernels) {
    sequence.note += (sequence.note.empty() ? "" : " + ") + kernel.name;
  }
  sequence.kernels = std::move(kernels);
  return sequence;
}

KernelSequence single(hardware::TileProgram kernel) {
  std::vector<hardware::TileProgram> kernels;
  kernels.push_back(std::move(kernel));
  return in_turn(std::move(kernels));
}

KernelSequence map_operator(const Operator& op, const hardware::GpuSpec& gpu, const MappingOptions& options) {
  return std::visit(Mapper{gpu, options}, op);
}

}  // namespace lightcone::scenarios

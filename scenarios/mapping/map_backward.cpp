// SPDX-License-Identifier: Apache-2.0
#include "scenarios/mapping/map_backward.h"

#include "scenarios/mapping/attention_backward.h"
#include "scenarios/mapping/backward_rows.h"
#include "scenarios/mapping/chunk_backward.h"
#include "scenarios/mapping/grouped_gemm.h"
#include "scenarios/mapping/recurrent_backward.h"

namespace lightcone::scenarios {

using models::Backward;

KernelSequence map_backward(const Backward<models::Attention>& op, const hardware::GpuSpec& gpu,
                            const MappingOptions& options) {
  return map_attention_backward(op, gpu, options.library);
}

KernelSequence map_backward(const Backward<models::Norm>& op, const hardware::GpuSpec& gpu, const MappingOptions&) {
  return in_turn(norm_backward_programs(op, gpu));
}

KernelSequence map_backward(const Backward<models::Softmax>& op, const hardware::GpuSpec&, const MappingOptions&) {
  return single(softmax_backward_program(op));
}

KernelSequence map_backward(const Backward<models::Elementwise>& op, const hardware::GpuSpec&, const MappingOptions&) {
  return single(elementwise_backward_program(op));
}

KernelSequence map_backward(const Backward<models::EmbeddingGather>& op, const hardware::GpuSpec&,
                            const MappingOptions&) {
  return in_turn(embedding_backward_programs(op));
}

KernelSequence map_backward(const Backward<models::CausalConv>& op, const hardware::GpuSpec&, const MappingOptions&) {
  return single(causal_conv_backward_program(op));
}

KernelSequence map_backward(const Backward<models::SelectiveScan>& op, const hardware::GpuSpec&,
                            const MappingOptions&) {
  return in_turn(selective_scan_backward_programs(op));
}

KernelSequence map_backward(const Backward<models::LinearScan>& op, const hardware::GpuSpec&, const MappingOptions&) {
  return single(linear_scan_backward_program(op));
}

KernelSequence map_backward(const Backward<models::LinearAttention>& op, const hardware::GpuSpec&,
                            const MappingOptions&) {
  return in_turn(chunk_backward_programs(op));
}

KernelSequence map_backward(const Backward<models::TopK>& op, const hardware::GpuSpec&, const MappingOptions&) {
  return single(top_k_backward_program(op));
}

KernelSequence map_backward(const Backward<models::GatherRows>& op, const hardware::GpuSpec&, const MappingOptions&) {
  return single(gather_backward_program(op));
}

KernelSequence map_backward(const Backward<models::CombineRows>& op, const hardware::GpuSpec&, const MappingOptions&) {
  return single(combine_backward_program(op));
}

KernelSequence map_backward(const Backward<models::GroupedGemm>& op, const hardware::GpuSpec& gpu,
                            const MappingOptions& options) {
  return choose_grouped_weight_gradient(op, gpu, options);
}

}  // namespace lightcone::scenarios

// SPDX-License-Identifier: Apache-2.0
// Backward operators -> kernels: one overload per kind, and a refusal for kinds without kernels.
#pragma once

#include "models/graph/operator.h"
#include "scenarios/mapping/map_operator.h"
#include "sim/base/error.h"

namespace lightcone::scenarios {

KernelSequence map_backward(const models::Backward<models::Attention>& op, const hardware::GpuSpec& gpu,
                            const MappingOptions& options);
KernelSequence map_backward(const models::Backward<models::Norm>& op, const hardware::GpuSpec& gpu,
                            const MappingOptions& options);
KernelSequence map_backward(const models::Backward<models::Softmax>& op, const hardware::GpuSpec& gpu,
                            const MappingOptions& options);
KernelSequence map_backward(const models::Backward<models::Elementwise>& op, const hardware::GpuSpec& gpu,
                            const MappingOptions& options);
KernelSequence map_backward(const models::Backward<models::EmbeddingGather>& op, const hardware::GpuSpec& gpu,
                            const MappingOptions& options);

KernelSequence map_backward(const models::Backward<models::CausalConv>& op, const hardware::GpuSpec& gpu,
                            const MappingOptions& options);
KernelSequence map_backward(const models::Backward<models::SelectiveScan>& op, const hardware::GpuSpec& gpu,
                            const MappingOptions& options);
KernelSequence map_backward(const models::Backward<models::LinearScan>& op, const hardware::GpuSpec& gpu,
                            const MappingOptions& options);
KernelSequence map_backward(const models::Backward<models::LinearAttention>& op, const hardware::GpuSpec& gpu,
                            const MappingOptions& options);
KernelSequence map_backward(const models::Backward<models::TopK>& op, const hardware::GpuSpec& gpu,
                            const MappingOptions& options);
KernelSequence map_backward(const models::Backward<models::GatherRows>& op, const hardware::GpuSpec& gpu,
                            const MappingOptions& options);
KernelSequence map_backward(const models::Backward<models::CombineRows>& op, const hardware::GpuSpec& gpu,
                            const MappingOptions& options);
KernelSequence map_backward(const models::Backward<models::GroupedGemm>& op, const hardware::GpuSpec& gpu,
                            const MappingOptions& options);

template <class Forward>
KernelSequence map_backward(const models::Backward<Forward>& op, const hardware::GpuSpec&, const MappingOptions&) {
  throw ConfigError("operator " + models::kind_name(models::Operator(op)) +
                    " has no kernels yet: neither evaluator can price it");
}

}  // namespace lightcone::scenarios

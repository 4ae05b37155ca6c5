// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/model_constants.h"

#include <fmt/core.h>

namespace lightcone::scenarios {

const std::vector<ModelConstant>& model_constants() {
  static const std::vector<ModelConstant> constants{
      {"hardware/power/governor.cpp", "kOverlapExponent", "2.5",
       "calibrated: GEMM and streaming kernels of all measured GPUs; fits of single ones lie between 2 and 3"},
      {"hardware/machine/analytical.cpp", "kSustainedL2Writes", "0.8",
       "calibrated: the cycle machine's own streams of writes (closed form only)"},
      {"hardware/machine/analytical.cpp", "kCornerExponent", "4",
       "assumed: how sharply two limits meet (closed form only)"},
      {"hardware/machine/gpu_core.cpp", "kWriteBacklog", "192", "assumed: depth of the L2 slices' victim buffers"},
      {"hardware/machine/hbm_device.cpp", "kInterleave", "256", "assumed: NVIDIA does not publish its address map"},
      {"hardware/parts/hbm_channel.h", "kRefreshBatch", "2", "assumed: JEDEC allows up to 8 postponed refreshes"},
      {"hardware/parts/hbm_channel.h", "kOvertakeDepths", "8", "assumed: policy of the memory controller"},
      {"hardware/parts/hbm_channel.h", "kWriteLines", "128", "assumed: dirty lines that the L2 holds back"},
      {"scenarios/mapping/gemm_layout.cpp", "kFfmaOverhead", "1.7",
       "calibrated: NeuSight's fp32 GEMMs on A100 and H100; instructions beside operand loads per register tile"},
      {"scenarios/mapping/attention_layout.cpp", "kSetUpCycles", "1500",
       "calibrated: aiconfigurator attention_decode, time of a CTA beyond its data"},
      {"scenarios/mapping/attention_layout.cpp", "kSynchronousSetUpCycles", "2500",
       "calibrated: aiconfigurator attention_decode, the same with mma.sync"},
      {"scenarios/mapping/attention_layout.cpp", "kBlockTableCycles", "1000",
       "calibrated: aiconfigurator attention_decode, chain of dependent loads before the first key"},
      {"scenarios/mapping/attention_layout.cpp", "kRowReductionCycles", "100",
       "assumed: latency of the shuffles of a row's maximum and sum"},
      {"scenarios/mapping/row_kernels.cpp", "kReductionCycles", "150",
       "assumed: latency of a warp's shuffles and one hand-over through shared memory"},
      {"scenarios/mapping/dynamic_scale.cpp", "kReductionCycles", "150", "assumed: as in the row kernels"},
      {"scenarios/mapping/dynamic_scale.cpp", "kTreeCycles", "8 * 60",
       "assumed: latency of eight halvings through shared memory"},
      {"scenarios/mapping/elementwise.cpp", "kScalarChain", "170",
       "assumed: latency of the dependent instructions of one turn, counted from nvcc's code"},
  };
  return constants;
}

std::string shown(const ModelConstant& constant) {
  return fmt::format("{} = {} ({})", constant.name, constant.value, constant.file);
}

}  // namespace lightcone::scenarios

// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/operator_format.h"

namespace lightcone::scenarios {
namespace {

struct FormatOf {
  NumberFormat operator()(const models::Gemm& op) const { return op.activation; }
  NumberFormat operator()(const models::BatchedGemm& op) const { return op.activation; }
  NumberFormat operator()(const models::Attention& op) const { return op.activation; }
  NumberFormat operator()(const models::SparseAttention& op) const { return op.activation; }
  NumberFormat operator()(const models::Elementwise& op) const { return op.input; }
  NumberFormat operator()(const models::Rotary& op) const { return op.activation; }
  NumberFormat operator()(const models::GroupedGemm& op) const { return op.activation; }
  template <class Forward>
  NumberFormat operator()(const models::Backward<Forward>& op) const {
    return (*this)(op.forward);
  }
  NumberFormat operator()(const models::AdamW& op) const { return op.weight; }
  template <class Op>
  NumberFormat operator()(const Op& op) const {
    return op.format;
  }
};

}  // namespace

NumberFormat operator_format(const models::Operator& op) { return std::visit(FormatOf{}, op); }

MatrixPeak matrix_peak(const KernelSequence& sequence, const hardware::GpuSpec& gpu) {
  NumberFormat format = NumberFormat::fp32;
  double per_clock = 0;
  for (const hardware::TileProgram& program : sequence.kernels) {
    for (const hardware::CtaClass& cta : program.classes) {
      for (const hardware::Role& role : cta.roles) {
        for (const hardware::Op& op : role.ops) {
          const auto* mma = std::get_if<hardware::Mma>(&op);
          const auto rate = mma ? gpu.sm.tensor.flops_per_clock.find(mma->format) : gpu.sm.tensor.flops_per_clock.end();
          if (rate == gpu.sm.tensor.flops_per_clock.end() || rate->second <= per_clock) continue;
          format = mma->format;
          per_clock = rate->second;
        }
      }
    }
  }
  if (per_clock == 0) per_clock = 2 * gpu.sm.fp32_lanes;  // a multiply-add per lane
  return {format, FlopsPerSecond(per_clock * gpu.sm_count * gpu.clock.boost.count())};
}

}  // namespace lightcone::scenarios

// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/operator_format.h"

namespace lightcone::scenarios {
namespace {

struct FormatOf {
  NumberFormat operator()(const models::Gemm& op) const { return op.activation; }
  NumberFormat operator()(const models::BatchedGemm& op) const { return op.activation; }
  NumberFormat operator()(const models::Attention& op) const { return op.activation; }
  NumberFormat operator()(const models::Norm& op) const { return op.format; }
  NumberFormat operator()(const models::Softmax& op) const { return op.format; }
  NumberFormat operator()(const models::Elementwise& op) const { return op.input; }
  NumberFormat operator()(const models::Rotary& op) const { return op.activation; }
  NumberFormat operator()(const models::EmbeddingGather& op) const { return op.format; }
};

}  // namespace

NumberFormat operator_format(const models::Operator& op) { return std::visit(FormatOf{}, op); }

}  // namespace lightcone::scenarios

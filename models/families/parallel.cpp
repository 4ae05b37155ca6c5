// SPDX-License-Identifier: Apache-2.0
// Several mixers on the same input, whose results are added (Falcon-H1, TII 2025).
#include <fmt/core.h>

#include "models/families/layer_kinds.h"

namespace lightcone::models {

ParameterParts parameters(const ParallelMixer& m, std::uint64_t d) {
  ParameterParts all;
  for (const SingleMixer& part : m.parts) {
    const ParameterParts one = std::visit([&](const auto& mixer) { return parameters(mixer, d); }, part);
    all = {size_sum({all.matrices, one.matrices}), size_sum({all.vectors, one.vectors})};
  }
  return all;
}

SequenceState sequence_state(const ParallelMixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape) {
  SequenceState all;
  for (const SingleMixer& part : m.parts) {
    const SequenceState one =
        std::visit([&](const auto& mixer) { return sequence_state(mixer, d, length, shape); }, part);
    all = {Bytes(size_sum({all.kv.count(), one.kv.count()})),
           Bytes(size_sum({all.recurrent.count(), one.recurrent.count()}))};
  }
  return all;
}

Section::Index build(LayerBuilder& b, const ParallelMixer& m, const std::vector<Section::Index>& inputs) {
  const auto of = [&](const SingleMixer& part) {
    return std::visit([&](const auto& mixer) { return build(b, mixer, inputs); }, part);
  };
  Section::Index sum = of(m.parts.front());
  for (std::size_t i = 1; i < m.parts.size(); ++i) {
    sum = b.elementwise("add_part", ElementwiseKind::add, b.d_model(), {sum, of(m.parts[i])});
  }
  return sum;
}

void check_kind(const ParallelMixer& m, const FaultList& block, const ModelSpec& model) {
  if (m.parts.size() < 2) block.add("parallel", "has fewer than two parts; a single mixer stands by itself");
  for (std::size_t i = 0; i < m.parts.size(); ++i) {
    const FaultList inside = block.inside("parallel").inside(element_path("part", static_cast<int>(i)));
    std::visit([&](const auto& mixer) { check_kind(mixer, inside, model); }, m.parts[i]);
  }
}

std::string words(const ParallelMixer& m) {
  std::string out;
  for (const SingleMixer& part : m.parts) {
    out += (out.empty() ? "" : " beside ") + std::visit([](const auto& mixer) { return words(mixer); }, part);
  }
  return out;
}

}  // namespace lightcone::models

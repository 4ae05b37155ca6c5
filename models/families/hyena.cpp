// SPDX-License-Identifier: Apache-2.0
// Hyena (Poli et al. 2023; HazyResearch/safari, hyena.py): gates and long convolutions in turn, whose filters a small
// network makes of the positions. There is no recurrence: a decode step is a product of the filters with all inputs so
// far, which the layer therefore keeps; the filters themselves are made once and read.
#include <fmt/core.h>

#include "models/families/layer_kinds.h"
#include "models/graph/tensor_bytes.h"

namespace lightcone::models {

namespace {

using Index = Section::Index;

constexpr std::uint64_t kInnerLayers = 2;  // of the filters' network, of its own width

std::uint64_t branches(const HyenaMixer& m, std::uint64_t d) { return size_product({size_sum({m.order, 1}), d}); }
std::uint64_t filters(const HyenaMixer& m, std::uint64_t d) { return size_product({m.order - 1, d}); }

// The network over `length` positions: features, sine layers, one filter per channel, times a decaying window.
Index implicit_filters(LayerBuilder& b, const HyenaMixer& m, std::uint64_t length) {
  const auto layer = [&](const std::string& name, std::uint64_t k, std::uint64_t n, std::vector<Index> inputs) {
    return b.add(
        name, Gemm{.m = length, .n = n, .k = k, .activation = b.stream(), .weight = b.stream(), .output = b.stream()},
        inputs);
  };
  const auto sine = [&](const std::string& name, Index input) {
    return b.add(name,
                 Elementwise{ElementwiseKind::sin, size_product({length, m.filter_width}), b.stream(), b.stream(),
                             m.filter_width},
                 {input});
  };
  Index hidden = sine("filter_sin_0", layer("filter_in", m.position_features, m.filter_width, {}));
  for (std::uint64_t i = 1; i <= kInnerLayers; ++i) {
    hidden = sine(fmt::format("filter_sin_{}", i),
                  layer(fmt::format("filter_inner_{}", i), m.filter_width, m.filter_width, {hidden}));
  }
  const std::uint64_t d = filters(m, b.d_model());
  const Index taps = layer("filter_out", m.filter_width, d, {hidden});
  return b.add("filter_window",
               Elementwise{ElementwiseKind::mul, size_product({length, d}), b.stream(), NumberFormat::fp32, d}, {taps});
}

}  // namespace

// Projections and short convolution with biases; the network with biases but in its last layer, a frequency per unit of
// it; a skip weight per filter.
ParameterParts parameters(const HyenaMixer& m, std::uint64_t d) {
  const std::uint64_t f = m.filter_width, inner = size_product({kInnerLayers, f, f});
  const std::uint64_t matrices =
      size_sum({size_product({d, branches(m, d)}), size_product({d, d}), size_product({m.position_features, f}), inner,
                size_product({f, filters(m, d)})});
  const std::uint64_t vectors =
      size_sum({branches(m, d), d, size_product({branches(m, d), size_sum({m.short_kernel, 1})}),
                size_product({kInnerLayers + 2, f}), filters(m, d)});
  return {matrices, vectors};
}

// Inputs of the long convolutions, of all tokens; the short one's last.
SequenceState sequence_state(const HyenaMixer& m, std::uint64_t d, std::uint64_t length, const PhaseShape& shape) {
  return {tensor_bytes("the inputs", shape.kv, {length, filters(m, d)}),
          convolution_state(branches(m, d), m.short_kernel, shape)};
}

Index build(LayerBuilder& b, const HyenaMixer& m, const std::vector<Index>& inputs) {
  const PhaseShape& shape = b.shape();
  const std::uint64_t d = b.d_model(), length = size_sum({shape.context, shape.tokens});
  const bool decodes = shape.tokens == 1 && b.continues();
  const Index in = b.linear("in_proj", d, branches(m, d), true, inputs);
  const Index x = b.convolution("short_conv",
                                CausalConv{.channels = branches(m, d), .kernel = m.short_kernel, .silu = false}, {in});
  const Index taps = decodes ? x : implicit_filters(b, m, length);
  Index value = x;
  for (std::uint64_t i = 1; i < m.order; ++i) {
    value = b.elementwise(fmt::format("gate_{}", i), ElementwiseKind::mul, d, {x, value});
    const std::string name = fmt::format("long_conv_{}", i);
    if (decodes) {
      value = b.add(name + "_append",
                    Elementwise{ElementwiseKind::copy, size_product({b.rows(), d}), b.stream(), shape.kv, d}, {value});
      value = b.add(name, BatchedGemm{d, shape.batch, 1, length, shape.kv, b.stream(), b.stream()}, {value});
    } else {
      // On top of a context the whole sequence is transformed again.
      value = b.add(name, FftConv{shape.batch, length, d, length, b.stream()}, {value, taps});
    }
  }
  value = b.elementwise("gate_out", ElementwiseKind::mul, d, {x, value});
  return b.linear("out_proj", d, d, true, {value});
}

void check_kind(const HyenaMixer& m, const FaultList& block, const ModelSpec&) {
  const FaultList list = block.inside("hyena");
  if (m.order < 2) list.add("order", fmt::format("{} is below 2: there would be no long convolution", m.order));
  list.require("filter_width", m.filter_width);
  list.require("position_features", m.position_features);
  list.require("short_kernel", m.short_kernel);
}

std::string words(const HyenaMixer& m) {
  return fmt::format("Hyena of order {}, filters by a network {} wide", m.order, m.filter_width);
}

}  // namespace lightcone::models

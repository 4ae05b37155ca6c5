// SPDX-License-Identifier: Apache-2.0
// Linear attention layers: RetNet (Sun et al. 2023), Lightning (MiniMax 2025), GLA (Yang et al. 2023), HGRN2 (Qin et
// al. 2024), DeltaNet (Yang et al. 2024), Gated DeltaNet (2024; Qwen3-Next), KDA (Kimi-Linear 2025), mLSTM (xLSTM-7B,
// Beck et al. 2025). One GEMM gives all that the stream is projected to; the functions of the gates (softplus, sigmoid,
// exponential) are part of the recurrence's kernel.
#include <fmt/core.h>

#include "models/families/layer_kinds.h"
#include "models/graph/tensor_bytes.h"

namespace lightcone::models {

namespace {

bool is_delta(const LinearMixer& m) {
  return m.rule == LinearRule::delta || m.rule == LinearRule::gated_delta || m.rule == LinearRule::channel_delta;
}
// HGRN2: the key is one minus the decay, so that the projection of K gives both.
bool key_is_decay(const LinearMixer& m) { return m.rule == LinearRule::vector_decay && m.decay_rank == 0; }

std::uint64_t q_width(const LinearMixer& m) { return size_product({m.heads, m.key_dim}); }
std::uint64_t k_width(const LinearMixer& m) { return q_width(m) / m.shared_by(); }
std::uint64_t v_width(const LinearMixer& m) { return size_product({m.value_heads, m.value_dim}) / m.shared_by(); }
std::uint64_t output_width(const LinearMixer& m) { return size_product({m.value_heads, m.value_dim}); }
std::uint64_t qkv_width(const LinearMixer& m) { return size_sum({q_width(m), k_width(m), v_width(m)}); }

// Scalars per value head and token.
std::uint64_t head_gates(const LinearMixer& m) {
  switch (m.rule) {
    case LinearRule::delta:
    case LinearRule::channel_delta:
      return m.value_heads;
    case LinearRule::gated_delta:
    case LinearRule::mlstm:
      return size_product({2, m.value_heads});
    default:
      return 0;
  }
}
// What the output gate takes of the stream's projection.
std::uint64_t gate_width(const LinearMixer& m) {
  if (m.gate == OutputGate::none) return 0;
  return m.gate_rank == 0 ? output_width(m) : m.gate_rank;
}
std::uint64_t in_width(const LinearMixer& m) {
  return size_sum({qkv_width(m), head_gates(m), gate_width(m), m.decay_rank});
}

std::uint64_t gate_vectors(const LinearMixer& m) {
  switch (m.rule) {
    case LinearRule::vector_decay:
      return key_is_decay(m) ? 0 : k_width(m);  // bias of the decay
    case LinearRule::gated_delta:
      return size_product({2, m.value_heads});  // A, bias of the step
    case LinearRule::channel_delta:
      return size_sum({m.value_heads, k_width(m)});  // the same, the bias per channel
    case LinearRule::mlstm:
      return size_product({2, m.value_heads});  // biases
    default:
      return 0;
  }
}
std::uint64_t norm_vectors(const LinearMixer& m) {
  return m.norm == OutputNorm::none ? 0 : m.norm == OutputNorm::heads ? m.value_dim : output_width(m);
}

Section::Index normed_and_gated(LayerBuilder& b, const LinearMixer& m, Section::Index mixed, Section::Index in) {
  const bool fused = m.gate == OutputGate::silu && m.norm != OutputNorm::none;
  Section::Index gate = in;
  if (m.gate != OutputGate::none && m.gate_rank != 0) {
    gate = b.linear("gate_up", m.gate_rank, output_width(m), false, {in});
  }
  if (m.norm != OutputNorm::none) {
    const bool whole = m.norm == OutputNorm::width;
    const std::uint64_t rows = whole ? b.rows() : size_product({b.rows(), m.value_heads});
    if (whole) mixed = b.summed_within("norm_sum", 1, NumberFormat::fp32, mixed);
    std::vector<Section::Index> from{mixed};
    if (fused) from.push_back(gate);
    mixed = b.add(fused ? "gated_norm" : "output_norm",
                  Norm{NormKind::rms, rows, whole ? output_width(m) : m.value_dim, false, b.stream(), fused}, from);
  }
  if (m.gate == OutputGate::none || fused) return mixed;
  const ElementwiseKind kind = m.gate == OutputGate::silu ? ElementwiseKind::silu_mul : ElementwiseKind::sigmoid_mul;
  return b.elementwise("output_gate", kind, output_width(m), {gate, mixed});
}

// Q and K as features.
Section::Index featured(LayerBuilder& b, const LinearMixer& m, Section::Index qkv) {
  const std::uint64_t width = size_product({2, m.heads, m.state_rows()});
  switch (m.features) {
    case FeatureMap::none:
      return qkv;
    case FeatureMap::elu:
      return b.elementwise("elu_plus_one", ElementwiseKind::elu_plus_one, width, {qkv});
    case FeatureMap::taylor:  // every feature is a product, written out
      return b.elementwise("taylor_features", ElementwiseKind::scale, width, {qkv});
    case FeatureMap::favor: {
      const Section::Index projected = b.add("random_projections",
                                             BatchedGemm{.batch = m.heads,
                                                         .m = size_product({2, b.rows()}),
                                                         .n = m.projections,
                                                         .k = m.key_dim,
                                                         .activation = b.stream(),
                                                         .weight = b.stream(),
                                                         .output = b.stream(),
                                                         .weights_are_static = true},
                                             {qkv});
      return b.elementwise("exponentials", ElementwiseKind::exp, width, {projected});
    }
  }
  return qkv;
}

// The output divided by Q times the sum of the keys so far (fla/ops/linear_attn/utils.py: normalize_output): the sums,
// the products, the quotient.
Section::Index divided_by_key_sums(LayerBuilder& b, const LinearMixer& m, Section::Index qk, Section::Index mixed) {
  const std::uint64_t width = size_product({m.heads, m.state_rows()});
  const Section::Index sums = b.recurrence("key_sums", LinearScan{.channels = width, .constant = true}, {qk});
  const Section::Index products = b.elementwise("q_key_sums", ElementwiseKind::mul, width, {qk, sums});
  return b.elementwise("normalise", ElementwiseKind::divide, output_width(m), {mixed, products});
}

}  // namespace

ParameterParts parameters(const LinearMixer& m, std::uint64_t d) {
  const std::uint64_t gate_up = m.gate_rank == 0 ? 0 : size_product({m.gate_rank, output_width(m)});
  return {size_sum({size_product({d, size_sum({in_width(m), output_width(m)})}),
                    size_product({m.decay_rank, k_width(m)}), gate_up}),
          size_sum({size_product({m.conv_kernel, qkv_width(m)}), gate_vectors(m), norm_vectors(m)})};
}

SequenceState sequence_state(const LinearMixer& m, std::uint64_t, std::uint64_t, const PhaseShape& shape) {
  const std::uint64_t normaliser = m.rule == LinearRule::mlstm ? size_sum({m.key_dim, 1}) : 0;
  const std::uint64_t rows = m.state_rows(), summed = m.normalised ? size_product({m.heads, rows}) : 0;
  const std::uint64_t head = size_sum({size_product({rows, m.value_dim}), normaliser});
  const Bytes state = tensor_bytes("the state", shape.state, {size_sum({size_product({m.value_heads, head}), summed})});
  if (m.conv_kernel == 0) return {{}, state};
  return with_convolution(state, qkv_width(m), m.conv_kernel, shape);
}

Section::Index build(LayerBuilder& b, const LinearMixer& m, const std::vector<Section::Index>& inputs) {
  const PhaseShape& shape = b.shape();
  const Section::Index in = b.linear("in_proj", b.d_model(), in_width(m), false, inputs);
  Section::Index qkv = in;
  if (m.conv_kernel != 0) {
    qkv = b.convolution("conv", CausalConv{.channels = qkv_width(m), .kernel = m.conv_kernel, .bias = false}, {in});
  }
  if (m.silu) qkv = b.elementwise("silu", ElementwiseKind::silu, qkv_width(m), {qkv});
  // The delta rules take Q and K of length one.
  if (is_delta(m)) qkv = b.norm("q_k_norm", NormKind::rms, size_product({2, m.heads}), m.key_dim, {qkv});
  if (m.rotary && b.model().position == PositionKind::rotary) {
    qkv = b.add("rotary", Rotary{b.rows(), m.heads, m.heads, m.key_dim, m.key_dim, false, b.stream(), shape.kv}, {qkv});
  }
  qkv = featured(b, m, qkv);
  std::vector<Section::Index> read{qkv};
  if (m.decay_rank != 0) read.push_back(b.linear("decay_up", m.decay_rank, k_width(m), false, {in}));
  Section::Index mixed = b.recurrence("linear_attention",
                                      LinearAttention{.rule = m.rule,
                                                      .heads = m.heads,
                                                      .value_heads = m.value_heads,
                                                      .key_dim = m.state_rows(),
                                                      .value_dim = m.value_dim,
                                                      .chunk = m.chunk},
                                      read);
  if (m.normalised) mixed = divided_by_key_sums(b, m, qkv, mixed);
  return b.row_linear("output", output_width(m), b.d_model(), false, {normed_and_gated(b, m, mixed, in)});
}

void check_kind(const LinearMixer& m, const FaultList& block, const ModelSpec& model) {
  const FaultList list = block.inside("linear");
  list.require("heads", m.heads);
  list.require("key_dim", m.key_dim);
  list.require("value_dim", m.value_dim);
  list.require("chunk", m.chunk);
  if (m.heads == 0) return;
  if (m.value_heads % m.heads != 0)
    list.add("value_heads", fmt::format("{} is no multiple of heads {}", m.value_heads, m.heads));
  if (m.kv_heads != 0 && m.heads % m.kv_heads != 0)
    list.add("kv_heads", fmt::format("{} does not divide heads {}", m.kv_heads, m.heads));
  if (m.kv_heads != 0 && m.value_heads != m.heads)
    list.add("kv_heads", "cannot be given beside value_heads that differ from heads");
  const bool decays = m.rule == LinearRule::vector_decay || m.rule == LinearRule::channel_delta;
  if (m.decay_rank != 0 && !decays) list.add("decay_rank", "belongs to VECTOR_DECAY and CHANNEL_DELTA");
  if (m.rule == LinearRule::channel_delta) list.require("decay_rank", m.decay_rank);
  if (m.features == FeatureMap::favor) list.require("projections", m.projections);
  if (m.features != FeatureMap::favor && m.projections != 0) list.add("projections", "belongs to FAVOR");
  if ((m.features != FeatureMap::none || m.normalised) && m.rule != LinearRule::sum)
    list.add("features", "and normalised belong to the rule SUM");
  if (m.gate_rank != 0 && m.gate == OutputGate::none) list.add("gate_rank", "is given, but the output has no gate");
  if (m.silu && m.conv_kernel != 0) list.add("silu", "is part of the convolution, which is given");
  if (m.rotary && model.position != PositionKind::rotary)
    list.add("rotary", "is given, but the model's position is not ROTARY");
  if (m.rotary && m.key_dim % 2 != 0) list.add("key_dim", fmt::format("{} is odd: positions turn pairs", m.key_dim));
}

std::string words(const LinearMixer& m) {
  return fmt::format("linear attention ({}), {} heads of {}, {} value heads of {}, chunks of {}", name(m.rule), m.heads,
                     m.key_dim, m.value_heads, m.value_dim, m.chunk);
}

}  // namespace lightcone::models

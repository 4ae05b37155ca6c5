// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "models/import/family_parts.h"
#include "models/import/hybrid_families.h"

namespace lightcone::models {
namespace {

// The share of a head that positions turn, given by itself or, since version 5 of `transformers`, with the angles.
std::uint64_t read_rotary_dim(ConfigReader& from, std::uint64_t head_dim, double missing) {
  double share = missing;
  std::string field = "partial_rotary_factor";
  const Json* value = from.has(field) ? &from.value(field) : nullptr;
  if (value == nullptr && from.has("rope_parameters")) {
    from.leave_out({"rope_parameters"});
    const Json& rope = from.value("rope_parameters");
    if (rope.is_object() && rope.contains(field)) value = &rope.at(field);
    field = "rope_parameters.partial_rotary_factor";
  }
  if (value != nullptr) share = value->is_number() ? value->get<double>() : -1;
  if (share > 0 && share <= 1) return static_cast<std::uint64_t>(static_cast<double>(head_dim) * share);
  from.fault(field, "must be a number above 0, at most 1");
  return head_dim;
}

// Gated DeltaNet and gated attention; with experts, or a dense MLP.
ModelSpec read_qwen3_next(ConfigReader& from, bool experts) {
  ModelSpec out = read_outer(from, false, PositionKind::rotary);
  AttentionMixer attention = read_heads(from, out.d_model);
  attention.head_dim = from.size_or("head_dim", 256);
  attention.rotary_dim = read_rotary_dim(from, attention.head_dim, 0.25);
  attention.qk_norm = attention.output_gate = true;
  require_flag(from, "attn_output_gate", true, true);
  require_flag(from, "attention_bias", false, false);
  LinearMixer delta;
  delta.rule = LinearRule::gated_delta;
  delta.heads = from.size("linear_num_key_heads");
  delta.value_heads = from.size("linear_num_value_heads");
  delta.key_dim = from.size("linear_key_head_dim");
  delta.value_dim = from.size("linear_value_head_dim");
  delta.conv_kernel = from.size_or("linear_conv_kernel_dim", 4);
  delta.gate = OutputGate::silu;
  Mlp mlp;
  const Activation activation = read_activation(from, "hidden_act", "silu");
  if (experts) {
    MoeMlp moe;
    moe.experts = from.size("num_experts");
    moe.top_k = from.size("num_experts_per_tok");
    moe.d_ff = from.size("moe_intermediate_size");
    moe.shared_d_ff = from.size("shared_expert_intermediate_size");
    moe.shared_gate = true;
    moe.activation = activation;
    mlp = moe;
    require_size(from, "decoder_sparse_step", 1, 1);
    if (!from.size_list("mlp_only_layers").empty())
      from.fault("mlp_only_layers", "layers without experts are not modelled");
    leave_out_routing(from);
    from.leave_out({"intermediate_size"});
  } else {
    mlp = DenseMlp{true, from.size("intermediate_size"), activation, false};
    from.leave_out({"mlp_only_layers"});
  }
  from.leave_out({"mtp_num_hidden_layers", "mtp_use_dedicated_embeddings", "mamba_ssm_dtype"});
  const std::uint64_t every = from.size_or("full_attention_interval", 4), layers = read_layers(from);
  const std::vector<std::string> types = from.text_list("layer_types");
  LayerList list;
  for (std::uint64_t i = 0; i < layers; ++i) {
    const bool full = types.empty() ? (i + 1) % every == 0 : i < types.size() && types[i] == "full_attention";
    list.add(full ? "full" : "delta", full ? Mixer(attention) : Mixer(delta), mlp);
  }
  list.put_into(out);
  return out;
}

Mamba2Mixer read_mamba2_fields(ConfigReader& from) {
  Mamba2Mixer m;
  m.heads = from.size("mamba_n_heads");
  m.head_dim = from.size("mamba_d_head");
  m.groups = from.size_or("mamba_n_groups", 1);
  m.state = from.size_or("mamba_d_state", 256);
  m.conv_kernel = from.size_or("mamba_d_conv", 4);
  m.chunk = from.size_or("mamba_chunk_size", 256);
  require_flag(from, "mamba_conv_bias", true, true);
  require_flag(from, "mamba_proj_bias", false, false);
  require_flag(from, "attention_bias", false, false);
  from.leave_out({"mamba_expand"});
  return m;
}

ModelSpec read_granite_hybrid(ConfigReader& from) {
  ModelSpec out = read_outer(from, false, PositionKind::none);
  const std::string positions = from.text_or("position_embedding_type", "nope");
  if (positions != "nope")
    from.fault("position_embedding_type", "\"" + positions + "\" is not modelled; allowed: nope");
  const AttentionMixer attention = read_heads(from, out.d_model);
  const Mamba2Mixer mamba = read_mamba2_fields(from);
  const Activation activation = read_activation(from, "hidden_act", "silu");
  const std::uint64_t experts = from.size_or("num_local_experts", 0, 0);
  const std::uint64_t shared = from.size("shared_intermediate_size");
  Mlp mlp = DenseMlp{true, shared, activation, false};
  if (experts != 0) {
    MoeMlp moe;
    moe.experts = experts;
    moe.top_k = from.size("num_experts_per_tok");
    moe.d_ff = from.size("intermediate_size");
    moe.shared_d_ff = shared;
    moe.activation = activation;
    mlp = moe;
  }
  leave_out_routing(from);
  from.leave_out({"intermediate_size", "num_experts_per_tok", "embedding_multiplier", "residual_multiplier",
                  "attention_multiplier", "logits_scaling", "normalization_function", "init_method"});
  const std::vector<std::string> types = from.text_list("layer_types");
  const std::uint64_t layers = read_layers(from);
  if (types.size() != layers)
    from.fault("layer_types", fmt::format("names {} layers of num_hidden_layers {}", types.size(), layers));
  LayerList list;
  for (const std::string& type : types) {
    if (type != "mamba" && type != "attention")
      from.fault("layer_types", "\"" + type + "\" is not modelled; allowed: mamba, attention");
    const bool full = type == "attention";
    list.add(full ? "a" : "m", full ? Mixer(attention) : Mixer(mamba), mlp);
  }
  list.put_into(out);
  return out;
}

ModelSpec read_falcon_h1(ConfigReader& from) {
  ModelSpec out = read_outer(from, false, PositionKind::rotary);
  const AttentionMixer attention = read_heads(from, out.d_model);
  Mamba2Mixer mamba = read_mamba2_fields(from);
  mamba.norm = from.flag_or("mamba_rms_norm", false);
  if (from.has("mamba_d_ssm")) require_size(from, "mamba_d_ssm", 0, mamba.inner());
  require_flag(from, "projectors_bias", false, false);
  require_flag(from, "mlp_bias", false, false);
  from.leave_out({"embedding_multiplier", "lm_head_multiplier", "mlp_multipliers", "key_multiplier", "ssm_multipliers",
                  "attention_in_multiplier", "attention_out_multiplier", "ssm_in_multiplier", "ssm_out_multiplier",
                  "mamba_norm_before_gate", "mamba_use_mlp", "mlp_expansion_factor", "time_step_min", "time_step_max",
                  "time_step_floor", "time_step_limit"});
  const DenseMlp mlp{true, from.size("intermediate_size"), read_activation(from, "hidden_act", "silu"), false};
  out.blocks = {{"layers", from.size("num_hidden_layers"), ParallelMixer{{attention, mamba}}, mlp}};
  return out;
}

ModelSpec read_recurrent_gemma(ConfigReader& from) {
  ModelSpec out = read_outer(from, true, PositionKind::rotary);
  AttentionMixer attention = read_heads(from, out.d_model);
  attention.window = from.size_or("attention_window_size", 2048);
  attention.rotary_dim = read_rotary_dim(from, attention.head_dim, 0.5);
  attention.output_bias = true;
  require_flag(from, "attention_bias", false, false);
  RgLruMixer recurrent;
  recurrent.width = from.size_or("lru_width", out.d_model);
  recurrent.blocks = attention.heads;
  recurrent.conv_kernel = from.size_or("conv1d_width", 4);
  const std::uint64_t both = from.size("intermediate_size");
  if (both % 2 != 0) from.fault("intermediate_size", fmt::format("{} is odd: it counts two equal branches", both));
  const char* act = from.has("hidden_activation") ? "hidden_activation" : "hidden_act";
  const DenseMlp mlp{true, std::max<std::uint64_t>(1, both / 2), read_activation(from, act, "gelu_pytorch_tanh"), true};
  from.leave_out(
      {"w_init_variance_scale", "final_w_init_variance_scale", "hidden_act", "embeddings_scale_by_sqrt_dim"});
  from.leave_out({"logits_soft_cap"}, true);
  std::vector<std::string> types = from.text_list(from.has("block_types") ? "block_types" : "_block_types");
  if (types.empty()) types = {"recurrent", "recurrent", "attention"};
  for (const std::string& type : types) {
    if (type != "recurrent" && type != "attention")
      from.fault("block_types", "\"" + type + "\" is not modelled; allowed: recurrent, attention");
  }
  const std::uint64_t layers = read_layers(from);
  LayerList list;
  for (std::uint64_t i = 0; i < layers; ++i) {
    const bool full = types[i % types.size()] == "attention";
    list.add(full ? "window" : "recurrent", full ? Mixer(attention) : Mixer(recurrent), mlp);
  }
  list.put_into(out);
  return out;
}

}  // namespace

std::vector<Family> recurrent_families() {
  return {
      {"falcon_h1", "FalconH1ForCausalLM", read_falcon_h1},
      {"granitemoehybrid", "GraniteMoeHybridForCausalLM", read_granite_hybrid},
      {"qwen3_5_moe_text", "Qwen3_5MoeForCausalLM", [](ConfigReader& from) { return read_qwen3_next(from, true); }},
      {"qwen3_5_text", "Qwen3_5ForCausalLM", [](ConfigReader& from) { return read_qwen3_next(from, false); }},
      {"qwen3_next", "Qwen3NextForCausalLM", [](ConfigReader& from) { return read_qwen3_next(from, true); }},
      {"recurrent_gemma", "RecurrentGemmaForCausalLM", read_recurrent_gemma},
  };
}

}  // namespace lightcone::models

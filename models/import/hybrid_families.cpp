// SPDX-License-Identifier: Apache-2.0
#include "models/import/hybrid_families.h"

#include <fmt/format.h>

#include <algorithm>

#include "models/import/family_parts.h"

namespace lightcone::models {
namespace {

ModelSpec read_mixtral(ConfigReader& from) {
  ModelSpec out = read_outer(from, false, PositionKind::rotary);
  AttentionMixer attention = read_heads(from, out.d_model);
  attention.window = from.size_or("sliding_window", 0);
  MoeMlp moe;
  moe.experts = from.size_or("num_local_experts", 8);
  moe.top_k = from.size_or("num_experts_per_tok", 2);
  moe.d_ff = from.size("intermediate_size");
  moe.activation = read_activation(from, "hidden_act", "silu");
  leave_out_routing(from);
  out.blocks = {{"layers", from.size("num_hidden_layers"), attention, moe}};
  return out;
}

ModelSpec read_qwen3_moe(ConfigReader& from) {
  ModelSpec out = read_outer(from, false, PositionKind::rotary);
  AttentionMixer attention = read_heads(from, out.d_model);
  attention.qk_norm = true;
  attention.qkv_bias = attention.output_bias = from.flag_or("attention_bias", false);
  require_flag(from, "use_qk_norm", true, true);
  require_flag(from, "use_sliding_window", false, false);
  require_size(from, "decoder_sparse_step", 1, 1);
  require_size(from, "shared_expert_intermediate_size", 0, 0);
  if (!from.size_list("mlp_only_layers").empty())
    from.fault("mlp_only_layers", "layers without experts are not modelled");
  MoeMlp moe;
  moe.experts = from.size("num_experts");
  moe.top_k = from.size("num_experts_per_tok");
  moe.d_ff = from.size("moe_intermediate_size");
  moe.activation = read_activation(from, "hidden_act", "silu");
  leave_out_routing(from);
  from.leave_out({"intermediate_size", "sliding_window"});
  out.blocks = {{"layers", from.size("num_hidden_layers"), attention, moe}};
  return out;
}

// `indexed`: a lightning indexer chooses the tokens that are attended to.
ModelSpec read_deepseek(ConfigReader& from, bool router_bias, bool indexed = false) {
  ModelSpec out = read_outer(from, false, PositionKind::rotary);
  MlaMixer mla;
  mla.heads = from.size("num_attention_heads");
  mla.query_rank = from.size_or("q_lora_rank", 0);
  mla.kv_rank = from.size("kv_lora_rank");
  mla.nope_dim = from.size("qk_nope_head_dim");
  mla.rope_dim = from.size("qk_rope_head_dim");
  mla.value_dim = from.size("v_head_dim");
  if (indexed) {
    mla.index_heads = from.size("index_n_heads");
    mla.index_dim = from.size("index_head_dim");
    mla.index_top_k = from.size("index_topk");
    from.leave_out({"indexer_rope_interleave", "rope_interleave"});
  }
  const Activation activation = read_activation(from, "hidden_act", "silu");
  const DenseMlp dense{true, from.size("intermediate_size"), activation, false};
  MoeMlp moe;
  moe.experts = from.size("n_routed_experts");
  moe.top_k = from.size("num_experts_per_tok");
  moe.d_ff = from.size("moe_intermediate_size");
  moe.shared_d_ff = from.size_or("n_shared_experts", 0, 0) * moe.d_ff;
  moe.router_bias = router_bias;
  moe.activation = activation;
  require_size(from, "moe_layer_freq", 1, 1);
  require_flag(from, "attention_bias", false, false);
  from.leave_out({"num_key_value_heads", "head_dim", "qk_head_dim", "num_nextn_predict_layers", "quantization_config"});
  leave_out_routing(from);
  const std::uint64_t first = from.size_or("first_k_dense_replace", 0, 0), layers = read_layers(from);
  LayerList list;
  for (std::uint64_t i = 0; i < layers; ++i)
    list.add(i < first ? "dense" : "moe", mla, i < first ? Mlp(dense) : Mlp(moe));
  list.put_into(out);
  return out;
}

ModelSpec read_gpt_oss(ConfigReader& from) {
  ModelSpec out = read_outer(from, false, PositionKind::rotary);
  AttentionMixer attention = read_heads(from, out.d_model);
  attention.qkv_bias = attention.output_bias = from.flag_or("attention_bias", true);
  attention.sinks = true;
  MoeMlp moe;
  moe.experts = from.size("num_local_experts");
  moe.top_k = from.size("num_experts_per_tok");
  moe.d_ff = from.size("intermediate_size");
  moe.router_bias = moe.bias = true;
  moe.activation = read_activation(from, "hidden_act", "silu");
  const std::uint64_t window = from.size_or("sliding_window", 128), layers = read_layers(from);
  const std::vector<std::string> types = from.text_list("layer_types");
  leave_out_routing(from);
  from.leave_out({"experts_per_token", "initial_context_length", "swiglu_limit", "quantization_config"});
  LayerList list;
  for (std::uint64_t i = 0; i < layers; ++i) {
    const bool full = types.empty() ? i % 2 == 1 : i < types.size() && types[i] == "full_attention";
    attention.window = full ? 0 : window;
    list.add(full ? "full" : "window", attention, moe);
  }
  list.put_into(out);
  return out;
}

// `pattern`: each so many-th layer sees everything, where the layers are not named.
ModelSpec read_gemma(ConfigReader& from, std::uint64_t pattern, std::uint64_t default_window, bool qk_norm) {
  ModelSpec out = read_outer(from, true, PositionKind::rotary);
  AttentionMixer attention = read_heads(from, out.d_model);
  attention.head_dim = from.size_or("head_dim", 256);
  attention.qk_norm = qk_norm;
  attention.qkv_bias = attention.output_bias = from.flag_or("attention_bias", false);
  const char* act = from.has("hidden_activation") ? "hidden_activation" : "hidden_act";
  const DenseMlp mlp{true, from.size("intermediate_size"), read_activation(from, act, "gelu_pytorch_tanh"), false};
  const std::uint64_t window = from.size_or("sliding_window", default_window), layers = read_layers(from);
  const std::uint64_t every = from.size_or("sliding_window_pattern", pattern);
  const std::vector<std::string> types = from.text_list("layer_types");
  from.leave_out({"query_pre_attn_scalar", "rope_local_base_freq", "cache_implementation", "hidden_act"});
  from.leave_out({"attn_logit_softcapping", "final_logit_softcapping"}, true);
  LayerList list;
  for (std::uint64_t i = 0; i < layers; ++i) {
    const bool full = types.empty() ? (i + 1) % every == 0 : i < types.size() && types[i] == "full_attention";
    attention.window = full ? 0 : window;
    list.add(full ? "global" : "local", attention, mlp, true);
  }
  list.put_into(out);
  return out;
}

void leave_out_steps(ConfigReader& from) {
  from.leave_out({"time_step_floor", "time_step_init_scheme", "time_step_limit", "time_step_max", "time_step_min",
                  "time_step_scale", "residual_in_fp32", "rescale_prenorm_residual", "mixer_rms_eps", "norm_eps",
                  "use_mambapy", "use_falcon_mambapy", "use_mamba_kernels", "num_logits_to_keep",
                  "mamba_ssm_cache_dtype", "mamba_hidden_act", "norm_before_gate"});
}

ModelSpec read_mamba1(ConfigReader& from) {
  ModelSpec out = read_outer(from, true, PositionKind::none);
  Mamba1Mixer m;
  const std::uint64_t expand = from.size_or("expand", 2);
  m.inner = from.size_or("intermediate_size", expand * out.d_model);
  m.state = from.size_or("state_size", 16);
  const bool automatic = !from.has("time_step_rank") || from.value("time_step_rank") == "auto";
  m.dt_rank = automatic ? (out.d_model + 15) / 16 : from.size("time_step_rank");
  m.conv_kernel = from.size_or("conv_kernel", 4);
  require_flag(from, "use_bias", false, false);
  require_flag(from, "use_conv_bias", true, true);
  (void)read_activation(from, "hidden_act", "silu");
  leave_out_steps(from);
  out.blocks = {{"mamba", from.size("num_hidden_layers"), m, NoMlp{}}};
  return out;
}

ModelSpec read_mamba2(ConfigReader& from) {
  ModelSpec out = read_outer(from, false, PositionKind::none);
  Mamba2Mixer m;
  m.heads = from.size("num_heads");
  m.head_dim = from.size("head_dim");
  m.groups = from.size_or("n_groups", 8);
  m.state = from.size_or("state_size", 128);
  m.conv_kernel = from.size_or("conv_kernel", 4);
  m.chunk = from.size_or("chunk_size", 256);
  const std::uint64_t inner = from.size_or("expand", 2) * out.d_model;
  if (from.size_or("intermediate_size", inner) != m.inner() || inner != m.inner())
    from.fault("num_heads",
               fmt::format("{} heads of {} are not as wide as expand x hidden_size {}", m.heads, m.head_dim, inner));
  require_flag(from, "use_bias", false, false);
  require_flag(from, "use_conv_bias", true, true);
  require_flag(from, "rms_norm", true, true);
  (void)read_activation(from, "hidden_act", "silu");
  from.leave_out({"time_step_rank"});
  leave_out_steps(from);
  out.blocks = {{"mamba", from.size("num_hidden_layers"), m, NoMlp{}}};
  return out;
}

ModelSpec read_jamba(ConfigReader& from) {
  ModelSpec out = read_outer(from, false, PositionKind::none);
  const AttentionMixer attention = read_heads(from, out.d_model);
  Mamba1Mixer m;
  m.inner = from.size_or("mamba_expand", 2) * out.d_model;
  m.state = from.size_or("mamba_d_state", 16);
  const bool automatic = !from.has("mamba_dt_rank") || from.value("mamba_dt_rank") == "auto";
  m.dt_rank = automatic ? (out.d_model + 15) / 16 : from.size("mamba_dt_rank");
  m.conv_kernel = from.size_or("mamba_d_conv", 4);
  m.inner_norms = true;
  require_flag(from, "mamba_conv_bias", true, true);
  require_flag(from, "mamba_proj_bias", false, false);
  const Activation activation = read_activation(from, "hidden_act", "silu");
  const DenseMlp dense{true, from.size("intermediate_size"), activation, false};
  MoeMlp moe;
  moe.experts = from.size_or("num_experts", 16);
  moe.top_k = from.size_or("num_experts_per_tok", 2);
  moe.d_ff = dense.d_ff;
  moe.activation = activation;
  leave_out_routing(from);
  leave_out_steps(from);
  from.leave_out({"sliding_window"});
  const std::uint64_t attn_period = from.size_or("attn_layer_period", 8),
                      attn = from.size_or("attn_layer_offset", 4, 0);
  const std::uint64_t moe_period = from.size_or("expert_layer_period", 2),
                      with = from.size_or("expert_layer_offset", 1, 0);
  const std::uint64_t layers = read_layers(from);
  LayerList list;
  for (std::uint64_t i = 0; i < layers; ++i) {
    const bool attends = i % attn_period == attn, experts = moe.experts > 1 && i % moe_period == with;
    list.add(std::string(attends ? "a" : "m") + (experts ? "E" : ""), attends ? Mixer(attention) : Mixer(m),
             experts ? Mlp(moe) : Mlp(dense));
  }
  list.put_into(out);
  return out;
}

ModelSpec read_bamba(ConfigReader& from) {
  ModelSpec out = read_outer(from, false, PositionKind::rotary);
  AttentionMixer attention = read_heads(from, out.d_model);
  attention.rotary_dim = from.size_or("attn_rotary_emb", attention.head_dim / 2);
  from.leave_out({"partial_rotary_factor"});
  Mamba2Mixer m;
  m.heads = from.size("mamba_n_heads");
  m.groups = from.size_or("mamba_n_groups", 1);
  m.state = from.size_or("mamba_d_state", 256);
  m.conv_kernel = from.size_or("mamba_d_conv", 4);
  m.chunk = from.size_or("mamba_chunk_size", 256);
  const std::uint64_t inner = from.size_or("mamba_expand", 2) * out.d_model;
  const bool automatic = !from.has("mamba_d_head") || from.value("mamba_d_head") == "auto";
  m.head_dim = automatic ? std::max<std::uint64_t>(1, inner / m.heads) : from.size("mamba_d_head");
  if (m.inner() != inner)
    from.fault("mamba_n_heads", fmt::format("{} heads of {} are not as wide as mamba_expand x hidden_size {}", m.heads,
                                            m.head_dim, inner));
  require_flag(from, "mamba_conv_bias", true, true);
  require_flag(from, "mamba_proj_bias", false, false);
  require_flag(from, "attention_bias", false, false);
  require_flag(from, "mlp_bias", false, false);
  leave_out_steps(from);
  const DenseMlp mlp{true, from.size("intermediate_size"), read_activation(from, "hidden_act", "silu"), false};
  const std::vector<std::uint64_t> attends = from.size_list("attn_layer_indices");
  const std::uint64_t layers = read_layers(from);
  LayerList list;
  for (std::uint64_t i = 0; i < layers; ++i) {
    const bool full = std::count(attends.begin(), attends.end(), i) != 0;
    list.add(full ? "a" : "m", full ? Mixer(attention) : Mixer(m), mlp);
  }
  list.put_into(out);
  return out;
}

// M: Mamba-2, *: attention, -: MLP, E: experts; each is a layer with a norm there. Here a mixer and what follows it are
// one layer, which has the same norms.
ModelSpec read_nemotron_h(ConfigReader& from) {
  ModelSpec out = read_outer(from, false, PositionKind::none);
  const AttentionMixer attention =
      read_heads(from, out.d_model, from.has("attention_head_dim") ? "attention_head_dim" : "head_dim");
  Mamba2Mixer m;
  m.heads = from.size("mamba_num_heads");
  m.head_dim = from.size("mamba_head_dim");
  m.groups = from.size_or("n_groups", 8);
  m.state = from.size("ssm_state_size");
  m.conv_kernel = from.size_or("conv_kernel", 4);
  m.chunk = from.size_or("chunk_size", 256);
  require_flag(from, "use_bias", false, false);
  require_flag(from, "use_conv_bias", true, true);
  for (const char* bias : {"attention_bias", "mlp_bias", "mamba_proj_bias"}) require_flag(from, bias, false, false);
  const Activation activation = read_activation(from, "mlp_hidden_act", "relu2");
  const DenseMlp dense{false, from.size("intermediate_size"), activation, false};
  const std::string pattern = from.text_or("hybrid_override_pattern", "");
  MoeMlp moe;
  if (pattern.find('E') != std::string::npos) {
    moe.experts = from.size("n_routed_experts");
    moe.top_k = from.size("num_experts_per_tok");
    moe.d_ff = from.size("moe_intermediate_size");
    moe.shared_d_ff =
        from.size_or("moe_shared_expert_intermediate_size", 0, 0) * from.size_or("n_shared_experts", 1, 0);
    moe.latent = from.size_or("moe_latent_size", 0);
    moe.router_bias = true;
    moe.gated = false;
    moe.activation = activation;
  }
  leave_out_routing(from);
  leave_out_steps(from);
  from.leave_out({"expand", "time_step_rank", "partial_rotary_factor", "num_nextn_predict_layers", "hidden_act",
                  "moe_shared_expert_overlap"});
  if (pattern.size() != read_layers(from))
    from.fault("hybrid_override_pattern",
               fmt::format("has {} letters: one for each of num_hidden_layers", pattern.size()));
  LayerList list;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char kind = pattern[i], next = i + 1 < pattern.size() ? pattern[i + 1] : ' ';
    if (kind != 'M' && kind != '*') {
      from.fault("hybrid_override_pattern",
                 fmt::format("\"{}\" at place {} does not follow M or *, which is not modelled", kind, i + 1));
      break;
    }
    const bool plain = next == '-', experts = next == 'E';
    list.add(std::string(kind == 'M' ? "m" : "a") + (plain     ? ""
                                                     : experts ? "E"
                                                               : "0"),
             kind == 'M' ? Mixer(m) : Mixer(attention),
             plain     ? Mlp(dense)
             : experts ? Mlp(moe)
                       : Mlp(NoMlp{}));
    if (plain || experts) ++i;
  }
  list.put_into(out);
  return out;
}

}  // namespace

std::vector<Family> hybrid_families() {
  return {
      {"bamba", "BambaForCausalLM", read_bamba},
      {"deepseek_v2", "DeepseekV2ForCausalLM", [](ConfigReader& from) { return read_deepseek(from, false); }},
      {"deepseek_v3", "DeepseekV3ForCausalLM", [](ConfigReader& from) { return read_deepseek(from, true); }},
      {"deepseek_v32", "DeepseekV32ForCausalLM", [](ConfigReader& from) { return read_deepseek(from, true, true); }},
      {"glm_moe_dsa", "GlmMoeDsaForCausalLM", [](ConfigReader& from) { return read_deepseek(from, true, true); }},
      {"falcon_mamba", "FalconMambaForCausalLM", read_mamba1},
      {"gemma2", "Gemma2ForCausalLM", [](ConfigReader& from) { return read_gemma(from, 2, 4096, false); }},
      {"gemma3_text", "Gemma3ForCausalLM", [](ConfigReader& from) { return read_gemma(from, 6, 4096, true); }},
      {"gpt_oss", "GptOssForCausalLM", read_gpt_oss},
      {"jamba", "JambaForCausalLM", read_jamba},
      {"kimi_k2", "DeepseekV3ForCausalLM", [](ConfigReader& from) { return read_deepseek(from, true); }},
      {"mamba", "MambaForCausalLM", read_mamba1},
      {"mamba2", "Mamba2ForCausalLM", read_mamba2},
      {"mixtral", "MixtralForCausalLM", read_mixtral},
      {"nemotron_h", "NemotronHForCausalLM", read_nemotron_h},
      {"qwen3_moe", "Qwen3MoeForCausalLM", read_qwen3_moe},
  };
}

}  // namespace lightcone::models

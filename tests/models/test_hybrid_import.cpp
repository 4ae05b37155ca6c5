// SPDX-License-Identifier: Apache-2.0
// Configurations of families with experts, latent attention, state spaces or several kinds of layers: what is imported
// computes what the shipped model computes, and what a family cannot say is refused at its field.
#include <google/protobuf/message.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "catch.h"
#include "models/families/model_graph.h"
#include "models/import/hf_config.h"
#include "models/load.h"
#include "sim/base/error.h"
#include "sim/base/textproto_parse.h"

using namespace lightcone;
using namespace lightcone::models;

namespace {

struct Published {
  const char* shipped;
  const char* config;  // of Hugging Face, without angles, epsilons and training
};
const std::vector<Published> kPublished{
    {"mixtral_8x7b",
     R"({"hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 32768,
      "model_type": "mixtral", "num_attention_heads": 32, "num_experts_per_tok": 2, "num_hidden_layers": 32,
      "num_key_value_heads": 8, "num_local_experts": 8, "tie_word_embeddings": false, "vocab_size": 32000})"},
    {"qwen3_30b_a3b",
     R"({"attention_bias": false, "decoder_sparse_step": 1, "head_dim": 128, "hidden_act": "silu", "hidden_size":
      2048, "intermediate_size": 6144, "max_position_embeddings": 40960, "max_window_layers": 48,
      "mlp_only_layers": [], "model_type": "qwen3_moe", "moe_intermediate_size": 768, "norm_topk_prob": true,
      "num_attention_heads": 32, "num_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 48,
      "num_key_value_heads": 4, "tie_word_embeddings": false, "use_sliding_window": false, "vocab_size": 151936})"},
    {"qwen3_coder_480b_a35b",
     R"({"decoder_sparse_step": 1, "head_dim": 128, "hidden_act": "silu", "hidden_size": 6144, "intermediate_size":
      8192, "max_position_embeddings": 262144, "max_window_layers": 62, "mlp_only_layers": [], "model_type":
      "qwen3_moe", "moe_intermediate_size": 2560, "norm_topk_prob": true, "num_attention_heads": 96,
      "num_experts": 160, "num_experts_per_tok": 8, "num_hidden_layers": 62, "num_key_value_heads": 8, "qkv_bias":
      false, "shared_expert_intermediate_size": 0, "tie_word_embeddings": false, "use_qk_norm": true,
      "use_sliding_window": false, "vocab_size": 151936})"},
    {"deepseek_v2_lite",
     R"({"attention_bias": false, "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 2048,
      "intermediate_size": 10944, "kv_lora_rank": 512, "max_position_embeddings": 163840, "model_type":
      "deepseek_v2", "moe_intermediate_size": 1408, "moe_layer_freq": 1, "n_group": 1, "n_routed_experts": 64,
      "n_shared_experts": 2, "norm_topk_prob": false, "num_attention_heads": 16, "num_experts_per_tok": 6,
      "num_hidden_layers": 27, "num_key_value_heads": 16, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
      "routed_scaling_factor": 1.0, "scoring_func": "softmax", "tie_word_embeddings": false, "topk_group": 1,
      "topk_method": "greedy", "v_head_dim": 128, "vocab_size": 102400})"},
    {"deepseek_v3", R"({"attention_bias": false, "first_k_dense_replace": 3, "hidden_act": "silu", "hidden_size": 7168,
      "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163840, "model_type":
      "deepseek_v3", "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256,
      "n_shared_experts": 1, "norm_topk_prob": true, "num_attention_heads": 128, "num_experts_per_tok": 8,
      "num_hidden_layers": 61, "num_key_value_heads": 128, "num_nextn_predict_layers": 1, "q_lora_rank": 1536,
      "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "quantization_config": {"quant_method": "fp8",
      "weight_block_size": [128, 128]}, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid",
      "tie_word_embeddings": false, "topk_group": 4, "topk_method": "noaux_tc", "v_head_dim": 128, "vocab_size":
      129280})"},
    {"kimi_k2", R"({"attention_bias": false, "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 7168,
      "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 131072, "model_type": "kimi_k2",
      "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 1, "n_routed_experts": 384,
      "n_shared_experts": 1, "norm_topk_prob": true, "num_attention_heads": 64, "num_experts_per_tok": 8,
      "num_hidden_layers": 61, "num_key_value_heads": 64, "num_nextn_predict_layers": 0, "q_lora_rank": 1536,
      "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "quantization_config": {"activation_scheme": "dynamic",
      "fmt": "e4m3", "quant_method": "fp8", "weight_block_size": [128, 128]}, "routed_scaling_factor": 2.827,
      "scoring_func": "sigmoid", "tie_word_embeddings": false, "topk_group": 1, "topk_method": "noaux_tc",
      "v_head_dim": 128, "vocab_size": 163840})"},
    {"mamba_130m", R"({"model_type": "mamba", "hidden_size": 768, "num_hidden_layers": 24, "intermediate_size": 1536,
      "state_size": 16, "conv_kernel": 4, "expand": 2, "time_step_rank": 48, "vocab_size": 50280,
      "tie_word_embeddings": true, "use_conv_bias": true, "use_bias": false, "residual_in_fp32": true})"},
    {"falcon_mamba_7b",
     R"({"model_type": "falcon_mamba", "hidden_size": 4096, "num_hidden_layers": 64, "intermediate_size": 8192,
      "state_size": 16, "conv_kernel": 4, "expand": 16, "time_step_rank": 256, "vocab_size": 65024,
      "tie_word_embeddings": false, "use_conv_bias": true, "use_bias": false})"},
    {"mamba2_130m", R"({"model_type": "mamba2", "hidden_size": 768, "num_hidden_layers": 24, "intermediate_size": 1536,
      "state_size": 128, "head_dim": 64, "num_heads": 24, "n_groups": 1, "conv_kernel": 4, "expand": 2,
      "chunk_size": 256, "vocab_size": 50288, "tie_word_embeddings": true})"},
    {"codestral_mamba_7b",
     R"({"model_type": "mamba2", "hidden_size": 4096, "num_hidden_layers": 64, "intermediate_size": 8192,
      "state_size": 128, "head_dim": 64, "num_heads": 128, "n_groups": 8, "conv_kernel": 4, "expand": 2,
      "chunk_size": 256, "vocab_size": 32768, "tie_word_embeddings": false, "norm_before_gate": true})"},
    {"jamba_v0_1", R"({"model_type": "jamba", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
      "num_key_value_heads": 8, "intermediate_size": 14336, "attn_layer_offset": 4, "attn_layer_period": 8,
      "expert_layer_offset": 1, "expert_layer_period": 2, "num_experts": 16, "num_experts_per_tok": 2,
      "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_dt_rank": 256, "mamba_conv_bias": true,
      "mamba_proj_bias": false, "vocab_size": 65536, "max_position_embeddings": 262144, "tie_word_embeddings":
      false})"},
    {"gemma2_9b", R"({"hidden_size": 3584, "num_hidden_layers": 42, "num_attention_heads": 16, "num_key_value_heads": 8,
      "head_dim": 256, "intermediate_size": 14336, "vocab_size": 256000, "sliding_window": 4096,
      "tie_word_embeddings": true, "hidden_act": "gelu_pytorch_tanh", "model_type": "gemma2",
      "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0})"},
    {"gemma3_4b",
     R"({"model_type": "gemma3_text", "hidden_size": 2560, "num_hidden_layers": 34, "num_attention_heads": 8,
      "num_key_value_heads": 4, "head_dim": 256, "intermediate_size": 10240, "vocab_size": 262208,
      "sliding_window": 1024, "sliding_window_pattern": 6, "tie_word_embeddings": true})"},
    {"gpt_oss_20b",
     R"({"attention_bias": true, "experts_per_token": 4, "head_dim": 64, "hidden_act": "silu", "hidden_size": 2880,
      "initial_context_length": 4096, "intermediate_size": 2880, "layer_types": ["sliding_attention",
      "full_attention", "sliding_attention", "full_attention", "sliding_attention", "full_attention",
      "sliding_attention", "full_attention", "sliding_attention", "full_attention", "sliding_attention",
      "full_attention", "sliding_attention", "full_attention", "sliding_attention", "full_attention",
      "sliding_attention", "full_attention", "sliding_attention", "full_attention", "sliding_attention",
      "full_attention", "sliding_attention", "full_attention"], "max_position_embeddings": 131072, "model_type":
      "gpt_oss", "num_attention_heads": 64, "num_experts_per_tok": 4, "num_hidden_layers": 24,
      "num_key_value_heads": 8, "num_local_experts": 32, "quantization_config": {"modules_to_not_convert":
      ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"], "quant_method":
      "mxfp4"}, "sliding_window": 128, "swiglu_limit": 7.0, "tie_word_embeddings": false, "vocab_size": 201088})"},
    {"nemotron_h_8b",
     R"({"model_type": "nemotron_h", "hidden_size": 4096, "num_hidden_layers": 52, "intermediate_size": 21504,
      "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "mamba_num_heads": 128,
      "mamba_head_dim": 64, "ssm_state_size": 128, "n_groups": 8, "conv_kernel": 4, "expand": 2, "vocab_size":
      131072, "hybrid_override_pattern": "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-",
      "tie_word_embeddings": false, "mlp_hidden_act": "relu2", "chunk_size": 128})"},
    {"nemotron3_nano_30b_a3b",
     R"({"attention_bias": false, "chunk_size": 128, "conv_kernel": 4, "expand": 2, "head_dim": 128, "hidden_size":
      2688, "hybrid_override_pattern": "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME",
      "intermediate_size": 1856, "mamba_head_dim": 64, "mamba_hidden_act": "silu", "mamba_num_heads": 64,
      "mamba_proj_bias": false, "mamba_ssm_cache_dtype": "float32", "max_position_embeddings": 262144, "mlp_bias":
      false, "mlp_hidden_act": "relu2", "model_type": "nemotron_h", "moe_intermediate_size": 1856,
      "moe_shared_expert_intermediate_size": 3712, "n_group": 1, "n_groups": 8, "n_routed_experts": 128,
      "n_shared_experts": 1, "norm_topk_prob": true, "num_attention_heads": 32, "num_experts_per_tok": 6,
      "num_hidden_layers": 52, "num_key_value_heads": 2, "num_logits_to_keep": 1, "partial_rotary_factor": 1.0,
      "rescale_prenorm_residual": true, "residual_in_fp32": false, "routed_scaling_factor": 2.5, "ssm_state_size":
      128, "tie_word_embeddings": false, "topk_group": 1, "use_bias": false, "use_conv_bias": true,
      "use_mamba_kernels": true, "vocab_size": 131072})"},
    {"bamba_9b", R"({"model_type": "bamba", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
      "num_key_value_heads": 8, "intermediate_size": 14336, "mamba_d_state": 128, "mamba_d_head": 64,
      "mamba_n_heads": 128, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_n_groups": 1, "attn_layer_indices": [9,
      18, 27], "vocab_size": 128256})"},
    {"falcon_h1_3b",
     R"({"model_type": "falcon_h1", "hidden_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 10,
      "num_key_value_heads": 2, "head_dim": 128, "intermediate_size": 6144, "vocab_size": 65536, "mamba_d_state":
      256, "mamba_n_groups": 1, "mamba_n_heads": 32, "mamba_d_head": 128, "mamba_d_ssm": 4096, "mamba_expand": 2,
      "mamba_d_conv": 4, "mamba_chunk_size": 128, "tie_word_embeddings": false})"},
    {"falcon_h1_7b",
     R"({"model_type": "falcon_h1", "hidden_size": 3072, "num_hidden_layers": 44, "num_attention_heads": 12,
      "num_key_value_heads": 2, "head_dim": 128, "intermediate_size": 12288, "vocab_size": 130048,
      "mamba_d_state": 256, "mamba_n_groups": 1, "mamba_n_heads": 24, "mamba_d_head": 128, "mamba_d_ssm": 3072,
      "mamba_expand": 2, "mamba_d_conv": 4, "mamba_chunk_size": 128, "tie_word_embeddings": false})"},
    {"granite4_h_tiny",
     R"({"model_type": "granitemoehybrid", "hidden_size": 1536, "num_hidden_layers": 40, "num_attention_heads": 12,
      "num_key_value_heads": 4, "mamba_d_state": 128, "mamba_n_groups": 1, "mamba_n_heads": 48, "mamba_d_head":
      64, "mamba_expand": 2, "mamba_d_conv": 4, "mamba_chunk_size": 256, "vocab_size": 100352,
      "tie_word_embeddings": true, "max_position_embeddings": 131072, "layer_types": ["mamba", "mamba", "mamba",
      "mamba", "mamba", "attention", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba",
      "mamba", "attention", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba",
      "attention", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba", "attention",
      "mamba", "mamba", "mamba", "mamba"], "intermediate_size": 512, "shared_intermediate_size": 1024,
      "num_local_experts": 64, "num_experts_per_tok": 6})"},
    {"granite4_h_1b",
     R"({"model_type": "granitemoehybrid", "hidden_size": 1536, "num_hidden_layers": 40, "num_attention_heads": 12,
      "num_key_value_heads": 4, "mamba_d_state": 128, "mamba_n_groups": 1, "mamba_n_heads": 48, "mamba_d_head":
      64, "mamba_expand": 2, "mamba_d_conv": 4, "mamba_chunk_size": 256, "vocab_size": 100352,
      "tie_word_embeddings": true, "max_position_embeddings": 131072, "layer_types": ["mamba", "mamba", "mamba",
      "mamba", "mamba", "attention", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba",
      "mamba", "attention", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba",
      "attention", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba", "mamba", "attention",
      "mamba", "mamba", "mamba", "mamba"], "intermediate_size": 4096, "shared_intermediate_size": 4096,
      "num_local_experts": 0, "num_experts_per_tok": 0})"},
    {"qwen3_next_80b_a3b",
     R"({"model_type": "qwen3_next", "hidden_size": 2048, "num_hidden_layers": 48, "num_attention_heads": 16,
      "num_key_value_heads": 2, "head_dim": 256, "vocab_size": 151936, "moe_intermediate_size": 512,
      "shared_expert_intermediate_size": 512, "num_experts": 512, "num_experts_per_tok": 10, "norm_topk_prob":
      true, "linear_num_key_heads": 16, "linear_num_value_heads": 32, "linear_key_head_dim": 128,
      "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "full_attention_interval": 4,
      "partial_rotary_factor": 0.25, "tie_word_embeddings": false})"},
    {"qwen3_5_4b",
     R"({"model_type": "qwen3_5_text", "hidden_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 16,
      "num_key_value_heads": 4, "head_dim": 256, "intermediate_size": 9216, "vocab_size": 248320,
      "attn_output_gate": true, "linear_num_key_heads": 16, "linear_key_head_dim": 128, "linear_num_value_heads":
      32, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "full_attention_interval": 4,
      "tie_word_embeddings": true})"},
    {"qwen3_5_27b",
     R"({"attention_bias": false, "attn_output_gate": true, "full_attention_interval": 4, "head_dim": 256,
      "hidden_act": "silu", "hidden_size": 5120, "intermediate_size": 17408, "linear_conv_kernel_dim": 4,
      "linear_key_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 48,
      "linear_value_head_dim": 128, "max_position_embeddings": 262144, "mlp_only_layers": [], "model_type":
      "qwen3_5_text", "mtp_num_hidden_layers": 1, "mtp_use_dedicated_embeddings": false, "num_attention_heads":
      24, "num_hidden_layers": 64, "num_key_value_heads": 4, "vocab_size": 248320, "mamba_ssm_dtype": "float32",
      "rope_parameters": {"mrope_interleaved": true, "mrope_section": [11, 11, 10], "rope_type": "default",
      "rope_theta": 10000000, "partial_rotary_factor": 0.25}})"},
    {"qwen3_5_397b_a17b",
     R"({"attention_bias": false, "attn_output_gate": true, "full_attention_interval": 4, "head_dim": 256,
      "hidden_act": "silu", "hidden_size": 4096, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
      "linear_num_key_heads": 16, "linear_num_value_heads": 64, "linear_value_head_dim": 128,
      "max_position_embeddings": 262144, "mlp_only_layers": [], "model_type": "qwen3_5_moe_text",
      "moe_intermediate_size": 1024, "mtp_num_hidden_layers": 1, "mtp_use_dedicated_embeddings": false,
      "num_attention_heads": 32, "num_experts": 512, "num_experts_per_tok": 10, "num_hidden_layers": 60,
      "num_key_value_heads": 2, "shared_expert_intermediate_size": 1024, "vocab_size": 248320, "mamba_ssm_dtype":
      "float32", "rope_parameters": {"mrope_interleaved": true, "mrope_section": [11, 11, 10], "rope_type":
      "default", "rope_theta": 10000000, "partial_rotary_factor": 0.25}})"},
    {"recurrentgemma_2b",
     R"({"model_type": "recurrent_gemma", "_block_types": ["recurrent", "recurrent", "attention"], "hidden_size":
      2560, "num_hidden_layers": 26, "num_attention_heads": 10, "num_key_value_heads": 1, "head_dim": 256,
      "intermediate_size": 15360, "lru_width": 2560, "attention_window_size": 2048, "conv1d_width": 4,
      "logits_soft_cap": 30.0, "partial_rotary_factor": 0.5, "vocab_size": 256000})"},
    {"deepseek_v3_2",
     R"({"attention_bias": false, "first_k_dense_replace": 3, "hidden_act": "silu", "hidden_size": 7168,
      "index_head_dim": 128, "index_n_heads": 64, "index_topk": 2048, "intermediate_size": 18432, "kv_lora_rank":
      512, "max_position_embeddings": 163840, "model_type": "deepseek_v32", "moe_intermediate_size": 2048,
      "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1, "norm_topk_prob": true,
      "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128,
      "num_nextn_predict_layers": 1, "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
      "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8", "scale_fmt":
      "ue8m0", "weight_block_size": [128, 128]}, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid",
      "tie_word_embeddings": false, "topk_group": 4, "topk_method": "noaux_tc", "v_head_dim": 128, "vocab_size":
      129280})"},
    {"glm_5",
     R"({"attention_bias": false, "first_k_dense_replace": 3, "hidden_act": "silu", "head_dim": 64, "hidden_size":
      6144, "index_head_dim": 128, "index_n_heads": 32, "index_topk": 2048, "indexer_rope_interleave": true,
      "intermediate_size": 12288, "kv_lora_rank": 512, "max_position_embeddings": 202752, "moe_intermediate_size":
      2048, "moe_layer_freq": 1, "model_type": "glm_moe_dsa", "n_group": 1, "n_routed_experts": 256,
      "n_shared_experts": 1, "norm_topk_prob": true, "num_attention_heads": 64, "num_experts_per_tok": 8,
      "num_hidden_layers": 78, "num_key_value_heads": 64, "num_nextn_predict_layers": 1, "q_lora_rank": 2048,
      "qk_head_dim": 256, "qk_nope_head_dim": 192, "qk_rope_head_dim": 64, "rope_interleave": true,
      "rope_parameters": {"rope_theta": 1000000, "rope_type": "default"}, "routed_scaling_factor": 2.5,
      "scoring_func": "sigmoid", "tie_word_embeddings": false, "topk_group": 1, "topk_method": "noaux_tc",
      "v_head_dim": 256, "vocab_size": 154880})"},
};

ModelSpec load_text(const std::string& text) {
  const auto message = new_model_message();
  const FieldLocations locations = parse_textproto(std::make_shared<SourceText>("imported.textproto", text), *message);
  return to_model_spec(*message, locations);
}

const char* config_of(const std::string& shipped) {
  for (const Published& row : kPublished) {
    if (row.shipped == shipped) return row.config;
  }
  FAIL("no configuration of " << shipped);
  return "";
}

std::string error_of(const std::string& json) {
  try {
    import_hf_config(json, "config.json");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "none";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  REQUIRE(text.find(from) != std::string::npos);
  return text.replace(text.find(from), from.size(), to);
}
std::string with(const std::string& config, const std::string& field) {
  return config.substr(0, config.rfind('}')) + ", " + field + "}";
}

void require_same_cost(const Graph& a, const Graph& b) {
  const Cost x = total_cost(a), y = total_cost(b);
  CHECK(x.matrix_flops == y.matrix_flops);
  CHECK(x.vector_flops == y.vector_flops);
  CHECK(x.special == y.special);
  CHECK(x.weight_bytes == y.weight_bytes);
  CHECK(x.read_bytes == y.read_bytes);
  CHECK(x.written_bytes == y.written_bytes);
}

}  // namespace

TEST_CASE("an imported configuration computes what the shipped model computes") {
  for (const Published& row : kPublished) {
    CAPTURE(row.shipped);
    const ImportedModel imported = import_hf_config(row.config, "config.json");
    CAPTURE(imported.textproto);
    const ModelSpec got = load_text(imported.textproto), expected = load_model(row.shipped);
    CHECK(got.blocks.size() == expected.blocks.size());
    CHECK(got.pattern.size() == expected.pattern.size());
    CHECK(got.tied_embeddings == expected.tied_embeddings);
    CHECK(got.position == expected.position);
    CHECK(parameter_count(got) == parameter_count(expected));
    CHECK(active_parameter_count(got) == active_parameter_count(expected));
    CHECK(kv_bytes(got, 50000, NumberFormat::bf16) == kv_bytes(expected, 50000, NumberFormat::bf16));
    CHECK(state_bytes(got, NumberFormat::fp32) == state_bytes(expected, NumberFormat::fp32));
    require_same_cost(build_prefill(got, {.batch = 2, .tokens = 5000}),
                      build_prefill(expected, {.batch = 2, .tokens = 5000}));
    require_same_cost(build_decode(got, {.batch = 2, .context = 5000}),
                      build_decode(expected, {.batch = 2, .context = 5000}));
  }
}

TEST_CASE("parts that are left out are named") {
  const auto has = [](const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  const ImportedModel gemma = import_hf_config(config_of("gemma2_9b"), "config.json");
  CHECK(has(gemma.unknown, "attn_logit_softcapping"));
  CHECK(has(gemma.unknown, "final_logit_softcapping"));
  const ImportedModel deepseek = import_hf_config(config_of("deepseek_v3"), "config.json");
  CHECK(has(deepseek.harmless, "num_nextn_predict_layers"));
  CHECK(has(deepseek.harmless, "quantization_config"));
}

TEST_CASE("what a family cannot say is refused at its field") {
  const auto refused = [](const std::string& json, const std::string& part) {
    const std::string error = error_of(json);
    INFO(error);
    CHECK(error.find(part) != std::string::npos);
  };
  refused(with(config_of("mamba_130m"), "\"use_bias\": true"), "use_bias: true is not modelled");
  refused(replaced(config_of("qwen3_30b_a3b"), "\"decoder_sparse_step\": 1", "\"decoder_sparse_step\": 2"),
          "decoder_sparse_step: 2 is not modelled");
  refused(replaced(config_of("qwen3_30b_a3b"), "\"mlp_only_layers\": []", "\"mlp_only_layers\": [3]"),
          "mlp_only_layers: layers without experts");
  refused(replaced(config_of("nemotron_h_8b"), "M-M-M-M*-", "M--M-M-M*"), "does not follow M or *");
  refused(replaced(config_of("nemotron_h_8b"), "M-M-M-M*-", "M-M-M-M"), "num_hidden_layers");
  refused(replaced(config_of("mamba2_130m"), "\"num_heads\": 24", "\"num_heads\": 23"),
          "23 heads of 64 are not as wide");
  refused(replaced(config_of("mixtral_8x7b"), "\"num_experts_per_tok\": 2", "\"num_experts_per_tok\": 9"),
          "9 is above the 8 experts");
  refused(replaced(config_of("jamba_v0_1"), "\"num_hidden_layers\": 32", "\"num_hidden_layers\": 20000"),
          "num_hidden_layers: 20000 is above 10000");
  refused(with(config_of("mixtral_8x7b"), "\"kv_lora_rank\": 512"), "latent attention");
  refused(with(config_of("granite4_h_1b"), "\"position_embedding_type\": \"rope\""), "\"rope\" is not modelled");
  refused(replaced(config_of("granite4_h_1b"), "\"num_hidden_layers\": 40", "\"num_hidden_layers\": 41"),
          "names 40 layers of num_hidden_layers 41");
  refused(with(config_of("qwen3_next_80b_a3b"), "\"attn_output_gate\": false"), "attn_output_gate: false");
  refused(replaced(config_of("qwen3_next_80b_a3b"), "factor\": 0.25", "factor\": 1.25"), "above 0, at most 1");
  refused(replaced(config_of("recurrentgemma_2b"), "\"attention\"", "\"atention\""), "\"atention\" is not modelled");
  refused(with(config_of("bamba_9b"), "\"attn_layer_indices\": \"9\""), "attn_layer_indices: must be a list");
}

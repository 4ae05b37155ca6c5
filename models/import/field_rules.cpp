// SPDX-License-Identifier: Apache-2.0
#include "models/import/field_rules.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace lightcone::models {
namespace {

// Fields of the configuration classes of `transformers` that change no shape and no operation counted here: tokens,
// training, numerics, bookkeeping. Rotary angles are looked up in a table whatever gave them (theta, scaling). With a
// blank before and after each.
constexpr std::string_view kHarmless =
    " _attn_implementation _attn_implementation_autoset _commit_hash _name_or_path attention_dropout attn_pdrop "
    "auto_map bad_words_ids begin_suppress_tokens bos_token_id chunk_size_feed_forward decoder_start_token_id "
    "diversity_penalty do_sample dtype early_stopping embd_pdrop eos_token_id finetuning_task forced_bos_token_id "
    "forced_eos_token_id hidden_dropout id2label initializer_range label2id layer_norm_epsilon length_penalty "
    "max_length min_length n_ctx no_repeat_ngram_size num_beam_groups num_beams num_return_sequences "
    "original_max_position_embeddings output_attentions output_hidden_states output_scores pad_token_id prefix "
    "pretraining_tp problem_type repetition_penalty resid_pdrop return_dict return_dict_in_generate rms_norm_eps "
    "rope_theta rope_type scale_attn_weights sep_token_id summary_activation summary_first_dropout "
    "summary_proj_to_labels summary_type summary_use_proj suppress_tokens task_specific_params temperature "
    "tokenizer_class top_k top_p torch_dtype transformers_version typical_p use_cache ";

// A part of a field's name, and what a value that is not neutral would mean.
struct Rule {
  std::string_view part;
  std::string_view meaning;
};
// The first that matches counts.
constexpr auto kRefused = std::to_array<Rule>({
    {"expert", "a mixture of experts"},
    {"moe", "a mixture of experts"},
    {"router", "a mixture of experts"},
    {"quantization_config",
     "quantised weights: import the configuration of the unquantised model, and give the formats "
     "in the workload"},
    {"compression_config", "compressed weights: import the configuration of the unquantised model"},
    {"cross_attention", "cross attention"},
    {"is_encoder_decoder", "an encoder beside the decoder"},
    {"encoder", "an encoder beside the decoder"},
    {"lora_rank", "latent attention or adapters"},
    {"qk_nope_head_dim", "latent attention"},
    {"qk_rope_head_dim", "latent attention"},
    {"v_head_dim", "values of another width than keys"},
    {"mamba", "state-space layers"},
    {"ssm", "state-space layers"},
    {"conv_", "convolutions"},
    {"linear_attn", "linear attention"},
    {"linear_num", "linear attention"},
    {"full_attention_interval", "layers of several kinds"},
    {"layer_types", "layers of several kinds"},
    {"layers_block_type", "layers of several kinds"},
    {"block_types", "layers of several kinds"},
    {"window", "a window of attention that this family does not have"},
    {"attention_chunk_size", "chunked attention"},
    {"sparse", "sparse attention"},
    {"index_topk", "sparse attention"},
    {"no_rope_layer", "layers without rotary positions"},
    {"rotary", "another share of the head turned by rotary positions"},
    {"alibi", "another kind of positions"},
    {"position_embedding_type", "another kind of positions"},
    {"relative_attention", "another kind of positions"},
    {"attention_bias", "biases that this family does not have"},
    {"qkv_bias", "biases that this family does not have"},
    {"mlp_bias", "biases that this family does not have"},
    {"use_bias", "biases that this family does not have"},
    {"qk_norm", "norms of the heads that this family does not have"},
    {"qk_layernorm", "norms of the heads that this family does not have"},
    {"softcap", "capped scores or logits"},
    {"clip_qkv", "clipped Q, K and V"},
    {"parallel_attn", "attention beside the MLP"},
    {"parallel_residual", "attention beside the MLP"},
    {"nextn_predict", "layers that predict several tokens"},
    {"num_kv_shared_layers", "layers that share their KV cache"},
    {"reorder_and_upcast_attn", "attention in single precision"},
    {"pruned_heads", "heads taken out"},
});

// Fields whose name holds a refused part and which change nothing here.
constexpr auto kExempt = std::to_array<std::string_view>(
    {"router_aux_loss_coef", "output_router_logits", "max_window_layers"});  // without a window it counts nothing

// Parts of other modalities: objects of their own beside the language model.
constexpr auto kOtherModels =
    std::to_array<std::string_view>({"vision_config", "audio_config", "text_config", "vision_tower"});

bool neutral(const Json& value) {
  if (value.is_null()) return true;
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_number()) return value.get<double>() == 0;
  return value.empty();
}

// Values that mean "as every layer here": a share of all, rotary positions, layers of full attention.
bool usual(const std::string& field, const Json& value) {
  if (field == "partial_rotary_factor" || field == "rotary_pct") return value.is_number() && value.get<double>() == 1;
  if (field == "position_embedding_type") return value == "rope" || value == "absolute";
  if (field == "layer_types") {
    return value.is_array() &&
           std::all_of(value.begin(), value.end(), [](const Json& kind) { return kind == "full_attention"; });
  }
  return false;
}

template <std::size_t n>
bool among(const std::array<std::string_view, n>& list, std::string_view field) {
  return std::find(list.begin(), list.end(), field) != list.end();
}

bool is_harmless(const std::string& field) {
  return field.find(' ') == std::string::npos && kHarmless.find(" " + field + " ") != std::string_view::npos;
}

const Rule* refusing(const std::string& field) {
  const auto* found = std::find_if(kRefused.begin(), kRefused.end(),
                                   [&](const Rule& rule) { return field.find(rule.part) != std::string::npos; });
  return found == kRefused.end() ? nullptr : &*found;
}

void refuse(ConfigReader& from, const std::string& field, std::string_view meaning) {
  from.fault(field, shown(from.value(field.substr(0, field.find('.')))) + " means " + std::string(meaning) +
                        ", which is not modelled");
}

// rope_scaling and rope_parameters give angles, and since version 5 of `transformers` also the share that is turned.
void check_rope(ConfigReader& from, const std::string& field) {
  const Json& rope = from.value(field);
  if (!rope.is_object() || !rope.contains("partial_rotary_factor")) return;
  if (!usual("partial_rotary_factor", rope.at("partial_rotary_factor")))
    refuse(from, field + ".partial_rotary_factor", "another share of the head turned by rotary positions");
}

}  // namespace

UnreadFields judge_unread_fields(ConfigReader& from) {
  UnreadFields out;
  out.harmless.assign(from.left_out(false).begin(), from.left_out(false).end());
  out.unknown.assign(from.left_out(true).begin(), from.left_out(true).end());
  for (const std::string& field : from.unread()) {
    const Json& value = from.value(field);
    if (field == "rope_scaling" || field == "rope_parameters") {
      check_rope(from, field);
      out.harmless.push_back(field);
    } else if (is_harmless(field) || among(kExempt, field)) {
      out.harmless.push_back(field);
    } else if (among(kOtherModels, field)) {
      if (!neutral(value)) refuse(from, field, "a model of several modalities");
      out.harmless.push_back(field);
    } else if (const Rule* rule = refusing(field)) {
      if (!neutral(value) && !usual(field, value)) refuse(from, field, rule->meaning);
      out.harmless.push_back(field);
    } else {
      (neutral(value) ? out.harmless : out.unknown).push_back(field);
    }
  }
  std::sort(out.harmless.begin(), out.harmless.end());
  std::sort(out.unknown.begin(), out.unknown.end());
  return out;
}

}  // namespace lightcone::models

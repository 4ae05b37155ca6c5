// SPDX-License-Identifier: Apache-2.0
#include "models/import/family_parts.h"

#include <fmt/format.h>

namespace lightcone::models {

// More layers than any model has would only fill memory here.
std::uint64_t read_layers(ConfigReader& from) {
  constexpr std::uint64_t kMost = 10000;
  const std::uint64_t layers = from.size("num_hidden_layers");
  if (layers <= kMost) return layers;
  from.fault("num_hidden_layers", fmt::format("{} is above {}", layers, kMost));
  return 1;
}

ModelSpec read_outer(ConfigReader& from, bool tied, PositionKind position) {
  ModelSpec out;
  out.vocabulary = from.size("vocab_size");
  out.d_model = from.size("hidden_size");
  out.tied_embeddings = from.flag_or("tie_word_embeddings", tied);
  out.position = position;
  out.max_positions = from.size_or("max_position_embeddings", 0);
  return out;
}

AttentionMixer read_heads(ConfigReader& from, std::uint64_t d_model, const char* head_dim) {
  AttentionMixer out;
  out.heads = from.size("num_attention_heads");
  out.kv_heads = from.size("num_key_value_heads");
  out.head_dim = from.size_or(head_dim, std::max<std::uint64_t>(1, d_model / out.heads));
  return out;
}

void require_flag(ConfigReader& from, const std::string& field, bool missing, bool needed) {
  if (from.flag_or(field, missing) != needed)
    from.fault(field, fmt::format("{} is not modelled; allowed: {}", !needed, needed));
}
void require_size(ConfigReader& from, const std::string& field, std::uint64_t missing, std::uint64_t needed) {
  const std::uint64_t got = from.size_or(field, missing, 0);
  if (got != needed) from.fault(field, fmt::format("{} is not modelled; allowed: {}", got, needed));
}

void leave_out_routing(ConfigReader& from) {
  from.leave_out({"router_jitter_noise", "router_aux_loss_coef", "norm_topk_prob", "n_group", "topk_group",
                  "topk_method", "scoring_func", "routed_scaling_factor", "aux_loss_alpha", "seq_aux", "ep_size",
                  "max_window_layers"});
}

}  // namespace lightcone::models

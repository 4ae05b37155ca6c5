// SPDX-License-Identifier: Apache-2.0
// Families of Hugging Face configurations with experts, latent attention, state spaces or layers of several kinds:
// bamba, deepseek_v2, deepseek_v3, deepseek_v32, falcon_mamba, gemma2, gemma3_text, glm_moe_dsa, gpt_oss, jamba,
// kimi_k2, mamba, mamba2, mixtral, nemotron_h, qwen3_moe; and falcon_h1, granitemoehybrid, qwen3_5_moe_text,
// qwen3_5_text, qwen3_next, recurrent_gemma. Defaults of absent fields are those of the configuration classes of
// `transformers`. Left out, and named to the user: layers that predict several tokens, capped scores and logits,
// formats of quantised weights.
#pragma once

#include <string>
#include <vector>

#include "models/import/config_reader.h"
#include "models/model_spec.h"

namespace lightcone::models {

struct Family {
  std::string model_type;
  std::string architecture;  // the class with the LM head, as `architectures` names it
  ModelSpec (*read)(ConfigReader&);
};

std::vector<Family> hybrid_families();
std::vector<Family> recurrent_families();  // recurrent_families.cpp

// The activation that `field` names; a fault where it is not modelled.
Activation read_activation(ConfigReader& from, const std::string& field, const std::string& missing);

}  // namespace lightcone::models

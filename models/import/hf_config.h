// SPDX-License-Identifier: Apache-2.0
// A Hugging Face `config.json` to a model file. Knows the decoder-only families llama, mistral, qwen2, qwen3 and gpt2,
// and those with experts, latent attention or layers of several kinds in hybrid_families.h, with the meaning and the
// defaults that the configuration classes of the `transformers` library give their fields. Refused rather than guessed:
// other families, other activations, and any field that tells of a part which the model file cannot say
// (field_rules.cpp).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lightcone::models {

struct ImportOptions {
  std::string name;    // of the model; empty: the `_name_or_path` of the configuration, else its family
  std::string source;  // what the model file cites; empty: "config.json of <name>"
  std::uint64_t published_parameters = 0;  // 0: not published
};

struct ImportedModel {
  std::string textproto;              // a complete model file
  std::vector<std::string> harmless;  // fields that were not read and change no cost, sorted
  std::vector<std::string> unknown;   // fields that were not read and whose meaning is not known, sorted
};

// Throws ConfigError naming every field that is missing, of a wrong kind or not modelled, or the place where the text
// is not JSON; `file` is shown in errors.
ImportedModel import_hf_config(const std::string& json, const std::string& file, const ImportOptions& options = {});

// The values of `model_type` that are understood, sorted.
std::vector<std::string> importable_model_types();

}  // namespace lightcone::models

// SPDX-License-Identifier: Apache-2.0
// What the readers of the families share: layers in order, sizes that all of them have, fields with one allowed value.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "models/import/config_reader.h"
#include "models/model_spec.h"

namespace lightcone::models {

// Layers in order of execution; equal names are one block.
class LayerList {
 public:
  void add(const std::string& name, const Mixer& mixer, const Mlp& mlp, bool post_norms = false) {
    const auto same = [&](const Block& block) { return block.name == name; };
    const auto found = std::find_if(blocks_.begin(), blocks_.end(), same);
    pattern_.push_back(static_cast<std::size_t>(found - blocks_.begin()));
    if (found != blocks_.end()) {
      ++found->layers;
      return;
    }
    Block block{name, 1, mixer, mlp};
    block.post_norms = post_norms;
    blocks_.push_back(std::move(block));
  }
  void put_into(ModelSpec& model) const {
    model.blocks = blocks_;
    // Blocks that stand one after another need no pattern.
    if (!std::is_sorted(pattern_.begin(), pattern_.end())) model.pattern = pattern_;
  }

 private:
  std::vector<Block> blocks_;
  std::vector<std::size_t> pattern_;
};

// num_hidden_layers, within what any model has.
std::uint64_t read_layers(ConfigReader& from);

// Vocabulary, width, tied tables (`tied`: where the field is absent) and trained length.
ModelSpec read_outer(ConfigReader& from, bool tied, PositionKind position);

// Heads, KV heads and their size, d_model / heads where the field is absent.
AttentionMixer read_heads(ConfigReader& from, std::uint64_t d_model, const char* head_dim = "head_dim");

// Faults unless the field has the one value that the layers are built for; `missing` stands for an absent one.
void require_flag(ConfigReader& from, const std::string& field, bool missing, bool needed);
void require_size(ConfigReader& from, const std::string& field, std::uint64_t missing, std::uint64_t needed);

// How scores choose experts: the same sizes whatever normalises and groups them.
void leave_out_routing(ConfigReader& from);

}  // namespace lightcone::models

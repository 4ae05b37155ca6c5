// SPDX-License-Identifier: Apache-2.0
#include "models/load_keys.h"

#include <string>

namespace lightcone::models {

namespace {

constexpr IntegerBounds kTokens{1, 1u << 30};

struct Member {
  const char* field;
  KeyChoice (*read)(const MessageReader&);
};

constexpr Member kChoices[] = {
    {"sink_keys", [](const MessageReader& m) -> KeyChoice { return SinkKeys{m.integer("sinks", kTokens)}; }},
    {"fixed_keys",
     [](const MessageReader& m) -> KeyChoice {
       return FixedKeys{m.integer("stride", kTokens), m.integer("summary", kTokens)};
     }},
    {"strided_keys",
     [](const MessageReader& m) -> KeyChoice {
       return StridedKeys{m.integer("stride", {2, 1u << 20})};
     }},
    {"longformer_keys",
     [](const MessageReader& m) -> KeyChoice {
       return LongformerKeys{m.integer("one_sided", kTokens), m.integer("global", kTokens)};
     }},
    {"big_bird_keys",
     [](const MessageReader& m) -> KeyChoice {
       return BigBirdKeys{m.integer("block", kTokens), m.integer("random", kTokens)};
     }},
    {"nsa_keys",
     [](const MessageReader& m) -> KeyChoice {
       return NsaKeys{m.integer("compress_block", kTokens), m.integer("compress_stride", kTokens),
                      m.integer("block", kTokens), m.integer("selected", kTokens), m.integer("window", kTokens)};
     }},
    {"moba_keys",
     [](const MessageReader& m) -> KeyChoice {
       return MobaKeys{m.integer("block", kTokens), m.integer("top_k", kTokens)};
     }},
    {"indexed_keys",
     [](const MessageReader& m) -> KeyChoice {
       return IndexedKeys{m.integer("index_heads", kTokens), m.integer("index_dim", kTokens),
                          m.integer("block", kTokens), m.integer("top_k", kTokens)};
     }},
    {"quest_keys",
     [](const MessageReader& m) -> KeyChoice {
       return QuestKeys{m.integer("page", kTokens), m.integer("top_pages", kTokens)};
     }},
    {"lsh_keys",
     [](const MessageReader& m) -> KeyChoice {
       return LshKeys{m.integer("rounds", {1, 1024}), m.integer("bucket", {1, 1u << 20})};
     }},
    {"routed_keys",
     [](const MessageReader& m) -> KeyChoice {
       return RoutedKeys{m.integer("clusters", {1, 1u << 20})};
     }},
    {"cluster_keys",
     [](const MessageReader& m) -> KeyChoice {
       return ClusterKeys{m.integer("clusters", {1, 1u << 20}), m.integer("segment", kTokens)};
     }},
};

}  // namespace

KeyChoice read_key_choice(const MessageReader& from) {
  for (const Member& member : kChoices) {
    if (from.has(member.field)) return member.read(from.child(member.field));
  }
  return AllKeys{};
}

}  // namespace lightcone::models

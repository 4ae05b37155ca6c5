// SPDX-License-Identifier: Apache-2.0
#include "models/families/share.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "models/families/layer_kinds.h"
#include "sim/base/error.h"

namespace lightcone::models {

namespace {

// Divides sizes in place; what cannot be divided becomes a fault and stays whole.
class Divider {
 public:
  Divider(const Share& share, std::string where, std::vector<std::string>& faults)
      : share_(share), where_(std::move(where)), faults_(faults) {}

  void operator()(AttentionMixer& a) const {
    if (tensor() == 1) return;
    if (!a.spans.empty()) return refuse("a span of its own for each head: ranks would differ");
    if (std::holds_alternative<NsaKeys>(a.choice) && tensor() > a.kv_heads)  // scores are summed over them
      fault(fmt::format(
          "the heads of one of {} KV heads choose blocks together and must be on one rank; tensor at most {}",
          a.kv_heads, a.kv_heads));
    divide(a.heads, "heads");
    divide_or_repeat(a.kv_heads, "KV heads");
    if (auto* keys = std::get_if<IndexedKeys>(&a.choice)) keys->index_heads = a.kv_heads;  // each chooses for one
    if (std::holds_alternative<StridedKeys>(a.choice) && a.heads % 2 != 0)
      fault(fmt::format("strided keys need an even number of heads on each rank, not {}", a.heads));
  }
  void operator()(MlaMixer& a) const { divide(a.heads, "heads"); }
  void operator()(Mamba1Mixer& m) const { divide(m.inner, "channels"); }
  void operator()(Mamba2Mixer& m) const {
    divide(m.heads, "heads");
    m.norm_over_ranks = m.norm && tensor() > m.groups;  // else each rank norms groups of its own
    divide_or_repeat(m.groups, "groups of B and C");
  }
  void operator()(Mamba3Mixer& m) const {
    divide(m.heads, "heads");
    divide_or_repeat(m.groups, "groups of B and C");
  }
  void operator()(LinearMixer& m) const {
    divide(m.heads, "heads");
    divide(m.value_heads, "value heads");
    if (m.kv_heads != 0) divide_or_repeat(m.kv_heads, "KV heads");
  }
  void operator()(Rwkv7Mixer& m) const { divide(m.heads, "heads"); }
  void operator()(Rwkv6Mixer& m) const { divide(m.heads, "heads"); }
  void operator()(Rwkv5Mixer& m) const { divide(m.heads, "heads"); }
  void operator()(RgLruMixer& m) const {
    divide(m.blocks, "blocks of the gates");
    divide(m.width, "channels");
  }
  void operator()(ShortConvMixer& m) const { divide(m.width, "channels"); }
  void operator()(MinGruMixer& m) const { divide(m.width, "channels"); }
  void operator()(LstmMixer& m) const {
    if (m.cell == CellKind::lstm) return refuse("LSTM: every gate reads the whole last output");
    divide(m.heads, "heads");
    divide(m.width, "channels");
  }
  void operator()(Rwkv4Mixer&) const { refuse("RWKV-4: its channels are the stream's"); }
  void operator()(S4Mixer&) const { refuse("S4: its channels are the stream's"); }
  void operator()(DiagonalMixer&) const { refuse("LRU and S5: dense maps between one diagonal system"); }
  void operator()(H3Mixer&) const { refuse("H3: its channels are the stream's"); }
  void operator()(HyenaMixer&) const { refuse("Hyena: its channels are the stream's"); }
  void operator()(ParallelMixer& m) const {
    for (SingleMixer& part : m.parts) std::visit(*this, part);
  }

  void operator()(NoMlp&) const {}
  void operator()(DenseMlp& m) const { divide(m.d_ff, "d_ff"); }
  void operator()(ChannelMix& m) const { divide(m.d_ff, "d_ff of channel mixing"); }
  // Experts whole, over `expert` ranks; where the tensor ranks are more, each expert over those that are left.
  void operator()(MoeMlp& m) const {
    if (m.shared_d_ff != 0) divide(m.shared_d_ff, "d_ff of the shared expert");
    if (share_.expert == 1) return divide(m.d_ff, "d_ff of an expert");
    if (m.load.kind == ExpertLoadKind::given)
      return fault("a given list of the experts' rows is of all ranks together");
    if (m.experts % share_.expert != 0) {
      return fault(fmt::format("expert {} does not divide {} experts; nearest: {}", share_.expert, m.experts,
                               nearest_divisors(m.experts, share_.expert)));
    }
    m.local_experts = m.experts / share_.expert;
    const std::uint64_t over = share_.tensor > share_.expert ? share_.tensor / share_.expert : 1;
    divide_by(over, m.d_ff, "d_ff of an expert");
  }

 private:
  [[nodiscard]] std::uint64_t tensor() const { return share_.tensor; }
  void fault(const std::string& text) const { faults_.push_back(where_ + ": " + text); }
  void refuse(const std::string& text) const {
    if (tensor() > 1) fault("cannot be divided over tensor ranks (" + text + "); tensor must be 1");
  }
  void divide_by(std::uint64_t ranks, std::uint64_t& size, const char* what) const {
    if (size % ranks == 0) {
      size /= ranks;
      return;
    }
    fault(
        fmt::format("tensor {} does not divide {} {}; nearest: {}", ranks, size, what, nearest_divisors(size, ranks)));
  }
  void divide(std::uint64_t& size, const char* what) const { divide_by(tensor(), size, what); }
  // Fewer than the ranks: each is on several of them.
  void divide_or_repeat(std::uint64_t& size, const char* what) const {
    if (size != 0 && tensor() % size == 0) {
      size = 1;
      return;
    }
    divide(size, what);
  }

  const Share& share_;
  std::string where_;
  std::vector<std::string>& faults_;
};

// Rules among the numbers of ranks themselves.
void check_numbers(const Share& s, bool experts, std::vector<std::string>& faults) {
  if (s.sequence_parallel && s.tensor == 1)
    faults.push_back("sequence_parallel needs tensor above 1: it divides tokens over the tensor ranks");
  if (s.expert > 1 && !experts) faults.push_back(fmt::format("expert {}: the model has no experts; 1", s.expert));
  if (s.expert == 1 || s.tensor == 1) return;
  const std::uint64_t more = std::max(s.expert, s.tensor), fewer = std::min(s.expert, s.tensor);
  if (more % fewer != 0)
    faults.push_back(fmt::format("expert {} and tensor {}: one must divide the other", s.expert, s.tensor));
  if (s.expert > s.tensor && !s.sequence_parallel)
    faults.push_back(
        fmt::format("expert {} above tensor {} needs sequence_parallel: else every tensor rank would send "
                    "the same tokens",
                    s.expert, s.tensor));
}

// Tokens of a sequence over context ranks: layers that go from token to token would have to pass states on.
void check_context(const ModelSpec& share, std::vector<std::string>& faults) {
  const std::uint64_t ranks = share.share.context;
  if (ranks == 1) return;
  for (const Block& block : share.blocks) {
    const std::string where = (block.name.empty() ? "layers" : block.name) + ": ";
    const auto* a = std::get_if<AttentionMixer>(&block.mixer);
    if (a == nullptr || !std::holds_alternative<AllKeys>(a->choice) || a->materialised || !a->spans.empty()) {
      faults.push_back(where + "only dense attention is divided over the tokens of a sequence; context must be 1");
      continue;
    }
    if (std::holds_alternative<ChannelMix>(block.mlp))
      faults.push_back(where + "channel mixing reads the token before, on another rank; context must be 1");
    if (!share.share.context_by_heads) continue;
    if (a->heads % ranks != 0)
      faults.push_back(where +
                       fmt::format("context {} does not divide {} heads of a tensor rank (ulysses); nearest: {}", ranks,
                                   a->heads, nearest_divisors(a->heads, ranks)));
    if (a->kv_heads % ranks != 0 && ranks % a->kv_heads != 0)
      faults.push_back(where + fmt::format("context {} and {} KV heads of a tensor rank (ulysses): one must divide the "
                                           "other",
                                           ranks, a->kv_heads));
  }
}

ModelSpec divided(const ModelSpec& model, const Share& share, std::vector<std::string>& faults) {
  ModelSpec out = model;
  bool experts = false;
  for (Block& block : out.blocks) {
    const Divider divider(share, block.name.empty() ? "layers" : block.name, faults);
    std::visit(divider, block.mixer);
    std::visit(divider, block.mlp);
    experts = experts || std::holds_alternative<MoeMlp>(block.mlp);
  }
  check_numbers(share, experts, faults);
  out.vocabulary = (model.vocabulary + share.tensor - 1) / share.tensor;  // padded to a multiple
  out.share = share;
  check_context(out, faults);
  return out;
}

}  // namespace

std::string nearest_divisors(std::uint64_t number, std::uint64_t wanted) {
  std::uint64_t below = 1, above = 0;
  for (std::uint64_t d = 1; d <= number; ++d) {
    if (number % d != 0) continue;
    if (d <= wanted) below = d;
    if (d > wanted) {
      above = d;
      break;
    }
  }
  return above == 0 ? fmt::format("{}", below) : fmt::format("{} or {}", below, above);
}

std::vector<std::string> share_faults(const ModelSpec& model, const Share& share) {
  std::vector<std::string> faults;
  divided(model, share, faults);
  return faults;
}

ModelSpec share_of(const ModelSpec& model, const Share& share) {
  check(model);
  std::vector<std::string> faults;
  ModelSpec out = divided(model, share, faults);
  if (faults.empty()) return out;
  std::vector<Diagnostic> all;
  for (std::string& text : faults) {
    Diagnostic fault;
    fault.field = model.name;
    fault.message = std::move(text);
    all.push_back(std::move(fault));
  }
  throw ConfigError(std::move(all));
}

}  // namespace lightcone::models

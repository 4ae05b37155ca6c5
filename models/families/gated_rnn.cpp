// SPDX-License-Identifier: Apache-2.0
// Recurrent layers whose gates read the last output, and so go token by token: LSTM (Hochreiter & Schmidhuber 1997) and
// sLSTM (Beck et al. 2024); and minGRU (Feng et al. 2024), whose gates do not, and which is a scan. The inputs' part of
// all gates is one GEMM over the tokens of the pass.
#include <fmt/core.h>

#include "models/families/layer_kinds.h"
#include "models/graph/tensor_bytes.h"

namespace lightcone::models {

namespace {
using Index = Section::Index;
}  // namespace

// ---- LSTM, sLSTM ---------------------------------------------------------------------------------------------------

// Inputs' and recurrent weights of four gates, biases, the output projection; sLSTM norms each head.
ParameterParts parameters(const LstmMixer& m, std::uint64_t d) {
  const std::uint64_t recurrent = size_product({4, m.width, m.width / m.heads});
  return {size_sum({size_product({4, d, m.width}), recurrent, size_product({m.width, d})}),
          size_sum({size_product({4, m.width}), m.cell == CellKind::slstm ? m.width : 0})};
}

// c and h; sLSTM has the normaliser and the running maximum besides.
SequenceState sequence_state(const LstmMixer& m, std::uint64_t, std::uint64_t, const PhaseShape& shape) {
  return {{}, tensor_bytes("the state", shape.state, {m.cell == CellKind::lstm ? 2u : 4u, m.width})};
}

Index build(LayerBuilder& b, const LstmMixer& m, const std::vector<Index>& inputs) {
  const PhaseShape& shape = b.shape();
  const Index gates = b.linear("gates", b.d_model(), size_product({4, m.width}), true, inputs);
  Index out = b.add("recurrence",
                    SerialRecurrence{.cell = m.cell,
                                     .batch = shape.batch,
                                     .tokens = shape.tokens,
                                     .width = m.width,
                                     .heads = m.heads,
                                     .reads_state = b.continues(),
                                     .format = b.stream(),
                                     .state_format = shape.state},
                    {gates});
  if (m.cell == CellKind::slstm) out = b.norm("head_norm", NormKind::rms, m.heads, m.width / m.heads, {out});
  return b.row_linear("output", m.width, b.d_model(), false, {out});
}

void check_kind(const LstmMixer& m, const FaultList& block, const ModelSpec&) {
  const FaultList list = block.inside(m.cell == CellKind::lstm ? "lstm" : "slstm");
  list.require("width", m.width);
  list.require("heads", m.heads);
  if (m.heads != 0 && m.width % m.heads != 0)
    list.add("heads", fmt::format("{} does not divide width {}", m.heads, m.width));
}

std::string words(const LstmMixer& m) {
  return m.cell == CellKind::lstm ? fmt::format("LSTM of {}", m.width)
                                  : fmt::format("sLSTM of {}, {} heads", m.width, m.heads);
}

// ---- minGRU --------------------------------------------------------------------------------------------------------

ParameterParts parameters(const MinGruMixer& m, std::uint64_t d) {
  return {size_product({3, d, m.width}), size_product({2, m.width})};
}

SequenceState sequence_state(const MinGruMixer& m, std::uint64_t, std::uint64_t, const PhaseShape& shape) {
  return {{}, tensor_bytes("the state", shape.state, {m.width})};
}

// h = (1 - z) h + z h~: the decay sigmoid(-x W_z), and z times the candidate.
Index build(LayerBuilder& b, const MinGruMixer& m, const std::vector<Index>& inputs) {
  const Index in = b.linear("z_h", b.d_model(), size_product({2, m.width}), true, inputs);
  const Index decay = b.elementwise("decay", ElementwiseKind::sigmoid, m.width, {in});
  const Index update = b.elementwise("update", ElementwiseKind::sigmoid_mul, m.width, {in});
  const Index scanned = b.recurrence("scan", LinearScan{.channels = m.width}, {decay, update});
  return b.row_linear("output", m.width, b.d_model(), false, {scanned});
}

void check_kind(const MinGruMixer& m, const FaultList& block, const ModelSpec&) {
  block.inside("min_gru").require("width", m.width);
}

std::string words(const MinGruMixer& m) { return fmt::format("minGRU of {}", m.width); }

}  // namespace lightcone::models

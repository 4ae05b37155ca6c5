// SPDX-License-Identifier: Apache-2.0
#include "models/families/layer_kinds.h"

#include "models/families/layer_builder.h"
#include "models/graph/tensor_bytes.h"
#include "sim/base/checked.h"

namespace lightcone::models {

std::uint64_t size_product(std::initializer_list<std::uint64_t> factors) {
  return checked_product("the model", factors);
}
std::uint64_t size_sum(std::initializer_list<std::uint64_t> terms) { return checked_sum("the model", terms); }

Bytes convolution_state(std::uint64_t channels, std::uint64_t kernel, const PhaseShape& shape) {
  return tensor_bytes("the state", stream_format(shape.activations), {channels, kernel - 1});
}
SequenceState with_convolution(Bytes state, std::uint64_t channels, std::uint64_t kernel, const PhaseShape& shape) {
  return {{}, Bytes(size_sum({state.count(), convolution_state(channels, kernel, shape).count()}))};
}

}  // namespace lightcone::models

// SPDX-License-Identifier: Apache-2.0
// What the rows of aiconfigurator contain, by its collectors (collector/trtllm/collect_mla.py, collector/sglang/
// collect_mla.py): the append to the latent cache (in TensorRT-LLM with the rotation) and the attention kernels,
// without projections. SGLang attends to the latents on Hopper even in a prefill; on Blackwell it expands the heads, as
// TensorRT-LLM does everywhere.
#include "scenarios/validate/latent_rows.h"

#include "scenarios/validate/row_parts.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

namespace {

void reject_eager(const OperatingPoint& point) {
  if (point.kernel == "vllm_triton_mla") {
    throw Unsupported{"the host's launches of the Triton latent attention are timed, not the kernels"};
  }
}

models::Attention common(const OperatingPoint& point) {
  models::Attention a;
  a.batch = size(point, "batch");
  a.heads = size(point, "heads");
  a.q_len = size(point, "q_len");
  a.kv_len = size(point, "kv_len");
  a.causal = flag_or(point, "causal", true);
  a.activation = format(point.dtype);
  const std::string kv = point.text("kv_dtype");
  a.kv = kv.empty() ? a.activation : format(kv);
  a.writes_kv_cache = true;
  if (a.causal && a.kv_len < a.q_len) throw Unsupported{"causal attention with fewer keys than queries"};
  return a;
}

models::Attention absorbed(const OperatingPoint& point) {
  models::Attention a = common(point);
  a.kv_heads = 1;
  a.value_dim = size(point, "kv_lora");
  a.head_dim = checked_sum("latent", {a.value_dim, size(point, "rope")});
  a.values_in_keys = a.paged = true;
  return a;
}

models::Attention expanded(const OperatingPoint& point) {
  models::Attention a = common(point);
  a.kv_heads = a.heads;
  a.head_dim = checked_sum("head", {size(point, "nope"), size(point, "rope")});
  a.value_dim = size(point, "v");
  return a;
}

}  // namespace

MappedPoint latent_prefill(const OperatingPoint& point) {
  reject_eager(point);
  MappedPoint mapped = start(point);
  if (point.kernel == "flash_attention") {
    mapped.operators.emplace_back(absorbed(point));
    return mapped;
  }
  models::Attention a = expanded(point);
  // Without 8-bit products the narrow cache is only written: attention reads the expanded heads (attentionOp.cpp,
  // mFP8ContextMLA).
  if (contains(point.gpu, "A100") && a.kv != a.activation) {
    a.kv = a.activation;
    mapped.note = "the append to the narrow cache is priced as one to a cache in the format of the activations";
  }
  mapped.operators.emplace_back(a);
  return mapped;
}

MappedPoint latent_decode(const OperatingPoint& point) {
  reject_eager(point);
  MappedPoint mapped = start(point);
  mapped.operators.emplace_back(absorbed(point));
  return mapped;
}

}  // namespace lightcone::scenarios

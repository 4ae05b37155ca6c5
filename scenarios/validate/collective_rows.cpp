// SPDX-License-Identifier: Apache-2.0
#include "scenarios/validate/collective_rows.h"

#include <algorithm>
#include <array>
#include <utility>

#include "scenarios/validate/row_parts.h"

namespace lightcone::scenarios {

namespace {

using models::CollectiveKind;

constexpr std::array<std::pair<std::string_view, CollectiveKind>, 5> kKinds{{
    {"all_reduce", CollectiveKind::all_reduce},
    {"all_gather", CollectiveKind::all_gather},
    {"reduce_scatter", CollectiveKind::reduce_scatter},
    {"all_to_all", CollectiveKind::all_to_all},
    {"send_recv", CollectiveKind::send_receive},
}};

CollectiveLibrary library_of(const std::string& kernel) {
  if (starts_with(kernel, "vLLM")) return CollectiveLibrary::vllm;
  if (starts_with(kernel, "SGLang")) return CollectiveLibrary::sglang;
  if (starts_with(kernel, "TRTLLM")) return CollectiveLibrary::tensorrt_llm;
  return CollectiveLibrary::nccl;
}

}  // namespace

MappedPoint collective_row(const OperatingPoint& point) {
  MappedPoint mapped = start(point);
  if (contains(point.kernel, "_eager")) {
    throw Unsupported{"the host's calls are timed with the collective (a copy of the input and a launch from Python)"};
  }
  models::Communication op;
  for (const auto& [name, kind] : kKinds) {
    if (name == point.op) op.kind = kind;
  }
  op.ranks = size(point, "ranks");
  // Any format will do: sums of all are made at the rate of the copies.
  op.format = NumberFormat::bf16;
  op.elements = std::max<std::uint64_t>(1, size(point, "bytes") / 2);
  if (op.ranks < 2) throw Unsupported{"a collective of one rank"};
  mapped.nodes = static_cast<std::uint32_t>(size_or(point, "nodes", 1));
  if (mapped.nodes == 0 || op.ranks % mapped.nodes != 0) throw Unsupported{"nodes do not divide the ranks"};
  mapped.collective.library = library_of(point.kernel);
  if (contains(point.note, "NVLS_ENABLE=0")) mapped.collective.algorithm = CollectiveAlgorithm::ring;
  mapped.operators.emplace_back(op);
  return mapped;
}

MappedPoint ring_attention_row(const OperatingPoint& point) {
  MappedPoint mapped = start(point);
  const std::string scheme = point.text("impl");
  if (point.text("api") != "batch") throw Unsupported{"sequences of different lengths around a ring"};
  if (scheme == "ring") mapped.ring = workloads::ContextScheme::ring;
  if (scheme == "zigzag") mapped.ring = workloads::ContextScheme::zigzag;
  if (scheme == "stripe") mapped.ring = workloads::ContextScheme::striped;
  if (!mapped.ring) throw Unsupported{"the scheme \"" + scheme + "\" is not known"};
  models::Attention a;
  a.batch = 1;
  a.heads = size(point, "heads");
  a.kv_heads = size(point, "kv_heads");
  a.q_len = a.kv_len = size(point, "seq_per_gpu");
  a.head_dim = size(point, "head_dim");
  a.causal = flag_or(point, "causal", true);
  a.activation = a.kv = format(point.dtype);
  mapped.ranks = static_cast<std::uint32_t>(size(point, "ranks"));
  // Its kernels are those of the flash-attn package (flash_attn_interface._flash_attn_forward): the second version.
  mapped.options.library = KernelLibrary::flash_attention_2;
  mapped.operators.emplace_back(a);
  return mapped;
}

}  // namespace lightcone::scenarios

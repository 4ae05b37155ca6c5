// SPDX-License-Identifier: Apache-2.0
// A measured layer of experts -> its operators. The rows time the whole layer on one device of `ep`, whose experts are
// the first experts / ep, each of inter / tp: gate and up projection, activation, down projection, sum. Which kernels
// lie between follows from the library (sources: vLLM fused_moe.py, fused_marlin_moe.py, moe_align_sum_kernels.cu;
// TensorRT-LLM cutlass_kernels/moe_gemm/moe_kernels.cu; FlashInfer builds the latter).
#include "scenarios/validate/moe_row.h"

#include <array>
#include <numeric>

#include "scenarios/validate/expert_draw.h"
#include "scenarios/validate/row_parts.h"
#include "sim/base/checked.h"

namespace lightcone::scenarios {

namespace {

using models::ElementwiseKind;

// How a library's layer moves the rows.
enum class Flow : std::uint8_t {
  by_index,  // products fetch rows by index; activation and sum go over the rows of all devices (Triton, Marlin)
  copied,    // rows are copied into the order of the experts (CUTLASS)
};

struct LayerFormats {
  NumberFormat activation, weight;
  bool quantises = false;  // the layer takes 16-bit rows and narrows them before each product
  bool block_scaled = false;
};

struct MoeLayer {
  std::uint64_t tokens = 0, hidden = 0, inter = 0, top_k = 0, experts = 0, devices = 0;
  bool gated = true;
  LayerFormats formats;
  std::vector<std::uint64_t> own, elsewhere;  // rows of each expert of this device, and of the others
  std::uint64_t own_rows = 0;
  [[nodiscard]] std::uint64_t pairs() const { return tokens * top_k; }
  [[nodiscard]] std::uint64_t up() const { return (gated ? 2 : 1) * inter; }
};

LayerFormats layer_formats(const OperatingPoint& point) {
  using F = NumberFormat;
  if (point.dtype == "bf16") return {F::bf16, F::bf16};
  if (point.dtype == "fp8" || point.dtype == "fp8_block") {
    return {F::fp8_e4m3, F::fp8_e4m3, true, point.dtype == "fp8_block"};
  }
  if (point.dtype == "int4_wo") return {F::bf16, F::int4};
  if (point.dtype == "w4a16_mxfp4") return {F::bf16, F::mxfp4};
  throw Unsupported{"experts of format \"" + point.dtype + "\" have no tile program"};
}

std::vector<std::uint64_t> drawn_rows(const OperatingPoint& point, const MoeLayer& layer) {
  const ExpertDraw draw{layer.tokens, layer.experts, layer.top_k, layer.devices};
  const std::string dist = point.text("dist");
  if (dist == "balanced") return balanced_rows(draw);
  if (dist == "power_law_1.01") return power_law_rows(draw, 1.01);
  if (dist == "power_law_1.2") return power_law_rows(draw, 1.2);
  throw Unsupported{"distribution \"" + dist + "\" is not known"};
}

// Nemotron 3's experts have no gate (relu squared). TensorRT-LLM's rows say so; in the others it shows by the sizes, of
// the benchmark's models hidden 2688 (Nano) and 22 experts per token (Super and Ultra) are theirs alone.
bool is_gated(const OperatingPoint& point, const MoeLayer& layer) {
  return !contains(point.kernel, "nongated") && layer.hidden != 2688 && layer.top_k != 22;
}

MoeLayer read_layer(const OperatingPoint& point) {
  MoeLayer layer;
  layer.tokens = size(point, "tokens");
  layer.hidden = size(point, "hidden");
  layer.top_k = size(point, "topk");
  layer.experts = size(point, "experts");
  layer.devices = size(point, "ep");
  const std::uint64_t inter = size(point, "inter"), parts = size(point, "tp");
  constexpr std::uint64_t kMostPairs = 1u << 26, kMostExperts = 1u << 16;
  if (layer.experts > kMostExperts || checked_product("rows", {layer.tokens, layer.top_k}) > kMostPairs) {
    throw Unsupported{"more rows or experts than the benchmark's draw is made for"};
  }
  if (layer.top_k > layer.experts) throw Unsupported{"topk is above the experts"};
  if (layer.experts % layer.devices != 0) throw Unsupported{"ep does not divide the experts"};
  if (inter % parts != 0) throw Unsupported{"tp does not divide inter"};
  layer.inter = inter / parts;
  layer.gated = is_gated(point, layer);
  layer.formats = layer_formats(point);
  const std::vector<std::uint64_t> rows = drawn_rows(point, layer);
  const auto first_elsewhere = rows.begin() + static_cast<std::ptrdiff_t>(layer.experts / layer.devices);
  layer.own.assign(rows.begin(), first_elsewhere);
  layer.elsewhere.assign(first_elsewhere, rows.end());
  layer.own_rows = std::accumulate(rows.begin(), first_elsewhere, std::uint64_t{0});
  if (layer.own_rows == 0) throw Unsupported{"no row of this draw comes to the device"};
  return layer;
}

struct KernelFlow {
  std::string_view part;  // of the kernel column
  Flow flow;
  bool routes;  // the timed call takes scores and chooses the experts
};
// In order: the first that fits.
constexpr std::array<KernelFlow, 6> kFlows{{
    {"flashinfer_cutlass", Flow::copied, true},
    {"tritonexperts", Flow::by_index, true},
    {"marlin", Flow::by_index, true},
    {"vllm_fused_moe", Flow::by_index, false},
    {"sglang_fused_moe_triton", Flow::by_index, false},
    {"moe_torch_flow", Flow::copied, true},
}};

const KernelFlow& flow_of(const OperatingPoint& point) {
  // TensorRT-LLM's backends for mxfp4 are Triton's matmul_ogs on Hopper and TRTLLM-gen on Blackwell.
  for (const char* other : {"oaitriton", "trtllm", "min_latency", "deepgemm"}) {
    if (contains(point.kernel, other))
      throw Unsupported{"the expert kernels \"" + point.kernel + "\" have no tile program"};
  }
  if (point.kernel == "moe_torch_flow" && contains(point.dtype, "mxfp4")) {
    throw Unsupported{"the expert kernels \"" + point.kernel + "\" of mxfp4 have no tile program"};
  }
  if (point.dtype == "fp8" && contains(point.kernel, "flashinfer_cutlass")) {
    // Measured at a fifth of both the memory's and the tensor cores' rate of the same library's kernel under
    // TensorRT-LLM: called without tuning it is another kernel, not another price of this one.
    throw Unsupported{"the untuned expert kernels \"" + point.kernel + "\" have no tile program"};
  }
  for (const KernelFlow& flow : kFlows) {
    if (contains(point.kernel, flow.part)) return flow;
  }
  throw Unsupported{"the expert kernels \"" + point.kernel + "\" are not known"};
}

models::GroupedGemm product(const MoeLayer& layer, std::uint64_t n, std::uint64_t k) {
  models::GroupedGemm g;
  g.experts = layer.own.size();
  g.rows = layer.own_rows;
  g.n = n;
  g.k = k;
  g.load = {models::ExpertLoadKind::given, 1, layer.own};
  g.activation = layer.formats.activation;
  g.weight = layer.formats.weight;
  g.output = NumberFormat::bf16;
  g.block_scaled = layer.formats.block_scaled;
  return g;
}

models::Elementwise quantised(const MoeLayer& layer, std::uint64_t rows, std::uint64_t columns) {
  return {ElementwiseKind::quantize, checked_product("quantised values", {rows, columns}), NumberFormat::bf16,
          layer.formats.activation, columns};
}

models::Elementwise activation(const MoeLayer& layer, std::uint64_t rows) {
  return {layer.gated ? ElementwiseKind::silu_mul : ElementwiseKind::relu_squared,
          checked_product("activated values", {rows, layer.inter}), NumberFormat::bf16, NumberFormat::bf16,
          layer.inter};
}

void add_by_index(const MoeLayer& layer, bool marlin, std::vector<models::Operator>& ops) {
  models::GatherRows order{layer.pairs(), layer.tokens, layer.hidden};
  order.order_only = true;
  ops.emplace_back(order);
  if (layer.formats.quantises) ops.emplace_back(quantised(layer, layer.tokens, layer.hidden));
  models::GroupedGemm up = product(layer, layer.up(), layer.hidden), down = product(layer, layer.hidden, layer.inter);
  up.source_rows = layer.tokens;
  up.top_k = down.top_k = layer.top_k;
  if (layer.devices > 1) {
    if (!marlin) up.rows_elsewhere = layer.elsewhere;  // Marlin leaves them as they are
    down.rows_elsewhere = layer.elsewhere;
  }
  ops.emplace_back(up);
  ops.emplace_back(activation(layer, layer.pairs()));
  if (layer.formats.quantises) ops.emplace_back(quantised(layer, layer.pairs(), layer.inter));
  ops.emplace_back(down);
  ops.emplace_back(models::CombineRows{layer.tokens, layer.top_k, layer.hidden});
}

// Where values share a scale per block of 128, rows are copied as they came and narrowed before each product.
void add_copied(const MoeLayer& layer, std::vector<models::Operator>& ops) {
  const std::uint64_t rows = layer.own_rows;
  const bool block_scaled = layer.formats.block_scaled;
  const bool first = layer.formats.quantises && !block_scaled;
  if (first) ops.emplace_back(quantised(layer, layer.tokens, layer.hidden));
  models::GatherRows copy{rows, layer.tokens, layer.hidden, first ? layer.formats.activation : NumberFormat::bf16};
  copy.ordered = layer.pairs();
  ops.emplace_back(copy);
  if (block_scaled) ops.emplace_back(quantised(layer, rows, layer.hidden));
  ops.emplace_back(product(layer, layer.up(), layer.hidden));
  models::Elementwise act = activation(layer, rows);
  if (first) act.output = layer.formats.activation;  // narrowed in the same kernel
  ops.emplace_back(act);
  if (block_scaled) ops.emplace_back(quantised(layer, rows, layer.inter));
  ops.emplace_back(product(layer, layer.hidden, layer.inter));
  models::CombineRows sum{layer.tokens, layer.top_k, layer.hidden};
  sum.present = rows == layer.pairs() ? 0 : rows;
  ops.emplace_back(sum);
}

}  // namespace

MappedPoint moe_layer(const OperatingPoint& point) {
  MappedPoint mapped = start(point);
  const KernelFlow& kernels = flow_of(point);
  const MoeLayer layer = read_layer(point);
  if (kernels.routes) mapped.operators.emplace_back(models::TopK{layer.tokens, layer.experts, layer.top_k});
  if (kernels.flow == Flow::by_index) {
    add_by_index(layer, contains(point.kernel, "marlin"), mapped.operators);
  } else {
    mapped.options.library = KernelLibrary::tensorrt_llm;
    add_copied(layer, mapped.operators);
  }
  if (point.text("dist") != "balanced") mapped.note = "rows per expert of a draw like the benchmark's";
  return mapped;
}

}  // namespace lightcone::scenarios

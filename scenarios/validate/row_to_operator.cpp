// SPDX-License-Identifier: Apache-2.0
#include "scenarios/validate/row_to_operator.h"

#include <array>
#include <functional>
#include <string_view>
#include <utility>

#include "scenarios/validate/collective_rows.h"
#include "scenarios/validate/latent_rows.h"
#include "scenarios/validate/moe_row.h"
#include "scenarios/validate/row_parts.h"
#include "sim/base/checked.h"
#include "sim/base/error.h"
#include "sim/base/suggest.h"

namespace lightcone::scenarios {

namespace {

using models::ElementwiseKind;

// ---- One reader per op ---------------------------------------------------------------------------------------

struct GemmFormats {
  NumberFormat activation, weight, output;
  bool quantises = false;  // the timed call also quantises its bf16 activations
};

GemmFormats gemm_formats(const std::string& dtype) {
  using F = NumberFormat;
  if (dtype == "fp8" || dtype == "fp8_block") return {F::fp8_e4m3, F::fp8_e4m3, F::bf16, true};
  if (dtype == "nvfp4") return {F::nvfp4, F::nvfp4, F::bf16, true};
  if (dtype == "int4_wo") return {F::fp16, F::int4, F::fp16};
  if (dtype == "int8_wo") return {F::fp16, F::int8, F::fp16};
  if (dtype == "int8_sq") return {F::int8, F::int8, F::fp16};
  const NumberFormat plain = format(dtype);
  return {plain, plain, plain};
}

MappedPoint gemm(const OperatingPoint& point) {
  if (contains(point.note, "optimisation ladder") && point.kernel != "cublas" && point.kernel != "fast.cu") {
    throw Unsupported{"a step of a kernel-optimisation ladder, not a library's kernel"};
  }
  MappedPoint mapped = start(point);
  const GemmFormats formats = gemm_formats(point.dtype);
  const std::uint64_t m = size(point, "m"), n = size(point, "n"), k = size(point, "k");
  if (formats.quantises && contains(point.note, "quantisation")) {
    mapped.operators.push_back(models::Elementwise{
        ElementwiseKind::quantize, checked_product("gemm inputs", {m, k}), NumberFormat::bf16, formats.activation, k,
        point.dtype == "fp8"});  // per tensor; block scales need no pass of their own
    mapped.note = "with a quantisation pass of the activations";
  }
  mapped.operators.push_back(models::Gemm{m, n, k, formats.activation, formats.weight, formats.output, true, false});
  return mapped;
}

MappedPoint batched_gemm(const OperatingPoint& point) {
  MappedPoint mapped = start(point);
  const NumberFormat f = format(point.dtype);
  const NumberFormat output = info(f).bits < 16 ? NumberFormat::bf16 : f;
  mapped.operators.push_back(
      models::BatchedGemm{size(point, "batch"), size(point, "m"), size(point, "n"), size(point, "k"), f, f, output});
  return mapped;
}

void choose_flash_attention(const std::string& kernel, MappedPoint& mapped) {
  if (mapped.options.library == KernelLibrary::automatic) {
    if (kernel == "fa2") mapped.options.library = KernelLibrary::flash_attention_2;
    if (kernel == "fa3") mapped.options.library = KernelLibrary::flash_attention_3;
  }
  for (const char* other : {"triton", "flashinfer", "fa4", "cudnn"}) {
    if (contains(kernel, other)) mapped.note = kernel + " is priced as the library's FlashAttention kernel";
  }
}

// "fp8" names the products of a measured call; its output is bf16. vLLM's gets Q quantised already and narrows K and V
// as it appends them, SGLang's gets all three quantised, and TensorRT-LLM's narrows them itself.
void set_stream_formats(NumberFormat products, KernelLibrary library, models::Attention& a) {
  a.activation = products;
  if (info(products).bits >= 16) return;
  a.output = NumberFormat::bf16;
  if (library == KernelLibrary::sglang) return;
  a.activation = NumberFormat::bf16;
  if (library == KernelLibrary::vllm) a.query = products;
}

MappedPoint attention(const OperatingPoint& point) {
  MappedPoint mapped = start(point);
  models::Attention a;
  a.batch = size(point, "batch");
  a.heads = size(point, "heads");
  a.kv_heads = size(point, "kv_heads");
  a.q_len = size(point, "q_len");
  a.kv_len = size(point, "kv_len");
  a.head_dim = size(point, "head_dim");
  a.causal = flag_or(point, "causal", true);
  a.window = size_or(point, "window", 0);
  const NumberFormat products = format(point.dtype);
  const std::string kv = point.text("kv_dtype");
  a.kv = kv.empty() ? products : format(kv);
  set_stream_formats(products, mapped.options.library, a);
  a.paged = contains(point.note, "paged");
  a.writes_kv_cache = contains(point.note, "KV-cache write");
  if (point.op == "attention_prefill" && contains(point.kernel, "triton")) {
    // Measured at a tenth of FlashAttention's rate: another kernel, not another price of this one.
    throw Unsupported{"the Triton prefill kernel has no tile program"};
  }
  if (a.causal && a.kv_len < a.q_len) throw Unsupported{"causal attention with fewer keys than queries"};
  if (const std::uint64_t chunk = size_or(point, "chunk", 0); chunk != 0 && chunk < a.q_len) {
    if (a.q_len % chunk != 0) {
      mapped.note = "chunked attention: the last, shorter chunk is priced as a whole one";
    }
    a.batch = checked_product("attention chunks", {a.batch, ceil_div(a.q_len, chunk)});
    a.q_len = a.kv_len = chunk;
  }
  choose_flash_attention(point.kernel, mapped);
  mapped.operators.push_back(a);
  return mapped;
}

// Forward and backward under one timer (flash-attention: benchmarks/benchmark_flash_attention.py).
MappedPoint attention_and_backward(const OperatingPoint& point) {
  MappedPoint mapped = attention(point);
  const models::Attention forward = std::get<models::Attention>(mapped.operators.back());
  mapped.operators.push_back(models::Backward<models::Attention>{forward});
  return mapped;
}

MappedPoint norm(const OperatingPoint& point, models::NormKind kind) {
  MappedPoint mapped = start(point);
  mapped.operators.push_back(models::Norm{kind, size(point, "m"), size(point, "n"), false, format(point.dtype)});
  return mapped;
}

MappedPoint softmax(const OperatingPoint& point) {
  MappedPoint mapped = start(point);
  mapped.operators.push_back(models::Softmax{size(point, "m"), size(point, "n"), format(point.dtype)});
  return mapped;
}

struct ElementwiseName {
  std::string_view name;
  ElementwiseKind kind;
};
// A trailing "u" is the form with a constant as second operand (NeuSight); "act" is Vidur's ungated activation (GELU).
// pow with two tensors moves what a division moves, and both are bound by that.
constexpr std::array<ElementwiseName, 17> kElementwise{{
    {"add", ElementwiseKind::add},
    {"addu", ElementwiseKind::scale},
    {"mul", ElementwiseKind::mul},
    {"mulu", ElementwiseKind::scale},
    {"div", ElementwiseKind::divide},
    {"divu", ElementwiseKind::scale},
    {"pow", ElementwiseKind::divide},
    {"powu", ElementwiseKind::pow},
    {"relu", ElementwiseKind::relu},
    {"gelu", ElementwiseKind::gelu},
    {"tanh", ElementwiseKind::tanh},
    {"act", ElementwiseKind::gelu},
    {"silu_mul", ElementwiseKind::silu_mul},
    {"gelu_mul", ElementwiseKind::gelu_mul},
    {"copy", ElementwiseKind::copy},
    {"scale", ElementwiseKind::scale},
    {"quantize_static", ElementwiseKind::quantize},
}};

// Vidur's blocks without a second norm run attention and MLP side by side and time the sum of three tensors as one
// "add" (vidur/profiling/mlp/mlp_impl.py, _forward_without_post_attn_norm). Of its models only Phi-2 is built so, and
// only Phi-2 is this wide.
constexpr std::uint64_t kVidurParallelBlockWidth = 2560;

MappedPoint elementwise(const OperatingPoint& point) {
  const std::string kind = point.text("kind");
  std::vector<std::string> known;
  for (const ElementwiseName& entry : kElementwise) {
    known.emplace_back(entry.name);
    if (entry.name != kind) continue;
    MappedPoint mapped = start(point);
    const std::size_t arrow = point.dtype.find("->");
    const NumberFormat input = format(point.dtype.substr(0, arrow));
    const NumberFormat output = arrow == std::string::npos ? input : format(point.dtype.substr(arrow + 2));
    const std::uint64_t row = size(point, "n");
    const models::Elementwise once{entry.kind, checked_product("elementwise elements", {size(point, "m"), row}), input,
                                   output, row};
    mapped.operators.push_back(once);
    if (starts_with(point.source, "vidur") && kind == "add" && row == kVidurParallelBlockWidth) {
      mapped.operators.push_back(once);
      mapped.note = "attention + MLP + residual: two additions under one timer";
    }
    // Vidur's ungated activation is PyTorch's vectorised kernel, not the server's own.
    if (kind == "act") mapped.options.library = KernelLibrary::automatic;
    if (kind == "pow") mapped.note = "pow of two tensors is priced as a division";
    return mapped;
  }
  throw Unsupported{"elementwise kind \"" + kind + "\" is not known" + suggestion_text(kind, known)};
}

// ---- Recurrences and convolutions ------------------------------------------------------------------------------

bool is_generation(const OperatingPoint& point) { return point.text("phase") == "generation"; }

MappedPoint causal_conv(const OperatingPoint& point) {
  MappedPoint mapped = start(point);
  const bool three = contains(point.kernel, "qkv3");  // Q, K and V one after another
  if (three && starts_with(point.source, "aiconfigurator:vllm")) {
    // Called without the scheduler's metadata, vLLM's wrapper lists every chunk of 8 tokens in Python before each
    // launch.
    throw Unsupported{"the host's lists of chunks are timed, not the kernel"};
  }
  if (point.text("phase") == "verify") {
    throw Unsupported{"a step that keeps the state after each of several tokens has no tile program"};
  }
  models::CausalConv conv;
  conv.batch = size(point, "batch");
  conv.tokens = size(point, "seq");
  conv.kernel = size(point, "d_conv");
  conv.bias = point.text("variant") == "mamba2_ssd";
  conv.reads_state = point.text("phase") != "context";
  conv.format = format(point.dtype);
  if (!point.text("channels").empty()) {
    conv.channels = size(point, "channels");
    mapped.operators.emplace_back(conv);
    return mapped;
  }
  const std::uint64_t keys = checked_product("conv channels", {size(point, "k_heads"), size(point, "head_k")});
  const std::uint64_t values = checked_product("conv channels", {size(point, "v_heads"), size(point, "head_v")});
  for (const std::uint64_t channels : three ? std::vector{keys, keys, values} : std::vector{2 * keys + values}) {
    conv.channels = channels;
    mapped.operators.emplace_back(conv);
  }
  return mapped;
}

models::LinearRule linear_rule(const std::string& variant) {
  if (variant == "gated_delta_net") return models::LinearRule::gated_delta;
  if (variant == "kda") return models::LinearRule::channel_delta;
  throw Unsupported{"variant \"" + variant + "\" is not known"};
}

MappedPoint linear_attention(const OperatingPoint& point) {
  MappedPoint mapped = start(point);
  models::LinearAttention a;
  a.rule = linear_rule(point.text("variant"));
  a.batch = size(point, "batch");
  a.tokens = size(point, "seq");
  a.heads = size(point, "k_heads");
  a.value_heads = size(point, "v_heads");
  a.key_dim = size(point, "head_k");
  a.value_dim = size(point, "head_v");
  a.reads_state = true;
  a.format = format(point.dtype);
  if (contains(point.note, "recurrent state bf16")) a.state_format = NumberFormat::bf16;
  if (point.text("phase") == "verify") {
    throw Unsupported{"a step that keeps the state after each of several tokens has no tile program"};
  }
  if (contains(point.kernel, "flashinfer")) {
    throw Unsupported{"FlashInfer's fused kernel of Gated DeltaNet has no tile program"};
  }
  if (point.kernel == "flashkda_fwd") a.chunk = 16;
  if (starts_with(point.kernel, "chunk_")) {
    // The timed call also normalises Q and K.
    const models::Norm norm{models::NormKind::rms, checked_product("norm rows", {a.batch, a.tokens, a.heads}),
                            a.key_dim, false, a.format};
    mapped.operators.insert(mapped.operators.end(), {norm, norm});
  }
  mapped.operators.emplace_back(a);
  return mapped;
}

// Mamba-2's chunk scan: heads that share B and C are the value heads of a group.
MappedPoint chunk_scan(const OperatingPoint& point) {
  MappedPoint mapped = start(point);
  models::LinearAttention a;
  a.rule = models::LinearRule::ssd;
  a.batch = size(point, "batch");
  a.tokens = size(point, "seq");
  a.heads = size(point, "n_groups");
  a.value_heads = size(point, "nheads");
  a.key_dim = size(point, "d_state");
  a.value_dim = size(point, "head_dim");
  a.chunk = size(point, "chunk");
  a.reads_state = is_generation(point);
  a.format = format(point.dtype);
  mapped.operators.emplace_back(a);
  return mapped;
}

struct OpReader {
  std::string_view op;
  std::function<MappedPoint(const OperatingPoint&)> read;
};

const std::vector<OpReader>& readers() {
  static const std::vector<OpReader> table{
      {"gemm", gemm},
      {"bmm", batched_gemm},
      {"attention_prefill", attention},
      {"attention_decode", attention},
      {"attention_fwd_bwd", attention_and_backward},
      {"elementwise", elementwise},
      {"rmsnorm", [](const OperatingPoint& p) { return norm(p, models::NormKind::rms); }},
      {"layernorm", [](const OperatingPoint& p) { return norm(p, models::NormKind::layer); }},
      {"softmax", softmax},
      {"causal_conv1d", causal_conv},
      {"linear_attention", linear_attention},
      {"scan", chunk_scan},
      {"mla_prefill", latent_prefill},
      {"mla_decode", latent_decode},
      {"moe", moe_layer},
      {"all_reduce", collective_row},
      {"all_gather", collective_row},
      {"reduce_scatter", collective_row},
      {"all_to_all", collective_row},
      {"send_recv", collective_row},
      {"ring_attention_fwd", ring_attention_row},
  };
  return table;
}

}  // namespace

const std::vector<std::string>& supported_measured_ops() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const OpReader& reader : readers()) list.emplace_back(reader.op);
    return list;
  }();
  return names;
}

RowMapping map_row(const OperatingPoint& point) {
  for (const OpReader& reader : readers()) {
    if (reader.op != point.op) continue;
    try {
      MappedPoint mapped = reader.read(point);
      for (const models::Operator& op : mapped.operators) (void)models::cost(op);  // products fit, heads divide, ...
      return {std::move(mapped), {}};
    } catch (const Unsupported& unsupported) {
      return {std::nullopt, unsupported.reason};
    } catch (const ConfigError& error) {
      return {std::nullopt, error.what()};
    }
  }
  return {std::nullopt, "op \"" + point.op + "\" is not supported yet"};
}

}  // namespace lightcone::scenarios

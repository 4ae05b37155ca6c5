// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "catch.h"
#include "scenarios/validate/row_to_operator.h"
#include "sim/base/error.h"

using namespace lightcone;
using namespace lightcone::scenarios;

namespace {

OperatingPoint point(std::string op, std::string dtype, std::map<std::string, std::string> params,
                     std::string source = "aiconfigurator:vllm-0.14.0", std::string kernel = "",
                     std::string note = "") {
  return OperatingPoint{std::move(source), "H100-SXM-80GB", std::move(op),    std::move(dtype),
                        std::move(kernel), std::move(note), std::move(params)};
}

template <class Kind>
Kind only(const RowMapping& row) {
  INFO(row.reason);
  REQUIRE(row.mapped.has_value());
  REQUIRE(row.mapped->operators.size() == 1);
  return std::get<Kind>(row.mapped->operators.front());
}

}  // namespace

TEST_CASE("a GEMM row keeps its sizes and formats") {
  const auto row = map_row(point("gemm", "bf16", {{"m", "3"}, {"n", "5"}, {"k", "7"}}));
  const auto gemm = only<models::Gemm>(row);
  REQUIRE((gemm.m == 3 && gemm.n == 5 && gemm.k == 7));
  REQUIRE(gemm.weight == NumberFormat::bf16);
  REQUIRE(row.mapped->options.library == KernelLibrary::vllm);
  REQUIRE(row.mapped->timing == TimingConvention::graph_replay);

  const auto wo = only<models::Gemm>(map_row(point("gemm", "int4_wo", {{"m", "3"}, {"n", "5"}, {"k", "7"}})));
  REQUIRE((wo.activation == NumberFormat::fp16 && wo.weight == NumberFormat::int4));
}

TEST_CASE("a quantised GEMM whose time holds the quantisation runs two operators") {
  const auto row = map_row(point("gemm", "fp8", {{"m", "3"}, {"n", "5"}, {"k", "7"}}, "aiconfigurator:trtllm-1.0.0",
                                 "torch_flow", "includes dynamic activation quantisation"));
  REQUIRE(row.mapped->operators.size() == 2);
  const auto quantise = std::get<models::Elementwise>(row.mapped->operators[0]);
  REQUIRE(quantise.elements == 21);
  REQUIRE(quantise.output == NumberFormat::fp8_e4m3);
  REQUIRE((quantise.dynamic_scale && quantise.row == 7));
}

TEST_CASE("attention rows carry cache, window and chunk") {
  std::map<std::string, std::string> params{{"batch", "2"},  {"heads", "8"},      {"kv_heads", "2"},
                                            {"q_len", "64"}, {"kv_len", "64"},    {"head_dim", "128"},
                                            {"causal", "1"}, {"kv_dtype", "fp8"}, {"window", "32"}};
  auto a = only<models::Attention>(map_row(point("attention_prefill", "bf16", params, "aiconfigurator:sglang-0.5.10",
                                                 "fa3", "includes KV-cache write; paged KV")));
  REQUIRE((a.paged && a.writes_kv_cache && a.causal && a.window == 32));
  REQUIRE((a.activation == NumberFormat::bf16 && a.kv == NumberFormat::fp8_e4m3));

  // fp8 products: what the timed call of each server is given.
  const auto fp8 = [&](const char* source) {
    return only<models::Attention>(map_row(point("attention_prefill", "fp8", params, source)));
  };
  const auto vllm = fp8("aiconfigurator:vllm-0.24.0"), sglang = fp8("aiconfigurator:sglang-0.5.14");
  REQUIRE((vllm.activation == NumberFormat::bf16 && vllm.q_format() == NumberFormat::fp8_e4m3));
  REQUIRE((sglang.activation == NumberFormat::fp8_e4m3 && sglang.q_format() == NumberFormat::fp8_e4m3));
  REQUIRE(fp8("aiconfigurator:trtllm-1.3.0rc20").q_format() == NumberFormat::bf16);
  for (const auto& row : {vllm, sglang}) REQUIRE(row.o_format() == NumberFormat::bf16);

  params.erase("window");
  params["chunk"] = "16";
  a = only<models::Attention>(map_row(point("attention_prefill", "bf16", params)));
  REQUIRE((a.batch == 8 && a.q_len == 16 && a.kv_len == 16));
  REQUIRE_FALSE(a.paged);

  params["causal"] = "0";
  params.erase("chunk");
  const auto row = map_row(point("attention_prefill", "fp16", params, "flash-attention-figures", "fa2"));
  REQUIRE_FALSE(only<models::Attention>(row).causal);
  REQUIRE(row.mapped->options.library == KernelLibrary::flash_attention_2);
}

TEST_CASE("the timing convention follows the data set") {
  const std::map<std::string, std::string> sizes{{"m", "8"}, {"n", "64"}};
  REQUIRE(map_row(point("rmsnorm", "fp16", sizes, "vidur")).mapped->timing == TimingConvention::profiler);
  const auto eager = map_row(point("softmax", "fp32", sizes, "neusight"));
  REQUIRE(eager.mapped->timing == TimingConvention::eager);
  const std::map<std::string, std::string> product{{"m", "3"}, {"n", "5"}, {"k", "7"}};
  const auto layer = map_row(point("gemm", "int8_wo", product, "aiconfigurator:trtllm-1.0.0", "trt_flow_/matmul_0"));
  REQUIRE(layer.mapped->timing == TimingConvention::layer_events);
  REQUIRE(eager.mapped->options.launch == hardware::LaunchMode::stream);
  const auto norm = only<models::Norm>(map_row(point("layernorm", "fp32", sizes, "neusight")));
  REQUIRE(norm.kind == models::NormKind::layer);
}

TEST_CASE("elementwise kinds tell tensors from constants and formats from each other") {
  std::map<std::string, std::string> params{{"m", "8"}, {"n", "64"}, {"kind", "addu"}};
  REQUIRE(only<models::Elementwise>(map_row(point("elementwise", "fp32", params, "neusight"))).kind ==
          models::ElementwiseKind::scale);
  params["kind"] = "quantize_static";
  const auto quantise = only<models::Elementwise>(map_row(point("elementwise", "bf16->fp8", params)));
  REQUIRE((quantise.elements == 512 && quantise.input == NumberFormat::bf16));
  REQUIRE(quantise.output == NumberFormat::fp8_e4m3);
}

TEST_CASE("Vidur rows: the older GEMM library, rows of activations, and Phi-2's sum of three tensors") {
  const auto gemm = map_row(point("gemm", "fp16", {{"m", "272"}, {"n", "4096"}, {"k", "4096"}}, "vidur"));
  REQUIRE(gemm.mapped->options.gemm_tiles == GemmTileList::powers_of_two);
  const auto silu = only<models::Elementwise>(
      map_row(point("elementwise", "fp16", {{"kind", "silu_mul"}, {"m", "3"}, {"n", "5"}}, "vidur")));
  REQUIRE((silu.elements == 15 && silu.row == 5));
  const std::map<std::string, std::string> phi{{"kind", "add"}, {"m", "3"}, {"n", "2560"}};
  REQUIRE(map_row(point("elementwise", "fp16", phi, "vidur")).mapped->operators.size() == 2);
  REQUIRE(map_row(point("elementwise", "fp16", phi, "neusight")).mapped->operators.size() == 1);
}

TEST_CASE("a row that cannot be mapped says why") {
  const auto reason = [](const OperatingPoint& p) {
    const RowMapping row = map_row(p);
    REQUIRE_FALSE(row.mapped.has_value());
    return row.reason;
  };
  REQUIRE(reason(point("fft", "bf16", {})).find("\"fft\"") != std::string::npos);
  REQUIRE(reason(point("gemm", "bf16", {{"m", "3"}, {"n", "0"}, {"k", "7"}})).find("\"n\"") != std::string::npos);
  REQUIRE(reason(point("gemm", "bf16", {{"m", "3.5"}, {"n", "4"}, {"k", "7"}})).find("\"m\"") != std::string::npos);
  REQUIRE(reason(point("gemm", "fp7", {{"m", "3"}, {"n", "4"}, {"k", "7"}})).find("fp7") != std::string::npos);
  REQUIRE(reason(point("elementwise", "fp32", {{"kind", "gelo"}})).find("gelu") != std::string::npos);
  REQUIRE(reason(point("gemm", "fp32", {{"m", "4"}, {"n", "4"}, {"k", "4"}}, "siboehm/SGEMM_CUDA", "naive",
                       "kernel-optimisation ladder"))
              .find("ladder") != std::string::npos);
}

TEST_CASE("sizes without end give a reason or exact operators, never a wrapped number") {
  using Params = std::map<std::string, std::string>;
  const Params matrix{{"m", "64"}, {"n", "64"}, {"k", "64"}, {"batch", "2"}, {"kind", "add"}};
  const Params attention{{"batch", "2"},   {"heads", "8"},     {"kv_heads", "8"}, {"q_len", "64"},
                         {"kv_len", "64"}, {"head_dim", "64"}, {"causal", "0"},   {"chunk", "0"}};
  const Params heads{{"batch", "2"},   {"seq", "64"},    {"k_heads", "2"},     {"head_k", "64"},
                     {"v_heads", "4"}, {"head_v", "64"}, {"phase", "context"}, {"variant", "kda"}};
  const Params chunks{{"batch", "2"},    {"seq", "64"},      {"n_groups", "2"}, {"nheads", "4"},
                      {"d_state", "64"}, {"head_dim", "64"}, {"chunk", "32"}};
  const Params channels{{"batch", "2"}, {"seq", "64"}, {"channels", "64"}, {"d_conv", "4"}};
  const Params expanded{{"batch", "2"},  {"heads", "8"}, {"q_len", "64"}, {"kv_len", "64"},
                        {"nope", "128"}, {"rope", "64"}, {"v", "128"},    {"causal", "1"}};
  const Params absorbed{{"batch", "2"},     {"heads", "8"}, {"q_len", "1"}, {"kv_len", "64"},
                        {"kv_lora", "512"}, {"rope", "64"}, {"causal", "1"}};
  const std::map<std::string, Params> recurrent{{"linear_attention", heads},
                                                {"scan", chunks},
                                                {"causal_conv1d", channels},
                                                {"mla_prefill", expanded},
                                                {"mla_decode", absorbed}};
  const std::string huge = "1000000000000";
  for (const std::string& op : supported_measured_ops()) {
    if (op == "moe") continue;  // its rows need a kernel's name; they have a test of their own
    const std::set<std::string> collectives{"all_reduce", "all_gather", "reduce_scatter",
                                            "all_to_all", "send_recv",  "ring_attention_fwd"};
    if (collectives.count(op) > 0) continue;  // test_collective_rows.cpp
    const auto known = recurrent.find(op);
    const Params sound = known != recurrent.end() ? known->second : op.rfind("attention", 0) == 0 ? attention : matrix;
    REQUIRE(map_row(point(op, "bf16", sound)).mapped.has_value());
    Params all = sound;
    for (auto& [name, value] : all) {
      if (name != "kind" && name != "causal" && name != "chunk" && name != "phase" && name != "variant") value = huge;
    }
    const RowMapping row = map_row(point(op, "bf16", all));
    INFO(op << ": " << row.reason);
    CHECK_FALSE(row.mapped.has_value());
    CHECK(row.reason.find("does not fit 63 bits") != std::string::npos);
    for (const auto& [name, value] : sound) {  // each alone, larger than any number of 64 bits and than is accepted
      for (const char* wrong : {"18446744073709551616", "18446744073709551615", "-1", "1e3"}) {
        Params one = sound;
        if (name == "kind" || name == "chunk" || name == "causal") continue;
        if (name == "phase" || name == "variant") continue;
        if (known == recurrent.end() && op.rfind("attention", 0) != 0 && op != "bmm" &&
            (name == "k" || name == "batch"))
          continue;
        one[name] = wrong;
        CHECK_FALSE(map_row(point(op, "bf16", one)).mapped.has_value());
      }
    }
  }
  // What fits is exact.
  const auto add = only<models::Elementwise>(
      map_row(point("elementwise", "bf16", {{"kind", "add"}, {"m", "1000000"}, {"n", "1000000"}})));
  REQUIRE(add.elements == 1'000'000'000'000);
  // 2^32 x 2^32 elements wrap to zero, 2^33 x (2^31 + 1) to 2^33: both were taken for small tensors.
  for (const Params& sizes : {Params{{"kind", "add"}, {"m", "4294967296"}, {"n", "4294967296"}},
                              Params{{"kind", "add"}, {"m", "8589934592"}, {"n", "2147483649"}}}) {
    CHECK_FALSE(map_row(point("elementwise", "bf16", sizes)).mapped.has_value());
  }
  Params chunked = attention;  // 2^31 chunks of each of 2^33 sequences
  chunked["batch"] = "8589934592";
  chunked["q_len"] = chunked["kv_len"] = "2147483648";
  chunked["chunk"] = "1";
  CHECK_FALSE(map_row(point("attention_prefill", "bf16", chunked)).mapped.has_value());
}

TEST_CASE("a flag that is no flag, and heads that do not divide, are said") {
  std::map<std::string, std::string> params{{"batch", "2"},   {"heads", "8"},     {"kv_heads", "2"},  {"q_len", "64"},
                                            {"kv_len", "64"}, {"head_dim", "64"}, {"causal", "false"}};
  REQUIRE_FALSE(only<models::Attention>(map_row(point("attention_prefill", "bf16", params))).causal);
  params["causal"] = "maybe";
  REQUIRE(map_row(point("attention_prefill", "bf16", params)).reason.find("\"causal\"") != std::string::npos);
  params["causal"] = "1";
  params["kv_heads"] = "3";
  REQUIRE(map_row(point("attention_prefill", "bf16", params)).reason.find("3 does not divide heads 8") !=
          std::string::npos);
  params["kv_heads"] = "2";
  params["window"] = "-5";
  REQUIRE(map_row(point("attention_prefill", "bf16", params)).reason.find("\"window\"") != std::string::npos);
}

TEST_CASE("measured tables report faults by line and keep the whole row") {
  const auto file = std::filesystem::temp_directory_path() / "lightcone_test_rows.csv";
  std::ofstream(file) << "source,gpu,op,params,dtype,time_us,extra\n"
                         "s,g,gemm,\"{\"\"m\"\":3,\"\"kind\"\":\"\"x\"\"}\",bf16,1.5,kept\n"
                         "s,g,gemm,{},bf16,,\n";
  const MeasuredTable table = read_measured(file);
  REQUIRE(table.rows.size() == 2);
  REQUIRE(table.rows[0].point.size("m") == 3);
  REQUIRE(table.rows[0].point.text("kind") == "x");
  REQUIRE(*table.rows[0].time_us == 1.5);
  REQUIRE(table.rows[0].cells.back() == "kept");
  REQUIRE_FALSE(table.rows[1].time_us.has_value());

  std::ofstream(file) << "source,gpu,op,params,dtype,time_us\ns,g,gemm,nonsense,bf16,1\ns,g,gemm,{},bf16,-4\n";
  std::string message;
  try {
    read_measured(file);
  } catch (const ConfigError& error) {
    message = error.what();
  }
  REQUIRE(message.find(":2:1: params") != std::string::npos);
  REQUIRE(message.find(":3:1: time_us") != std::string::npos);
  std::filesystem::remove(file);
}

namespace {

OperatingPoint experts_row(std::string kernel, std::string dtype, std::string dist, std::string ep = "4") {
  return point("moe", std::move(dtype),
               {{"tokens", "32"},
                {"hidden", "256"},
                {"inter", "512"},
                {"topk", "2"},
                {"experts", "16"},
                {"tp", "4"},
                {"ep", std::move(ep)},
                {"dist", std::move(dist)}},
               "aiconfigurator:vllm-0.24.0", std::move(kernel));
}

template <class Kind>
std::vector<Kind> all_of(const RowMapping& row) {
  INFO(row.reason);
  REQUIRE(row.mapped.has_value());
  std::vector<Kind> found;
  for (const models::Operator& op : row.mapped->operators) {
    if (const auto* kind = std::get_if<Kind>(&op)) found.push_back(*kind);
  }
  return found;
}

}  // namespace

TEST_CASE("a layer of experts by Triton goes over the rows of all devices") {
  const auto row = map_row(experts_row("vllm_unquantizedfusedmoe_triton_tritonexperts", "bf16", "balanced"));
  const auto products = all_of<models::GroupedGemm>(row);
  REQUIRE(products.size() == 2);
  REQUIRE((products[0].n == 2 * 128 && products[0].k == 256 && products[0].source_rows == 32));
  REQUIRE((products[1].n == 256 && products[1].k == 128));
  for (const auto& product : products) {
    REQUIRE((product.experts == 4 && product.rows == 16));  // 64 rows over 16 experts, 4 of them here
    REQUIRE(product.rows_elsewhere == std::vector<std::uint64_t>(12, 4));
  }
  REQUIRE(all_of<models::TopK>(row).size() == 1);
  REQUIRE(all_of<models::GatherRows>(row).at(0).order_only);
  REQUIRE(all_of<models::Elementwise>(row).at(0).elements == 64 * 128);
  REQUIRE(all_of<models::CombineRows>(row).at(0).fetched() == 64);
}

TEST_CASE("a layer of experts by CUTLASS copies the device's rows alone") {
  const auto row = map_row(experts_row("moe_torch_flow_cutlass", "fp8", "balanced"));
  REQUIRE(row.mapped->options.library == KernelLibrary::tensorrt_llm);
  const auto gather = all_of<models::GatherRows>(row).at(0);
  REQUIRE((gather.rows == 16 && gather.indices() == 64 && gather.format == NumberFormat::fp8_e4m3));
  REQUIRE(all_of<models::CombineRows>(row).at(0).fetched() == 16);
  const auto lanes = all_of<models::Elementwise>(row);
  REQUIRE(lanes.size() == 2);  // the input is narrowed, and the activation narrows its own output
  REQUIRE((lanes[1].elements == 16 * 128 && lanes[1].output == NumberFormat::fp8_e4m3));
  for (const auto& product : all_of<models::GroupedGemm>(row)) {
    REQUIRE((product.rows_elsewhere.empty() && !product.block_scaled));
  }
  const auto blocks = map_row(experts_row("moe_torch_flow_cutlass", "fp8_block", "balanced"));
  REQUIRE(all_of<models::GroupedGemm>(blocks).at(0).block_scaled);
  REQUIRE(all_of<models::Elementwise>(blocks).size() == 3);
  const auto plain = map_row(experts_row("moe_torch_flow_nongated", "bf16", "balanced"));
  REQUIRE(all_of<models::GroupedGemm>(plain).at(0).n == 128);
}

TEST_CASE("power-law experts: every row placed, the most loaded device first, the same each time") {
  std::uint64_t balanced_hot = 0;
  for (const char* dist : {"balanced", "power_law_1.01", "power_law_1.2"}) {
    const auto row = map_row(experts_row("vllm_fused_moe", "bf16", dist));
    const auto product = all_of<models::GroupedGemm>(row).at(0);
    std::uint64_t elsewhere = 0;
    for (std::size_t device = 0; device < 3; ++device) {
      std::uint64_t load = 0;
      for (std::size_t i = 0; i < 4; ++i) load += product.rows_elsewhere[4 * device + i];
      REQUIRE(load <= product.rows);
      elsewhere += load;
    }
    REQUIRE(product.rows + elsewhere == 64);
    for (const std::uint64_t rows : models::expert_rows(product)) REQUIRE(rows <= 32);
    const auto again = map_row(experts_row("vllm_fused_moe", "bf16", dist));
    REQUIRE(all_of<models::GroupedGemm>(again).at(0).load.rows == product.load.rows);
    if (std::string(dist) == "balanced") balanced_hot = product.rows;
    if (std::string(dist) != "balanced") REQUIRE(product.rows > balanced_hot);
  }
}

TEST_CASE("rows of experts without a program, or that make no sense, say why") {
  const auto reason = [](const OperatingPoint& p) {
    const RowMapping row = map_row(p);
    REQUIRE(!row.mapped);
    return row.reason;
  };
  REQUIRE(reason(experts_row("deepgemm", "fp8_block", "balanced")).find("no tile program") != std::string::npos);
  REQUIRE(reason(experts_row("moe_torch_flow_cutlass", "nvfp4", "balanced")).find("nvfp4") != std::string::npos);
  REQUIRE(reason(experts_row("strange", "bf16", "balanced")).find("not known") != std::string::npos);
  REQUIRE(reason(experts_row("vllm_fused_moe", "bf16", "uniform")).find("uniform") != std::string::npos);
  REQUIRE(reason(experts_row("vllm_fused_moe", "bf16", "balanced", "3")).find("ep") != std::string::npos);
  OperatingPoint many = experts_row("vllm_fused_moe", "bf16", "balanced");
  many.params["topk"] = "17";
  REQUIRE(reason(many).find("topk") != std::string::npos);
  for (const char* name : {"tokens", "hidden", "inter", "topk", "experts", "tp", "ep"}) {
    for (const char* wrong : {"18446744073709551616", "999999999999999", "0", "-1", "1e3", ""}) {
      OperatingPoint p = experts_row("vllm_fused_moe", "bf16", "balanced");
      p.params[name] = wrong;
      if (std::string(wrong) == "999999999999999" && std::string(name) == "hidden")
        continue;  // long rows, but some fit
      INFO(name << " " << wrong);
      REQUIRE(!reason(p).empty());
    }
  }
}

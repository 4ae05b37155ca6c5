// SPDX-License-Identifier: Apache-2.0
// Every kernel that the mapping builds is well formed, fits an SM, cannot deadlock, does exactly the operator's matrix
// work, reads at least its compulsory bytes and writes exactly its output.
#include <vector>

#include "catch.h"
#include "hardware/machine/evaluate.h"
#include "models/graph/operator.h"
#include "scenarios/mapping/attention_program.h"
#include "scenarios/mapping/elementwise.h"
#include "scenarios/mapping/gemm_program.h"
#include "scenarios/mapping/row_kernels.h"
#include "scenarios/mapping/strided_copy.h"
#include "scenarios/mapping_gpus.h"
#include "scenarios/sound_program.h"
#include "sim/base/error.h"

using namespace lightcone;
using namespace lightcone::scenarios;
using namespace lightcone::testing;

namespace {}  // namespace

TEST_CASE("a program that waits for a stage nobody fills is found") {
  hardware::TileProgram program;
  program.classes = {{"c", {{"r", 1, {hardware::WaitStage{0}, hardware::ReleaseStage{0}}}}, {{"p", 1, 1}}}};
  program.groups.resize(1);
  REQUIRE(ProgramPlayer(program, program.groups[0], 1).run() != "");
}

TEST_CASE("every GEMM plan of every generation is sound and exact") {
  struct Shape {
    std::uint64_t m, n, k;
  };
  for (const hardware::GpuSpec& gpu : {hopper(), ampere(), ada(), blackwell()}) {
    for (const Shape& s : {Shape{1, 1, 1}, Shape{1, 4096, 4096}, Shape{7, 13, 8191}, Shape{64, 192, 100},
                           Shape{127, 509, 1021}, Shape{4096, 4096, 4096}, Shape{100000, 256, 64}}) {
      const models::Gemm op{s.m, s.n, s.k};
      const GemmProblem problem = gemm_problem(op, gpu);
      for (const GemmPlan& plan : gemm_plans(problem, gpu)) {
        const std::vector<hardware::TileProgram> kernels = gemm_program(problem, plan, gpu);
        for (const hardware::TileProgram& kernel : kernels) require_sound(kernel, gpu);
        const hardware::ProgramTotals sum = hardware::totals(kernels.front());
        INFO(kernels.front().name << " m " << s.m << " n " << s.n << " k " << s.k);
        REQUIRE(sum.mma_useful.count() == 2 * s.m * s.n * s.k);
        REQUIRE(sum.mma_executed.count() >= sum.mma_useful.count());
        REQUIRE(sum.loaded.count() >= 2 * (s.m * s.k + s.n * s.k));
        REQUIRE(stored(kernels.back()) == 2 * s.m * s.n);
        if (plan.split > 1) {
          REQUIRE(sum.stored.count() == 4 * s.m * s.n * plan.split);
          REQUIRE(hardware::totals(kernels.back()).loaded == sum.stored);
        }
      }
    }
  }
}

TEST_CASE("batched, biased, mixed-format and fp32 products") {
  for (const hardware::GpuSpec& gpu : {hopper(), ampere(), blackwell()}) {
    const auto all_plans = [&](const GemmProblem& problem, std::uint64_t flops) {
      for (const GemmPlan& plan : gemm_plans(problem, gpu)) {
        const std::vector<hardware::TileProgram> kernels = gemm_program(problem, plan, gpu);
        for (const hardware::TileProgram& kernel : kernels) require_sound(kernel, gpu);
        INFO(kernels.front().name);
        REQUIRE(hardware::totals(kernels.front()).mma_useful.count() == flops);
      }
    };
    all_plans(gemm_problem(models::BatchedGemm{5, 100, 130, 77}, gpu), 2ull * 5 * 100 * 130 * 77);
    all_plans(gemm_problem(models::BatchedGemm{3, 9, 128, 512}, gpu), 2ull * 3 * 9 * 128 * 512);
    models::Gemm op{33, 1000, 4096};
    op.bias = true;
    all_plans(gemm_problem(op, gpu), 2ull * 33 * 1000 * 4096);
    op.weight = NumberFormat::int4;  // dequantised in the kernel
    REQUIRE(gemm_problem(op, gpu).dequantises());
    all_plans(gemm_problem(op, gpu), 2ull * 33 * 1000 * 4096);
    op.weight = op.activation = NumberFormat::int8;
    all_plans(gemm_problem(op, gpu), 2ull * 33 * 1000 * 4096);
    op.weight = op.activation = NumberFormat::fp32;
    const GemmProblem fp32 = gemm_problem(op, gpu);
    REQUIRE(fp32.on_fp32_lanes);
    for (const GemmPlan& plan : gemm_plans(fp32, gpu)) {
      const hardware::TileProgram kernel = gemm_program(fp32, plan, gpu).front();
      require_sound(kernel, gpu);
      REQUIRE(hardware::totals(kernel).mma_executed.count() == 0);
      REQUIRE(hardware::totals(kernel).vector_flops.count() >= 2ull * 33 * 1000 * 4096);
    }
  }
  // Block formats carry their scales through the loads.
  hardware::GpuSpec fp4 = blackwell();
  fp4.sm.tensor.flops_per_clock[NumberFormat::nvfp4] = 32768;
  const models::Gemm narrow{100, 512, 4096, NumberFormat::nvfp4, NumberFormat::nvfp4};
  const GemmProblem block = gemm_problem(narrow, fp4);
  for (const GemmPlan& plan : gemm_plans(block, fp4)) {
    const hardware::TileProgram kernel = gemm_program(block, plan, fp4).front();
    require_sound(kernel, fp4);
    REQUIRE(hardware::totals(kernel).mma_useful.count() == 2ull * 100 * 512 * 4096);
    REQUIRE(hardware::totals(kernel).loaded.count() >= 612 * storage(NumberFormat::nvfp4, 4096).count());
  }
  REQUIRE_THROWS_AS(gemm_problem(models::Gemm{16, 16, 16, NumberFormat::fp8_e4m3, NumberFormat::fp8_e4m3}, ampere()),
                    ConfigError);
}

TEST_CASE("pairs of formats: those with kernels multiply in the activations' format, the rest are refused by name") {
  using F = NumberFormat;
  for (const hardware::GpuSpec& gpu : {hopper(), ampere()}) {
    for (const F wide : {F::bf16, F::fp16}) {
      for (const F narrow : {F::int8, F::int4, F::fp8_e4m3, F::fp8_e5m2, F::mxfp4, F::nvfp4}) {
        INFO(gpu.name << " " << name(wide) << " x " << name(narrow));
        const models::Gemm op{64, 1024, 4096, wide, narrow};
        const GemmProblem problem = gemm_problem(op, gpu);
        REQUIRE((problem.multiply == wide && problem.dequantises()));
        const KernelSequence mapped = map_operator(op, gpu);
        const hardware::ProgramTotals sum = hardware::totals(mapped.kernels.front());
        REQUIRE(sum.mma_useful.count() == 2ull * 64 * 1024 * 4096);
        // The weights travel in their own format.
        REQUIRE(sum.loaded.count() >= 1024 * storage(narrow, 4096).count());
        for (const hardware::Tensor& tensor : mapped.kernels.front().tensors) {
          if (tensor.residency == hardware::Residency::cold && !tensor.written) {
            REQUIRE(tensor.bytes.count() == 1024 * storage(narrow, 4096).count());
          }
        }
      }
    }
  }
  REQUIRE((gemm_problem(models::Gemm{16, 16, 16, F::fp8_e4m3, F::fp8_e5m2}, hopper()).multiply == F::fp8_e4m3));
  const std::vector<std::pair<F, F>> refused{{F::fp8_e4m3, F::bf16}, {F::int8, F::int4}, {F::fp8_e4m3, F::int8},
                                             {F::bf16, F::fp16},     {F::fp32, F::bf16}, {F::int8, F::bf16}};
  for (const auto& [activation, weight] : refused) {
    try {
      gemm_problem(models::Gemm{16, 16, 16, activation, weight}, hopper());
      FAIL(name(activation) << " x " << name(weight) << " was taken");
    } catch (const ConfigError& error) {
      const std::string pair = std::string(name(activation)) + " activations by " + std::string(name(weight));
      REQUIRE_THAT(error.what(), Catch::Contains(pair) && Catch::Contains("allowed: the same format for both"));
    }
  }
}

TEST_CASE("attention does exactly the unmasked work, whatever the kernel") {
  struct Shape {
    std::uint64_t batch, heads, kv_heads, q_len, kv_len, head_dim;
    bool causal;
    std::uint64_t window;
  };
  const std::vector<Shape> shapes{{1, 1, 1, 1, 1, 64, true, 0},         {2, 4, 4, 1000, 1000, 128, true, 0},
                                  {1, 8, 2, 515, 2049, 128, true, 0},   {2, 6, 2, 300, 300, 80, false, 0},
                                  {1, 4, 4, 2000, 2000, 64, true, 257}, {3, 28, 4, 1, 5000, 128, true, 0},
                                  {64, 32, 8, 1, 777, 256, true, 0},    {1, 16, 1, 4, 40000, 192, true, 1000},
                                  {1, 3, 1, 700, 900, 96, true, 100},   {1, 2, 2, 64, 10, 64, true, 0}};
  for (const hardware::GpuSpec& gpu : {hopper(), ampere(), ada(), blackwell()}) {
    for (const KernelLibrary library : {KernelLibrary::automatic, KernelLibrary::vllm, KernelLibrary::sglang,
                                        KernelLibrary::flash_attention_2, KernelLibrary::tensorrt_llm}) {
      for (const Shape& s : shapes) {
        models::Attention op{s.batch, s.heads, s.kv_heads, s.q_len, s.kv_len, s.head_dim, s.causal, s.window};
        const AttentionPlan plan = plan_attention(op, gpu, library);
        const hardware::TileProgram kernel =
            plan.mma_sync ? flash_attention_2(op, plan, gpu) : flash_attention_3(op, plan, gpu);
        require_sound(kernel, gpu);
        INFO(kernel.name << " q " << s.q_len << " kv " << s.kv_len);
        std::uint64_t pairs = 0;  // counted one by one
        for (std::uint64_t q = 0; q < s.q_len; ++q) {
          for (std::uint64_t k = 0; k < s.kv_len; ++k) {
            const bool causal = k + s.q_len <= q + s.kv_len;
            const bool inside = s.window == 0 || k + s.q_len + s.window > q + s.kv_len;
            pairs += !s.causal || (causal && inside);
          }
        }
        const hardware::ProgramTotals sum = hardware::totals(kernel);
        REQUIRE(sum.mma_useful.count() == 4 * s.batch * s.heads * s.head_dim * pairs);
        const std::uint64_t rows = s.batch * s.heads * s.q_len;
        if (plan.splits == 1) {
          REQUIRE(sum.stored.count() == 2 * rows * s.head_dim);
        } else {
          // Causal tiles with fewer key blocks than parts leave the last parts out.
          const std::uint64_t all_parts = 4 * rows * (s.head_dim + 1) * plan.splits;
          REQUIRE(sum.stored.count() <= all_parts);
          if (s.q_len == 1) REQUIRE(sum.stored.count() == all_parts);
          REQUIRE(plan.most_splits >= plan.splits);
          const hardware::TileProgram combine = AttentionLayout(op, plan, gpu).combine();
          require_sound(combine, gpu);
          REQUIRE(hardware::totals(combine).loaded.count() == all_parts);
          REQUIRE(stored(combine) == 2 * rows * s.head_dim);
        }
        if (s.window == 0 && s.q_len <= s.kv_len) {
          REQUIRE(sum.loaded.count() >= 2 * (rows + 2 * s.batch * s.kv_heads * s.kv_len) * s.head_dim);
        }
      }
    }
  }
}

TEST_CASE("keys are split only when the tiles leave slots idle") {
  REQUIRE(split_heuristic(132, 132, 100, SplitRule::any) == 1);
  REQUIRE(split_heuristic(8, 132, 4, SplitRule::any) == 1);
  REQUIRE(split_heuristic(8, 132, 100, SplitRule::any) ==
          15);  // 8 x 33 = 264 fills two waves; 8 x 14 = 112 is 84.8 % of one, 8 x 15 is 91 %
  REQUIRE(split_heuristic(1, 132, 40, SplitRule::any) <= 40);
  REQUIRE(split_heuristic(8, 132, 4, SplitRule::even) == 4);
  // 25 blocks: 21 parts fill 97 % of the slots, 18 are within 85 % of that.
  REQUIRE(split_heuristic(10, 216, 25, SplitRule::any) == 18);
  // Of 9, 13 and 25 parts, which shorten the longest part to 3, 2 and 1 blocks, 13 fill 60 %, 25 (two waves) 58 %.
  REQUIRE(split_heuristic(10, 216, 25, SplitRule::even) == 13);
}

TEST_CASE("8-bit attention on Hopper turns V around, and does the same products in any order") {
  for (const std::uint64_t head_dim : {64, 128, 256}) {
    for (const bool paged : {false, true}) {
      models::Attention op{2, 8, 2, 700, 700, head_dim};
      op.kv = NumberFormat::fp8_e4m3;
      op.paged = paged;
      for (const KernelLibrary library :
           {KernelLibrary::automatic, KernelLibrary::vllm, KernelLibrary::sglang, KernelLibrary::tensorrt_llm}) {
        const AttentionPlan plan = plan_attention(op, hopper(), library);
        REQUIRE((plan.transposes_v && plan.multiply == op.kv));
        REQUIRE(plan.promotes == (library == KernelLibrary::vllm));
        const hardware::TileProgram kernel = flash_attention_3(op, plan, hopper());
        INFO(kernel.name);
        require_sound(kernel, hopper());
        REQUIRE(hardware::totals(kernel).mma_useful.count() == 4 * op.batch * op.heads * head_dim * (700 * 701 / 2));
        REQUIRE(kernel.classes[0].roles[1].name == "transpose");
        // Spills: what O twice, scores and probabilities of a warpgroup of 64 rows need beyond its registers; both
        // warpgroups' do not fit what shared memory leaves of the L1, so that they are stored to and loaded from L2.
        const AttentionLayout layout(op, plan, hopper());
        const std::uint64_t spilled = layout.spilled_bytes();
        if (head_dim == 256 && plan.promotes) {
          REQUIRE(spilled == ((paged ? 256 : 256 + 64) + 16 + 24 - 240) * 128 * 4);
          REQUIRE(std::holds_alternative<hardware::GlobalStore>(layout.promote(1).front()));
          REQUIRE(stored(kernel) > 2 * op.batch * op.heads * 700 * head_dim + 6 * 2 * spilled);
        }
        if (!plan.promotes) REQUIRE(spilled == 0);
      }
    }
  }
  // TensorRT-LLM: the steps of its generated kernels, softmax between the products.
  models::Attention op{1, 8, 8, 512, 512, 128};
  const AttentionPlan plan = plan_attention(op, hopper(), KernelLibrary::tensorrt_llm);
  REQUIRE((plan.rows == 128 && plan.columns == 128 && plan.softmax_in_turn && plan.bulk_pages && !plan.transposes_v));
  op.head_dim = 64;
  REQUIRE(plan_attention(op, hopper(), KernelLibrary::tensorrt_llm).columns == 256);
  REQUIRE(!plan_attention(op, hopper(), KernelLibrary::vllm).softmax_in_turn);
}

TEST_CASE("serving libraries launch the kernels of their sources") {
  models::Attention prefill{4, 32, 8, 1024, 1024, 128};
  prefill.paged = true;
  // The paged cache of FlashAttention-2 is read by its split kernel: 64 rows, 128 keys, heads apart.
  const AttentionPlan vllm = plan_attention(prefill, ampere(), KernelLibrary::vllm);
  REQUIRE((vllm.rows == 64 && vllm.columns == 128 && !vllm.packed && vllm.splits == 1));
  const AttentionPlan sglang = plan_attention(prefill, ampere(), KernelLibrary::sglang);
  REQUIRE((sglang.rows == 128 && sglang.columns == 64 && sglang.packed && sglang.most_splits == 1));

  // SGLang decodes on sm_80 with whole tiles of 128 rows, and bounds the parts as if there were one sequence.
  models::Attention decode{256, 32, 8, 1, 4096, 128};
  decode.paged = true;
  const AttentionPlan many = plan_attention(decode, ampere(), KernelLibrary::sglang);
  REQUIRE((many.rows == 128 && many.columns == 112 && many.warps == 8));
  REQUIRE((many.splits == 1 && many.most_splits > 1));
  const KernelSequence kernels = map_operator(decode, ampere(), {KernelLibrary::sglang, hardware::LaunchMode::graph});
  REQUIRE(kernels.kernels.back().name == "attention_combine_idle");
  decode.batch = 1;
  REQUIRE(plan_attention(decode, ampere(), KernelLibrary::sglang).splits > 8);

  // vLLM's FlashAttention-2 copies Q and O so that the heads of a group become rows; one KV head needs no copy of Q.
  const auto names = [](const models::Attention& op, const hardware::GpuSpec& gpu, KernelLibrary library) {
    std::vector<std::string> list;
    for (const hardware::TileProgram& kernel : map_operator(op, gpu, {library, hardware::LaunchMode::graph}).kernels) {
      list.push_back(kernel.name.substr(0, kernel.name.find("_bf16")));
    }
    return list;
  };
  models::Attention grouped{64, 32, 8, 1, 64, 128};
  REQUIRE(names(grouped, ampere(), KernelLibrary::vllm) ==
          std::vector<std::string>{"strided_copy", "flash_attention_2", "strided_copy"});
  grouped.kv_heads = 1;
  REQUIRE(names(grouped, ampere(), KernelLibrary::vllm) ==
          std::vector<std::string>{"flash_attention_2", "elementwise_copy"});
  grouped.kv_heads = grouped.heads;
  REQUIRE(names(grouped, ampere(), KernelLibrary::vllm) == std::vector<std::string>{"flash_attention_2"});
  const hardware::TileProgram copy = strided_copy_program(1000, NumberFormat::bf16, 4);
  require_sound(copy, ampere());
  REQUIRE((hardware::totals(copy).loaded.count() == 2000 && stored(copy) == 2000));

  // A cache narrower than the queries: Q is narrowed first, by SGLang K and V too.
  models::Attention narrow_cache{64, 32, 8, 1, 4096, 128};
  narrow_cache.kv = NumberFormat::fp8_e4m3;
  narrow_cache.paged = true;
  const auto count = [&](KernelLibrary library) { return names(narrow_cache, hopper(), library).size(); };
  REQUIRE(count(KernelLibrary::sglang) == count(KernelLibrary::vllm) + 1);  // the lengths, each step
  narrow_cache.writes_kv_cache = true;
  REQUIRE(count(KernelLibrary::sglang) == count(KernelLibrary::vllm) + 3);

  // Few tiles over many keys: the prefill of FlashAttention-3 splits as well.
  models::Attention narrow{1, 1, 1, 1024, 1024, 128};
  REQUIRE(plan_attention(narrow, hopper(), KernelLibrary::vllm).splits ==
          7);  // of 8 blocks; 8 tiles x 7 fill 42 % of the SMs, x 8 48 %
  REQUIRE(plan_attention(narrow, hopper(), KernelLibrary::flash_attention_3).splits == 1);
}

TEST_CASE("causal tiles see only their key blocks, and FlashAttention-3 starts the longest first") {
  const models::Attention op{1, 4, 4, 1024, 1024, 128};
  const auto blocks = [&](const hardware::TileProgram& program) {
    std::vector<std::int64_t> counts;
    for (const hardware::CtaGroup& group : program.groups) counts.push_back(group.loops[0].count);
    return counts;
  };
  REQUIRE(blocks(flash_attention_3(op, plan_attention(op, hopper(), KernelLibrary::automatic), hopper())) ==
          std::vector<std::int64_t>{8, 7, 6, 5, 4, 3, 2, 1});  // 128 x 128 tiles
  REQUIRE(blocks(flash_attention_2(op, plan_attention(op, ampere(), KernelLibrary::automatic), ampere())) ==
          std::vector<std::int64_t>{2, 4, 6, 8, 10, 12, 14, 16});  // 128 x 64 tiles
  // A window of 128 keys never touches more than the two blocks that it can straddle.
  models::Attention windowed = op;
  windowed.window = 128;
  for (const std::int64_t count :
       blocks(flash_attention_3(windowed, plan_attention(windowed, hopper(), KernelLibrary::automatic), hopper()))) {
    REQUIRE(count <= 2);
  }
}

TEST_CASE("a wgmma GEMM reloads each operand once per tile of the other, and a cluster shares one of them") {
  const GemmProblem problem = gemm_problem(models::Gemm{1024, 2048, 512}, hopper());
  GemmTile tile{128, 256, 128, 4, 8, 1, ClusterShape::none, false};
  const std::uint64_t loaded = hardware::totals(gemm_wgmma(problem, {tile, 1}, hopper())).loaded.count();
  REQUIRE(loaded == 2ull * (1024 * 512 * (2048 / 256) + 2048 * 512 * (1024 / 128)));
  tile.cluster = ClusterShape::along_rows;
  const hardware::TileProgram shared = gemm_wgmma(problem, {tile, 1}, hopper());
  REQUIRE(shared.cluster_size == 2);
  REQUIRE(hardware::totals(shared).loaded.count() == loaded);  // counted once per CTA that receives the bytes
  int multicast = 0;
  for (const hardware::Op& op : shared.classes[0].roles[0].ops) {
    if (const auto* load = std::get_if<hardware::LoadTile>(&op)) multicast += load->multicast == 2;
  }
  REQUIRE(multicast == 1);
}

TEST_CASE("a pair of tcgen05 SMs keeps and reads half of the shared operand each") {
  const GemmProblem problem = gemm_problem(models::Gemm{1024, 2048, 512}, blackwell());
  const auto operand_bytes = [&](ClusterShape cluster) {
    const GemmTile tile{128, 256, 128, 4, 4, 1, cluster, false};
    const hardware::TileProgram program = gemm_wgmma(problem, {tile, 1}, blackwell());
    hardware::check(program);
    std::uint64_t bytes = 0;
    int split = 0;
    for (const hardware::Role& role : program.classes[0].roles) {
      for (const hardware::Op& op : role.ops) {
        if (const auto* mma = std::get_if<hardware::Mma>(&op)) bytes = mma->shared_read_bytes;
        if (const auto* load = std::get_if<hardware::LoadTile>(&op)) split += load->split_over_pair;
      }
    }
    REQUIRE(split == (cluster == ClusterShape::along_rows ? 1 : 0));
    return bytes;
  };
  const std::uint64_t k_bytes = 128;
  REQUIRE(operand_bytes(ClusterShape::none) == k_bytes * (128 + 256));
  REQUIRE(operand_bytes(ClusterShape::along_rows) == k_bytes * (128 + 256 / 2));
}

TEST_CASE("every elementwise kind has a kernel of its own with the FLOPs of its formula") {
  for (int k = 0; k <= static_cast<int>(models::ElementwiseKind::quantize); ++k) {
    models::Elementwise op;
    op.kind = static_cast<models::ElementwiseKind>(k);
    op.elements = 4096;
    INFO(models::name(op.kind));
    const KernelSequence sequence = map_operator(op, hopper());
    REQUIRE(sequence.kernels.size() == 1);
    REQUIRE(sequence.kernels[0].name.find(models::name(op.kind)) != std::string::npos);
    REQUIRE(hardware::totals(sequence.kernels[0]).vector_flops == models::cost(op).vector_flops);
  }
}

TEST_CASE("a library of the older tile list uses powers of two only") {
  const GemmProblem problem = gemm_problem(models::Gemm{272, 4096, 4096}, hopper());
  const auto plans = gemm_plans(problem, hopper(), GemmTileList::powers_of_two);
  REQUIRE(plans.size() < gemm_plans(problem, hopper()).size());
  for (const GemmPlan& plan : plans) {
    REQUIRE((plan.tile.rows & (plan.tile.rows - 1)) == 0);
    REQUIRE((plan.tile.columns & (plan.tile.columns - 1)) == 0);
  }
}

TEST_CASE("an activation kernel of a server takes one CTA per row, a turn of 1024 values after the other") {
  const hardware::GpuSpec gpu = hopper();
  const std::uint64_t rows = 3, row = 2 * 1024 + 10;
  const models::Elementwise op{models::ElementwiseKind::silu_mul, rows * row, NumberFormat::bf16, NumberFormat::bf16,
                               row};
  const hardware::TileProgram program = elementwise_program(op, gpu, KernelLibrary::vllm);
  require_sound(program, gpu);
  REQUIRE(program.cta_count() == rows);
  REQUIRE(program.groups[0].loops[0].count == 2);
  const hardware::ProgramTotals totals = hardware::totals(program);
  REQUIRE(totals.loaded.count() == 2 * 2 * rows * row);
  REQUIRE(totals.stored.count() == 2 * rows * row);
  REQUIRE_THROWS_AS(elementwise_program({op.kind, rows * row + 1, op.input, op.output, row}, gpu, KernelLibrary::vllm),
                    ConfigError);
}

TEST_CASE("a scale found at run time costs a memset and one read of the tensor, with one atomic per CTA") {
  const hardware::GpuSpec gpu = hopper();
  for (const std::uint64_t rows : {1ull, 3ull, 700ull}) {
    for (const std::uint64_t row : {32ull, 1000ull, 5120ull}) {
      for (const KernelLibrary library : {KernelLibrary::vllm, KernelLibrary::tensorrt_llm}) {
        const models::Elementwise op{
            models::ElementwiseKind::quantize, rows * row, NumberFormat::bf16, NumberFormat::fp8_e4m3, row, true};
        const std::vector<hardware::TileProgram> kernels = map_operator(op, gpu, {library}).kernels;
        REQUIRE(kernels.size() == 3);
        for (const hardware::TileProgram& kernel : kernels) require_sound(kernel, gpu);
        REQUIRE(hardware::totals(kernels[1]).loaded.count() == 2 * rows * row);
        REQUIRE(stored(kernels[1]) == 0);
        REQUIRE(kernels[1].cta_count() == (library == KernelLibrary::vllm ? rows : 1024));
        REQUIRE(stored(kernels[2]) == rows * row);
      }
    }
  }
}

TEST_CASE("row and elementwise kernels move exactly their bytes") {
  const hardware::GpuSpec gpu = hopper();
  for (const std::uint64_t rows : {1ull, 7ull, 4097ull}) {
    for (const std::uint64_t columns : {1ull, 100ull, 4096ull, 70001ull}) {
      for (const bool residual : {false, true}) {
        const models::Norm op{models::NormKind::rms, rows, columns, residual};
        const hardware::TileProgram norm = norm_program(op, KernelLibrary::automatic);
        require_sound(norm, gpu);
        REQUIRE(stored(norm) == 2 * rows * columns * (residual ? 2 : 1));
        REQUIRE(hardware::totals(norm).loaded.count() >= 2 * rows * columns * (residual ? 2 : 1));
      }
      const hardware::TileProgram softmax = softmax_program({rows, columns});
      require_sound(softmax, gpu);
      REQUIRE(stored(softmax) == 2 * rows * columns);
    }
  }
  for (const std::uint64_t elements : {1ull, 1000003ull, 1ull << 31}) {
    for (const KernelLibrary library : {KernelLibrary::automatic, KernelLibrary::vllm}) {
      const hardware::TileProgram kernel =
          elementwise_program({models::ElementwiseKind::silu_mul, elements}, gpu, library);
      require_sound(kernel, gpu);
      REQUIRE(stored(kernel) == 2 * elements);
      REQUIRE(hardware::totals(kernel).loaded.count() == 4 * elements);
    }
    const hardware::TileProgram quantise =
        elementwise_program({models::ElementwiseKind::quantize, elements, NumberFormat::bf16, NumberFormat::fp8_e4m3},
                            gpu, KernelLibrary::automatic);
    require_sound(quantise, gpu);
    REQUIRE(stored(quantise) == elements);
  }
  const hardware::TileProgram rotary = rotary_program({1000, 32, 8, 128, 64});
  require_sound(rotary, gpu);
  REQUIRE(stored(rotary) == 2 * 1000 * (40 * 64 + 2 * 8 * 128));
  for (const std::uint64_t tokens : {3ull, 1000ull}) {
    for (const bool positions : {false, true}) {
      const hardware::TileProgram embedding = embedding_program({tokens, 300, 512, positions});
      require_sound(embedding, gpu);
      REQUIRE(stored(embedding) == tokens * 512 * 2);
      REQUIRE(hardware::totals(embedding).loaded.count() == tokens * (positions ? 2 : 1) * (512 * 2 + 4));
    }
  }
}

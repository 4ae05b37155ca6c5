// SPDX-License-Identifier: Apache-2.0
// Kernels of a training step: sound, with exactly the matrix work of the formula, at least its reads, exactly its
// writes; and both evaluators take them.
#include <string>
#include <vector>

#include "catch.h"
#include "hardware/machine/evaluate.h"
#include "hardware/simulated.h"
#include "hardware/spec/load.h"
#include "models/graph/backward.h"
#include "scenarios/mapping/attention_backward.h"
#include "scenarios/mapping/map_operator.h"
#include "scenarios/mapping_gpus.h"
#include "scenarios/sound_program.h"
#include "sim/base/error.h"

using namespace lightcone;
using namespace lightcone::scenarios;
using namespace lightcone::testing;
using models::Backward;

namespace {

struct Sums {
  std::uint64_t useful = 0, loaded = 0, stored = 0, last_stored = 0;
};

Sums sound(const models::Operator& op, const hardware::GpuSpec& gpu) {
  Sums sums;
  for (const hardware::TileProgram& kernel : map_operator(op, gpu).kernels) {
    require_sound(kernel, gpu);
    const hardware::ProgramTotals totals = hardware::totals(kernel);
    sums.useful += totals.mma_useful.count();
    sums.loaded += totals.loaded.count();
    sums.stored += totals.stored.count();
    sums.last_stored = totals.stored.count();
  }
  return sums;
}

// Kernels that write nothing but the operator's results.
void streams_exactly(const models::Operator& op, const hardware::GpuSpec& gpu) {
  const models::Cost cost = models::cost(op);
  const Sums sums = sound(op, gpu);
  REQUIRE(sums.loaded >= cost.read_bytes.count());
  REQUIRE(sums.stored == cost.written_bytes.count());
}

}  // namespace

TEST_CASE("gradients of a GEMM: both layouts on every generation, exact") {
  for (const hardware::GpuSpec& gpu : {hopper(), ampere(), ada(), blackwell()}) {
    for (const models::Gemm& forward :
         {models::Gemm{512, 768, 256}, models::Gemm{100, 130, 77}, models::Gemm{1, 8, 8}}) {
      for (const bool accumulates : {false, true}) {
        const models::Node node{"g", forward};
        for (const models::Node& gradient : models::backward_of(node, {NumberFormat::fp32, accumulates})) {
          INFO(gpu.name << " " << gradient.name << " " << forward.m);
          const models::Cost cost = models::cost(gradient.op);
          const Sums sums = sound(gradient.op, gpu);
          REQUIRE(sums.useful == cost.matrix_flops.count());
          REQUIRE(sums.loaded >= cost.read_bytes.count() + cost.weight_bytes.count());
          REQUIRE(sums.last_stored == cost.written_bytes.count());
        }
      }
    }
  }
}

TEST_CASE("gradients of batched products are exact") {
  for (const hardware::GpuSpec& gpu : {hopper(), ampere()}) {
    const models::BatchedGemm forward{.batch = 5, .m = 96, .n = 130, .k = 64, .weights_are_static = true};
    for (const models::Node& gradient : models::backward_of(models::Node{"b", forward}, {})) {
      const Sums sums = sound(gradient.op, gpu);
      REQUIRE(sums.useful == models::cost(gradient.op).matrix_flops.count());
    }
  }
}

TEST_CASE("attention backward: sound and exact for every head, mask and generation") {
  for (const hardware::GpuSpec& gpu : {hopper(), ampere(), ada(), blackwell()}) {
    for (const std::uint64_t head : {64u, 80u, 96u, 128u, 192u, 256u}) {
      for (const auto& [causal, window, q_len, kv_len] :
           {std::tuple{true, 0u, 300u, 300u}, std::tuple{true, 100u, 515u, 515u}, std::tuple{false, 0u, 257u, 400u},
            std::tuple{true, 0u, 64u, 1000u}}) {
        for (const std::uint64_t kv_heads : {4u, 2u}) {
          const models::Attention a{.batch = 2,
                                    .heads = 4,
                                    .kv_heads = kv_heads,
                                    .q_len = q_len,
                                    .kv_len = kv_len,
                                    .head_dim = head,
                                    .causal = causal,
                                    .window = window};
          INFO(gpu.name << " head " << head << " causal " << causal << " window " << window << " kv " << kv_heads);
          const models::Cost cost = models::cost(models::Operator(Backward<models::Attention>{a}));
          const Sums sums = sound(Backward<models::Attention>{a}, gpu);
          REQUIRE(sums.useful == cost.matrix_flops.count());
          REQUIRE(sums.loaded >= cost.read_bytes.count());
          REQUIRE(sums.stored >= cost.written_bytes.count());
        }
      }
    }
  }
}

TEST_CASE("attention backward: the tiles of the published kernels") {
  const auto plan = [](const hardware::GpuSpec& gpu, std::uint64_t head, std::uint64_t values, bool causal) {
    models::Attention a{
        .batch = 1, .heads = 8, .kv_heads = 8, .q_len = 2048, .kv_len = 2048, .head_dim = head, .causal = causal};
    a.value_dim = values;
    return plan_attention_backward(a, gpu, KernelLibrary::automatic);
  };
  REQUIRE(plan(ampere(), 128, 0, true).rows == 64);
  REQUIRE(shared_memory(plan(ampere(), 128, 0, true)) == Bytes(144 * 1024));  // kernel_traits.h
  REQUIRE(shared_memory(plan(ampere(), 64, 0, true)) == Bytes(144 * 1024));
  REQUIRE(plan(ada(), 128, 0, true).columns == 64);
  REQUIRE(plan(ampere(), 256, 0, true).stages_q == 1);
  REQUIRE(shared_memory(plan(ampere(), 256, 0, true)) == Bytes(144 * 1024));
  REQUIRE(shared_memory(plan(ampere(), 192, 0, true)) == Bytes(136 * 1024));
  REQUIRE(shared_memory(plan(ampere(), 96, 0, true)) == Bytes(92 * 1024));
  REQUIRE(plan(hopper(), 128, 0, true).rows == 64);
  REQUIRE(plan(hopper(), 128, 0, false).rows == 80);
  REQUIRE(plan(hopper(), 192, 128, true).warpgroups == 2);
  REQUIRE(plan(hopper(), 192, 0, true).warpgroups == 3);
  REQUIRE_FALSE(plan(hopper(), 256, 0, true).dq_through_tma);
  REQUIRE_THROWS_AS(plan(hopper(), 512, 0, true), ConfigError);
  models::Attention latents{.batch = 1, .heads = 8, .kv_heads = 1, .q_len = 64, .kv_len = 64, .head_dim = 192};
  latents.value_dim = 128;
  latents.values_in_keys = true;
  REQUIRE_THROWS_AS(map_operator(Backward<models::Attention>{latents}, hopper()), ConfigError);
  models::Attention wide{.batch = 1, .heads = 8, .kv_heads = 8, .q_len = 64, .kv_len = 64, .head_dim = 64};
  wide.activation = wide.kv = NumberFormat::fp32;
  REQUIRE_THROWS_AS(map_operator(Backward<models::Attention>{wide}, hopper()), ConfigError);
}

TEST_CASE("what streams writes its results and nothing else") {
  for (const hardware::GpuSpec& gpu : {hopper(), ampere()}) {
    for (std::size_t k = 0; k <= static_cast<std::size_t>(models::ElementwiseKind::quantize); ++k) {
      const auto kind = static_cast<models::ElementwiseKind>(k);
      if (models::backward_info(kind).gradients == 0) continue;
      for (const std::uint64_t elements : {1u, 511u, 4096u, 100001u}) {
        streams_exactly(Backward<models::Elementwise>{{kind, elements}}, gpu);
      }
    }
    for (const std::uint64_t n : {1u, 2048u, 65535u, 65536u, 1000003u}) {
      streams_exactly(models::AdamW{n}, gpu);
      streams_exactly(models::AdamW{n, NumberFormat::fp32, NumberFormat::fp32, false}, gpu);
    }
    streams_exactly(Backward<models::Softmax>{{1000, 777}}, gpu);
    streams_exactly(models::CrossEntropy{10, 100}, gpu);
    streams_exactly(models::CrossEntropy{3, 151936}, gpu);
    for (const bool tied : {false, true}) {
      const Backward<models::EmbeddingGather> repeated{{1000, 300, 64}, NumberFormat::bf16, tied};
      const models::Cost cost = models::cost(models::Operator(repeated));
      const Sums sums = sound(repeated, gpu);  // a row is added to as often as its token occurs
      REQUIRE(sums.stored == cost.written_bytes.count() + (1000 - 300) * 128);
      REQUIRE(sums.loaded >= cost.read_bytes.count());
      streams_exactly(Backward<models::EmbeddingGather>{{100, 3000, 64, true}, NumberFormat::fp32, tied}, gpu);
    }
  }
}

TEST_CASE("sums over rows: partial sums of the CTAs, then the gradient of the weights") {
  for (const hardware::GpuSpec& gpu : {hopper(), ampere()}) {
    for (const std::uint64_t rows : {1u, 130u, 4096u, 100003u}) {
      for (const models::NormKind kind : {models::NormKind::rms, models::NormKind::layer}) {
        for (const bool residual : {false, true}) {
          const models::Norm norm{kind, rows, 1024, residual};
          const Backward<models::Norm> op{norm, NumberFormat::fp32};
          const Sums sums = sound(op, gpu);
          REQUIRE(sums.last_stored == 1024 * 4);
          const models::Cost cost = models::cost(models::Operator(op));
          REQUIRE(sums.loaded >= cost.read_bytes.count() + cost.weight_bytes.count());
          REQUIRE(sums.stored >= cost.written_bytes.count());
        }
      }
      const Sums bias = sound(models::ColumnSum{rows, 3072}, gpu);
      REQUIRE(bias.last_stored == 3072 * 2);
      REQUIRE(bias.loaded >= rows * 3072 * 2);
    }
  }
}

TEST_CASE("every kernel of a training step runs on the simulated machine, above its lower bounds") {
  const models::Attention a{.batch = 1, .heads = 8, .kv_heads = 4, .q_len = 512, .kv_len = 512, .head_dim = 128};
  const models::Gemm forward{1024, 768, 512};
  std::vector<models::Operator> ops{Backward<models::Attention>{a},
                                    Backward<models::Norm>{{models::NormKind::rms, 2048, 1024, true}},
                                    Backward<models::Elementwise>{{models::ElementwiseKind::silu_mul, 1 << 19}},
                                    models::AdamW{3000000},
                                    models::CrossEntropy{64, 32000},
                                    models::ColumnSum{2048, 768},
                                    Backward<models::EmbeddingGather>{{1024, 8000, 512}}};
  for (const models::Node& gradient : models::backward_of(models::Node{"g", forward}, {NumberFormat::fp32, true})) {
    ops.push_back(gradient.op);
  }
  for (const char* machine : {"h100_sxm", "a100_sxm_80gb"}) {
    const hardware::GpuSpec gpu = hardware::load_machine(machine).gpu;
    for (const models::Operator& op : ops) {
      for (const hardware::TileProgram& kernel : map_operator(op, gpu).kernels) {
        INFO(gpu.name << " " << kernel.name);
        const std::optional<KernelResult> result = hardware::testing::simulate(kernel, gpu, hardware::testing::exact());
        REQUIRE(result);
        REQUIRE(result->work.mma_useful == hardware::totals(kernel).mma_useful);
        const KernelResult closed = hardware::evaluate_analytical(kernel, gpu);
        const ResourceBounds& b = closed.bounds;
        for (const Seconds bound : {b.tensor, b.fp32, b.sfu, b.issue, b.shared, b.l2, b.hbm, b.launch}) {
          REQUIRE(bound <= result->time);
        }
        CHECK(closed.time.count() < 2 * result->time.count());
        CHECK(result->time.count() < 2.5 * closed.time.count());
      }
    }
  }
}

TEST_CASE("recurrences backward: sound, with the matrix work of the formula and at least its bytes") {
  for (const hardware::GpuSpec& gpu : {hopper(), ampere()}) {
    for (const std::uint64_t tokens : {64u, 130u, 5000u}) {
      for (const bool silu : {false, true}) {
        const Backward<models::CausalConv> conv{
            {.batch = 2, .tokens = tokens, .channels = 96, .kernel = 4, .filters = silu ? 1u : 3u, .silu = silu}};
        const models::Cost cost = models::cost(models::Operator(conv));
        const Sums sums = sound(conv, gpu);
        // Each of the two sequences adds to the gradient of the taps.
        REQUIRE(sums.stored == cost.written_bytes.count() + 96 * conv.forward.filters * 5 * 2);
        REQUIRE(sums.loaded >= cost.read_bytes.count());
      }
      const Backward<models::SelectiveScan> scan{{.batch = 2, .tokens = tokens, .channels = 64, .state = 16}};
      REQUIRE(sound(scan, gpu).loaded >= models::cost(models::Operator(scan)).read_bytes.count());
      for (const bool complex_values : {false, true}) {
        const Backward<models::LinearScan> linear{
            {.batch = 2, .tokens = tokens, .channels = 200, .complex_values = complex_values}};
        streams_exactly(linear, gpu);
        // Decays that are parameters: each of the two sequences adds its sum of single precision to their gradient.
        Backward<models::LinearScan> constant = linear;
        constant.forward.constant = true;
        constant.weight_gradient = NumberFormat::fp32;
        const std::uint64_t decays = 4 * 200 * (complex_values ? 2 : 1);
        const models::Cost cost = models::cost(models::Operator(constant));
        const Sums sums = sound(constant, gpu);
        REQUIRE(sums.stored == cost.written_bytes.count() + decays);
        REQUIRE(sums.loaded == cost.read_bytes.count() + 2 * decays);
      }
      using Rule = models::LinearRule;
      for (const Rule rule : {Rule::sum, Rule::scalar_decay, Rule::ssd, Rule::vector_decay, Rule::delta,
                              Rule::gated_delta, Rule::channel_delta, Rule::mlstm}) {
        const models::LinearAttention a{.rule = rule,
                                        .batch = 2,
                                        .tokens = tokens,
                                        .heads = 2,
                                        .value_heads = 4,
                                        .key_dim = 64,
                                        .value_dim = 128,
                                        .chunk = 64};
        INFO(models::name(rule) << " " << tokens);
        const models::Cost cost = models::cost(models::Operator(Backward<models::LinearAttention>{a}));
        const Sums sums = sound(Backward<models::LinearAttention>{a}, gpu);
        // The solve's third of c^3 is rounded down by the formula, chunk by chunk.
        REQUIRE(sums.useful >= cost.matrix_flops.count());
        REQUIRE(sums.useful - cost.matrix_flops.count() <= 2 * 2 * 4 * (tokens / 64 + 1));
        REQUIRE(sums.loaded >= cost.read_bytes.count());
        REQUIRE(sums.stored >= cost.written_bytes.count());
      }
    }
    // As wide as the published models: Mamba-2, Gated DeltaNet of 1.3B parameters.
    using Rule = models::LinearRule;
    sound(Backward<models::LinearAttention>{{Rule::ssd, 1, 600, 1, 32, 128, 64, 256}}, gpu);
    sound(Backward<models::LinearAttention>{{Rule::gated_delta, 1, 600, 6, 6, 256, 512, 64}}, gpu);
    const models::LinearAttention dplr{Rule::dplr, 1, 128, 2, 2, 64, 64};
    REQUIRE_THROWS_AS(map_operator(Backward<models::LinearAttention>{dplr}, gpu), ConfigError);
  }
}

TEST_CASE("rows of experts backward: each byte once") {
  for (const hardware::GpuSpec& gpu : {hopper(), ampere()}) {
    streams_exactly(Backward<models::GatherRows>{{2048, 1024, 512}}, gpu);
    streams_exactly(Backward<models::CombineRows>{{1000, 8, 512}}, gpu);
    streams_exactly(Backward<models::TopK>{{1000, 128, 8}}, gpu);
  }
}

TEST_CASE("gradients of experts: rows by the transposed weights, weights over each expert's rows, exact") {
  for (const hardware::GpuSpec& gpu : {hopper(), ampere(), blackwell()}) {
    for (const std::uint64_t experts : {4u, 32u}) {
      const models::GroupedGemm forward{.experts = experts, .rows = 2048, .n = 192, .k = 128, .top_k = 2};
      for (const models::Node& gradient :
           models::backward_of(models::Node{"experts", forward}, {NumberFormat::fp32, experts == 32})) {
        INFO(gpu.name << " " << gradient.name << " " << experts);
        const models::Cost cost = models::cost(gradient.op);
        const Sums sums = sound(gradient.op, gpu);
        REQUIRE(sums.useful == cost.matrix_flops.count());
        REQUIRE(sums.loaded >= cost.read_bytes.count() + cost.weight_bytes.count());
        REQUIRE(sums.stored == cost.written_bytes.count());
      }
    }
  }
}

// SPDX-License-Identifier: Apache-2.0
// Kernels of convolutions, scans and linear attention are well formed, do exactly the FLOPs of their operator, read at
// least its bytes and write exactly its output and state, at awkward sizes too; and they run on the simulated machine.
#include "catch.h"
#include "hardware/example_gpus.h"
#include "hardware/machine/evaluate.h"
#include "hardware/simulated.h"
#include "models/graph/operator.h"
#include "scenarios/mapping/map_operator.h"
#include "scenarios/mapping_gpus.h"
#include "scenarios/operator_sums.h"
#include "sim/base/error.h"

using namespace lightcone;
using namespace lightcone::scenarios;
using namespace lightcone::testing;
using models::CausalConv;
using models::LinearAttention;
using models::LinearRule;
using models::LinearScan;
using models::SelectiveScan;

namespace {

// Eight SMs, so that a few CTAs fill them.
hardware::GpuSpec small_machine() {
  hardware::GpuSpec gpu = hardware::example_h100();
  gpu.sm_count = 8;
  return gpu;
}

// One kernel: what it writes is what the formula writes.
void require_exact(const models::Operator& op, const hardware::GpuSpec& gpu, const MappingOptions& options = {}) {
  const models::Cost cost = models::cost(op);
  const Sums sums = sound_sums(op, gpu, options);
  REQUIRE(sums.flops() == cost.flops().count());
  REQUIRE(sums.stored == cost.written_bytes.count());
  REQUIRE(sums.loaded >= (cost.read_bytes + cost.weight_bytes).count());
}

}  // namespace

TEST_CASE("causal convolutions of every library are exact") {
  for (const hardware::GpuSpec& gpu : {hopper(), ampere()}) {
    for (const KernelLibrary library : {KernelLibrary::vllm, KernelLibrary::sglang, KernelLibrary::tensorrt_llm}) {
      for (const std::uint64_t tokens : {1ull, 3ull, 7ull, 8ull, 100ull, 512ull, 1025ull}) {
        for (const std::uint64_t channels : {1ull, 256ull, 700ull}) {
          for (const bool reads : {false, true}) {
            CausalConv op{3, tokens, channels};
            op.reads_state = reads;
            INFO("tokens " << tokens << " channels " << channels << " reads " << reads);
            require_exact(op, gpu, {library});
          }
        }
      }
    }
  }
  CausalConv plain{2, 50, 64, 1};
  plain.bias = plain.silu = false;
  require_exact(plain, hopper());
  require_exact(plain, hopper(), {KernelLibrary::tensorrt_llm});
  REQUIRE_THROWS_AS(map_operator(CausalConv{1, 100, 64, 9}, hopper()), ConfigError);
  REQUIRE_THROWS_AS(map_operator(CausalConv{1, 0, 64}, hopper()), ConfigError);
  // TensorRT-LLM's kernel has a CTA per channel of a sequence, Triton's one per 8 tokens of 256 channels.
  REQUIRE(map_operator(CausalConv{3, 100, 700}, hopper(), {KernelLibrary::tensorrt_llm}).kernels[0].cta_count() ==
          2100);
  REQUIRE(map_operator(CausalConv{3, 100, 700}, hopper()).kernels[0].cta_count() == 3 * 13 * 3);
}

TEST_CASE("selective and linear scans are exact, prefill and decode") {
  const hardware::GpuSpec gpu = hopper();
  for (const std::uint64_t tokens : {1ull, 2ull, 128ull, 200ull, 1000ull, 2049ull, 5000ull}) {
    for (const std::uint64_t channels : {1ull, 100ull, 256ull}) {
      for (const bool reads : {false, true}) {
        INFO("tokens " << tokens << " channels " << channels << " reads " << reads);
        for (const std::uint64_t state : {1ull, 16ull, 64ull}) {
          SelectiveScan op{2, tokens, channels, state};
          op.reads_state = reads;
          op.gated = state != 64;
          require_exact(op, gpu);
        }
        LinearScan scan{2, tokens, channels};
        scan.reads_state = reads;
        require_exact(scan, gpu);
        scan.complex_values = true;
        require_exact(scan, gpu);
        scan.constant = true;
        require_exact(scan, gpu);
        if (tokens > 200) continue;  // systems go token by token: they are for decode
        scan.states = 32;
        require_exact(scan, gpu);
        scan.complex_values = false;
        scan.states = 3;
        require_exact(scan, gpu);
      }
    }
  }
  REQUIRE_THROWS_AS(map_operator(SelectiveScan{1, 10, 10, 0}, gpu), ConfigError);
  REQUIRE_THROWS_AS(map_operator(LinearScan{1, 1, 64, true, true, 4096}, gpu), ConfigError);
  REQUIRE_THROWS_AS(map_operator(LinearScan{1, 1, 64, true, false, 4}, gpu), ConfigError);
  REQUIRE_THROWS_AS(map_operator(LinearScan{1, 1'000'000'000'000, 1'000'000'000}, gpu), ConfigError);
}

TEST_CASE("one token of linear attention reads and writes its state") {
  const hardware::GpuSpec gpu = hopper();
  for (const LinearRule rule :
       {LinearRule::sum, LinearRule::scalar_decay, LinearRule::ssd, LinearRule::vector_decay, LinearRule::delta,
        LinearRule::gated_delta, LinearRule::channel_delta, LinearRule::dplr, LinearRule::mlstm}) {
    for (const std::uint64_t value_dim : {32ull, 64ull, 100ull}) {
      LinearAttention op{rule, 3, 1, 2, 4, 64, value_dim};
      op.reads_state = true;
      INFO(models::name(rule) << " " << value_dim);
      require_exact(op, gpu);
    }
  }
  REQUIRE_THROWS_AS(map_operator(LinearAttention{LinearRule::sum, 1, 1, 3, 4, 64, 64}, gpu), ConfigError);
}

TEST_CASE("chunked forms do the FLOPs of their formula and write output and state") {
  const hardware::GpuSpec gpu = hopper();
  for (const LinearRule rule :
       {LinearRule::sum, LinearRule::scalar_decay, LinearRule::ssd, LinearRule::vector_decay, LinearRule::delta,
        LinearRule::gated_delta, LinearRule::channel_delta, LinearRule::mlstm}) {
    for (const std::uint64_t tokens : {2ull, 63ull, 64ull, 129ull, 500ull}) {
      for (const std::uint64_t members : {1ull, 3ull}) {
        if (members > 1 && rule == LinearRule::channel_delta) continue;
        LinearAttention op{rule, 2, tokens, 2, 2 * members, 64, 128};
        op.reads_state = tokens == 129;
        const models::Cost cost = models::cost(op);
        INFO(models::name(rule) << " tokens " << tokens << " members " << members);
        const Sums sums = sound_sums(op, gpu);
        REQUIRE(sums.flops() == cost.flops().count());
        REQUIRE(sums.stored >= cost.written_bytes.count());
        REQUIRE(sums.loaded >= cost.read_bytes.count());
      }
    }
  }
}

TEST_CASE("token shifts read the input once and write every filter's result") {
  for (const hardware::GpuSpec& gpu : {hopper(), ampere(), blackwell()}) {
    for (const std::uint64_t tokens : {1ull, 2ull, 8ull, 9ull, 16ull, 100ull}) {
      for (const std::uint64_t channels : {1ull, 256ull, 700ull}) {
        for (const std::uint64_t kernel : {1ull, 2ull, 4ull}) {
          for (const std::uint64_t filters : {2ull, 6ull}) {
            CausalConv op{3, tokens, channels, kernel, filters};
            op.bias = op.silu = filters == 2 && kernel == 4;
            op.reads_state = tokens % 2 == 0;
            INFO("tokens " << tokens << " channels " << channels << " kernel " << kernel << " filters " << filters);
            require_exact(op, gpu);
          }
        }
      }
    }
  }
  // The input is loaded once, not once per filter; besides it the tokens before each block of 8 and the weights.
  const CausalConv six{1, 64, 256, 2, 6, false, false};
  REQUIRE(sound_sums(six, hopper()).loaded == 2 * 256 * (64 + 7 + 8 * 12));
  REQUIRE_THROWS_AS(map_operator(CausalConv{1, 64, 64, 9, 2}, hopper()), ConfigError);
}

TEST_CASE("FlashKDA carries the state in one CTA per head and leaves out one product of the formula") {
  const hardware::GpuSpec gpu = hopper();
  for (const std::uint64_t tokens : {2ull, 16ull, 100ull}) {
    LinearAttention op{LinearRule::channel_delta, 3, tokens, 4, 4, 128, 128, 16};
    op.reads_state = true;
    const std::vector<hardware::TileProgram> kernels = map_operator(op, gpu, {KernelLibrary::vllm}).kernels;
    REQUIRE(kernels.size() == 4);
    REQUIRE(kernels[2].cta_count() == 3 * 4 * ((tokens + 15) / 16));
    REQUIRE(kernels[3].cta_count() == 3 * 4);
    const std::uint64_t rest = tokens % 16, left_out = 3 * 4 * 2 * 128 * (tokens / 16 * 256 + rest * rest);
    const Sums sums = sound_sums(op, gpu, {KernelLibrary::vllm});
    REQUIRE(sums.flops() + left_out == models::cost(op).flops().count());
  }
  REQUIRE(map_operator(LinearAttention{LinearRule::channel_delta, 3, 100, 4, 4, 64, 64, 16}, gpu, {KernelLibrary::vllm})
              .kernels.size() > 4);
}

TEST_CASE("every kind of kernel runs on the simulated machine, above its lower bounds") {
  const hardware::GpuSpec gpu = small_machine();
  LinearAttention decode{LinearRule::gated_delta, 2, 1, 2, 4, 64, 64};
  decode.reads_state = true;
  for (const models::Operator& op : std::vector<models::Operator>{
           CausalConv{1, 40, 300}, SelectiveScan{1, 300, 8, 4}, SelectiveScan{2, 1, 64, 16}, LinearScan{1, 100, 200},
           decode, LinearAttention{LinearRule::dplr, 1, 20, 2, 2, 64, 64},
           LinearAttention{LinearRule::gated_delta, 1, 130, 1, 2, 64, 64},
           LinearAttention{LinearRule::vector_decay, 1, 130, 1, 1, 64, 64},
           LinearAttention{LinearRule::ssd, 1, 130, 1, 2, 64, 64},
           LinearAttention{LinearRule::mlstm, 1, 130, 2, 2, 64, 128}, CausalConv{1, 40, 300, 2, 6, false, false}}) {
    for (const hardware::TileProgram& program : map_operator(op, gpu).kernels) {
      INFO(program.name);
      const std::optional<KernelResult> result = hardware::testing::simulate(program, gpu, hardware::testing::exact());
      REQUIRE(result.has_value());
      const hardware::ProgramTotals totals = hardware::totals(program);
      const KernelResult closed = hardware::evaluate_analytical(program, gpu);
      const ResourceBounds& b = closed.bounds;
      for (const Seconds bound : {b.tensor, b.fp32, b.sfu, b.issue, b.shared, b.l2, b.hbm, b.launch}) {
        REQUIRE(bound <= result->time);
      }
      REQUIRE(result->work.mma_useful == totals.mma_useful);
      REQUIRE(result->work.vector_flops == totals.vector_flops);
    }
  }
}

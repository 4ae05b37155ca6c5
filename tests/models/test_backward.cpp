// SPDX-License-Identifier: Apache-2.0
// Costs of backward operators against counts made by running their formulas, and the rules that derive a section's
// backward and what it saves.
#include <cmath>
#include <cstdint>

#include "catch.h"
#include "models/graph/backward.h"
#include "models/reference/counted.h"
#include "models/reference/flash_attention.h"
#include "models/reference/mask.h"
#include "sim/base/error.h"

using namespace lightcone;
using namespace lightcone::models;
using reference::Counted;

namespace {

Cost of(const Operator& op) { return cost(op); }

// Everything that one element's gradients take, divisions and reciprocals alike.
template <class Formula>
std::uint64_t counted(Formula formula) {
  Counted::reset();
  formula(Counted(0.3), Counted(0.7), Counted(1.1));
  return Counted::counts().flops() + Counted::counts().specials;
}

std::uint64_t of_kind(ElementwiseKind kind) {
  const Cost c = of(Backward<Elementwise>{{kind, 1}});
  return c.vector_flops.count() + c.special;
}

Counted sigmoid(Counted x) { return Counted(1) / (Counted(1) + exp(-x)); }

std::vector<Operator> ops_of(const std::vector<Node>& nodes) {
  std::vector<Operator> out;
  for (const Node& node : nodes) out.push_back(node.op);
  return out;
}

}  // namespace

TEST_CASE("elementwise backward: FLOPs are those of the written-out gradients") {
  REQUIRE(of_kind(ElementwiseKind::silu) == counted([](Counted dy, Counted x, Counted) {
            const Counted s = sigmoid(x);
            return dy * (s * (Counted(1) + x * (Counted(1) - s)));
          }));
  REQUIRE(of_kind(ElementwiseKind::silu_mul) ==
          counted([](Counted dy, Counted gate, Counted up) {
            const Counted s = sigmoid(gate), g = gate * s;
            const Counted d_up = dy * g, d_gate = dy * up * (s + g * (Counted(1) - s));
            return d_up + Counted(0) * d_gate;  // two operations that only hold both
          }) - 2);
  REQUIRE(of_kind(ElementwiseKind::sigmoid_mul) == counted([](Counted dy, Counted gate, Counted value) {
            const Counted s = sigmoid(gate), d_value = dy * s;
            return d_value * value * (Counted(1) - s);
          }));
  REQUIRE(of_kind(ElementwiseKind::tanh) ==
          counted([](Counted dy, Counted y, Counted) { return dy * (Counted(1) - y * y); }));
  const auto gelu = [](Counted dy, Counted x, Counted) {
    const Counted square = x * x;
    const Counted t = tanh(x * (Counted(0.798) + Counted(0.0357) * square)), half = Counted(0.5) + Counted(0.5) * t;
    const Counted bend = Counted(0.5) * x * (Counted(1) - t * t) * (Counted(0.798) + Counted(0.107) * square);
    return dy * (half + bend);
  };
  REQUIRE(of_kind(ElementwiseKind::gelu) == counted(gelu));
  REQUIRE(of_kind(ElementwiseKind::gelu_mul) == of_kind(ElementwiseKind::gelu) + 3);  // times up; the gate's value, dy
  REQUIRE_THROWS_AS(of(Backward<Elementwise>{{ElementwiseKind::add, 8}}), ConfigError);
}

TEST_CASE("norm backward: FLOPs per element are those of the written-out gradients") {
  constexpr std::uint64_t kColumns = 64;
  for (const bool layer : {false, true}) {
    Counted::reset();
    const Counted r(0.5), mean(0.1);
    Counted with_u(0), with_one(0);
    std::vector<Counted> u(kColumns), g(kColumns), dw(kColumns), db(kColumns), dx(kColumns);
    for (std::size_t i = 0; i < kColumns; ++i) {
      u[i] = layer ? (Counted(0.3) - mean) * r : Counted(0.3) * r;
      g[i] = Counted(0.7) * Counted(1.1);
      with_u += g[i] * u[i];
      if (layer) with_one += g[i];
      dw[i] += Counted(0.7) * u[i];
      if (layer) db[i] += Counted(0.7);
    }
    for (std::size_t i = 0; i < kColumns; ++i) {
      dx[i] = layer ? r * (g[i] - (u[i] * with_u + with_one)) : r * (g[i] - u[i] * with_u);
    }
    const NormKind kind = layer ? NormKind::layer : NormKind::rms;
    REQUIRE(of(Backward<Norm>{{kind, 1, kColumns}}).vector_flops.count() == Counted::counts().flops());
    REQUIRE(of(Backward<Norm>{{kind, 1, kColumns, true}}).vector_flops.count() == Counted::counts().flops() + kColumns);
  }
}

TEST_CASE("attention backward: five products over the unmasked pairs, as the reference multiplies") {
  using namespace lightcone::models::reference;
  const Eigen::Index tokens = 32, width = 8, tile = 16;
  const Matrix<Counted> q = Matrix<double>::Random(tokens, width).cast<Counted>(), k = q, v = q, g = q;
  const Mask mask = Mask::Constant(tokens, tokens, true);
  const Attended<Counted> forward = flash_attention(q, k, v, mask, {tile, tile});
  Counted::reset();
  (void)flash_backward(q, k, v, mask, forward, g, {tile, tile});
  const Counts counts = Counted::counts();
  const Attention a{.batch = 1, .heads = 1, .kv_heads = 1, .q_len = 32, .kv_len = 32, .head_dim = 8, .causal = false};
  const Cost c = of(Backward<Attention>{a});
  REQUIRE(2 * c.matrix_flops.count() == 5 * of(a).matrix_flops.count());
  const std::uint64_t pairs = 32 * 32;
  // Half of the matrix FLOPs are multiplications; per pair the scale, P times the difference and the scale of dS (the
  // kernels scale dQ and dK instead); per row D.
  REQUIRE(counts.multiplies == c.matrix_flops.count() / 2 + 3 * pairs + 32 * 8);
  REQUIRE(counts.specials == c.special);
  const std::uint64_t row = 2 * 32 * 8;  // bytes of Q, K, V, O or a gradient
  REQUIRE(c.read_bytes.count() == 5 * row + 32 * 4);
  REQUIRE(c.written_bytes.count() == 3 * row);
}

TEST_CASE("linear attention backward: the reference's products, two and a half times the forward's") {
  // models/reference/linear_attention_backward.cpp, chunk by chunk: scores and their gradients (dk, dv), dv (dv), dq
  // and dk (2 dk); with states: their own again, dq, dk, dv, and the gradient of the state.
  const std::uint64_t c = 64, dk = 96, dv = 160, chunks = 5, heads = 3;
  const LinearAttention a{.rule = LinearRule::scalar_decay,
                          .batch = 2,
                          .tokens = c * chunks,
                          .heads = heads,
                          .value_heads = heads,
                          .key_dim = dk,
                          .value_dim = dv,
                          .chunk = c};
  const std::uint64_t inside = 2 * c * c * (3 * dk + 2 * dv), states = 5 * 2 * c * dk * dv;
  REQUIRE(of(Backward<LinearAttention>{a}).matrix_flops.count() == 2 * heads * chunks * (inside + states));
  LinearAttention square = a;
  square.key_dim = square.value_dim = 128;
  REQUIRE(2 * of(Backward<LinearAttention>{square}).matrix_flops.count() == 5 * of(square).matrix_flops.count());
  // The delta rules: fla's kernels, 9 products of keys and 5 of values inside a chunk, 8 with states, and the solve.
  LinearAttention delta = a;
  delta.rule = LinearRule::gated_delta;
  const std::uint64_t solve = 3 * (2 * c * c * c / 3);
  REQUIRE(of(Backward<LinearAttention>{delta}).matrix_flops.count() ==
          2 * heads * chunks * (2 * c * c * (9 * dk + 5 * dv) + 8 * 2 * c * dk * dv + solve));
}

TEST_CASE("scans backward: counts of the reference's loops") {
  // models/reference/selective_scan_backward.cpp with the gate: 6 to run the state again, 15 back, per step.
  const SelectiveScan s{.batch = 2, .tokens = 7, .channels = 5, .state = 3};
  const Cost c = of(Backward<SelectiveScan>{s});
  REQUIRE(c.vector_flops.count() == 2 * 7 * 5 * (3 * 21 + 16));
  REQUIRE(c.special == 2 * 7 * 5 * (3 + 5));
  const LinearScan l{.batch = 2, .tokens = 7, .channels = 5};
  REQUIRE(of(Backward<LinearScan>{l}).vector_flops.count() == 3 * 70);
  REQUIRE(of(Backward<LinearScan>{l}).bytes().count() == 2 * (3 + 2) * 70);
}

TEST_CASE("a GEMM has two gradients of its own size, transposed as they lie in memory") {
  const Node node{"up", Gemm{.m = 300, .n = 70, .k = 40, .bias = true}};
  const std::vector<Operator> back = ops_of(backward_of(node, {NumberFormat::fp32, true}));
  REQUIRE(back.size() == 3);
  const Gemm& input = std::get<Gemm>(back[0]);
  REQUIRE((input.m == 300 && input.n == 40 && input.k == 70));
  REQUIRE((input.weight_transposed && !input.activation_transposed && !input.accumulates && input.weights_are_static));
  const Gemm& weight = std::get<Gemm>(back[1]);
  REQUIRE((weight.m == 70 && weight.n == 40 && weight.k == 300));
  REQUIRE((weight.weight_transposed && weight.activation_transposed && weight.accumulates));
  REQUIRE(weight.output == NumberFormat::fp32);
  REQUIRE(of(input).matrix_flops == of(node.op).matrix_flops);
  REQUIRE(of(weight).matrix_flops == of(node.op).matrix_flops);
  REQUIRE(of(weight).read_bytes.count() == 2 * 300 * (70 + 40) + 4 * 70 * 40);  // what the sum holds is read
  REQUIRE(of(weight).written_bytes.count() == 4 * 70 * 40);
  REQUIRE(std::get<ColumnSum>(back[2]).columns == 70);
  // Batched, and of experts.
  const BatchedGemm b{.batch = 3, .m = 5, .n = 7, .k = 11};
  for (const Operator& op : ops_of(backward_of(Node{"bmm", b}, {}))) {
    REQUIRE(of(op).matrix_flops == of(b).matrix_flops);
  }
  const GroupedGemm grouped{.experts = 4, .rows = 64, .n = 24, .k = 16, .top_k = 2};
  const std::vector<Operator> experts = ops_of(backward_of(Node{"experts", grouped}, {}));
  REQUIRE(experts.size() == 2);
  for (const Operator& op : experts) REQUIRE(of(op).matrix_flops == of(grouped).matrix_flops);
  REQUIRE(of(experts[1]).written_bytes.count() == 2 * 4 * 24 * 16);
}

TEST_CASE("a result wider than its operands: its gradient is converted before both products") {
  // Router logits in fp32 from bf16 products.
  const Gemm router{.m = 300, .n = 8, .k = 40, .output = NumberFormat::fp32};
  const std::vector<Operator> back = ops_of(backward_of(Node{"router", router}, {}));
  REQUIRE(back.size() == 3);
  const Elementwise& cast = std::get<Elementwise>(back[0]);
  REQUIRE((cast.kind == ElementwiseKind::copy && cast.elements == 300 * 8));
  REQUIRE((cast.input == NumberFormat::fp32 && cast.output == NumberFormat::bf16));
  REQUIRE(std::get<Gemm>(back[1]).activation == NumberFormat::bf16);
  REQUIRE(std::get<Gemm>(back[2]).activation == NumberFormat::bf16);
}

TEST_CASE("the gradients of a batched product whose B lies transposed") {
  // C[m,n] = A[m,k] B[n,k]^T: dA[m,k] = dC[m,n] B[n,k]; dB[n,k] = dC[m,n]^T A[m,k].
  const BatchedGemm scores{.batch = 3, .m = 5, .n = 7, .k = 11, .weight_transposed = true};
  const std::vector<Operator> back = ops_of(backward_of(Node{"scores", scores}, {}));
  const BatchedGemm& a = std::get<BatchedGemm>(back.at(0));
  REQUIRE((a.m == 5 && a.n == 11 && a.k == 7 && !a.activation_transposed && !a.weight_transposed));
  const BatchedGemm& b = std::get<BatchedGemm>(back.at(1));
  REQUIRE((b.m == 7 && b.n == 11 && b.k == 5 && b.activation_transposed && !b.weight_transposed));
  const BatchedGemm unread{.batch = 3, .m = 5, .n = 7, .k = 11, .activation_transposed = true};
  REQUIRE_THROWS_AS(backward_of(Node{"unread", unread}, {}), ConfigError);
}

TEST_CASE("gradients pass through additions, rotations turn back, the loss is its own gradient") {
  REQUIRE(backward_of(Node{"add", Elementwise{ElementwiseKind::add, 8}}, {}).empty());
  REQUIRE(backward_of(Node{"loss", CrossEntropy{4, 8}}, {}).empty());
  REQUIRE(backward_of(Node{"positions", Rotary{4, 2, 2, 8, 0}}, {}).empty());
  const std::vector<Node> turned = backward_of(Node{"rotary", Rotary{4, 2, 1, 8, 8, true}}, {});
  REQUIRE(turned.size() == 1);
  REQUIRE_FALSE(std::get<Rotary>(turned[0].op).writes_kv_cache);
  REQUIRE_THROWS_AS(backward_of(Node{"optimiser", AdamW{8}}, {}), ConfigError);
}

TEST_CASE("a result with two readers has its gradients added, one with two halves has not") {
  Section twice("s", 1);
  const auto x = twice.add("x", Gemm{.m = 8, .n = 16, .k = 4});
  twice.add("a", Gemm{.m = 8, .n = 4, .k = 16}, {x});
  twice.add("b", Gemm{.m = 8, .n = 4, .k = 16}, {x});
  const std::vector<Node> back = backward_of(twice, {});
  REQUIRE(back.size() == 7);
  const Elementwise& sum = std::get<Elementwise>(back[4].op);
  REQUIRE((sum.kind == ElementwiseKind::add && sum.elements == 8 * 16));
  REQUIRE(saved_bytes(twice, Recomputation::none).count() == 2 * (8 * 16 + 8 * 4 + 8 * 4));  // x once, the last two

  Section halves("s", 1);
  const auto qk = halves.add("qk", Gemm{.m = 8, .n = 16, .k = 4});
  halves.add("q", Norm{NormKind::rms, 8, 12}, {qk});
  halves.add("k", Norm{NormKind::rms, 8, 4}, {qk});
  REQUIRE(backward_of(halves, {}).size() == 4);
}

TEST_CASE("AdamW: 16 bytes kept per parameter in mixed precision, 28 moved") {
  const Cost c = of(AdamW{1000});
  REQUIRE(c.read_bytes.count() == 1000 * (2 + 12));
  REQUIRE(c.written_bytes.count() == 1000 * (12 + 2));
  REQUIRE(c.vector_flops.count() == 14000);
  const Cost fp32 = of(AdamW{1000, NumberFormat::fp32, NumberFormat::fp32, false});
  REQUIRE(fp32.bytes().count() == 1000 * (4 + 4 + 8 + 8 + 4));
  REQUIRE_THROWS_AS(of(AdamW{0}), ConfigError);
}

TEST_CASE("the loss reads the logits once and leaves their gradient") {
  const Cost c = of(CrossEntropy{10, 100});
  REQUIRE(c.read_bytes.count() == 2 * 1000 + 40);
  REQUIRE(c.written_bytes.count() == 2 * 1000 + 40);
}

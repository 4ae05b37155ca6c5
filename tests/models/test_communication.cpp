// SPDX-License-Identifier: Apache-2.0
// Communication as an operator: local bytes by definition, and the pairs of forward and backward of Megatron-LM.
#include "catch.h"
#include "models/graph/backward.h"
#include "models/graph/communication.h"
#include "models/graph/graph.h"
#include "sim/base/error.h"

using namespace lightcone;
using namespace lightcone::models;

namespace {

Communication of(CollectiveKind kind) { return {kind, ParallelAxis::tensor, 4, 1000, NumberFormat::bf16}; }

std::vector<Node> backward(CollectiveKind kind) { return backward_of(Node{"c", of(kind)}, {}); }

CollectiveKind kind_of(const Node& node) { return std::get<Communication>(node.op).kind; }

}  // namespace

TEST_CASE("a collective reads and writes its own part or all, and computes nothing") {
  const auto check = [](CollectiveKind kind, std::uint64_t read, std::uint64_t written) {
    const Cost c = cost(of(kind));
    INFO(name(kind));
    REQUIRE(c.read_bytes.count() == read);
    REQUIRE(c.written_bytes.count() == written);
    REQUIRE(c.flops().count() == 0);
    REQUIRE(c.weight_bytes.count() == 0);
  };
  check(CollectiveKind::all_reduce, 2000, 2000);
  check(CollectiveKind::reduce_scatter, 2000, 500);
  check(CollectiveKind::all_gather, 500, 2000);
  check(CollectiveKind::all_to_all, 2000, 2000);
  REQUIRE_THROWS_AS(cost(Communication{CollectiveKind::all_reduce, ParallelAxis::tensor, 4, 0}), ConfigError);
  REQUIRE_THROWS_AS(cost(Communication{CollectiveKind::all_reduce, ParallelAxis::tensor, 0, 4}), ConfigError);
}

TEST_CASE("the backward of a sum over ranks is the identity, that of a gather a scattered sum") {
  REQUIRE(backward(CollectiveKind::all_reduce).empty());
  const std::vector<Node> gathered = backward(CollectiveKind::all_gather);
  REQUIRE(gathered.size() == 2);  // the part is gathered again for the gradient of the weights
  REQUIRE(kind_of(gathered[0]) == CollectiveKind::all_gather);
  REQUIRE(kind_of(gathered[1]) == CollectiveKind::reduce_scatter);
  REQUIRE(std::get<Communication>(gathered[1].op).elements == 1000);
  REQUIRE(kind_of(backward(CollectiveKind::reduce_scatter).at(0)) == CollectiveKind::all_gather);
  REQUIRE(kind_of(backward(CollectiveKind::all_to_all).at(0)) == CollectiveKind::all_to_all);
  REQUIRE_THROWS_AS(backward(CollectiveKind::broadcast), ConfigError);
}

TEST_CASE("the gradient of the input of columns of a matrix is summed after its product") {
  const Node columns{"up", Gemm{.m = 8, .n = 16, .k = 4}, of(CollectiveKind::all_reduce)};
  const std::vector<Node> nodes = backward_of(columns, {});
  REQUIRE(nodes.size() == 3);
  REQUIRE(nodes[2].name == "up_gradient_reduce");
  REQUIRE(kind_of(nodes[2]) == CollectiveKind::all_reduce);
}

TEST_CASE("of a gathered tensor the own part is saved") {
  const auto saved = [](bool gathers) {
    Section s("layer", 1);
    const Section::Index norm = s.add("norm", Norm{.rows = gathers ? 2u : 8u, .columns = 64}, {});
    const Section::Index input =
        gathers ? s.add("gather", Communication{CollectiveKind::all_gather, ParallelAxis::tensor, 4, 8 * 64}, {norm})
                : norm;
    s.add("up", Gemm{.m = 8, .n = 32, .k = 64}, {input});
    return saved_bytes(s, Recomputation::none).count();
  };
  const std::uint64_t statistics = 4;  // of a row of the norm, whose other input is not in the section
  const std::uint64_t last = 8 * 32 * 2;
  REQUIRE(saved(false) == 8 * 64 * 2 + 8 * statistics + last);
  REQUIRE(saved(true) == 2 * 64 * 2 + 2 * statistics + last);
}

// SPDX-License-Identifier: Apache-2.0
// Measured collectives to operators: kinds, sizes, libraries, and what is no test of a collective.
#include <map>
#include <string>

#include "catch.h"
#include "scenarios/validate/row_to_operator.h"

using namespace lightcone;
using namespace lightcone::scenarios;

namespace {

OperatingPoint row(const std::string& op, const std::map<std::string, std::string>& params,
                   const std::string& kernel = "nccl-tests") {
  OperatingPoint point;
  point.source = "aiconfigurator:nccl-2.29.2";
  point.gpu = "H100-SXM-80GB";
  point.op = op;
  point.dtype = "fp16";
  point.kernel = kernel;
  point.params = params;
  return point;
}

}  // namespace

TEST_CASE("a row of a collective: kind, bytes as nccl-tests counts them, ranks and nodes") {
  const std::map<std::string, models::CollectiveKind> kinds{{"all_reduce", models::CollectiveKind::all_reduce},
                                                            {"all_gather", models::CollectiveKind::all_gather},
                                                            {"reduce_scatter", models::CollectiveKind::reduce_scatter},
                                                            {"all_to_all", models::CollectiveKind::all_to_all},
                                                            {"send_recv", models::CollectiveKind::send_receive}};
  for (const auto& [name, kind] : kinds) {
    const RowMapping mapping = map_row(row(name, {{"bytes", "4096"}, {"ranks", "8"}, {"nodes", "2"}}));
    INFO(name << " " << mapping.reason);
    REQUIRE(mapping.mapped.has_value());
    const auto& op = std::get<models::Communication>(mapping.mapped->operators.at(0));
    REQUIRE(op.kind == kind);
    REQUIRE(storage(op.format, op.elements).count() == 4096);
    REQUIRE(op.ranks == 8);
    REQUIRE(mapping.mapped->nodes == 2);
    REQUIRE(mapping.mapped->collective.library == CollectiveLibrary::nccl);
  }
}

TEST_CASE("the servers' own all-reduces; calls from Python are no test") {
  const std::map<std::string, std::string> params{{"bytes", "4096"}, {"ranks", "4"}};
  REQUIRE(map_row(row("all_reduce", params, "vLLM_custom_graph")).mapped->collective.library ==
          CollectiveLibrary::vllm);
  REQUIRE(map_row(row("all_reduce", params, "TRTLLM")).mapped->collective.library == CollectiveLibrary::tensorrt_llm);
  REQUIRE(map_row(row("all_reduce", params, "SGLang_CustomAllReduce_eager")).reason.find("host") != std::string::npos);
}

TEST_CASE("sizes that make no collective are refused with a reason") {
  const auto reason = [](const std::map<std::string, std::string>& params) {
    return map_row(row("all_reduce", params)).reason;
  };
  REQUIRE(reason({{"bytes", "4096"}, {"ranks", "1"}}).find("one rank") != std::string::npos);
  REQUIRE(reason({{"bytes", "4096"}, {"ranks", "9"}, {"nodes", "2"}}).find("divide") != std::string::npos);
  REQUIRE_FALSE(reason({{"bytes", "0"}, {"ranks", "8"}}).empty());
  REQUIRE_FALSE(reason({{"bytes", "18446744073709551616"}, {"ranks", "8"}}).empty());
  REQUIRE_FALSE(reason({{"bytes", "4096"}, {"ranks", "-2"}}).empty());
  REQUIRE_FALSE(reason({{"ranks", "8"}}).empty());
}

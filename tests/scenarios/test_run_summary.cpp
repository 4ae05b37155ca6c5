// SPDX-License-Identifier: Apache-2.0
// Totals, bottlenecks, memory, expected error and their texts, on a pass that can be worked out on paper.
#include <fstream>
#include <nlohmann/json.hpp>

#include "catch.h"
#include "scenarios/run/result_io.h"
#include "scenarios/run/result_json.h"
#include "scenarios/run/summary.h"
#include "scenarios/run_values.h"
#include "temporary_folder.h"

using namespace lightcone;
using namespace lightcone::scenarios;

TEST_CASE("totals of a pass follow from its operators and repeats") {
  const RunResult r = test::summarised(test::example());
  REQUIRE(r.operators.size() == 3);
  REQUIRE(r.kernels.size() == 2);
  REQUIRE(r.kernels[0].launches == 5);
  REQUIRE(r.kernels[1].launches == 8);
  REQUIRE(r.latency.count() == Approx(580e-6));
  REQUIRE(r.tokens_per_second == Approx(58 / 580e-6));
  REQUIRE(r.model_flops_utilisation == Approx(5 * 20.0 / 580));  // five GEMMs of 20 us at peak
  REQUIRE(r.hbm_utilisation == Approx((5 * 1e6 + 8 * 5e5) / (100e9 * 580e-6)));
  REQUIRE(r.energy.count() == Approx(580 * 1e-4));
  REQUIRE(r.joules_per_token == Approx(580 * 1e-4 / 58));
  REQUIRE(r.mean_clock.count() == Approx(8e8));
  REQUIRE(r.memory.front().name == "weights");  // largest first
  REQUIRE(r.provenance.simulated_fraction == Approx(0.5));
  REQUIRE(r.provenance.calibrated.front() == "launch.graph_kernel");
  REQUIRE(r.provenance.assumed.front() == "l2.ways");
}

TEST_CASE("the reasons of an operator sum to its time, launch gaps included") {
  const RunResult r = test::summarised(test::example());
  for (const OperatorRow& row : r.operators) {
    double sum = 0;
    for (const double seconds : row.reason_seconds) sum += seconds;
    REQUIRE(sum == Approx(row.time.count()));
  }
  const auto launch = static_cast<std::size_t>(CycleReason::launch);
  REQUIRE(r.operators[0].reason_seconds[launch] == Approx(10e-6));  // the tenth that is not kernel body
  REQUIRE(r.operators[0].reason_seconds[static_cast<std::size_t>(CycleReason::tensor)] == Approx(72e-6));
  REQUIRE(r.operators[0].bound_by == "tensor");
}

TEST_CASE("bottlenecks are parts of operators, summed over repeats, largest first") {
  const RunResult r = test::summarised(test::example());
  REQUIRE(r.bottlenecks.size() == 3);
  REQUIRE(r.bottlenecks[0].operator_name == "up");
  REQUIRE(r.bottlenecks[0].reason == CycleReason::tensor);
  REQUIRE(r.bottlenecks[0].time.count() == Approx(4 * 72e-6));
  REQUIRE(r.bottlenecks[0].share == Approx(4 * 72.0 / 580));
  // 4 x 18 us of "up" waiting for HBM, and as long for the head's tensor part: either order.
  REQUIRE(r.bottlenecks[1].time.count() == Approx(72e-6));
  REQUIRE(r.bottlenecks[2].time.count() == Approx(72e-6));
}

TEST_CASE("a kernel without a result fails the run and is named") {
  test::Example e = test::example();
  e.kernels[1].error = "ended by signal 11";
  try {
    test::summarised(e);
    FAIL("no error");
  } catch (const RunError& error) {
    REQUIRE(std::string(error.what()).find("norm (layer), kernel norm_bb: ended by signal 11") != std::string::npos);
  }
}

TEST_CASE("a collective is an operator whose time is communication, with the links' energy shared by the GPUs") {
  const test::Example e = test::with_collective();
  const RunResult result = test::summarised(e), alone = test::summarised(test::example());
  REQUIRE(result.latency.count() == Approx(580e-6 + 4 * 50e-6));
  REQUIRE(result.exposed_communication().count() == Approx(4 * 45e-6).epsilon(1e-3));
  const OperatorRow& row = result.operators.at(2);
  REQUIRE(row.kind == "all_reduce");
  REQUIRE(row.bound_by == "link nvlink4");
  REQUIRE(row.launch.count() == Approx(5e-6));
  double reasons = 0;
  for (const double seconds : row.reason_seconds) reasons += seconds;
  REQUIRE(reasons == Approx(row.time.count()));
  REQUIRE(row.hbm_bytes == Bytes(400000));
  REQUIRE(result.kernels.at(row.kernels.at(0)).result.energy.links.count() == Approx(8e-3 / 4));
  REQUIRE(result.gpus == 4);
  REQUIRE(result.plan == "tensor 4");
  REQUIRE(result.tokens_per_second_per_gpu() == Approx(result.tokens_per_second / 4));
  REQUIRE(result.energy.count() == Approx(4 * (alone.energy.count() + 4 * row.energy.count())));
  const std::string text = summary(result);
  REQUIRE(text.find("tokens/s/GPU") != std::string::npos);
  REQUIRE(text.find("exposed") != std::string::npos);
  const auto read = parse_run_result(serialise(result));
  REQUIRE(read);
  REQUIRE(serialise(*read) == serialise(result));
  REQUIRE(read->kernels.at(row.kernels.at(0)).messages->links.at(0).wire == Bytes(300000));
  REQUIRE(to_json(result).find("\"wire_bytes\": 300000") != std::string::npos);
}

TEST_CASE("what does not fit names the three biggest owners and the bytes over") {
  const std::vector<MemoryOwner> owners{{"workspace", Bytes(5)},
                                        {"KV cache", Bytes(3ull << 30)},
                                        {"weights", Bytes(16ull << 30)},
                                        {"activations", Bytes(1ull << 30)}};
  REQUIRE_NOTHROW(check_memory(owners, Bytes((20ull << 30) + 5), "gpu"));
  try {
    check_memory(owners, Bytes(20ull << 30), "gpu_x");
    FAIL("no error");
  } catch (const ConfigError& error) {
    const std::string text = error.what();
    REQUIRE(text.find("does not fit the memory of gpu_x") != std::string::npos);
    REQUIRE(text.find(" 5 bytes (5 B) over") != std::string::npos);
    REQUIRE(text.find("biggest: weights 16.00 GiB (17179869184 bytes), KV cache 3.00 GiB") != std::string::npos);
    REQUIRE(text.find("activations") != std::string::npos);
    REQUIRE(text.find("workspace") == std::string::npos);
  }
}

TEST_CASE("the committed table is found and has the classes of the shipped models") {
  const ValidationTable table = ValidationTable::load(validation_table_file());
  const auto known = [&](const models::Operator& op, double seconds) {
    return table.find("H100 SXM5 80GB", Evaluator::analytical, validation_class(op), Seconds(seconds)).has_value();
  };
  REQUIRE(known(models::Gemm{4096, 4096, 4096}, 200e-6));
  models::Gemm gemm{4096, 4096, 4096};
  gemm.activation = gemm.weight = NumberFormat::fp8_e4m3;
  REQUIRE(known(gemm, 200e-6));
  REQUIRE(known(models::Norm{models::NormKind::rms, 4096, 4096}, 20e-6));
  gemm.activation = NumberFormat::bf16;
  REQUIRE_FALSE(known(gemm, 200e-6));  // nobody measured fp8 weights with bf16 activations
}

TEST_CASE("the expected error comes from the class's row, else the pass is unvalidated") {
  const test::TemporaryFolder folder;
  const auto file = folder.path() / "table.csv";
  std::ofstream(file) << "gpu,evaluator,op,dtype,region,half,points,median_percent,mean_percent\n"
                         "test_gpu,cycle,gemm,bf16,10us_100us,held_out,400,5.5,8\n"
                         "test_gpu,cycle,gemm,bf16,100us_1ms,held_out,400,5.5,8\n"
                         "test_gpu,cycle,rmsnorm,bf16,over_1ms,all,10,50,60\n";
  const test::Example e = test::example();
  const RunResult r = summarise_pass(e.input, e.mapped, e.kernels, ValidationTable::load(file));
  REQUIRE(r.operators[0].expected_error->median_absolute_percent == 5.5);
  REQUIRE_FALSE(r.operators[1].expected_error);  // another size region
  REQUIRE(r.validated_share == Approx(500.0 / 580));
  REQUIRE(summary(r).find("5.5 % median, 8.0 % mean") != std::string::npos);
  REQUIRE(summary(r).find("13.8 % of the time is unvalidated") != std::string::npos);
  // Constants that saw both halves make in-sample figures, whichever half they are of.
  REQUIRE(summary(r).find("in-sample") != std::string::npos);
  RunResult held_out = summarise_pass(e.input, e.mapped, e.kernels, ValidationTable::load(file, true));
  REQUIRE(summary(held_out).find("held-out") != std::string::npos);
  REQUIRE(summary(*parse_run_result(serialise(held_out))) == summary(held_out));
  REQUIRE(summary(test::summarised(e)).find("unvalidated: no measured data") != std::string::npos);
  REQUIRE(ValidationTable::load(folder.path() / "absent.csv").size() == 0);
  std::ofstream(file, std::ios::app) << "test_gpu,cycle,gemm,bf16,over_1ms,all,many,1,2\n";
  REQUIRE_THROWS_AS(ValidationTable::load(file), ConfigError);
  std::ofstream(file) << "gpu,evaluator,op,dtype,region,half,points,median_percent,mean_percent\n"
                         "test_gpu,cycle,gemm,bf16,over_1ms,third,1,1,2\n";
  REQUIRE_THROWS_WITH(ValidationTable::load(file), Catch::Contains("half must be all, calibration or held_out"));
  // A part that is in-sample makes the whole so.
  std::ofstream(file) << "gpu,evaluator,op,dtype,region,half,points,median_percent,mean_percent\n"
                         "test_gpu,cycle,gemm,bf16,100us_1ms,held_out,400,5.5,8\n"
                         "test_gpu,cycle,rmsnorm,fp16,10us_100us,all,10,50,60\n";
  held_out = summarise_pass(e.input, e.mapped, e.kernels, ValidationTable::load(file, true));
  REQUIRE(held_out.operators[1].expected_error);
  REQUIRE(summary(held_out).find("in-sample") != std::string::npos);
}

TEST_CASE("size regions meet at their edges") {
  REQUIRE(size_region(Seconds(9.99e-6)) == "under_10us");
  REQUIRE(size_region(Seconds(10e-6)) == "10us_100us");
  REQUIRE(size_region(Seconds(99.9e-6)) == "10us_100us");
  REQUIRE(size_region(Seconds(1e-3)) == "over_1ms");
}

TEST_CASE("measured data's names for operators") {
  models::Attention attention;
  attention.q_len = 1;
  REQUIRE(validation_class(attention).op == "attention_decode");
  attention.q_len = 128;
  REQUIRE(validation_class(attention).op == "attention_prefill");
  models::Norm norm;
  REQUIRE(validation_class(norm).op == "rmsnorm");
  norm.kind = models::NormKind::layer;
  REQUIRE(validation_class(norm).op == "layernorm");
  REQUIRE(validation_class(models::BatchedGemm{}).op == "bmm");
}

TEST_CASE("a run result survives the way to bytes and back, and damage is seen") {
  test::Example e = test::example();
  e.input.nodes[0].name = "q\"uoted";
  RunResult r = test::summarised(e);
  r.operators[1].expected_error = ErrorEstimate{7, 1.5, 2.5};
  r.expected_error = ErrorEstimate{8, 3.5, 4.5};
  const std::string bytes = serialise(r);
  const auto back = parse_run_result(bytes);
  REQUIRE(back);
  REQUIRE(serialise(*back) == bytes);
  REQUIRE(to_json(*back) == to_json(r));  // every field that JSON shows came back
  REQUIRE(summary(*back) == summary(r));
  REQUIRE_FALSE(parse_run_result(bytes.substr(0, bytes.size() / 3)));
  REQUIRE_FALSE(parse_run_result("nonsense"));
}

TEST_CASE("JSON holds the totals and every operator, with units in the keys") {
  const auto json = nlohmann::json::parse(to_json(test::summarised(test::example())));
  REQUIRE(json["totals"]["latency_ms"].get<double>() == Approx(0.58));
  REQUIRE(json["operators"].size() == 3);
  REQUIRE(json["operators"][0]["reasons_us"]["tensor"].get<double>() == Approx(72));
  REQUIRE(json["operators"][0]["achieved_tflops_per_s"].get<double>() == Approx(2.0));
  REQUIRE(json["memory"]["owners"][0]["name"] == "weights");
  REQUIRE(json["expected_error"] == "unvalidated");
  REQUIRE(json["kernels"][1]["launches"] == 8);
}

TEST_CASE("energy is marked as not validated, and a power limit that is not held is said") {
  test::Example e = test::example();
  const RunResult held = test::summarised(e);
  REQUIRE(summary(held).find("W mean (not validated: no measured energy was compared)") != std::string::npos);
  REQUIRE(summary(held).find("power limit") == std::string::npos);
  REQUIRE(nlohmann::json::parse(to_json(held))["provenance"]["energy"] == std::string(kEnergyCaveat));
  for (EvaluatedKernel& kernel : e.kernels) kernel.result.power_limit_held = kernel.result.program != "norm_bb";
  const RunResult over = test::summarised(e);  // the norm: 4 x 20 of 580 us
  REQUIRE(over.over_power_limit_share() == Approx(80.0 / 580));
  REQUIRE(summary(over).find("power limit     not held: kernels of 13.8 % of the time") != std::string::npos);
  const auto json = nlohmann::json::parse(to_json(over));
  REQUIRE(json["totals"]["over_power_limit_share_of_time"].get<double>() == Approx(80.0 / 580));
  REQUIRE(json["kernels"][0]["power_limit_held"] == true);
  REQUIRE(json["kernels"][1]["power_limit_held"] == false);
}

TEST_CASE("the summary says what the issue of the run is, in a few lines") {
  const std::string text = summary(test::summarised(test::example()));
  for (const char* part :
       {"throughput", "100000.0 tokens/s", "latency", "580.00 us", "MFU", "17.2 %", "HBM use", "memory", "energy",
        "clock", "800 MHz mean of 1000 MHz boost", "bottlenecks", "up: tensor cores busy", "expected error"}) {
    INFO(part << "\n" << text);
    REQUIRE(text.find(part) != std::string::npos);
  }
  REQUIRE(std::count(text.begin(), text.end(), '\n') <= 16);
}

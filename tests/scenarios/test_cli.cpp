// SPDX-License-Identifier: Apache-2.0
// The program from outside: exit codes, what stands on which output, and that nothing is left behind by wrong input.
#include <nlohmann/json.hpp>
#include <sstream>

#include "catch.h"
#include "program.h"
#include "sim/base/csv.h"

using namespace lightcone;
using test::Outcome;
using test::Program;

namespace {

const std::string kScenario = "scenarios/files/llama3_8b_h100.textproto";
const std::string kFast = " --fidelity analytical --no-plots ";

bool says(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("run prints a summary, writes a folder, and the later commands read it") {
  const Program lightcone;
  const std::string folder = (lightcone.folder() / "run").string();
  const Outcome run = lightcone("run " + kScenario + kFast + "--out " + folder);
  INFO(run.error);
  REQUIRE(run.code == 0);
  for (const char* word : {"throughput", "latency", "MFU", "memory", "energy", "clock", "bottlenecks", "unvalidated"}) {
    INFO(word);
    REQUIRE(says(run.out, word));
  }
  for (const char* file : {"scenario.textproto", "result.json", "result.pb", "operators.csv", "kernels.csv",
                           "utilisation.csv", "timeline.pftrace"}) {
    INFO(file);
    REQUIRE(std::filesystem::file_size(std::filesystem::path(folder) / file) > 0);
  }
  const Outcome again = lightcone("run " + kScenario + kFast + "--json --quiet --out " + folder);
  REQUIRE(again.code == 0);
  REQUIRE(again.error.empty());
  REQUIRE(nlohmann::json::parse(again.out)["totals"]["latency_ms"].get<double>() > 0);
  REQUIRE(again.out == test::read_file(std::filesystem::path(folder) / "result.json"));

  REQUIRE(lightcone("report --no-plots " + folder).out == run.out);
  const Outcome explained = lightcone("explain " + folder);
  INFO(explained.error);
  REQUIRE(explained.code == 0);
  REQUIRE(says(explained.out, "limited by: "));
  REQUIRE(says(explained.out, "10 % better saves: "));
  REQUIRE(nlohmann::json::parse(lightcone("explain --json " + folder).out).is_object());
}

TEST_CASE("a set value changes the machine and a wrong path suggests the right one") {
  const Program lightcone;
  const std::string out = " --json --out " + (lightcone.folder() / "run").string();
  const std::string decode = "run llama3_8b_decode_h100" + kFast;
  const auto latency = [&](const std::string& extra) {
    const Outcome outcome = lightcone(decode + extra + out);
    INFO(outcome.error);
    REQUIRE(outcome.code == 0);
    return nlohmann::json::parse(outcome.out)["totals"]["latency_ms"].get<double>();
  };
  REQUIRE(latency("--set machine.gpu.hbm.stacks=8") < latency(""));
  const Outcome wrong = lightcone(decode + "--set machine.gpu.hbm.stack=8" + out);
  REQUIRE(wrong.code == 2);
  REQUIRE(says(wrong.error, "stacks"));
}

TEST_CASE("wrong input ends with 2, says what is wrong and writes nothing") {
  const Program lightcone;
  const std::string folder = (lightcone.folder() / "run").string();
  const auto refuse = [&](const std::string& arguments, const std::string& message) {
    const Outcome outcome = lightcone(arguments);
    INFO(arguments + "\n" + outcome.out + outcome.error);
    CHECK(outcome.code == 2);
    CHECK(outcome.out.empty());
    CHECK(says(outcome.error, message));
    CHECK_FALSE(std::filesystem::exists(folder));
  };
  const std::string out = kFast + "--out " + folder;
  refuse("rnu " + kScenario, "did you mean \"run\"");
  refuse("run llama3_8b_h10" + out, "llama3_8b_h100");
  refuse("run no/such/file.textproto" + out, "no/such/file.textproto");
  refuse("run " + kScenario + out + " --set machine=h100_smx", "h100_sxm");
  refuse("run " + kScenario + out + " --set workload.prefill.batch=0", "batch");
  refuse("run " + kScenario + out + " --set workload.prefill.batch=-1", "batch");
  refuse("run " + kScenario + out + " --set model=gpt3_175b --set workload.prefill.prompt_tokens=2048",
         "weights");  // does not fit: the owners are named
  refuse("run " + lightcone.file("typo.textproto", "modl { base: \"llama3_8b\" }\n") + out, ":1:1: ");
  refuse("run " + lightcone.file("binary.textproto", std::string("\x00\x01\xff\xfe model", 10)) + out, "binary");
  refuse("explain " + lightcone.folder().string(), "not a run folder");
  refuse("describe h100_smx", "h100_sxm");
  refuse("check " + lightcone.file("bad.textproto", "gpu { sm_count: -3 hbm { stack: 2 } }\n"), "sm_count");
  refuse("import " + lightcone.file("config.json", "{\"model_type\": \"llama\"}"), "hidden_size");
  refuse("predict " + lightcone.file("points.csv", "a,b\n1,2\n"), "source");
}

TEST_CASE("a folder that is not ours and a folder that cannot be written are left alone") {
  const Program lightcone;
  const std::string mine = lightcone.file("precious", "do not lose me");
  const Outcome file = lightcone("run " + kScenario + kFast + "--out " + mine);
  REQUIRE(file.code == 2);
  REQUIRE(test::read_file(mine) == "do not lose me");
  const Outcome below = lightcone("run " + kScenario + kFast + "--out /proc/nowhere/run");
  REQUIRE(below.code == 1);
  REQUIRE(says(below.error, "/proc/nowhere"));
}

TEST_CASE("an output that cannot be written is a failure") {
  const Program lightcone;
  REQUIRE(lightcone("list machines", "/dev/full").code == 1);
}

TEST_CASE("list, describe and check know every shipped entry") {
  const Program lightcone;
  for (const std::string what : {"models", "machines", "workloads", "scenarios"}) {
    const Outcome list = lightcone("list " + what + " --json");
    REQUIRE(list.code == 0);
    const auto entries = nlohmann::json::parse(list.out);
    REQUIRE(entries.size() >= 2);
    for (const auto& entry : entries) {
      const std::string name = entry["name"];
      INFO(name);
      const Outcome described = lightcone("describe --json " + name);
      INFO(described.error);
      REQUIRE(described.code == 0);
      REQUIRE(nlohmann::json::parse(described.out)["kind"] == what.substr(0, what.size() - 1));
    }
  }
  REQUIRE(says(lightcone("describe llama3_8b").out, "8030261248"));
  REQUIRE(says(lightcone("describe h100_sxm").out, "hbm.stacks"));
  REQUIRE(says(lightcone("check " + kScenario).out, "no fault"));
  REQUIRE(says(lightcone("check hardware/catalog/h100_sxm.textproto").out, "a machine, no fault"));
  REQUIRE(says(lightcone("check scenarios/files/hbm_stacks_sweep.textproto").out, "5 points"));
  REQUIRE(says(lightcone("list ops").out, "attention"));
}

TEST_CASE("check --json gives every fault with its place, and the exit code stays") {
  const Program lightcone;
  const Outcome sound = lightcone("check --json " + kScenario);
  REQUIRE(sound.code == 0);
  const auto good = nlohmann::json::parse(sound.out);
  REQUIRE(good["kind"] == "scenario");
  REQUIRE(good["verdict"] == "no fault");
  REQUIRE(good["faults"].empty());
  const std::string file =
      lightcone.file("bad.textproto",
                     "model { base: \"llama3_8b\" }\nmachine { base: \"h100_sxm\" }\n"
                     "workload { base: \"prefill_4k\"\n  prefill { batch: 0 prompt_tokens: -1 } }\n");
  const Outcome wrong = lightcone("check --json " + file);
  INFO(wrong.out + wrong.error);
  REQUIRE(wrong.code == 2);
  REQUIRE(wrong.error.empty());
  const auto bad = nlohmann::json::parse(wrong.out);
  REQUIRE(bad["verdict"] == "faults");
  REQUIRE_FALSE(bad["faults"].empty());
  for (const auto& fault : bad["faults"]) {
    REQUIRE(fault["file"] == file);
    REQUIRE(fault["line"] == 4);
    REQUIRE(fault["column"].get<int>() > 1);
    REQUIRE_FALSE(fault["message"].get<std::string>().empty());
  }
  REQUIRE(nlohmann::json::parse(lightcone("check --json no/such.textproto").out)["faults"].size() == 1);
}

TEST_CASE("run says what it leaves out and what became of an earlier folder") {
  const Program lightcone;
  const std::string out = kFast + "--out " + (lightcone.folder() / "run").string();
  const Outcome first = lightcone("run hbm_stacks_sweep" + out);
  INFO(first.error);
  REQUIRE(first.code == 0);
  REQUIRE(says(first.error, "lightcone sweep hbm_stacks_sweep"));
  REQUIRE_FALSE(says(first.error, "replaced"));
  const Outcome same = lightcone("run hbm_stacks_sweep" + out);
  REQUIRE(says(same.error, "left as it was"));
  const Outcome other = lightcone("run " + kScenario + out + " --set machine.gpu.hbm.stacks=4");
  REQUIRE(says(other.error, "the earlier run in it was replaced"));
  REQUIRE_FALSE(says(other.error, "lightcone sweep"));
}

TEST_CASE("an installed program reads the catalogs that were installed with it") {
  const Program lightcone;
  const std::filesystem::path prefix = lightcone.folder() / "prefix";
  const std::string build = std::filesystem::path(LIGHTCONE_PROGRAM).parent_path().string();
  const std::string log = (lightcone.folder() / "log").string();
  REQUIRE(std::system(
              ("cmake --install '" + build + "' --prefix '" + prefix.string() + "' >'" + log + "' 2>&1").c_str()) == 0);
  std::filesystem::remove(prefix / "share/lightcone/models/zoo/qwen3_8b.textproto");  // the source tree still has it
  const auto installed = [&](const std::string& arguments) {
    const std::string command = "cd / && XDG_CACHE_HOME='" + (lightcone.folder() / "cache").string() + "' '" +
                                (prefix / "bin/lightcone").string() + "' " + arguments + " >'" + log + "' 2>&1";
    REQUIRE(std::system(command.c_str()) == 0);
    return test::read_file(log);
  };
  const std::string models = installed("list models");
  REQUIRE(says(models, "llama3_8b"));
  REQUIRE_FALSE(says(models, "qwen3_8b"));
  const std::string folder = (lightcone.folder() / "run").string();
  REQUIRE(says(installed("run llama3_8b_h100 --fidelity analytical --out " + folder), "throughput"));
  REQUIRE(std::filesystem::exists(folder + "/roofline.svg"));
  REQUIRE(std::filesystem::exists(prefix / "share/lightcone/scenarios/run/validation_table.csv"));
}

TEST_CASE("predict keeps every row in order and gives a time or a reason") {
  const Program lightcone;
  const std::string points =
      lightcone.file("points.csv",
                     "source,gpu,op,params,dtype,extra\n"
                     "s,H100-SXM-80GB,gemm,\"{\"\"m\"\":4096,\"\"n\"\":4096,\"\"k\"\":4096}\",bf16,\"a,b\"\n"
                     "s,H100-SXM-80GB,fft,{},bf16,second\n"
                     "s,Abacus-1,gemm,\"{\"\"m\"\":1,\"\"n\"\":1,\"\"k\"\":1}\",bf16,third\n"
                     "s,Abacus-1,gemm,\"{\"\"m\"\":1,\"\"n\"\":1,\"\"k\"\":1}\",fp32,fourth\n");
  const std::string output = (lightcone.folder() / "predicted.csv").string();
  const Outcome outcome = lightcone("predict " + points + " --fidelity analytical --machine auto --out " + output);
  INFO(outcome.error);
  REQUIRE(outcome.code == 0);
  std::istringstream in(test::read_file(output));
  CsvReader reader(in, output);
  const auto time = reader.required_column("predicted_us"), note = reader.required_column("note");
  const auto extra = reader.required_column("extra"), bound = reader.required_column("bound_by");
  const auto first = reader.next(), second = reader.next(), third = reader.next();
  REQUIRE(std::stod(first->cells[time]) > 139);  // 137 GFLOP at 989 TFLOP/s
  REQUIRE(std::stod(first->cells[time]) < 300);
  REQUIRE(first->cells[bound] == "tensor");
  REQUIRE(first->cells[extra] == "a,b");
  const auto error = reader.required_column("expected_error_percent"), by = reader.required_column("evaluator");
  REQUIRE(std::stod(first->cells[error]) > 0);  // a class of the committed table
  REQUIRE(first->cells[by] == "analytical");
  REQUIRE((second->cells[error].empty() && second->cells[by].empty()));
  REQUIRE(second->cells[time].empty());
  REQUIRE(says(second->cells[note], "fft"));
  REQUIRE(third->cells[time].empty());
  REQUIRE(says(third->cells[note], "Abacus-1"));
  REQUIRE(reader.next().has_value());
  REQUIRE_FALSE(reader.next().has_value());
  // On a machine named by the user every row is predicted, whatever GPU it names.
  const Outcome named = lightcone("predict " + points + " --fidelity analytical --machine a100_sxm_80gb --json");
  const auto rows = nlohmann::json::parse(named.out);
  REQUIRE(rows[0]["predicted_us"].get<double>() > std::stod(first->cells[time]));
  REQUIRE(rows[2]["predicted_us"].is_number());
  REQUIRE(rows[2]["evaluator"] == "analytical");
  REQUIRE(rows[2]["expected_error_percent"].is_number());
  REQUIRE(rows[3]["expected_error_percent"] == "unvalidated");  // no fp32 product was measured on this machine
  REQUIRE(rows[1]["expected_error_percent"].is_null());
}

TEST_CASE("predictions do not depend on the measured time") {
  const Program lightcone;
  const auto predicted = [&](const std::string& time) {
    const std::string points =
        lightcone.file("points.csv",
                       "source,gpu,op,params,dtype,time_us\n"
                       "vidur,H100-SXM-80GB,gemm,\"{\"\"m\"\":512,\"\"n\"\":4096,\"\"k\"\":4096}\",fp16," +
                           time + "\n");
    return nlohmann::json::parse(lightcone("predict --json --fidelity analytical " + points).out)[0]["predicted_us"]
        .get<double>();
  };
  REQUIRE(predicted("1") == predicted("1000000"));
}

TEST_CASE("validate compares, leaves flagged rows out and repeats itself") {
  const Program lightcone;
  std::string text = "source,gpu,op,params,dtype,time_us,flag\n";
  for (int m = 1; m <= 40; ++m) {
    text += "s,H100-SXM-80GB,gemm,\"{\"\"m\"\":" + std::to_string(128 * m) +
            ",\"\"n\"\":4096,\"\"k\"\":4096}\",bf16,100," + (m == 40 ? "above_peak" : "") + "\n";
  }
  const std::string file = lightcone.file("measured.csv", text);
  const std::string table = (lightcone.folder() / "table.csv").string();
  const Outcome all = lightcone("validate --json --fidelity analytical " + file + " --table " + table);
  INFO(all.error);
  REQUIRE(all.code == 0);
  const auto json = nlohmann::json::parse(all.out);
  REQUIRE(json["rows_flagged"] == 1);
  REQUIRE(json["points_compared"] == 39);
  REQUIRE(json["groups"][0]["at_least_10us"]["points"] == 39);
  REQUIRE(says(test::read_file(table), "gemm,bf16"));
  std::size_t in_halves = 0;
  for (const std::string half : {"calibration", "held_out"}) {
    const Outcome one =
        lightcone("validate --json --fidelity analytical " + file + " --half " + half + " --table " + table);
    const auto part = nlohmann::json::parse(one.out);
    REQUIRE(part["half"] == half);
    REQUIRE(part["points_compared"].get<std::size_t>() + part["rows_other_half"].get<std::size_t>() == 39);
    REQUIRE(says(test::read_file(table), "gemm,bf16,100us_1ms," + half + ","));
    in_halves += part["points_compared"].get<std::size_t>();
  }
  REQUIRE(in_halves == 39);
  const std::string sample = "validate --fidelity analytical --sample 10 --seed 3 " + file;
  REQUIRE(says(lightcone(sample).out, "10 points compared"));
  REQUIRE(lightcone(sample).out == lightcone(sample).out);
}

TEST_CASE("a sweep resumes: the second time nothing is computed again") {
  const Program lightcone;
  const std::string folder = (lightcone.folder() / "sweep").string();
  const std::string sweep = "sweep hbm_stacks_sweep" + kFast + "--out " + folder;
  const Outcome first = lightcone(sweep);
  INFO(first.error);
  REQUIRE(first.code == 0);
  REQUIRE(says(first.out, "hbm.stacks  latency ms"));
  const std::string points = test::read_file(std::filesystem::path(folder) / "points.csv");
  REQUIRE(lightcone(sweep).out == first.out);
  REQUIRE(test::read_file(std::filesystem::path(folder) / "points.csv") == points);
  REQUIRE(lightcone("report --no-plots " + folder).out == points);
  REQUIRE(lightcone("sweep " + kScenario + kFast + "--out " + folder).code == 2);
}

TEST_CASE("an imported configuration is a model file that checks and describes") {
  const Program lightcone;
  const std::string config = lightcone.file(
      "config.json", R"({"model_type":"llama","hidden_size":4096,"intermediate_size":14336,"num_attention_heads":32,
      "num_hidden_layers":32,"num_key_value_heads":8,"vocab_size":128256,"max_position_embeddings":8192,
      "hidden_act":"silu","tie_word_embeddings":false,"rms_norm_eps":1e-5})");
  const std::string model = (lightcone.folder() / "model.textproto").string();
  const Outcome imported = lightcone("import " + config + " --out " + model);
  INFO(imported.error);
  REQUIRE(imported.code == 0);
  REQUIRE(says(lightcone("check " + model).out, "a model, no fault"));
  REQUIRE(says(lightcone("describe " + model).out, "8030261248"));
}

// SPDX-License-Identifier: Apache-2.0
// What a newcomer gets wrong, met from outside: misspelt names, impossible sizes, files that are no such file, folders
// and stores in the way. Each time a message that says what to do, the right exit code, and earlier results intact.
#include <iterator>
#include <vector>

#include "catch.h"
#include "program.h"

using namespace lightcone;
using test::Outcome;
using test::Program;
namespace fs = std::filesystem;

namespace {

const std::string kRun = "run llama3_8b_h100 --fidelity analytical --no-plots --quiet";
const std::string kDecode = "run llama3_8b_decode_h100 --fidelity analytical --no-plots --quiet";
// A model small enough to be simulated within a test.
const std::string kSmall =
    "run llama3_8b_h100 --no-plots --set workload.prefill.prompt_tokens=16 --set model.vocabulary=128 "
    "--set model.d_model=256 ";

struct Mistake {
  std::string arguments;
  std::string answer;  // what the message must hold
};

// Exit code 2, nothing on standard output, a short message that holds the answer.
void refuse(const Program& lightcone, const Mistake& mistake) {
  const Outcome outcome = lightcone(mistake.arguments);
  INFO("lightcone " + mistake.arguments + "\n" + outcome.out + outcome.error);
  CHECK(outcome.code == 2);
  CHECK(outcome.out.empty());
  CHECK(outcome.error.find(mistake.answer) != std::string::npos);
  CHECK(outcome.error.size() < 2000);
}

void refuse_all(const std::vector<Mistake>& mistakes) {
  const Program lightcone;
  const std::string out = (lightcone.folder() / "out").string();
  for (const Mistake& mistake : mistakes) {
    const bool runs = mistake.arguments.rfind("run ", 0) == 0;
    refuse(lightcone, {mistake.arguments + (runs ? " --out " + out : ""), mistake.answer});
  }
  CHECK_FALSE(fs::exists(out));
}

std::string scenario(const std::string& model, const std::string& workload) {
  return "model { " + model + " }\nmachine { base: \"h100_sxm\" }\nworkload { " + workload + " }\n";
}

std::size_t entries(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

}  // namespace

TEST_CASE("misspelt commands, options and names are answered with the right ones") {
  refuse_all({{"rnu x", "did you mean \"run\""},
              {"valdate x", "did you mean \"validate\""},
              {"exlain x", "did you mean \"explain\""},
              {"abracadabra", "allowed: run, sweep"},
              {"list model", "did you mean \"models\""},
              {kRun + " --fidelty cycle", "did you mean \"--fidelity\""},
              {kRun + " --sett a=b", "did you mean \"--set\""},
              {kRun + " --job 2", "\"--jobs\""},
              {kRun + " --fidelity analytic", "did you mean \"analytical\""},
              {"describe lama3-8b", "did you mean \"llama3_8b\""},
              {"describe h100", "\"h100_sxm\""},
              {"describe gpt3", "did you mean \"gpt3_175b\""},
              {kRun + " --set model=gtp3_175b", "did you mean \"gpt3_175b\""},
              {kRun + " --set machine=h100_smx", "did you mean \"h100_sxm\""},
              {kRun + " --set workload=prefil", "did you mean \"prefill_4k\""}});
}

TEST_CASE("misspelt paths and values of --set are answered with the right ones") {
  refuse_all({{kRun + " --set machine.gpu.hbm.stack=8", "machine.gpu.hbm.stacks"},
              {kRun + " --set machine.gpu.smcount=8", "machine.gpu.sm_count"},
              {kRun + " --set macine.gpu.sm_count=8", "machine.gpu.sm_count"},
              {kRun + " --set model.vocab=8", "model.vocabulary"},
              {kRun + " --set workload.formats.weights=bf61", "did you mean \"bf16\""},
              {kRun + " --set workload.formats.kv=3", "allowed: fp64"},
              {kRun + " --set workload.launch=grahp", "did you mean \"graph\""},
              {kRun + " --set workload", "path=value"},
              {kRun + " --set machine.gpu.hbm.stacks=", "whole number"}});
}

TEST_CASE("zero, negative, huge and unreadable sizes name the field and what is allowed") {
  refuse_all({{kRun + " --set workload.prefill.batch=0", "workload.prefill.batch: must be from 1"},
              {kRun + " --set workload.prefill.batch=-1", "must not be negative"},
              {kRun + " --set workload.prefill.batch=two", "whole number"},
              {kRun + " --set workload.prefill.batch=1e3", "whole number"},
              {kRun + " --set workload.prefill.batch=99999999999999999999", "too large"},
              {kRun + " --set workload.prefill.batch=1048576", "the work of one pass"},
              {kRun + " --set workload.prefill.prompt_tokens=1000000000", "must be from 1"},
              {kRun + " --set machine.gpu.sm_count=0", "must be from 1"},
              {kRun + " --set machine.gpu.hbm.stacks=1000000", "must be from 1 to 256"},
              {kRun + " --jobs 0", "from 1 to 4096"},
              {"predict x.csv --seed -1", "is not a whole number from 0"},
              {"predict x.csv --sample 0", "is not a whole number from 1"},
              {kDecode + " --set workload.decode.context_tokens=134217728", "KV cache 512.00 TiB"}});
}

TEST_CASE("a model that does not fit names its biggest owners and the bytes over") {
  const Program lightcone;
  const std::string run = kRun + " --set model=gpt3_175b --set workload.prefill.prompt_tokens=2048";
  for (const char* part : {"weights 325", "KV cache 9", "activations ", " bytes (254.65 GiB) over"}) {
    refuse(lightcone, {run + " --out " + (lightcone.folder() / "out").string(), part});
  }
}

TEST_CASE("misspelt fields of a file are all reported, each with line, column and suggestion") {
  const Program lightcone;
  const std::string file = lightcone.file(
      "typos.textproto",
      scenario("base: \"llama3_8b\" vocabulry: 3", "prefill { batchs: 1 } formats { weights: bf17 } launch: grahp"));
  for (const char* answer : {":1:27: model.vocabulry: no such field; did you mean \"vocabulary\"",
                             ":3:22: ", "did you mean \"batch\"", "did you mean \"bf16\"", "did you mean \"graph\""}) {
    refuse(lightcone, {"check " + file, answer});
  }
}

TEST_CASE("files that are cut, binary, empty, enormous, missing or folders are told apart") {
  const Program lightcone;
  const std::string cut = lightcone.file("cut.textproto", "model { base: \"llama3_8b\" }\nmachine { base: \"h100");
  const std::string binary = lightcone.file("binary.textproto", std::string("\x7f"
                                                                            "ELF\x02\x01\0\0\0\xff",
                                                                            10));
  const std::string empty = lightcone.file("empty.textproto", "");
  const std::string enormous = lightcone.file("enormous.textproto", "");
  fs::resize_file(enormous, 100'000'000);  // nonsense: zeros, which take no place on the disk
  const std::string folder = lightcone.folder().string();
  for (const Mistake& mistake : std::vector<Mistake>{{"check " + cut, "never closed"},
                                                     {"check " + binary, "binary"},
                                                     {"run " + empty, "model: is missing"},
                                                     {"check " + enormous, "larger than"},
                                                     {"check nothing.textproto", "no such file"},
                                                     {"check " + folder, "is a folder"},
                                                     {"predict " + binary, "binary"},
                                                     {"predict " + enormous, "binary"},
                                                     {"validate nothing.csv", "cannot be read"},
                                                     {"import " + enormous, "too large"},
                                                     {"import " + folder, "is a folder"},
                                                     {"import nothing.json", "no such file"},
                                                     {"import " + cut, "not JSON"},
                                                     {"explain " + folder, "not a run folder"}}) {
    refuse(lightcone, mistake);
  }
}

TEST_CASE("a configuration that no JSON library likes is refused by name, with exit code 2") {
  const Program lightcone;
  for (const char* text : {"{\"a\": 1e999}", "{\"a\": [1, 2", "\xff\xfe{\"a\": 1}", "", "null", "[[[[[["}) {
    refuse(lightcone, {"import " + lightcone.file("config.json", text), "config.json:"});
  }
  refuse(lightcone, {"import /dev/zero", "too large"});
  const Outcome named =
      lightcone("import --name A --source B " +
                lightcone.file("gpt2.json",
                               "{\"model_type\": \"gpt2\", \"vocab_size\": 9, \"n_embd\": 8, \"n_layer\": 1, "
                               "\"n_head\": 2, \"n_positions\": 4, \"flux\": 1}"));
  CHECK(named.code == 0);
  CHECK(named.out.find("name: \"A\"") == 0);
  CHECK(named.out.find("source: \"B\"") != std::string::npos);
  CHECK(named.error.find("meaning not known, check that the model does not depend on: flux") != std::string::npos);
}

TEST_CASE("a table without the needed column shows the columns it has, and no more than a line of them") {
  const Program lightcone;
  refuse(lightcone, {"predict " + lightcone.file("a.csv", "alpha,beta\n1,2\n"), "the first line names: alpha, beta"});
  refuse(lightcone, {"predict " + lightcone.file("b.csv", "sorce,gpu,op\n1,2,3\n"), "did you mean \"sorce\""});
  refuse(lightcone, {"predict " + lightcone.file("c.csv", std::string(300'000, 'x')), "\"source\" is missing"});
}

TEST_CASE("an output that cannot be written fails at once and leaves nothing") {
  const Program lightcone;
  refuse(lightcone, {kRun + " --out ''", "the path is empty"});
  const Outcome below_file = lightcone(kRun + " --out " + lightcone.file("file", "mine") + "/run");
  INFO(below_file.error);
  CHECK(below_file.code == 1);
  CHECK(below_file.error.find("file") != std::string::npos);
  CHECK(test::read_file(lightcone.folder() / "file") == "mine");
  const Outcome predicted = lightcone("predict " + lightcone.file("p.csv", "source,gpu,op,params,dtype\n") +
                                      " --fidelity analytical --out /proc/nowhere.csv");
  INFO(predicted.error);
  CHECK(predicted.code == 1);
  CHECK(predicted.error.find("/proc/nowhere.csv") != std::string::npos);
}

TEST_CASE("where the result goes is checked before the work") {
  const Program lightcone;
  const std::string points =
      lightcone.file("points.csv",
                     "source,gpu,op,params,dtype,time_us\n"
                     "s,H100-SXM-80GB,gemm,\"{\"\"m\"\":4096,\"\"n\"\":22016,\"\"k\"\":4096}\",bf16,1000\n");
  for (const char* command : {"predict ", "validate ", "validate --table /proc/nowhere/t.csv "}) {
    const bool table = std::string(command).find("--table") != std::string::npos;
    const Outcome outcome = lightcone(command + points + (table ? "" : " --out /proc/nowhere/x"));  // cycle fidelity
    INFO(outcome.error);
    CHECK(outcome.code == 1);
    CHECK(outcome.error.find("/proc/nowhere") != std::string::npos);
    CHECK_FALSE(fs::exists(lightcone.folder() / "cache"));  // no kernel was simulated
  }
  refuse(lightcone, {"predict " + points + " --out " + lightcone.folder().string(), "is a folder"});
}

TEST_CASE("a kernel store that is no store is moved aside, and the run ends as if there had been none") {
  const Program lightcone;
  const std::string out = " --out " + (lightcone.folder() / "run").string();
  const Outcome first = lightcone(kSmall + out);
  INFO(first.error);
  REQUIRE(first.code == 0);
  const fs::path cache = lightcone.folder() / "cache" / "lightcone";
  for (const char* tail : {"-wal", "-shm"}) fs::remove((cache / "kernels.sqlite").string() + tail);
  std::ofstream(cache / "kernels.sqlite", std::ios::binary) << std::string(50'000, 'n');
  const Outcome second = lightcone(kSmall + out);
  INFO(second.error);
  CHECK(second.code == 0);
  CHECK(second.out == first.out);
  CHECK(second.error.find("is damaged; it was moved to kernels.sqlite.corrupt-1") != std::string::npos);
  CHECK(fs::file_size(cache / "kernels.sqlite.corrupt-1") == 50'000);
}

TEST_CASE("a run that is killed leaves the earlier folder and no other, and the same command then succeeds") {
  const Program lightcone;
  const fs::path runs = lightcone.folder() / "runs";
  const std::string out = " --quiet --out " + (runs / "run").string();
  const Outcome whole = lightcone(kSmall + out);
  INFO(whole.error);
  REQUIRE(whole.code == 0);
  const std::string before = test::read_file(runs / "run" / "result.json");
  fs::remove_all(lightcone.folder() / "cache");
  const Outcome killed = lightcone("--version >/dev/null; XDG_CACHE_HOME='" + (lightcone.folder() / "cache").string() +
                                   "' timeout -s KILL 0.3 '" LIGHTCONE_PROGRAM "' " + kSmall +
                                   " --exact --set workload.prefill.prompt_tokens=2048 " + out);
  CHECK(killed.code == 137);
  CHECK(entries(runs) == 1);
  CHECK(test::read_file(runs / "run" / "result.json") == before);
  const Outcome again = lightcone(kSmall + out);
  INFO(again.error);
  CHECK(again.code == 0);
  CHECK(again.out == whole.out);
}

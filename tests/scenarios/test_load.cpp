// SPDX-License-Identifier: Apache-2.0
#include "scenarios/load/load_scenario.h"

#include <fstream>
#include <sstream>
#include <string>
#include <variant>
#include <vector>

#include "catch.h"
#include "scenarios/load/expand_sweep.h"
#include "scenarios/run/pass_input.h"
#include "sim/base/error.h"
#include "temporary_folder.h"

namespace lightcone::scenarios {
namespace {

using Sets = std::vector<std::string>;

class Folder {
 public:
  std::string write(const std::string& name, const std::string& text) const {
    const std::string file = (folder_.path() / name).string();
    std::ofstream(file) << text;
    return file;
  }

 private:
  test::TemporaryFolder folder_;
};

template <typename Call>
std::vector<Diagnostic> faults_of(const Call& call) {
  try {
    call();
  } catch (const ConfigError& error) {
    return error.diagnostics();
  }
  return {};
}

std::vector<Diagnostic> load_faults(const std::string& file, const Sets& sets = {}) {
  return faults_of([&] { (void)load_scenario(file, sets); });
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Whether one of the faults is at line:column and says all the parts.
bool reports(const std::vector<Diagnostic>& faults, int line, int column, const std::vector<std::string>& parts) {
  for (const Diagnostic& fault : faults) {
    bool all = fault.where.line == line && fault.where.column == column;
    for (const std::string& part : parts) all = all && contains(fault.text(), part);
    if (all) return true;
  }
  return false;
}

std::string all_text(const std::vector<Diagnostic>& faults) {
  std::string out;
  for (const Diagnostic& fault : faults) out += fault.text() + "\n";
  return out;
}

const std::string kParts =
    "model { base: \"llama3_8b\" }\n"
    "machine { base: \"h100_sxm\" }\n"
    "workload {\n"
    "  base: \"prefill_4k\"\n"
    "}\n";

TEST_CASE("every shipped scenario loads, and so do all its points") {
  const std::vector<std::string> names = list_scenarios();
  REQUIRE(names.size() >= 4);
  for (const std::string& name : names) {
    CAPTURE(name);
    const Scenario scenario = load_scenario(name, {});
    REQUIRE(scenario.name == name);
    REQUIRE(!scenario.description.empty());
    REQUIRE(expand_sweep(name, {}).size() >= 1);
  }
}

TEST_CASE("shipped scenarios are what their descriptions say") {
  const Scenario prefill = load_scenario("llama3_8b_h100", {});
  REQUIRE(prefill.model.d_model == 4096);
  REQUIRE(prefill.machine.name == "h100_sxm");
  REQUIRE(std::get<workloads::Prefill>(prefill.workload.phase).prompt_tokens == 4096);
  REQUIRE(batch(prefill.workload) == 1);
  REQUIRE(prefill.plan.gpus() == 1);

  const Scenario decode = load_scenario("llama3_8b_decode_h100", {});
  REQUIRE(std::get<workloads::Decode>(decode.workload.phase).context_tokens == 4096);
  REQUIRE(batch(decode.workload) == 32);

  const Scenario a100 = load_scenario("llama3_8b_a100", {});  // based on the H100 scenario
  REQUIRE(a100.machine.name == "a100_sxm_80gb");
  REQUIRE(std::get<workloads::Prefill>(a100.workload.phase).prompt_tokens == 4096);
}

TEST_CASE("unknown fields and enum values are reported together, with place and suggestion") {
  const Folder folder;
  const std::string file = folder.write("wrong.textproto",
                                        "modle { base: \"llama3_8b\" }\n"
                                        "machine { base: \"h100_sxm\"\n"
                                        "  gpu { hbm { stakcs: 4 } } }\n"
                                        "workload { launch: grapf\n"
                                        "  formats { weights: bf61 } }\n");
  const std::vector<Diagnostic> faults = load_faults(file);
  CAPTURE(all_text(faults));
  REQUIRE(faults.size() == 4);
  REQUIRE(reports(faults, 1, 1, {"wrong.textproto:1:1", "modle", "model"}));
  REQUIRE(reports(faults, 3, 15, {"stakcs", "stacks"}));
  REQUIRE(reports(faults, 4, 20, {"grapf", "graph"}));
  REQUIRE(reports(faults, 5, 22, {"bf61", "bf16"}));
}

TEST_CASE("faults in meaning of different parts are reported together, each at its line") {
  const Folder folder;
  const std::string file = folder.write("meaning.textproto",
                                        "model { base: \"llama3_8b\" d_model: 0 }\n"
                                        "machine { base: \"h100_sxm\" gpu { hbm { stacks: 0 } } }\n"
                                        "workload { base: \"prefill_4k\"\n"
                                        "  prefill { prompt_tokens: 1000000000000 } }\n"
                                        "plan { tensor: 0 }\n");
  const std::vector<Diagnostic> faults = load_faults(file);
  CAPTURE(all_text(faults));
  REQUIRE(reports(faults, 1, 27, {"model.d_model"}));
  REQUIRE(reports(faults, 2, 40, {"machine.gpu.hbm.stacks", "from 1 to 256, got 0"}));
  REQUIRE(reports(faults, 4, 13, {"workload.prefill.prompt_tokens", "1000000000000"}));
  REQUIRE(reports(faults, 5, 8, {"plan.tensor", "got 0"}));
}

TEST_CASE("a plan for several GPUs on a machine that is one is refused with machines that have as many") {
  const Folder folder;
  const std::string file = folder.write("plan.textproto",
                                        "model { base: \"llama3_8b\" }\n"
                                        "machine { base: \"h100_sxm\" }\n"
                                        "workload { base: \"prefill_4k\" }\n"
                                        "plan { tensor: 2 }\n");
  const std::vector<Diagnostic> faults = load_faults(file);
  CAPTURE(all_text(faults));
  REQUIRE(faults.size() == 1);
  REQUIRE(reports(faults, 4, 1, {"plan", "is for 2 GPUs, but h100_sxm is one GPU without a fabric"}));
}

// A scenario whose line 3 is the workload and line 4 part of the model.
std::string with_sizes(const std::string& phase, const std::string& attention) {
  return "machine { base: \"h100_sxm\" }\n"
         "workload { base: \"prefill_4k\"\n" +
         phase +
         "\n}\nmodel { name: \"m\" vocabulary: 128 d_model: 64 tied_embeddings: false norm: RMS position: ROTARY\n" +
         attention + "\n  source: \"test\" }\n";
}
std::string block(const std::string& layers, const std::string& heads, const std::string& kv_heads,
                  const std::string& more = "") {
  return "  block { name: \"layers\" layers: " + layers + " attention { heads: " + heads + " kv_heads: " + kv_heads +
         " head_dim: 16 " + more + " } dense_mlp { gated: true d_ff: 64 activation: SILU } }";
}

TEST_CASE("the smallest sizes are sound") {
  const Folder folder;
  for (const char* phase : {"prefill { batch: 1 prompt_tokens: 1 }", "decode { batch: 1 context_tokens: 2 }"}) {
    const std::string file = folder.write("least.textproto", with_sizes(phase, block("1", "1", "1", "window: 1")));
    CAPTURE(phase, all_text(load_faults(file)));
    const Scenario scenario = load_scenario(file, {});
    REQUIRE(batch(scenario.workload) == 1);
    const PassInput input = make_pass_input(scenario, {});
    REQUIRE_FALSE(input.nodes.empty());
    REQUIRE(input.tokens == 1);
  }
}

TEST_CASE("zero, negative and huge sizes are refused at their line and column") {
  const Folder folder;
  const std::string sound_phase = "decode { batch: 1 context_tokens: 8 }", sound_block = block("1", "4", "2");
  struct Wrong {
    std::string phase, attention;
    int line;
    std::string at;  // what stands at the column
    std::string field, message;
  };
  const std::string huge = "1000000000000", batch = "workload.decode.batch", context = "workload.decode.context_tokens";
  const std::string prompt = "workload.prefill.prompt_tokens", window = "model.block[0].attention.window";
  const std::string heads = "model.block[0].attention.heads", kv_heads = "model.block[0].attention.kv_heads";
  const std::string layers = "model.block[0].layers", from_one = "must be from 1 to";
  const std::vector<Wrong> all{
      {"decode { batch: 0 context_tokens: 8 }", sound_block, 3, "batch: 0", batch, from_one},
      {"decode { batch: 1 context_tokens: 0 }", sound_block, 3, "context_tokens: 0", context, "must be from 2 to"},
      {"decode { batch: 1 context_tokens: 1 }", sound_block, 3, "context_tokens: 1", context, "must be from 2 to"},
      {"prefill { batch: 1 prompt_tokens: 0 }", sound_block, 3, "prompt_tokens: 0", prompt, from_one},
      {"decode { batch: -1 context_tokens: 8 }", sound_block, 3, "-1", batch, "negative"},
      {"decode { batch: 1 context_tokens: -8 }", sound_block, 3, "-8", context, "negative"},
      {"prefill { batch: 1 prompt_tokens: -1 }", sound_block, 3, "-1", prompt, "negative"},
      {"decode { batch: " + huge + " context_tokens: 8 }", sound_block, 3, "batch: 1", batch, huge},
      {"decode { batch: 1 context_tokens: " + huge + " }", sound_block, 3, "context_tokens: 1", context, huge},
      {"prefill { batch: 1 prompt_tokens: " + huge + " }", sound_block, 3, "prompt_tokens: 1", prompt, huge},
      {"decode { batch: 1 context_tokens: 99999999999999999999 }", sound_block, 3, "9999", context, "too large"},
      {sound_phase, block("1", "4", "2", "window: 0"), 6, "window: 0", window, from_one},
      {sound_phase, block("1", "4", "2", "window: -4"), 6, "-4", window, "negative"},
      {sound_phase, block("1", "4", "3"), 6, "kv_heads: 3", kv_heads, "3 does not divide heads 4"},
      {sound_phase, block("1", "4", "0"), 6, "kv_heads: 0", kv_heads, from_one},
      {sound_phase, block("1", "0", "1"), 6, "heads: 0", heads, from_one},
      {sound_phase, block("1", huge, "1"), 6, "heads: 1000", heads, huge},
      {sound_phase, block("0", "4", "2"), 6, "layers: 0", layers, from_one},
      {sound_phase, block("-1", "4", "2"), 6, "-1", layers, "negative"},
      {sound_phase, block(huge, "4", "2"), 6, "layers: 1000", layers, huge}};
  for (const Wrong& wrong : all) {
    const std::vector<Diagnostic> faults =
        load_faults(folder.write("wrong.textproto", with_sizes(wrong.phase, wrong.attention)));
    CAPTURE(wrong.phase, wrong.attention, all_text(faults));
    const std::string& text = wrong.line == 3 ? wrong.phase : wrong.attention;
    CHECK(faults.size() == 1);
    CHECK(reports(faults, wrong.line, static_cast<int>(text.find(wrong.at)) + 1, {wrong.field, wrong.message}));
  }
}

TEST_CASE("parts and bases that do not exist are named") {
  const Folder folder;
  const std::vector<Diagnostic> missing = load_faults(folder.write("empty.textproto", "name: \"x\"\n"));
  CAPTURE(all_text(missing));
  for (const char* part : {"model: is missing", "machine: is missing", "workload: is missing"})
    REQUIRE(contains(all_text(missing), part));

  const std::string file = folder.write("bases.textproto",
                                        "model { base: \"llama3_8\" }\n"
                                        "machine { base: \"h100_smx\" }\n"
                                        "workload { base: \"prefill_4k\" }\n");
  const std::vector<Diagnostic> faults = load_faults(file);
  CAPTURE(all_text(faults));
  REQUIRE(faults.size() == 2);
  REQUIRE(reports(faults, 1, 9, {"llama3_8b"}));
  REQUIRE(reports(faults, 2, 11, {"h100_sxm"}));
  REQUIRE(contains(all_text(load_faults("llama3_8b_h10")), "llama3_8b_h100"));
}

TEST_CASE("a file wins over its base, and --set over both") {
  const Folder folder;
  folder.write("parent.textproto",
               "model { base: \"llama3_8b\" }\n"
               "machine { base: \"h100_sxm\" gpu { hbm { stacks: 6 } sm_count: 100 } }\n"
               "workload { base: \"prefill_4k\" }\n");
  const std::string child = folder.write("child.textproto",
                                         "base: \"parent.textproto\"\n"
                                         "machine { gpu { sm_count: 120 } }\n");
  const Scenario scenario = load_scenario(child, {});
  REQUIRE(scenario.name == "child");
  REQUIRE(scenario.machine.gpu.hbm.stacks == 6);
  REQUIRE(scenario.machine.gpu.sm_count == 120);
  REQUIRE(load_scenario(child, {"machine.gpu.sm_count=110"}).machine.gpu.sm_count == 110);
}

TEST_CASE("an assignment by --set reaches every part, whatever gave the value before") {
  const Scenario scenario = load_scenario(
      "llama3_8b_h100", {"machine.gpu.hbm.stacks=4", "workload.decode={ batch: 7 context_tokens: 9 }",
                         "model.block[layers].layers=3", "machine.gpu.sm.tensor.rate[bf16].flops_per_clock=512"});
  REQUIRE(scenario.machine.gpu.hbm.stacks == 4);
  REQUIRE(batch(scenario.workload) == 7);
  REQUIRE(phase_name(scenario.workload) == "decode");
  REQUIRE(scenario.model.blocks.at(0).layers == 3);
  REQUIRE(scenario.machine.gpu.sm.tensor.flops_per_clock.at(NumberFormat::bf16) == 512);
  // A machine chosen on the command line comes before overrides of its fields, in either order.
  const Scenario other = load_scenario("llama3_8b_h100", {"machine.gpu.sm_count=100", "machine=a100_sxm_80gb"});
  REQUIRE(other.machine.name == "a100_sxm_80gb");
  REQUIRE(other.machine.gpu.sm_count == 100);
}

TEST_CASE("wrong --set options are all reported, with the nearest right path") {
  const std::vector<Diagnostic> faults = load_faults(
      "llama3_8b_h100", {"machine.gpu.hbm.stakcs=4", "workload.prefill.batch=many", "machine.gpu.sm_count=0"});
  CAPTURE(all_text(faults));
  REQUIRE(faults.size() == 3);
  REQUIRE(contains(faults[0].text(), "--set machine.gpu.hbm.stakcs=4"));
  REQUIRE(contains(faults[0].text(), "machine.gpu.hbm.stacks"));
  REQUIRE(contains(faults[1].text(), "--set workload.prefill.batch=many"));
  REQUIRE(contains(faults[2].text(), "--set machine.gpu.sm_count=0"));
  REQUIRE(contains(all_text(load_faults("llama3_8b_h100", {"stacks"})), "expected path=value"));
}

TEST_CASE("the resolved text is a scenario that resolves to itself") {
  const Folder folder;
  const Scenario first = load_scenario("hbm_stacks_sweep", {"machine.gpu.hbm.stacks=6"});
  REQUIRE(!contains(first.resolved_text, "base:"));
  REQUIRE(!contains(first.resolved_text, "sweep {"));
  const Scenario again = load_scenario(folder.write("resolved.textproto", first.resolved_text), {});
  REQUIRE(again.machine.gpu.hbm.stacks == 6);
  REQUIRE(again.resolved_text == first.resolved_text);
}

TEST_CASE("the sweep that ships has five points") {
  const std::vector<ScenarioPoint> points = expand_sweep("hbm_stacks_sweep", {});
  REQUIRE(points.size() == 5);
  for (std::size_t i = 0; i < points.size(); ++i) {
    REQUIRE(points[i].assignments.size() == 1);
    REQUIRE(points[i].assignments[0].first == "machine.gpu.hbm.stacks");
    REQUIRE(points[i].assignments[0].second == std::to_string(4 + i));
    REQUIRE(points[i].scenario.machine.gpu.hbm.stacks == 4 + i);
  }
}

TEST_CASE("axes are crossed, the last one fastest") {
  const Folder folder;
  const std::string file = folder.write(
      "cross.textproto", kParts +
                             "sweep {\n"
                             "  axis { path: \"machine\" values: [\"h100_sxm\", \"a100_sxm_80gb\"] }\n"
                             "  axis { path: \"machine.gpu.clock.boost_ghz\" from: 1.4 to: 1.6 step: 0.1 }\n"
                             "}\n");
  const std::vector<ScenarioPoint> points = expand_sweep(file, {"workload.prefill.batch=2"});
  REQUIRE(points.size() == 6);
  const std::vector<std::string> clocks{"1.4", "1.5", "1.6"};
  for (std::size_t i = 0; i < points.size(); ++i) {
    REQUIRE(points[i].scenario.machine.name == (i < 3 ? "h100_sxm" : "a100_sxm_80gb"));
    REQUIRE(points[i].assignments[1].second == clocks[i % 3]);
    REQUIRE(batch(points[i].scenario.workload) == 2);
  }
  REQUIRE(load_scenario(file, {}).axes.size() == 2);
  REQUIRE(expand_sweep("llama3_8b_h100", {}).size() == 1);
}

TEST_CASE("faults of a sweep are at the line of their axis") {
  const Folder folder;
  const auto sweep_faults = [&](const std::string& axes, const Sets& sets = {}) {
    const std::string file = folder.write("axes.textproto", kParts + "sweep {\n" + axes + "}\n");
    return faults_of([&] { (void)expand_sweep(file, sets); });
  };
  const std::string stacks = "  axis { path: \"machine.gpu.hbm.stacks\" values: [\"4\", \"5\"] }\n";
  REQUIRE(sweep_faults(stacks).empty());
  const auto line_of = [](const std::vector<Diagnostic>& faults) { return faults.empty() ? 0 : faults[0].where.line; };

  const auto path = sweep_faults(stacks + "  axis { path: \"machine.gpu.hbm.stakcs\" values: \"4\" }\n");
  CAPTURE(all_text(path));
  REQUIRE(path.size() == 1);  // not once per point
  REQUIRE(line_of(path) == 8);
  REQUIRE(contains(all_text(path), "machine.gpu.hbm.stacks"));

  const auto values = sweep_faults("  axis { path: \"machine.gpu.hbm.stacks\" values: [\"4\", \"many\", \"0\"] }\n");
  CAPTURE(all_text(values));
  REQUIRE(values.size() == 2);
  REQUIRE(line_of(values) == 7);

  REQUIRE(contains(all_text(sweep_faults("  axis { path: \"machine.gpu.sm_count\" }\n")), "values: is missing"));
  REQUIRE(contains(all_text(sweep_faults(stacks + stacks)), "has an axis already"));
  REQUIRE(contains(all_text(sweep_faults(stacks, {"machine.gpu.hbm.stacks=6"})), "would be overwritten"));
  REQUIRE(contains(all_text(sweep_faults("  axis { path: \"machine.gpu.sm_count\" from: 5 to: 4 }\n")), "below from"));
  REQUIRE(contains(all_text(sweep_faults("  axis { path: \"machine.gpu.sm_count\" from: 0 to: 1 step: 1e-9 }\n")),
                   "more than 1000000 values"));
  REQUIRE(contains(all_text(sweep_faults("  axis { path: \"machine.gpu.sm_count\" from: 1 to: 2001 }\n"
                                         "  axis { path: \"workload.prefill.batch\" from: 1 to: 2001 }\n")),
                   "more than 1000000 points"));
}

}  // namespace
}  // namespace lightcone::scenarios

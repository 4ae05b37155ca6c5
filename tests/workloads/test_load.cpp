// SPDX-License-Identifier: Apache-2.0
#include "workloads/load.h"

#include <google/protobuf/message.h>

#include <memory>
#include <string>

#include "catch.h"
#include "sim/base/textproto_parse.h"

namespace lightcone::workloads {
namespace {

WorkloadSpec read(const std::string& text) {
  const auto message = new_workload_message();
  const FieldLocations locations = parse_textproto(std::make_shared<const SourceText>("w.textproto", text), *message);
  return to_workload_spec(*message, locations);
}

std::string error_of(const std::string& text) {
  try {
    read(text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

const std::string kRest = "formats { weights: bf16 activations: bf16 kv: fp8_e4m3 }\nlaunch: stream\n";

TEST_CASE("a prefill and a decode step become plain values") {
  const WorkloadSpec prefill = read("prefill { batch: 3 prompt_tokens: 100 }\n" + kRest);
  REQUIRE(phase_name(prefill) == "prefill");
  REQUIRE(batch(prefill) == 3);
  REQUIRE(new_tokens(prefill) == 100);
  REQUIRE(attended_tokens(prefill) == 100);
  REQUIRE(prefill.formats.weights == NumberFormat::bf16);
  REQUIRE(prefill.formats.kv == NumberFormat::fp8_e4m3);
  REQUIRE(prefill.launch == LaunchMode::stream);

  const WorkloadSpec decode = read("decode { batch: 5 context_tokens: 70 }\n" + kRest);
  REQUIRE(phase_name(decode) == "decode");
  REQUIRE(batch(decode) == 5);
  REQUIRE(new_tokens(decode) == 1);
  REQUIRE(attended_tokens(decode) == 70);
}

TEST_CASE("every number format of the simulator can be written by its name") {
  for (const NumberFormatInfo& format : kNumberFormats) {
    const std::string text = std::string("formats { weights: bf16 activations: bf16 kv: ") + std::string(format.name);
    CAPTURE(text);
    REQUIRE(read("prefill { batch: 1 prompt_tokens: 1 } launch: graph " + text + " }").formats.kv == format.format);
  }
}

TEST_CASE("all that is missing is reported at once") {
  const std::string text = error_of("formats { weights: bf16 }");
  CAPTURE(text);
  for (const char* part :
       {"has no phase", "formats.activations: is missing", "formats.kv: is missing", "launch: is missing"}) {
    REQUIRE(contains(text, part));
  }
}

TEST_CASE("sizes that nobody means are refused at their line") {
  const std::string zero = error_of("prefill {\n  batch: 0\n  prompt_tokens: 1000000000000\n}\n" + kRest);
  CAPTURE(zero);
  REQUIRE(contains(zero, "w.textproto:2:3: prefill.batch: must be from 1 to 1048576, got 0"));
  REQUIRE(contains(zero, "w.textproto:3:3: prefill.prompt_tokens: must be from 1 to 134217728, got 1000000000000"));
  // Each within its bound, the product beyond: one token less per sequence is accepted.
  const std::string product = error_of("decode { batch: 1048576 context_tokens: 4097 }\n" + kRest);
  CAPTURE(product);
  REQUIRE(contains(product, "decode.context_tokens: 1048576 sequences of 4097 tokens are more than"));
  REQUIRE(batch(read("decode { batch: 1048576 context_tokens: 4096 }\n" + kRest)) == 1048576);
}

TEST_CASE("wrong names get suggestions") {
  REQUIRE(contains(error_of("formats { weights: bf61 }"), "bf16"));
  REQUIRE(contains(error_of("prefil { }"), "prefill"));
  REQUIRE(contains(error_of("prefill { batch: 1 prompt_tokens: 1 } decode { batch: 1 }"), "w.textproto:1:"));
}

}  // namespace
}  // namespace lightcone::workloads

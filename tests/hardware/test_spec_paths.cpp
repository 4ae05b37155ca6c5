// SPDX-License-Identifier: Apache-2.0
// Every parameter of a machine, found by reflection: it can be overridden by its path, and it counts in the identity
// under which kernel results are kept.
#include <cmath>
#include <string>

#include "catch.h"
#include "hardware/catalog_machine.h"
#include "hardware/spec/load.h"
#include "hardware/spec/spec_hash.h"
#include "sim/base/textproto_path.h"

using namespace lightcone;
using namespace lightcone::hardware;
using namespace lightcone::hardware::testing;

namespace {

class H100 : public CatalogMachine {
 public:
  H100() : CatalogMachine("h100_sxm") {}
};

// A value that a number of the machine file can be changed to; empty for what is not a number or flag.
std::string another(const std::string& value) {
  if (value == "true") return "false";
  if (value == "false") return "true";
  if (value == "WGMMA") return "MMA_SYNC";
  if (!is_number(value)) return {};
  if (value.find('.') != std::string::npos) return std::to_string(std::stod(value) / 2);
  return std::to_string(std::stoull(value) * 2);
}

bool refused(const H100& machine, const std::string& path) {
  try {
    static_cast<void>(machine.gpu());
    return false;
  } catch (const ConfigError& error) {  // another field forbids it; the option must be named
    INFO(error.what());
    CHECK(std::string(error.what()).find("gpu.") != std::string::npos);
    INFO(path);
    return true;
  }
}

}  // namespace

TEST_CASE("each number of a machine can be set by its path and changes the spec hash") {
  const std::string before = spec_hash(H100().gpu());
  int changed = 0;
  int forbidden = 0;
  for (const std::string& path : H100().parameters()) {
    H100 machine;
    const std::string fresh = another(machine.get(path));
    if (fresh.empty()) continue;
    machine.set(path, fresh);
    CAPTURE(path, fresh);
    if (refused(machine, path)) {
      ++forbidden;
      continue;
    }
    CHECK(spec_hash(machine.gpu()) != before);
    ++changed;
  }
  CHECK(changed > 70);
  CHECK(forbidden < 15);
}

TEST_CASE("the memory clock follows the pins, the DRAM core keeps its nanoseconds") {
  H100 machine;
  const HbmTiming before = machine.gpu().hbm.timing;
  machine.set("gpu.hbm.gigabits_per_second_per_pin", "10.468");
  const HbmTiming after = machine.gpu().hbm.timing;
  CHECK(before.tCK == 765_ps);  // 32 bytes over 32 pins at 5.234 Gb/s in 2 CK: 764.2 ps, rounded up
  CHECK(after.tCK == 383_ps);
  CHECK(before.nRCDRD == 26);  // 19.375 ns
  CHECK(after.nRCDRD == 51);
  CHECK(after.nCCDL == before.nCCDL);
}

TEST_CASE("more stacks are more bandwidth and more capacity, and their source is the option") {
  H100 machine;
  const HbmSpec before = machine.gpu().hbm;
  machine.set("gpu.hbm.stacks", "10");
  const GpuSpec after = machine.gpu();
  CHECK(after.hbm.peak().count() == Approx(2 * before.peak().count()));
  CHECK(after.hbm.capacity == before.capacity * 2);
  for (const ParameterSource& source : after.sources) {
    if (source.path == "hbm.stacks") CHECK(source.source == "set by --set gpu.hbm.stacks=10");
    if (source.path == "hbm.bank_groups") CHECK(source.source.rfind("set", 0) != 0);
  }
}

TEST_CASE("a missing message is one fault, not one for each of its fields") {
  const auto message = new_machine_message();
  FieldLocations locations;
  apply_set(*message, locations, "name=bare");
  apply_set(*message, locations, "gpu.sm_count=1");
  try {
    static_cast<void>(to_machine_spec(*message, locations));
    FAIL("an empty machine was accepted");
  } catch (const ConfigError& error) {
    const std::string text = error.what();
    CHECK(text.find("gpu.power: is missing") != std::string::npos);
    CHECK(text.find("gpu.power: is missing") == text.rfind("gpu.power: is missing"));
    CHECK(text.find("gpu.power.") == std::string::npos);
  }
}

// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <set>

#include "catch.h"
#include "hardware/spec/load.h"
#include "hardware/spec/spec_hash.h"

using namespace lightcone;
using namespace lightcone::hardware;

TEST_CASE("the hash of a fabric depends on its numbers, not on the name of the machine") {
  const FabricSpec base = *load_machine("dgx_h100").fabric;
  const std::vector<std::function<void(FabricSpec&)>> changes{
      [](FabricSpec&) {},
      [](FabricSpec& f) { f.port_latency = f.port_latency * 2; },
      [](FabricSpec& f) { f.missing_gpus = {3}; },
      [](FabricSpec& f) {
        f.slow_links = {{"gpu[0]", "node[0].switch[0]", 0.5}};
      },
      [](FabricSpec& f) { f.links[0].lanes += 1; },
      [](FabricSpec& f) { f.links[0].serdes_latency = f.links[0].serdes_latency * 2; },
      [](FabricSpec& f) { f.links[0].pj_per_bit += 1; },
      [](FabricSpec& f) { f.links[0].optics = OpticalSpec{}; },
      [](FabricSpec& f) { f.switches[0].latency = f.switches[0].latency * 2; },
      [](FabricSpec& f) { f.switches[0].reduces = !f.switches[0].reduces; },
      [](FabricSpec& f) { f.levels[0].links_per_gpu += 1; },
      [](FabricSpec& f) { f.levels[0].planes += 1; },
      [](FabricSpec& f) { f.levels[0].trunk = 0; },
      [](FabricSpec& f) { f.levels[0].tree.rails += 1; }};
  std::set<std::string> hashes;
  for (const auto& change : changes) {
    FabricSpec fabric = base;
    change(fabric);
    hashes.insert(spec_hash(fabric));
  }
  REQUIRE(hashes.size() == changes.size());
  FabricSpec renamed = base;
  renamed.levels[0].name = "box";
  REQUIRE(spec_hash(renamed) == spec_hash(base));
}

// SPDX-License-Identifier: Apache-2.0
#include "catch.h"
#include "sim/base/checked.h"
#include "sim/base/content_hash.h"
#include "sim/base/number_format.h"
#include "sim/base/suggest.h"
#include "sim/base/units.h"

using namespace lightcone;

TEST_CASE("cycles become time by one multiplication") {
  // 1.755 GHz has no whole period in picoseconds: a million cycles must not accumulate its rounding.
  REQUIRE(to_picoseconds(duration(1000000_cy, 1755_MHz)).count() == 569800570);
}

TEST_CASE("a product of sizes that does not fit is an error, not a wrapped number") {
  REQUIRE(checked_product("tokens", {1u << 20, 1u << 20}) == (1ull << 40));
  REQUIRE_THROWS_AS(checked_product("tokens", {1ull << 40, 1ull << 40}), ConfigError);
}

TEST_CASE("suggestions find the near names and nothing else") {
  const std::vector<std::string> names{"h100_sxm", "a100_sxm", "b200_sxm"};
  REQUIRE(suggestions("h100_smx", names).front() == "h100_sxm");
  REQUIRE(suggestions("tpu", names).empty());
  REQUIRE(suggestion_text("H100", names).find("did you mean \"h100_sxm\"") != std::string::npos);
}

TEST_CASE("block formats count their scales") {
  REQUIRE(storage(NumberFormat::bf16, 10) == 20_B);
  REQUIRE(storage(NumberFormat::mxfp4, 64) == 34_B);  // 32 bytes of values, 2 scales
  REQUIRE(storage(NumberFormat::nvfp4, 64) == 36_B);  // 32 bytes of values, 4 scales
  REQUIRE(storage(NumberFormat::int4, 3) == 2_B);
}

TEST_CASE("content hashes depend on every part and on its boundaries") {
  const std::string a = ContentHash().add("ab").add("c").hex();
  const std::string b = ContentHash().add("a").add("bc").hex();
  REQUIRE(a != b);
  REQUIRE(a == ContentHash().add("ab").add("c").hex());
}

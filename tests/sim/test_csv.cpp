// SPDX-License-Identifier: Apache-2.0
#include <sstream>
#include <string>
#include <vector>

#include "catch.h"
#include "sim/base/csv.h"
#include "sim/base/error.h"

using namespace lightcone;

namespace {
using Cells = std::vector<std::string>;

// The message of the ConfigError that reading all of `text` gives; empty when it reads well.
std::string fault(const std::string& text) {
  std::istringstream in(text);
  try {
    CsvReader reader(in, "table.csv");
    while (reader.next()) {
    }
  } catch (const ConfigError& error) {
    return error.what();
  }
  return {};
}
}  // namespace

TEST_CASE("cells may hold commas, quotes and line breaks") {
  std::istringstream in("\xEF\xBB\xBFop,params\r\ngemm,\"{\"\"m\"\":1,\"\"n\"\":2}\"\r\n\r\n\"two\nlines\",\nlast,end");
  CsvReader reader(in, "table.csv");
  REQUIRE(reader.header() == Cells{"op", "params"});
  auto row = reader.next();
  REQUIRE(row->cells == Cells{"gemm", R"({"m":1,"n":2})"});
  REQUIRE(row->line == 2);
  row = reader.next();
  REQUIRE(row->cells == Cells{"two\nlines", ""});
  REQUIRE(row->line == 4);
  row = reader.next();
  REQUIRE(row->cells == Cells{"last", "end"});
  REQUIRE(row->line == 6);
  REQUIRE_FALSE(reader.next().has_value());
}

TEST_CASE("what is written reads back as it was") {
  const Cells cells{"", "plain", "a,b", "say \"so\"", "line\nbreak", "cr\rhere"};
  std::istringstream in("a,b,c,d,e,f\n" + csv_line(cells));
  CsvReader reader(in, "table.csv");
  REQUIRE(reader.next()->cells == cells);
}

TEST_CASE("faults name the file and the line") {
  REQUIRE(fault("").find("table.csv: the file is empty") == 0);
  REQUIRE(fault("a,a\n").find("named twice") != std::string::npos);
  REQUIRE(fault("a,b\n1,2\n1,2,3\n") == "table.csv:3:1: the row has 3 cells, the header has 2");
  REQUIRE(fault("a,b\n1,\"2\n3,4\n").find("table.csv:2:1: a quote") == 0);
  REQUIRE(fault(std::string("a,b\n1,\0\n", 8)).find("not text") != std::string::npos);
  REQUIRE(fault("a,b\n\"1\"x,2\n").find("closing quote") != std::string::npos);
  REQUIRE(fault("a\n" + std::string(3 << 20, 'x')).find("not a table") != std::string::npos);
  REQUIRE(fault("a,b\n1,2\n").empty());
}

TEST_CASE("a missing column lists what there is") {
  std::istringstream in("source,gpu\n");
  const CsvReader reader(in, "table.csv");
  REQUIRE(reader.required_column("gpu") == 1);
  std::string message;
  try {
    (void)reader.required_column("gpus");
  } catch (const ConfigError& error) {
    message = error.what();
  }
  REQUIRE(message.find("did you mean \"gpu\"") != std::string::npos);
}

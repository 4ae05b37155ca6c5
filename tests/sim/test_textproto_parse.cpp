// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/text_format.h>

#include <fstream>

#include "catch.h"
#include "sim/base/textproto_parse.h"
#include "sim/text_schema.h"
#include "temporary_folder.h"

using namespace lightcone;

namespace {

struct Parsed {
  test::TextSchema schema;
  std::unique_ptr<google::protobuf::Message> message = schema.message();
  std::vector<Diagnostic> faults;
  FieldLocations locations;
  explicit Parsed(const std::string& text) {
    locations = parse_textproto(std::make_shared<const SourceText>("f.textproto", text), *message, faults);
  }
  [[nodiscard]] std::string first() const { return faults.empty() ? "no fault" : faults.front().text(); }
};

bool starts(const std::string& text, const std::string& with) { return text.rfind(with, 0) == 0; }

std::string read_fault(const std::filesystem::path& path) {
  try {
    read_source(path.string());
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no fault";
}

}  // namespace

TEST_CASE("what TextFormat accepts is read as TextFormat reads it") {
  const std::string text =
      "# comment\n"
      "title: \"a\" 'b\\n\\x41'  machine { gpu < hbm: { stacks: 0x10, bytes: 18446744073709551615; pin_gbps: -1.5e3 }\n"
      "  lane { name: 'x' taps: [1, -2, 3] taps: 4 } lane: [{ name: 'y' rate_ghz: 2 }, { name: 'z' }] > }\n"
      "kind: OPTICAL offset: -2147483648 prefill {} tags: ['p', 'q'] tags: 'r' bank {} fast: true share: 1.\n";
  const Parsed ours(text);
  REQUIRE(ours.first() == "no fault");
  test::TextSchema schema;
  const auto theirs = schema.message();
  REQUIRE(google::protobuf::TextFormat::ParseFromString(text, theirs.get()));
  REQUIRE(ours.message->DebugString() == theirs->DebugString());
}

TEST_CASE("each fault is reported at the token that is wrong, with what is allowed") {
  struct Case {
    const char* text;
    const char* message;
  };
  const std::vector<Case> cases{
      {"machine {\n  gpu {\n    nme\n\n   : \"g\"\n  }\n}\n",
       "f.textproto:3:5: machine.gpu.nme: no such field; did you mean \"name\"?\n        nme\n        ^"},
      {"quux: 1\n", "f.textproto:1:1: quux: no such field; allowed: base, title, machine, kind, offset"},
      {"kind: OPTIKAL\n\n\n", "f.textproto:1:7: kind: OPTIKAL is not a value of this field; did you mean \"OPTICAL\"?"},
      {"kind: 2\n", "f.textproto:1:7: kind: 2 is not a value of this field; allowed: COPPER, OPTICAL"},
      {"kind: 7\n", "f.textproto:1:7: kind: 7 is not a value of this field"},
      {"kind: KIND_UNSPECIFIED\n", "f.textproto:1:7: kind: KIND_UNSPECIFIED is not a value"},
      {"kind: \"COPPER\"\n", "f.textproto:1:7: kind: \"COPPER\" is not a value of this field"},
      {"machine { gpu { hbm { stacks: -3 } } }\n",
       "f.textproto:1:31: machine.gpu.hbm.stacks: must not be negative, got -3"},
      {"machine { gpu { hbm { stacks: 4.5 } } }\n",
       "f.textproto:1:31: machine.gpu.hbm.stacks: expected a whole number, not negative, got 4.5"},
      {"offset: 2147483648\n",
       "f.textproto:1:9: offset: 2147483648 is too large; the largest number here is 2147483647"},
      {"offset: 99999999999999999999999\n",
       "f.textproto:1:9: offset: 99999999999999999999999 is too large; the largest number here is 2147483647"},
      {"offset: \"lots\"\n", "f.textproto:1:9: offset: expected a whole number, got \"lots\""},
      {"share: inf\n", "f.textproto:1:8: share: expected a number, got inf"},
      {"share: 1e999\n", "f.textproto:1:8: share: 1e999 is not a number that fits double precision"},
      {"share: 1.7GHz\n",
       "f.textproto:1:8: share: expected a number, got 1.7GHz; the unit is part of the field's name"},
      {"fast: yes\n", "f.textproto:1:7: fast: expected true or false, got yes"},
      {"title: x\n", "f.textproto:1:8: title: expected text in double quotes, got x; write \"x\""},
      {"title: \"a\"\ntitle: \"b\"\n", "f.textproto:2:1: title: given twice (first in line 1)"},
      {"machine {}\nmachine {}\n", "f.textproto:2:1: machine: given twice (first in line 1)"},
      {"prefill {}\ndecode {}\n",
       "f.textproto:2:1: decode: cannot be given together with prefill (line 1); choose one"},
      {"machine: 4\n", "f.textproto:1:10: machine: expected \"{ ... }\", got 4"},
      {"machine: \"h\"\n", "f.textproto:1:10: machine: expected \"{ ... }\", got \"h\"; write machine { base: \"h\" }"},
      {"offset: [1, 2]\n", "f.textproto:1:9: offset: expected one value (a whole number), got a list"},
      {"offset: { x: 1 }\n", "f.textproto:1:9: offset: expected a whole number, got {"},
      {"offset 4\n", "f.textproto:1:8: offset: expected \":\" after the field name, got 4"},
      {"offset:\n", "f.textproto:2:1: offset: expected a whole number, got nothing"},
      {"machine {\n  fast: true\n", "f.textproto:1:9: machine: \"{\" is never closed"},
      {"tags: [\"a\", \"b\"\n", "f.textproto:1:7: tags: \"[\" is never closed"},
      {"fast: true\n}\n", "f.textproto:2:1: \"}\" without a \"{\""},
      {"title: \"abc\nfast: true\n", "f.textproto:1:12: String literals cannot cross line boundaries."},
      {"{ \"title\": \"x\" }\n", "f.textproto:1:1: looks like JSON"},
      {"title: \"\xff\"\n", "f.textproto:1:8: title: the text is not valid UTF-8"},
      {"machine {\n  gpu {\n    name: \"g\"\n\n  kind: COPPER\n}\n",
       "f.textproto:5:3: machine.gpu.kind: no such field here, but one level up: is a \"}\" missing above?"},
      {"\ttitle: x\n", "f.textproto:1:9: title:"},  // a tab is one column
  };
  for (const Case& c : cases) {
    const Parsed parsed(c.text);
    INFO(parsed.first());
    INFO("expected " << c.message);
    CHECK(starts(parsed.first(), c.message));
  }
}

TEST_CASE("all faults of a file are reported at once, and what is right is kept") {
  const Parsed parsed(
      "titel: \"a\"\n"
      "kind: OPTIKAL\n"
      "machine {\n"
      "  gpu { hbm { stacks: -1 bytes: 7 } nmae: { deep: [1, 2] } }\n"
      "  fats: true fast: maybe\n"
      "}\n"
      "offset: 3\n");
  REQUIRE(parsed.faults.size() == 6);
  const std::vector<std::pair<int, int>> places{{1, 1}, {2, 7}, {4, 23}, {4, 37}, {5, 3}, {5, 20}};
  for (std::size_t i = 0; i < places.size(); ++i) {
    REQUIRE(parsed.faults[i].where.line == places[i].first);
    REQUIRE(parsed.faults[i].where.column == places[i].second);
  }
  REQUIRE(parsed.message->ShortDebugString() == "machine { gpu { hbm { bytes: 7 } } } offset: 3");
}

TEST_CASE("reading stops after twenty faults and says so") {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "nonsense: 1\n";
  const Parsed parsed(text);
  REQUIRE(parsed.faults.size() == kMostFaults);
  REQUIRE(parsed.faults.back().message.find("stopped after 20 faults") != std::string::npos);
}

TEST_CASE("locations are those of the fields; a field that was not written answers with its message") {
  const Parsed parsed("title: \"t\"\nmachine {\n  gpu {\n    hbm { stacks: 4 }\n    lane { name: \"x\" }\n  }\n}\n");
  const auto at = [&](const std::string& path) {
    const SourceLocation where = parsed.locations.where(path);
    return std::pair<int, int>(where.line, where.column);
  };
  REQUIRE(at("title") == std::pair(1, 1));
  REQUIRE(at("machine.gpu.hbm.stacks") == std::pair(4, 11));
  REQUIRE(at("machine.gpu.hbm.bytes") == std::pair(4, 5));
  REQUIRE(at("machine.gpu.lane[0].name") == std::pair(5, 12));
  REQUIRE(at("machine.gpu.lane[0].rate_ghz") == std::pair(5, 10));
  REQUIRE(at("offset") == std::pair(0, 0));
  const FieldLocations below = parsed.locations.below("machine.gpu");
  REQUIRE(below.where("hbm.stacks").line == 4);
  const Diagnostic fault = below.diagnostic("hbm.stacks", "too few");
  REQUIRE(fault.text() ==
          "f.textproto:4:11: machine.gpu.hbm.stacks: too few\n        hbm { stacks: 4 }\n              ^");
}

TEST_CASE("files that are no text are refused at once") {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "x.textproto";
  REQUIRE(read_fault(path).find("no such file") != std::string::npos);
  REQUIRE(read_fault(folder.path()).find("is a folder") != std::string::npos);
  std::ofstream(path, std::ios::binary) << "title: \"a\"\n" << std::string(3, '\0') << "rest";
  REQUIRE(read_fault(path).find("is a binary file") != std::string::npos);
  std::ofstream(path, std::ios::binary) << "title: \"a\"\n  \x01\x02";
  REQUIRE(read_fault(path).find("x.textproto:2:3: is not a text file: control character 0x01") != std::string::npos);
  std::ofstream(path, std::ios::binary) << "\xef\xbb\xbftitle: \"a\"\n";
  REQUIRE(read_source(path.string())->text() == "title: \"a\"\n");
}

TEST_CASE("a huge file is refused unread, a large one of nonsense ends after twenty faults") {
  const test::TemporaryFolder folder;
  const auto path = folder.path() / "huge.textproto";
  std::ofstream(path) << "x";
  std::filesystem::resize_file(path, 100u << 20);  // sparse
  REQUIRE(read_fault(path).find("is larger than 16 MiB") != std::string::npos);
  REQUIRE(read_fault("/dev/zero").find("is a binary file") != std::string::npos);
  for (const std::string& piece : {std::string("} ] > { [ < "), std::string("a { "), std::string("\"'"),
                                   std::string("a: [ "), std::string("-5 ")}) {
    std::string text;
    while (text.size() < (2u << 20)) text += piece;
    const Parsed parsed(text);
    REQUIRE(!parsed.faults.empty());
    REQUIRE(parsed.faults.size() <= kMostFaults);
  }
}

TEST_CASE("a file cut off anywhere gives faults or fewer fields, never a crash") {
  const std::string text =
      "title: \"a\\n\" machine { gpu { lane { name: 'x' taps: [1, -2] } } } kind: OPTICAL prefill { tokens: 0x1f }\n";
  for (std::size_t length = 0; length <= text.size(); ++length) {
    const Parsed parsed(text.substr(0, length));
    for (const Diagnostic& fault : parsed.faults) REQUIRE(fault.where.line >= 1);
  }
}

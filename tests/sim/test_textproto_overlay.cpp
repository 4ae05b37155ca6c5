// SPDX-License-Identifier: Apache-2.0
#include <fstream>

#include "catch.h"
#include "sim/base/textproto_overlay.h"
#include "sim/base/textproto_parse.h"
#include "sim/base/textproto_path.h"
#include "sim/text_schema.h"
#include "temporary_folder.h"

using namespace lightcone;

namespace {

struct Loaded {
  explicit Loaded(test::TextSchema& schema, const std::string& name, const std::string& text)
      : message(schema.message()),
        locations(parse_textproto(std::make_shared<const SourceText>(name, text), *message)) {}
  std::unique_ptr<google::protobuf::Message> message;
  FieldLocations locations;
  [[nodiscard]] std::string text() const { return message->ShortDebugString(); }
  [[nodiscard]] std::string place(const std::string& path) const {
    const SourceLocation where = locations.where(path);
    return where.file + ":" + std::to_string(where.line);
  }
  // The fault of a set, or the empty string.
  std::string set(const std::string& assignment) {
    try {
      apply_set(*message, locations, assignment);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return {};
  }
};

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("what the overlay gives wins, the rest stays, and locations follow the winner") {
  test::TextSchema schema;
  Loaded base(schema, "base",
              "title: \"b\" fast: true tags: [\"p\", \"q\"]\n"
              "machine { gpu { name: \"g\" hbm { stacks: 4 bytes: 8 }\n"
              "  lane { name: \"x\" rate_ghz: 1 taps: [1, 2] }\n"
              "  lane { name: \"y\" rate_ghz: 2 } } }\n"
              "bank { stacks: 1 } bank { stacks: 2 }\n");
  const Loaded over(schema, "over",
                    "fast: false\ntags: \"r\"\n"
                    "machine { gpu { hbm { stacks: 8 }\n"
                    "  lane { name: \"z\" rate_ghz: 3 }\n"
                    "  lane { name: \"x\" taps: 9 } } }\n"
                    "bank { stacks: 7 }\n");
  overlay(*base.message, base.locations, *over.message, over.locations);
  const Loaded expected(schema, "e",
                        "title: \"b\" fast: false tags: \"r\" machine { gpu { name: \"g\" hbm { stacks: 8 bytes: 8 }"
                        " lane { name: \"x\" rate_ghz: 1 taps: 9 } lane { name: \"y\" rate_ghz: 2 }"
                        " lane { name: \"z\" rate_ghz: 3 } } } bank { stacks: 7 }");
  REQUIRE(base.text() == expected.text());
  REQUIRE(base.place("title") == "base:1");
  REQUIRE(base.place("fast") == "over:1");
  REQUIRE(base.place("tags[0]") == "over:2");
  REQUIRE(base.place("tags[1]") == "over:2");  // gone: answers with the list
  REQUIRE(base.place("machine.gpu.hbm.stacks") == "over:3");
  REQUIRE(base.place("machine.gpu.hbm.bytes") == "base:2");
  REQUIRE(base.place("machine.gpu.lane[0].rate_ghz") == "base:3");
  REQUIRE(base.place("machine.gpu.lane[0].taps[0]") == "over:5");
  REQUIRE(base.place("machine.gpu.lane[2].rate_ghz") == "over:4");
  REQUIRE(base.place("bank[0].stacks") == "over:6");
}

TEST_CASE("another member of a oneof drops the former one and its locations") {
  test::TextSchema schema;
  Loaded base(schema, "base", "prefill { tokens: 5 }");
  const Loaded over(schema, "over", "decode { context: 6 }");
  overlay(*base.message, base.locations, *over.message, over.locations);
  REQUIRE(base.text() == "decode { context: 6 }");
  REQUIRE(!base.locations.has("prefill.tokens"));
  REQUIRE(base.set("prefill.tokens=3").empty());
  REQUIRE(base.text() == "prefill { tokens: 3 }");
  REQUIRE(!base.locations.has("decode.context"));
}

TEST_CASE("bases are laid under bases; a cycle is refused at the line that closes it") {
  const test::TemporaryFolder folder;
  const auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream(folder.path() / name) << text;
    return (folder.path() / name).string();
  };
  const FindBase find = [&](const std::string& name, const FieldOrigin&) { return (folder.path() / name).string(); };
  write("a", "title: \"a\" offset: 1\nshare: 1\n");
  write("b", "base: \"a\"\noffset: 2 fast: true\n");
  const std::string top = write("c", "base: \"b\"\nfast: false\n");
  test::TextSchema schema;
  const auto message = schema.message();
  const FieldLocations locations = load_over_base(top, *message, find);
  REQUIRE(message->ShortDebugString() == "title: \"a\" offset: 2 fast: false share: 1");
  REQUIRE(holds(locations.where("share").file, "/a"));
  REQUIRE(holds(locations.where("offset").file, "/b"));
  REQUIRE(holds(locations.where("fast").file, "/c"));
  write("a", "\n  base: \"c\"\n");
  try {
    load_over_base(top, *message, find);
    FAIL("a cycle was accepted");
  } catch (const ConfigError& error) {
    REQUIRE(holds(error.what(), "/a:2:3: base: the files are based on each other: c -> b -> a -> c"));
  }
}

TEST_CASE("every leaf of the schema can be set by its path and read back") {
  test::TextSchema schema;
  const auto empty = schema.message();
  const std::vector<std::string> paths = all_paths(schema.top());
  REQUIRE(paths.size() == 21);
  for (std::string path : paths) {
    Loaded top(schema, "f", "");
    for (auto at = path.find("[]"); at != std::string::npos; at = path.find("[]")) path.replace(at, 2, "[0]");
    const bool list = holds(path, "taps") || holds(path, "tags");
    INFO(path);
    for (const std::string value : {"3", "true", "OPTICAL", "[3]"}) {
      if (!top.set(path + "=" + value).empty()) continue;
      REQUIRE(get_by_path(*top.message, path) == (list && value == "3" ? "[3]" : value));
      REQUIRE(top.locations.where(path).file == "--set " + path + "=" + value);
      break;
    }
    REQUIRE(!top.text().empty());
  }
}

TEST_CASE("elements are chosen by name or index; a list's size appends") {
  test::TextSchema schema;
  Loaded top(schema, "f", "machine { gpu { lane { name: \"x\" } lane { name: \"y\" taps: [1, 2] } } }");
  REQUIRE(top.set("machine.gpu.lane[y].rate_ghz=2.5").empty());
  REQUIRE(get_by_path(*top.message, "machine.gpu.lane[1].rate_ghz") == "2.5");
  REQUIRE(top.set("machine.gpu.lane[y].taps[1]=7").empty());
  REQUIRE(get_by_path(*top.message, "machine.gpu.lane[y].taps") == "[1, 7]");
  REQUIRE(top.set("machine.gpu.lane[2].name=z").empty());
  REQUIRE(get_by_path(*top.message, "machine.gpu.lane[z].name") == "z");
  REQUIRE(top.set("tags=[\"a\", \"b\"]").empty());
  REQUIRE(get_by_path(*top.message, "tags[1]") == "b");
  REQUIRE(top.set("title=with blanks and \"quotes\"").empty());
  REQUIRE(get_by_path(*top.message, "title") == "with blanks and \"quotes\"");
  REQUIRE(top.set("machine.gpu.hbm={ stacks: 3 }").empty());
  REQUIRE(get_by_path(*top.message, "machine.gpu.hbm.stacks") == "3");
  REQUIRE(get_by_path(*top.message, "machine.gpu.hbm.bytes").empty());
  REQUIRE(top.set("machine=other").empty());  // a message with a base takes a name
  REQUIRE(get_by_path(*top.message, "machine.base") == "other");
  REQUIRE(get_by_path(*top.message, "machine.gpu.lane") == "[]");
}

TEST_CASE("a wrong path or value is refused with the nearest right ones and changes nothing") {
  test::TextSchema schema;
  Loaded top(schema, "f", "machine { gpu { lane { name: \"fast\" } } } tags: \"a\"");
  const std::string before = top.text();
  const std::vector<std::pair<std::string, std::string>> cases{
      {"machine.gpu.hmb.stacks=8", "machine.gpu has no field \"hmb\"; did you mean \"machine.gpu.hbm.stacks\""},
      {"machine.hbm.stacks=8", "machine has no field \"hbm\"; did you mean \"machine.gpu.hbm.stacks\""},
      {"pin_gbps=8", "no field \"pin_gbps\"; did you mean \"machine.gpu.hbm.pin_gbps\""},
      {"machine.gpu.hbm.stacks=many", "machine.gpu.hbm.stacks: expected a whole number, not negative, got many"},
      {"machine.gpu.hbm.stacks=", "machine.gpu.hbm.stacks: expected a whole number, not negative, got nothing"},
      {"machine.gpu.hbm.stacks=8 9", "machine.gpu.hbm.stacks: unexpected \"9\" after the value"},
      {"kind=OPTICL", "did you mean \"OPTICAL\""},
      {"machine.gpu.lane[fats].rate_ghz=1", "has no element named \"fats\"; did you mean \"fast\""},
      {"machine.gpu.lane[4].rate_ghz=1", "machine.gpu.lane has 1 elements; [4] is beyond them"},
      {"machine.gpu.lane.rate_ghz=1", "machine.gpu.lane is a list; choose an element"},
      {"title[0]=x", "title is not a list"},
      {"title.x=1", "title is a single value; it has no fields"},
      {"bank[x].stacks=1", "the elements of bank have no name"},
      {"machine..gpu=1", "is not a path"},
      {"machine.=1", "is not a path"},
      {"machine.gpu.lane[0=1", "is not a path"},
      {"title", "expected path=value"},
      {"=3", "expected path=value"},
  };
  for (const auto& [assignment, message] : cases) {
    const std::string fault = top.set(assignment);
    INFO(fault);
    INFO("expected " << message);
    CHECK(holds(fault, message));
    CHECK(holds(fault, "--set " + assignment));
    CHECK(top.text() == before);
  }
  REQUIRE_THROWS_AS(get_by_path(*top.message, "machine.gpu.nothing"), ConfigError);
}

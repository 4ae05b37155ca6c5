// SPDX-License-Identifier: Apache-2.0
#include "hardware/spec/sources.h"

#include <fmt/core.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <optional>
#include <sstream>
#include <string>

namespace lightcone::hardware {
namespace {

namespace pb = google::protobuf;
using pb::FieldDescriptor;

struct Citation {
  std::string text;
  std::string file;
};

bool names_field(const std::string& names, const std::string& field) {
  std::istringstream words(names);
  for (std::string word; words >> word;) {
    if (word == field) return true;
  }
  return false;
}

// The citation of `field` among the `source` entries of `message`: the last that names it (a derived file's stand
// behind its base's), else the one for "*".
std::optional<Citation> citation(const pb::Message& message, const std::string& path, const FieldLocations& locations,
                                 const std::string& field) {
  const FieldDescriptor* list = message.GetDescriptor()->FindFieldByName("source");
  if (list == nullptr) return std::nullopt;
  std::optional<Citation> for_all;
  const pb::Reflection& reflection = *message.GetReflection();
  for (int i = reflection.FieldSize(message, list) - 1; i >= 0; --i) {
    const pb::Message& source = reflection.GetRepeatedMessage(message, list, i);
    const auto text_of = [&](const char* name) {
      return source.GetReflection()->GetString(source, source.GetDescriptor()->FindFieldByName(name));
    };
    const std::string where = element_path(join_path(path, "source"), i);
    Citation found{text_of("text"), locations.where(join_path(where, "text")).file};
    const std::string names = text_of("name");
    if (names_field(names, field)) return found;
    if (names == "*" && !for_all) for_all = std::move(found);
  }
  return for_all;
}

class Collector {
 public:
  explicit Collector(const FieldLocations& locations) : locations_(locations) {}

  // `outer`: the citation of the list that holds this message, when it is an element of one.
  void collect(const pb::Message& message, const std::string& path, const std::optional<Citation>& outer) {
    std::vector<const FieldDescriptor*> given;
    message.GetReflection()->ListFields(message, &given);
    for (const FieldDescriptor* field : given) {
      const std::string at = join_path(path, field->name());
      if (field->name() == "source") continue;
      const auto cited = outer ? outer : citation(message, path, locations_, field->name());
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        nested(message, *field, at, cited);
      } else if (field->cpp_type() != FieldDescriptor::CPPTYPE_STRING) {
        add(at, cited);
      }
    }
  }

  std::vector<ParameterSource> found;

 private:
  void nested(const pb::Message& message, const FieldDescriptor& field, const std::string& at,
              const std::optional<Citation>& cited) {
    const pb::Reflection& reflection = *message.GetReflection();
    if (!field.is_repeated()) return collect(reflection.GetMessage(message, &field), at, std::nullopt);
    for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
      collect(reflection.GetRepeatedMessage(message, &field, i), element_path(at, i), cited);
    }
  }

  void add(const std::string& at, const std::optional<Citation>& cited) {
    const SourceLocation where = locations_.where(at);
    if (!cited || cited->text.empty()) {
      found.push_back({at, kNoSource});
    } else if (cited->file != where.file) {
      found.push_back({at, where.line > 0 ? fmt::format("set in {}:{}", where.file, where.line)
                                          : fmt::format("set by {}", where.file)});
    } else {
      found.push_back({at, cited->text});
    }
  }

  const FieldLocations& locations_;
};

}  // namespace

std::vector<ParameterSource> parameter_sources(const pb::Message& message, const FieldLocations& locations) {
  Collector collector(locations);
  collector.collect(message, "", std::nullopt);
  return std::move(collector.found);
}

}  // namespace lightcone::hardware

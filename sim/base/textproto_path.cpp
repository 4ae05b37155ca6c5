// SPDX-License-Identifier: Apache-2.0
#include "sim/base/textproto_path.h"

#include <fmt/core.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <memory>
#include <optional>
#include <utility>

#include "sim/base/suggest.h"
#include "sim/base/textproto_overlay.h"
#include "sim/base/textproto_parse.h"

namespace lightcone {
namespace {

namespace pb = google::protobuf;
using pb::FieldDescriptor;

struct Step {
  std::string name;
  std::optional<std::string> index;  // inside the brackets
};

// The steps of a path, or nothing when its form is wrong.
std::optional<std::vector<Step>> split(const std::string& path) {
  std::vector<Step> steps;
  std::size_t at = 0;
  while (at <= path.size()) {
    const std::size_t end = path.find_first_of(".[", at);
    Step step{path.substr(at, end == std::string::npos ? end : end - at), std::nullopt};
    if (step.name.empty()) return std::nullopt;
    at = end == std::string::npos ? path.size() + 1 : end;
    if (at < path.size() && path[at] == '[') {
      const std::size_t close = path.find(']', at);
      if (close == std::string::npos) return std::nullopt;
      step.index = path.substr(at + 1, close - at - 1);
      at = close + 1;
      if (at < path.size() && path[at] != '.') return std::nullopt;
      if (at == path.size()) ++at;
    }
    if (at < path.size())
      ++at;  // the dot
    else if (at == path.size())
      return std::nullopt;  // ends with a dot
    steps.push_back(std::move(step));
  }
  return steps;
}

std::vector<std::string> names_of(const pb::Descriptor& type) {
  std::vector<std::string> out;
  for (int i = 0; i < type.field_count(); ++i) out.push_back(type.field(i)->name());
  return out;
}

std::string tail(const std::string& path) {
  const std::size_t dot = path.rfind('.');
  return dot == std::string::npos ? path : path.substr(dot + 1);
}

// Paths of the whole schema that may be meant: first those that end in what was typed, then those whose last name is
// the same or near.
std::vector<std::string> meant_paths(const pb::Descriptor& root, const std::string& typed) {
  const std::vector<std::string> all = all_paths(&root);
  std::vector<std::pair<std::size_t, std::string>> ranked;
  const std::string last = tail(typed);
  for (const std::string& path : all) {
    const std::string name = tail(path);
    const std::size_t near = edit_distance(last, name);
    const bool ends = path.size() > typed.size() && path.compare(path.size() - typed.size(), typed.size(), typed) == 0;
    if (!ends && near > std::max<std::size_t>(1, last.size() / 4)) continue;
    ranked.emplace_back(ends ? 0 : 10 * near + edit_distance(typed, path), path);
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> out;
  for (std::size_t i = 0; i < std::min<std::size_t>(3, ranked.size()); ++i) out.push_back(ranked[i].second);
  return out;
}

std::string unknown_name_text(const pb::Descriptor& root, const pb::Descriptor& level, const std::string& parent,
                              const Step& step, const std::string& whole_path) {
  const std::string where =
      parent.empty() ? "no field \"" + step.name + "\"" : parent + " has no field \"" + step.name + "\"";
  const std::vector<std::string> near = suggestions(step.name, names_of(level));
  std::vector<std::string> candidates;
  for (const std::string& name : near) {
    std::string rest = whole_path.substr(join_path(parent, step.name).size());
    candidates.push_back(join_path(parent, name) + rest);
  }
  for (const std::string& path : meant_paths(root, whole_path)) {
    if (candidates.size() < 3 && std::find(candidates.begin(), candidates.end(), path) == candidates.end())
      candidates.push_back(path);
  }
  if (candidates.empty()) return where + suggestion_text(step.name, names_of(level));
  std::string text = where + "; did you mean \"" + candidates.front() + "\"";
  for (std::size_t i = 1; i < candidates.size(); ++i) text += " or \"" + candidates[i] + "\"";
  return text + "?";
}

// A walk along a path that makes the missing messages on the way. Ends at the message that owns the last field, or
// with what is wrong.
class Walk {
 public:
  Walk(pb::Message& message, const std::string& path, FieldLocations& locations, const FieldOrigin& origin)
      : message_(&message), locations_(locations), origin_(origin) {
    const auto steps = split(path);
    if (!steps || steps->empty()) {
      wrong_ = fmt::format("\"{}\" is not a path; write field.field or field[name].field", path);
      return;
    }
    const pb::Descriptor& root = *message.GetDescriptor();
    for (std::size_t i = 0; i < steps->size(); ++i) {
      const Step& step = (*steps)[i];
      field_ = message_->GetDescriptor()->FindFieldByName(step.name);
      if (field_ == nullptr) {
        wrong_ = unknown_name_text(root, *message_->GetDescriptor(), parent_, step, path);
        return;
      }
      path_ = join_path(parent_, step.name);
      find_index(step);
      if (!wrong_.empty()) return;
      drop_other_choice();
      if (i + 1 == steps->size()) return;
      descend();
      if (!wrong_.empty()) return;
    }
  }

  [[nodiscard]] const std::string& wrong() const { return wrong_; }
  [[nodiscard]] pb::Message& owner() const { return *message_; }
  [[nodiscard]] const FieldDescriptor& field() const { return *field_; }
  [[nodiscard]] int index() const { return index_; }               // of the element meant; -1: the whole field
  [[nodiscard]] const std::string& path() const { return path_; }  // of the field, without the last index
  [[nodiscard]] const std::string& parent() const { return parent_; }

 private:
  void find_index(const Step& step) {
    index_ = -1;
    if (!step.index) return;
    if (!field_->is_repeated()) {
      wrong_ = fmt::format("{} is not a list; leave out the [{}]", path_, *step.index);
      return;
    }
    const int size = message_->GetReflection()->FieldSize(*message_, field_);
    const std::string& text = *step.index;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, index_);
    if (error == std::errc() && stop == end && index_ >= 0) {
      if (index_ > size) wrong_ = fmt::format("{} has {} elements; [{}] is beyond them", path_, size, text);
      return;
    }
    index_ = find_by_name(*message_, *field_, text);
    if (index_ < 0) wrong_ = unknown_element_text(text, size);
  }

  std::string unknown_element_text(const std::string& text, int size) const {
    const FieldDescriptor* key = name_key(*field_);
    if (key == nullptr) return fmt::format("the elements of {} have no name; use an index from 0", path_);
    std::vector<std::string> names;
    for (int i = 0; i < size; ++i) {
      const pb::Message& element = message_->GetReflection()->GetRepeatedMessage(*message_, field_, i);
      names.push_back(element.GetReflection()->GetString(element, key));
    }
    return fmt::format("{} has no element named \"{}\"{} ([{}] appends one)", path_, text, suggestion_text(text, names),
                       size);
  }

  void descend() {
    const pb::Reflection& reflection = *message_->GetReflection();
    if (field_->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      wrong_ = path_ + " is a single value; it has no fields";
    } else if (!field_->is_repeated()) {
      if (!reflection.HasField(*message_, field_)) locations_.set(path_, origin_);
      message_ = reflection.MutableMessage(message_, field_);
      parent_ = path_;
    } else if (index_ < 0) {
      wrong_ = fmt::format("{} is a list; choose an element: {}[0] or {}[name]", path_, path_, path_);
    } else {
      parent_ = element_path(path_, index_);
      if (index_ == reflection.FieldSize(*message_, field_)) {
        reflection.AddMessage(message_, field_);
        locations_.set(parent_, origin_);
      }
      message_ = reflection.MutableRepeatedMessage(message_, field_, index_);
    }
  }

  void drop_other_choice() {
    const pb::OneofDescriptor* oneof = field_->real_containing_oneof();
    if (oneof == nullptr) return;
    const FieldDescriptor* other = message_->GetReflection()->GetOneofFieldDescriptor(*message_, oneof);
    if (other != nullptr && other != field_) locations_.erase(join_path(parent_, other->name()));
  }

  pb::Message* message_;
  FieldLocations& locations_;
  const FieldOrigin& origin_;
  const FieldDescriptor* field_ = nullptr;
  std::string parent_;
  std::string path_;
  int index_ = -1;
  std::string wrong_;
};

char first_of(const std::string& value) {
  const std::size_t first = value.find_first_not_of(" \t");
  return first == std::string::npos ? '\0' : value[first];
}

bool is_text(const FieldDescriptor& field) { return field.cpp_type() == FieldDescriptor::CPPTYPE_STRING; }

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

// Text may come without quotes on the command line; what starts with a quote (or is a list) is read as written.
std::string as_written(const FieldDescriptor& field, const std::string& value) {
  const char start = first_of(value);
  if (!is_text(field) || start == '"' || start == '\'' || (field.is_repeated() && start == '[')) return value;
  return quoted(value);
}

const FieldDescriptor* base_field(const FieldDescriptor& field) {
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field.is_repeated()) return nullptr;
  return field.message_type()->FindFieldByName("base");
}

// Moves the one element that was parsed into `part` to the list's place `index`.
void put_element(pb::Message& owner, const FieldDescriptor& field, int index, const pb::Message& part) {
  const pb::Reflection& reflection = *owner.GetReflection();
  const std::unique_ptr<pb::Message> with_list(part.New());
  const int size = reflection.FieldSize(owner, &field);
  with_list->CopyFrom(part);
  owner.MergeFrom(*with_list);  // appends
  if (index == size) return;
  reflection.SwapElements(&owner, &field, index, size);
  reflection.RemoveLast(&owner, &field);
}

// Every value is parsed into an empty message of the owner's type first, then laid over the owner.
void store(const Walk& walk, const pb::Message& part, FieldLocations& locations, const FieldOrigin& origin) {
  const FieldDescriptor& field = walk.field();
  pb::Message& owner = walk.owner();
  const pb::Reflection& reflection = *owner.GetReflection();
  if (field.is_repeated() && walk.index() >= 0) {
    put_element(owner, field, walk.index(), part);
    locations.erase(element_path(walk.path(), walk.index()));
    locations.set(element_path(walk.path(), walk.index()), origin);
    return;
  }
  if (field.is_repeated()) {
    reflection.ClearField(&owner, &field);
    locations.erase(walk.path());
  }
  FieldLocations scratch;
  FieldLocations of_part;
  of_part.set("", origin);
  overlay(owner, scratch, part, of_part);
  // An empty list clears; anything else was set by this value, as a whole.
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field.is_repeated()) locations.erase(walk.path());
  locations.set(walk.path(), origin);
  for (const auto& [inner, unused] : scratch.all()) {
    if (!inner.empty()) locations.set(join_path(walk.parent(), inner), origin);
  }
}

void collect_paths(const pb::Descriptor& type, const std::string& prefix, std::vector<const pb::Descriptor*>& open,
                   std::vector<std::string>& out) {
  if (std::find(open.begin(), open.end(), &type) != open.end()) return;  // a schema may contain itself
  open.push_back(&type);
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const std::string path = join_path(prefix, field.name());
    if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      out.push_back(path);
    } else {
      collect_paths(*field.message_type(), field.is_repeated() ? path + "[]" : path, open, out);
    }
  }
  open.pop_back();
}

}  // namespace

bool set_by_path(pb::Message& message, FieldLocations& locations, const std::string& path, const std::string& value,
                 const FieldOrigin& origin, std::vector<Diagnostic>& faults) {
  // On copies, so that a fault leaves the message as it was.
  const std::unique_ptr<pb::Message> result(message.New());
  result->CopyFrom(message);
  FieldLocations result_locations = locations;
  const Walk walk(*result, path, result_locations, origin);
  if (!walk.wrong().empty()) {
    faults.push_back(origin.diagnostic("", walk.wrong()));
    return false;
  }
  const FieldDescriptor& field = walk.field();
  const std::unique_ptr<pb::Message> part(walk.owner().New());
  std::vector<Diagnostic> wrong;
  FieldLocations unused;
  if (const FieldDescriptor* base = base_field(field); base != nullptr && first_of(value) != '{') {
    walk.owner().GetReflection()->ClearField(&walk.owner(), &field);
    result_locations.erase(walk.path());
    pb::Message* inner = part->GetReflection()->MutableMessage(part.get(), &field);
    const auto source = std::make_shared<const SourceText>(origin.where().file, as_written(*base, value));
    parse_textproto_value(source, *inner, *base, join_path(path, "base"), unused, wrong);
  } else {
    const auto source = std::make_shared<const SourceText>(origin.where().file, as_written(field, value));
    parse_textproto_value(source, *part, field, walk.path(), unused, wrong);
  }
  for (const Diagnostic& fault : wrong) faults.push_back(origin.diagnostic(fault.field, fault.message));
  if (!wrong.empty()) return false;
  store(walk, *part, result_locations, origin);
  message.GetReflection()->Swap(&message, result.get());
  locations = std::move(result_locations);
  return true;
}

Assignment parse_assignment(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    throw ConfigError(fmt::format("--set {}: expected path=value, such as machine.gpu.hbm.stacks=8", text));
  return {text.substr(0, equals), text.substr(equals + 1),
          FieldOrigin{std::make_shared<const SourceText>("--set " + text), 0, 0}};
}

void apply_set(pb::Message& message, FieldLocations& locations, const std::string& assignment) {
  const Assignment set = parse_assignment(assignment);
  std::vector<Diagnostic> faults;
  set_by_path(message, locations, set.path, set.value, set.origin, faults);
  if (!faults.empty()) throw ConfigError(std::move(faults));
}

std::string get_by_path(const pb::Message& message, const std::string& path) {
  const std::unique_ptr<pb::Message> copy(message.New());  // the walk makes what is missing
  copy->CopyFrom(message);
  FieldLocations locations;
  const Walk walk(*copy, path, locations, {});
  if (!walk.wrong().empty()) throw ConfigError(walk.wrong());
  const FieldDescriptor& field = walk.field();
  const pb::Reflection& reflection = *walk.owner().GetReflection();
  pb::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string out;
  const auto print = [&](int index) {
    if (is_text(field)) {
      out += index < 0 ? reflection.GetString(walk.owner(), &field)
                       : reflection.GetRepeatedString(walk.owner(), &field, index);
      return;
    }
    std::string value;
    printer.PrintFieldValueToString(walk.owner(), &field, index, &value);
    out += field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE ? "{ " + value + "}" : value;
  };
  if (!field.is_repeated()) {
    if (reflection.HasField(walk.owner(), &field)) print(-1);
    return out;
  }
  const int size = reflection.FieldSize(walk.owner(), &field);
  if (walk.index() >= 0) {
    if (walk.index() < size) print(walk.index());
    return out;
  }
  out = "[";
  for (int i = 0; i < size; ++i) {
    if (i > 0) out += ", ";
    print(i);
  }
  return out + "]";
}

std::vector<std::string> all_paths(const pb::Descriptor* type) {
  std::vector<std::string> out;
  std::vector<const pb::Descriptor*> open;
  collect_paths(*type, "", open, out);
  return out;
}

std::string path_fault(const pb::Message& message, const std::string& path) {
  const std::unique_ptr<pb::Message> copy(message.New());
  copy->CopyFrom(message);
  FieldLocations locations;
  return Walk(*copy, path, locations, {}).wrong();
}

}  // namespace lightcone

// SPDX-License-Identifier: Apache-2.0
#include "sim/base/textproto_overlay.h"

#include <fmt/core.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "sim/base/textproto_parse.h"

namespace lightcone {
namespace {

namespace pb = google::protobuf;
using pb::FieldDescriptor;

class Overlay {
 public:
  Overlay(FieldLocations& base, const FieldLocations& over) : base_(base), over_(over) {}

  void merge(pb::Message& base, const std::string& base_path, const pb::Message& over, const std::string& over_path) {
    std::vector<const FieldDescriptor*> given;
    over.GetReflection()->ListFields(over, &given);
    for (const FieldDescriptor* field : given) {
      drop_other_choice(base, base_path, *field);
      const std::string to = join_path(base_path, field->name());
      const std::string from = join_path(over_path, field->name());
      if (field->is_repeated() && name_key(*field) != nullptr) {
        merge_named(base, to, over, from, *field);
      } else if (!field->is_repeated() && field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        base_.set(to, over_.origin(from));
        merge(*base.GetReflection()->MutableMessage(&base, field), to, over.GetReflection()->GetMessage(over, field),
              from);
      } else {
        replace(base, to, over, from, *field);
      }
    }
  }

 private:
  void drop_other_choice(pb::Message& base, const std::string& path, const FieldDescriptor& field) {
    const pb::OneofDescriptor* oneof = field.real_containing_oneof();
    if (oneof == nullptr) return;
    const FieldDescriptor* other = base.GetReflection()->GetOneofFieldDescriptor(base, oneof);
    if (other != nullptr && other != &field) base_.erase(join_path(path, other->name()));
  }

  void replace(pb::Message& base, const std::string& to, const pb::Message& over, const std::string& from,
               const FieldDescriptor& field) {
    const std::unique_ptr<pb::Message> copy(over.New());
    copy->CopyFrom(over);
    base.GetReflection()->ClearField(&base, &field);
    base.GetReflection()->SwapFields(&base, copy.get(), {&field});
    base_.erase(to);
    base_.adopt(to, over_, from);
  }

  void merge_named(pb::Message& base, const std::string& to, const pb::Message& over, const std::string& from,
                   const FieldDescriptor& list) {
    const FieldDescriptor& key = *name_key(list);
    const pb::Reflection& reflection = *base.GetReflection();
    for (int i = 0; i < reflection.FieldSize(over, &list); ++i) {
      const pb::Message& element = reflection.GetRepeatedMessage(over, &list, i);
      const int same = find_by_name(base, list, element.GetReflection()->GetString(element, &key));
      if (same >= 0) {
        base_.set(element_path(to, same), over_.origin(element_path(from, i)));
        merge(*reflection.MutableRepeatedMessage(&base, &list, same), element_path(to, same), element,
              element_path(from, i));
      } else {
        base_.adopt(element_path(to, reflection.FieldSize(base, &list)), over_, element_path(from, i));
        reflection.AddMessage(&base, &list)->CopyFrom(element);
      }
    }
  }

  FieldLocations& base_;
  const FieldLocations& over_;
};

const FieldDescriptor* base_field(const pb::Message& message) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName("base");
  return field != nullptr && field->cpp_type() == FieldDescriptor::CPPTYPE_STRING && !field->is_repeated() ? field
                                                                                                           : nullptr;
}

class BaseChain {
 public:
  explicit BaseChain(const FindBase& find_base) : find_base_(find_base) {}

  FieldLocations load(const std::string& file, pb::Message& message) {
    const std::string key = std::filesystem::weakly_canonical(file).string();
    chain_.push_back(key);
    FieldLocations locations = load_textproto(file, message);
    resolve(message, locations);
    chain_.pop_back();
    return locations;
  }

  void resolve(pb::Message& message, FieldLocations& locations) {
    const FieldDescriptor* field = base_field(message);
    if (field == nullptr || !message.GetReflection()->HasField(message, field)) return;
    const FieldOrigin origin = locations.origin("base");
    const std::string file = find_base_(message.GetReflection()->GetString(message, field), origin);
    refuse_cycle(file, locations);
    message.GetReflection()->ClearField(&message, field);
    locations.erase("base");
    const std::unique_ptr<pb::Message> base(message.New());
    FieldLocations base_locations = load(file, *base);
    Overlay(base_locations, locations).merge(*base, "", message, "");
    base_locations.set("", locations.origin(""));
    message.GetReflection()->Swap(&message, base.get());
    FieldLocations merged = locations;  // keeps the shown prefix
    merged.erase("");
    merged.adopt("", base_locations, "");
    locations = std::move(merged);
  }

 private:
  void refuse_cycle(const std::string& file, const FieldLocations& locations) const {
    const std::string key = std::filesystem::weakly_canonical(file).string();
    if (std::find(chain_.begin(), chain_.end(), key) == chain_.end()) return;
    std::string text = "the files are based on each other: ";
    for (const std::string& link : chain_) text += std::filesystem::path(link).filename().string() + " -> ";
    throw ConfigError({locations.diagnostic("base", text + std::filesystem::path(key).filename().string())});
  }

  const FindBase& find_base_;
  std::vector<std::string> chain_;
};

}  // namespace

void overlay(pb::Message& base, FieldLocations& base_locations, const pb::Message& over,
             const FieldLocations& over_locations) {
  LIGHTCONE_ASSERT(base.GetDescriptor() == over.GetDescriptor());
  Overlay(base_locations, over_locations).merge(base, "", over, "");
}

const FieldDescriptor* name_key(const FieldDescriptor& list) {
  if (!list.is_repeated() || list.is_map() || list.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return nullptr;
  const FieldDescriptor* key = list.message_type()->FindFieldByName("name");
  return key != nullptr && key->cpp_type() == FieldDescriptor::CPPTYPE_STRING && !key->is_repeated() ? key : nullptr;
}

int find_by_name(const pb::Message& message, const FieldDescriptor& list, const std::string& name) {
  const FieldDescriptor* key = name_key(list);
  if (key == nullptr) return -1;
  const pb::Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < reflection.FieldSize(message, &list); ++i) {
    const pb::Message& element = reflection.GetRepeatedMessage(message, &list, i);
    if (element.GetReflection()->GetString(element, key) == name) return i;
  }
  return -1;
}

FieldLocations load_over_base(const std::string& file, pb::Message& message, const FindBase& find_base) {
  return BaseChain(find_base).load(file, message);
}

void resolve_base(pb::Message& message, FieldLocations& locations, const FindBase& find_base) {
  BaseChain(find_base).resolve(message, locations);
}

}  // namespace lightcone

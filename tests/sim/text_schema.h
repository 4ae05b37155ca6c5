// SPDX-License-Identifier: Apache-2.0
// A small schema for the tests of the text layer, made at run time: the layer must work for any schema.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>

#include <memory>
#include <string>
#include <vector>

namespace lightcone::test {

class TextSchema {
 public:
  TextSchema() {
    file_.set_name("test.proto");
    google::protobuf::EnumDescriptorProto& kind = *file_.add_enum_type();
    kind.set_name("Kind");
    int number = 0;
    for (const char* name : {"KIND_UNSPECIFIED", "COPPER", "OPTICAL"}) {
      kind.add_value()->set_name(name);
      kind.mutable_value(number)->set_number(number);
      ++number;
    }
    using F = google::protobuf::FieldDescriptorProto;
    message("Lane", {{"name", F::TYPE_STRING}, {"rate_ghz", F::TYPE_DOUBLE}, {"taps", F::TYPE_INT32, "", true}});
    message("Memory", {{"stacks", F::TYPE_UINT32}, {"bytes", F::TYPE_UINT64}, {"pin_gbps", F::TYPE_DOUBLE}});
    message("Gpu",
            {{"name", F::TYPE_STRING}, {"hbm", F::TYPE_MESSAGE, "Memory"}, {"lane", F::TYPE_MESSAGE, "Lane", true}});
    message("Prefill", {{"tokens", F::TYPE_UINT32}});
    message("Decode", {{"context", F::TYPE_UINT32}});
    message("Part", {{"base", F::TYPE_STRING}, {"gpu", F::TYPE_MESSAGE, "Gpu"}, {"fast", F::TYPE_BOOL}});
    message("Top", {{"base", F::TYPE_STRING},
                    {"title", F::TYPE_STRING},
                    {"machine", F::TYPE_MESSAGE, "Part"},
                    {"kind", F::TYPE_ENUM, "Kind"},
                    {"offset", F::TYPE_INT32},
                    {"prefill", F::TYPE_MESSAGE, "Prefill", false, true},
                    {"decode", F::TYPE_MESSAGE, "Decode", false, true},
                    {"tags", F::TYPE_STRING, "", true},
                    {"bank", F::TYPE_MESSAGE, "Memory", true},
                    {"fast", F::TYPE_BOOL},
                    {"share", F::TYPE_DOUBLE}});
    top_ = pool_.BuildFile(file_)->FindMessageTypeByName("Top");
  }
  [[nodiscard]] const google::protobuf::Descriptor* top() const { return top_; }
  [[nodiscard]] std::unique_ptr<google::protobuf::Message> message() {
    return std::unique_ptr<google::protobuf::Message>(factory_.GetPrototype(top_)->New());
  }

 private:
  struct Field {
    const char* name;
    google::protobuf::FieldDescriptorProto::Type type;
    const char* type_name = "";
    bool repeated = false;
    bool in_oneof = false;
  };

  void message(const char* name, const std::vector<Field>& fields) {
    google::protobuf::DescriptorProto& type = *file_.add_message_type();
    type.set_name(name);
    for (const Field& field : fields) {
      google::protobuf::FieldDescriptorProto& out = *type.add_field();
      out.set_name(field.name);
      out.set_number(type.field_size());
      out.set_type(field.type);
      out.set_label(field.repeated ? google::protobuf::FieldDescriptorProto::LABEL_REPEATED
                                   : google::protobuf::FieldDescriptorProto::LABEL_OPTIONAL);
      if (*field.type_name != '\0') out.set_type_name(field.type_name);
      if (!field.in_oneof) continue;
      if (type.oneof_decl_size() == 0) type.add_oneof_decl()->set_name("phase");
      out.set_oneof_index(0);
    }
  }

  google::protobuf::FileDescriptorProto file_;
  google::protobuf::DescriptorPool pool_;
  google::protobuf::DynamicMessageFactory factory_{&pool_};
  const google::protobuf::Descriptor* top_ = nullptr;
};

}  // namespace lightcone::test

// SPDX-License-Identifier: Apache-2.0
// One scalar of protobuf text format into a field, with a message in plain words when it does not fit the field's type.
#pragma once

#include <google/protobuf/io/tokenizer.h>

#include <string>

namespace google::protobuf {
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace lightcone {

struct ScalarText {
  bool negative = false;
  google::protobuf::io::Tokenizer::TokenType type = google::protobuf::io::Tokenizer::TYPE_END;
  std::string text;  // of a string: its content, escapes resolved
};

// Sets a singular field or appends to a repeated one. Returns what is wrong and what is allowed; empty when stored.
std::string store_scalar(google::protobuf::Message& message, const google::protobuf::FieldDescriptor& field,
                         const ScalarText& value);

// What the field's type takes: "a whole number", "true or false", "text in double quotes", ...
std::string expected_text(const google::protobuf::FieldDescriptor& field);

}  // namespace lightcone

// SPDX-License-Identifier: Apache-2.0
#include "sim/base/textproto_scalar.h"

#include <fmt/core.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "sim/base/suggest.h"

namespace lightcone {
namespace {

namespace pb = google::protobuf;
using pb::FieldDescriptor;
using pb::io::Tokenizer;

std::string written(const ScalarText& value) {
  const std::string sign = value.negative ? "-" : "";
  const std::string text = value.text.size() > 40 ? value.text.substr(0, 40) + "..." : value.text;
  return value.type == Tokenizer::TYPE_STRING ? sign + '"' + text + '"' : sign + text;
}

std::string not_fitting(const FieldDescriptor& field, const ScalarText& value) {
  return fmt::format("expected {}, got {}", expected_text(field), written(value));
}

// RFC 3629, without the overlong and surrogate checks that no reader of ours depends on.
bool is_utf8(const std::string& text) {
  int following = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (following > 0) {
      if ((byte & 0xc0u) != 0x80u) return false;
      --following;
    } else if (byte >= 0xf0u) {
      if (byte > 0xf4u) return false;
      following = 3;
    } else if (byte >= 0xe0u) {
      following = 2;
    } else if (byte >= 0xc2u) {
      following = 1;
    } else if (byte >= 0x80u) {
      return false;
    }
  }
  return following == 0;
}

struct IntegerRange {
  std::uint64_t most_negative;  // magnitude
  std::uint64_t most;
};

IntegerRange integer_range(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return {1ull << 31, INT32_MAX};
    case FieldDescriptor::CPPTYPE_INT64:
      return {1ull << 63, INT64_MAX};
    case FieldDescriptor::CPPTYPE_UINT32:
      return {0, UINT32_MAX};
    default:
      return {0, UINT64_MAX};
  }
}

void put_integer(pb::Message& m, const FieldDescriptor& f, bool negative, std::uint64_t magnitude) {
  const pb::Reflection& r = *m.GetReflection();
  const auto value = static_cast<std::int64_t>(negative ? ~magnitude + 1 : magnitude);
  const bool list = f.is_repeated();
  switch (f.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32: {
      const auto v = static_cast<std::int32_t>(value);
      return list ? r.AddInt32(&m, &f, v) : r.SetInt32(&m, &f, v);
    }
    case FieldDescriptor::CPPTYPE_INT64:
      return list ? r.AddInt64(&m, &f, value) : r.SetInt64(&m, &f, value);
    case FieldDescriptor::CPPTYPE_UINT32: {
      const auto v = static_cast<std::uint32_t>(magnitude);
      return list ? r.AddUInt32(&m, &f, v) : r.SetUInt32(&m, &f, v);
    }
    default:
      return list ? r.AddUInt64(&m, &f, magnitude) : r.SetUInt64(&m, &f, magnitude);
  }
}

std::string store_integer(pb::Message& message, const FieldDescriptor& field, const ScalarText& value) {
  if (value.type != Tokenizer::TYPE_INTEGER) return not_fitting(field, value);
  const IntegerRange range = integer_range(field);
  std::uint64_t magnitude = 0;
  const bool parsed = Tokenizer::ParseInteger(value.text, UINT64_MAX, &magnitude);
  if (value.negative && range.most_negative == 0 && magnitude != 0) {
    return fmt::format("must not be negative, got {}", written(value));
  }
  if (!parsed || magnitude > (value.negative ? range.most_negative : range.most)) {
    return fmt::format("{} is too large; the largest number here is {}", written(value), range.most);
  }
  put_integer(message, field, value.negative, magnitude);
  return {};
}

std::optional<double> to_double(const ScalarText& value) {
  std::uint64_t whole = 0;
  if (value.type == Tokenizer::TYPE_INTEGER && Tokenizer::ParseInteger(value.text, UINT64_MAX, &whole)) {
    return static_cast<double>(whole);
  }
  double out = 0;
  const char* end = value.text.data() + value.text.size();
  const auto [stop, error] = std::from_chars(value.text.data(), end, out);
  if (error != std::errc() || stop != end) return std::nullopt;
  return out;
}

std::string store_real(pb::Message& message, const FieldDescriptor& field, const ScalarText& value) {
  if (value.type != Tokenizer::TYPE_INTEGER && value.type != Tokenizer::TYPE_FLOAT) return not_fitting(field, value);
  const std::optional<double> magnitude = to_double(value);
  if (!magnitude) return fmt::format("{} is not a number that fits double precision", written(value));
  const double real = value.negative ? -*magnitude : *magnitude;
  const pb::Reflection& r = *message.GetReflection();
  const bool list = field.is_repeated();
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
    const auto single = static_cast<float>(real);
    list ? r.AddFloat(&message, &field, single) : r.SetFloat(&message, &field, single);
  } else {
    list ? r.AddDouble(&message, &field, real) : r.SetDouble(&message, &field, real);
  }
  return {};
}

std::string store_bool(pb::Message& message, const FieldDescriptor& field, const ScalarText& value) {
  const bool yes = value.text == "true" || value.text == "1";
  const bool no = value.text == "false" || value.text == "0";
  if (value.negative || value.type == Tokenizer::TYPE_STRING || (!yes && !no)) return not_fitting(field, value);
  const pb::Reflection& r = *message.GetReflection();
  field.is_repeated() ? r.AddBool(&message, &field, yes) : r.SetBool(&message, &field, yes);
  return {};
}

std::string store_enum(pb::Message& message, const FieldDescriptor& field, const ScalarText& value) {
  const pb::EnumDescriptor& type = *field.enum_type();
  std::vector<std::string> allowed;  // number 0 is "unspecified": never a value that someone may write
  for (int i = 0; i < type.value_count(); ++i) {
    if (type.value(i)->number() != 0) allowed.push_back(type.value(i)->name());
  }
  const pb::EnumValueDescriptor* found = type.FindValueByName(value.text);
  const bool name = value.type == Tokenizer::TYPE_IDENTIFIER && !value.negative;
  if (!name || found == nullptr || found->number() == 0) {
    const bool quoted = value.type == Tokenizer::TYPE_STRING;
    return fmt::format("{} is not a value of this field{}{}", written(value), suggestion_text(value.text, allowed),
                       quoted ? " (without quotes)" : "");
  }
  const pb::Reflection& r = *message.GetReflection();
  field.is_repeated() ? r.AddEnum(&message, &field, found) : r.SetEnum(&message, &field, found);
  return {};
}

std::string store_string(pb::Message& message, const FieldDescriptor& field, const ScalarText& value) {
  if (value.type != Tokenizer::TYPE_STRING || value.negative) {
    return not_fitting(field, value) + fmt::format("; write \"{}{}\"", value.negative ? "-" : "", value.text);
  }
  if (field.type() == FieldDescriptor::TYPE_STRING && !is_utf8(value.text)) return "the text is not valid UTF-8";
  const pb::Reflection& r = *message.GetReflection();
  field.is_repeated() ? r.AddString(&message, &field, value.text) : r.SetString(&message, &field, value.text);
  return {};
}

}  // namespace

std::string expected_text(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
      return "a whole number";
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return "a whole number, not negative";
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return "a number";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return "a name of " + field.enum_type()->name();
    case FieldDescriptor::CPPTYPE_STRING:
      return "text in double quotes";
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return "\"{ ... }\"";
  }
  return "a value";
}

std::string store_scalar(pb::Message& message, const FieldDescriptor& field, const ScalarText& value) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return store_integer(message, field, value);
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return store_real(message, field, value);
    case FieldDescriptor::CPPTYPE_BOOL:
      return store_bool(message, field, value);
    case FieldDescriptor::CPPTYPE_ENUM:
      return store_enum(message, field, value);
    default:
      return store_string(message, field, value);
  }
}

}  // namespace lightcone

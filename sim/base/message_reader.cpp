// SPDX-License-Identifier: Apache-2.0
#include "sim/base/message_reader.h"

#include <fmt/core.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <utility>

#include "sim/base/suggest.h"

namespace lightcone {

namespace pb = google::protobuf;
using pb::FieldDescriptor;

MessageReader::MessageReader(const pb::Message* message, const FieldLocations& locations,
                             std::vector<Diagnostic>& faults, std::string path)
    : message_(message), locations_(&locations), faults_(&faults), path_(std::move(path)) {}

const FieldDescriptor* MessageReader::find(const std::string& field, bool required) const {
  if (message_ == nullptr) return nullptr;
  const FieldDescriptor* found = message_->GetDescriptor()->FindFieldByName(field);
  LIGHTCONE_ASSERT(found != nullptr);
  if (found->is_repeated() || message_->GetReflection()->HasField(*message_, found)) return found;
  if (required) fault(field, "is missing");
  return nullptr;
}

bool MessageReader::has(const std::string& field) const {
  const FieldDescriptor* found = find(field, false);
  if (found == nullptr) return false;
  return !found->is_repeated() || message_->GetReflection()->FieldSize(*message_, found) > 0;
}

void MessageReader::fault(const std::string& field, std::string message) const {
  faults_->push_back(locations_->diagnostic(field.empty() ? path_ : path_of(field), std::move(message)));
}

std::uint64_t MessageReader::integer(const std::string& field, IntegerBounds bounds) const {
  const FieldDescriptor* found = find(field, true);
  if (found == nullptr) return bounds.least;
  const pb::Reflection& reflection = *message_->GetReflection();
  const std::uint64_t value = found->cpp_type() == FieldDescriptor::CPPTYPE_UINT32
                                  ? reflection.GetUInt32(*message_, found)
                                  : reflection.GetUInt64(*message_, found);
  if (value >= bounds.least && value <= bounds.most) return value;
  fault(field, fmt::format("must be from {} to {}, got {}", bounds.least, bounds.most, value));
  return bounds.least;
}

std::uint32_t MessageReader::integer32(const std::string& field, IntegerBounds bounds) const {
  return static_cast<std::uint32_t>(integer(field, bounds));
}

double MessageReader::real(const std::string& field, RealBounds bounds) const {
  const FieldDescriptor* found = find(field, true);
  const double harmless = bounds.or_equal ? bounds.above : (bounds.most < 1e300 ? bounds.most : bounds.above + 1);
  if (found == nullptr) return harmless;
  const double value = message_->GetReflection()->GetDouble(*message_, found);
  const bool low = bounds.or_equal ? value < bounds.above : value <= bounds.above;
  if (!low && value <= bounds.most) return value;
  std::string allowed = fmt::format("must be {} {}", bounds.or_equal ? "at least" : "greater than", bounds.above);
  if (bounds.most < 1e300) allowed += fmt::format(" and at most {}", bounds.most);
  fault(field, fmt::format("{}, got {}", allowed, value));
  return harmless;
}

bool MessageReader::boolean(const std::string& field) const {
  const FieldDescriptor* found = find(field, true);
  return found != nullptr && message_->GetReflection()->GetBool(*message_, found);
}

std::string MessageReader::text(const std::string& field) const {
  const FieldDescriptor* found = find(field, true);
  if (found == nullptr) return {};
  std::string value = message_->GetReflection()->GetString(*message_, found);
  if (value.empty()) fault(field, "must not be empty");
  return value;
}

int MessageReader::enumeration(const std::string& field) const {
  const FieldDescriptor* found = find(field, true);
  return found == nullptr ? 0 : message_->GetReflection()->GetEnumValue(*message_, found);
}

NumberFormat MessageReader::number_format(const std::string& field) const {
  const FieldDescriptor* found = find(field, true);
  if (found == nullptr) return NumberFormat::bf16;
  const std::string value = message_->GetReflection()->GetString(*message_, found);
  if (const auto format = parse_number_format(value)) return *format;
  std::vector<std::string> allowed;
  for (const NumberFormatInfo& info : kNumberFormats) allowed.emplace_back(info.name);
  fault(field, fmt::format("\"{}\" is not a number format{}", value, suggestion_text(value, allowed)));
  return NumberFormat::bf16;
}

MessageReader MessageReader::child(const std::string& field) const {
  const FieldDescriptor* found = find(field, true);
  const pb::Message* inner = found == nullptr ? nullptr : &message_->GetReflection()->GetMessage(*message_, found);
  return {inner, *locations_, *faults_, path_of(field)};
}

std::uint64_t MessageReader::integer_or(const std::string& field, std::uint64_t missing, IntegerBounds bounds) const {
  return has(field) ? integer(field, bounds) : missing;
}

std::string MessageReader::text_or(const std::string& field, const std::string& missing) const {
  return has(field) ? text(field) : missing;
}

NumberFormat MessageReader::number_format_or(const std::string& field, NumberFormat missing) const {
  return has(field) ? number_format(field) : missing;
}

std::vector<std::string> MessageReader::texts(const std::string& field) const {
  std::vector<std::string> out;
  const FieldDescriptor* found = find(field, false);
  if (found == nullptr) return out;
  for (int i = 0; i < message_->GetReflection()->FieldSize(*message_, found); ++i) {
    out.push_back(message_->GetReflection()->GetRepeatedString(*message_, found, i));
  }
  return out;
}

std::vector<std::uint32_t> MessageReader::integers(const std::string& field) const {
  std::vector<std::uint32_t> out;
  const FieldDescriptor* found = find(field, false);
  if (found == nullptr) return out;
  for (int i = 0; i < message_->GetReflection()->FieldSize(*message_, found); ++i) {
    out.push_back(message_->GetReflection()->GetRepeatedUInt32(*message_, found, i));
  }
  return out;
}

std::vector<MessageReader> MessageReader::children(const std::string& field) const {
  std::vector<MessageReader> out;
  const FieldDescriptor* found = find(field, false);
  if (found == nullptr) return out;
  for (int i = 0; i < message_->GetReflection()->FieldSize(*message_, found); ++i) {
    out.emplace_back(&message_->GetReflection()->GetRepeatedMessage(*message_, found, i), *locations_, *faults_,
                     element_path(path_of(field), i));
  }
  return out;
}

}  // namespace lightcone

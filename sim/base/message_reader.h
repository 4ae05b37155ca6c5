// SPDX-License-Identifier: Apache-2.0
// From a parsed message to a checked plain struct: reads fields by name, checks presence and range, and collects every
// fault with the line of its field. Loaders read like the struct they fill. A field that is missing or wrong yields a
// harmless value, so that reading goes on.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "sim/base/error.h"
#include "sim/base/field_locations.h"
#include "sim/base/number_format.h"

namespace google::protobuf {
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace lightcone {

struct IntegerBounds {
  std::uint64_t least = 1;
  std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
};
struct RealBounds {
  double above = 0;  // exclusive unless `or_equal`
  bool or_equal = false;
  double most = std::numeric_limits<double>::max();
};
inline constexpr RealBounds kPositive{};
inline constexpr RealBounds kNotNegative{0, true, std::numeric_limits<double>::max()};
inline constexpr RealBounds kFraction{0, false, 1};

class MessageReader {
 public:
  // Null `message`: the message is missing; that was reported where it was noticed, reads are silent.
  MessageReader(const google::protobuf::Message* message, const FieldLocations& locations,
                std::vector<Diagnostic>& faults, std::string path = {});

  [[nodiscard]] bool has(const std::string& field) const;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string path_of(const std::string& field) const { return join_path(path_, field); }

  // Required; missing is a fault.
  std::uint64_t integer(const std::string& field, IntegerBounds bounds = {}) const;
  std::uint32_t integer32(const std::string& field, IntegerBounds bounds = {}) const;
  double real(const std::string& field, RealBounds bounds = kPositive) const;
  bool boolean(const std::string& field) const;
  std::string text(const std::string& field) const;
  int enumeration(const std::string& field) const;
  NumberFormat number_format(const std::string& field) const;
  MessageReader child(const std::string& field) const;

  // Optional.
  std::uint64_t integer_or(const std::string& field, std::uint64_t missing, IntegerBounds bounds = {}) const;
  std::string text_or(const std::string& field, const std::string& missing) const;
  NumberFormat number_format_or(const std::string& field, NumberFormat missing) const;
  std::vector<std::string> texts(const std::string& field) const;
  std::vector<std::uint32_t> integers(const std::string& field) const;  // of a repeated uint32
  std::vector<MessageReader> children(const std::string& field) const;  // of a repeated message

  // Of the whole file, so far.
  [[nodiscard]] std::size_t fault_count() const { return faults_->size(); }
  // A fault of `field` (empty: of this message as a whole).
  void fault(const std::string& field, std::string message) const;

 private:
  const google::protobuf::FieldDescriptor* find(const std::string& field, bool required) const;
  const google::protobuf::Message* message_;
  const FieldLocations* locations_;
  std::vector<Diagnostic>* faults_;
  std::string path_;
};

}  // namespace lightcone

// SPDX-License-Identifier: Apache-2.0
#include "sim/base/textproto_parse.h"

#include <fmt/core.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include "sim/base/suggest.h"
#include "sim/base/textproto_scalar.h"

namespace lightcone {
namespace {

namespace pb = google::protobuf;
using pb::io::Tokenizer;

class Parser : private pb::io::ErrorCollector {
 public:
  Parser(const SourcePtr& source, FieldLocations& locations, std::vector<Diagnostic>& faults)
      : source_(source),
        locations_(locations),
        faults_(faults),
        fault_limit_(faults.size() + kMostFaults),
        stream_(source->text().data(), static_cast<int>(source->text().size())),
        tokenizer_(&stream_, this) {
    tokenizer_.set_comment_style(Tokenizer::SH_COMMENT_STYLE);
    tokenizer_.set_require_space_after_number(false);  // `1.7GHz` gets a better message below
    tokenizer_.Next();
  }

  void whole_file(pb::Message& message) {
    locations_.set("", {source_, 0, 0});
    if (looking_at("{"))
      fault(token(), "", "looks like JSON; expected protobuf text: `field: value` lines, nested `field { ... }`");
    fields(message, "", nullptr);
  }

  void one_value(pb::Message& message, const pb::FieldDescriptor& field, const std::string& path) {
    if (at_end()) return fault(token(), path, "expected " + expected_text(field) + ", got nothing");
    values(message, field, path);
    if (!at_end() && !stopped_) fault(token(), path, fmt::format("unexpected \"{}\" after the value", token().text));
  }

 private:
  // -- messages and fields

  void fields(pb::Message& message, const std::string& path, const Tokenizer::Token* open) {
    enclosing_.push_back(message.GetDescriptor());
    const std::string closer = open != nullptr && open->text == "<" ? ">" : "}";
    while (!stopped_) {
      if (at_end()) {
        if (open != nullptr) fault(*open, path, fmt::format("\"{}\" is never closed", open->text));
        break;
      }
      if (open != nullptr && take(closer)) break;
      if (open == nullptr && looking_at("}")) {
        syntax_fault("", "\"}\" without a \"{\"");
        tokenizer_.Next();
        continue;
      }
      field(message, path);
      if (!take(",")) take(";");
    }
    enclosing_.pop_back();
  }

  void field(pb::Message& message, const std::string& path) {
    const Tokenizer::Token name = token();
    if (name.type != Tokenizer::TYPE_IDENTIFIER) {
      syntax_fault(path, fmt::format("expected a field name, got {}", shown(name)));
      return skip_line();
    }
    tokenizer_.Next();
    const std::string at = join_path(path, name.text);
    const pb::FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name.text);
    if (field == nullptr) {
      fault(name, at, unknown_field_text(*message.GetDescriptor(), name.text));
      take(":");
      return skip_value();
    }
    if (const std::string clash = clash_text(message, *field, path, at); !clash.empty()) {
      fault(name, at, clash);
      take(":");
      return skip_value();
    }
    if (!locations_.has(at)) locations_.set(at, origin(name));
    if (!take(":") && field->cpp_type() != pb::FieldDescriptor::CPPTYPE_MESSAGE) {
      fault(token(), at, fmt::format("expected \":\" after the field name, got {}", shown(token())));
      if (token().line != name.line) return;
    }
    values(message, *field, at);
  }

  // One value, or a list of them in brackets.
  void values(pb::Message& message, const pb::FieldDescriptor& field, const std::string& path) {
    if (!looking_at("[")) return value(message, field, path);
    if (!field.is_repeated()) {
      fault(token(), path, fmt::format("expected one value ({}), got a list", expected_text(field)));
      return skip_value();
    }
    const Tokenizer::Token open = token();
    tokenizer_.Next();
    if (take("]")) return;
    while (!stopped_) {
      if (at_end()) return fault(open, path, "\"[\" is never closed");
      value(message, field, path);
      if (take("]")) return;
      if (at_end()) continue;
      if (!take(",")) {
        syntax_fault(path, fmt::format("expected \",\" or \"]\" in the list, got {}", shown(token())));
        return skip_line();
      }
    }
  }

  void value(pb::Message& message, const pb::FieldDescriptor& field, const std::string& list_path) {
    const pb::Reflection& reflection = *message.GetReflection();
    const std::string path =
        field.is_repeated() ? element_path(list_path, reflection.FieldSize(message, &field)) : list_path;
    if (field.cpp_type() != pb::FieldDescriptor::CPPTYPE_MESSAGE) return scalar(message, field, path);
    const Tokenizer::Token open = token();
    if (open.text != "{" && open.text != "<") {
      fault(open, path, fmt::format("expected \"{{ ... }}\", got {}{}", shown(open), base_hint(field, open)));
      return skip_value();
    }
    if (field.is_repeated()) locations_.set(path, origin(open));
    tokenizer_.Next();
    pb::Message* inner =
        field.is_repeated() ? reflection.AddMessage(&message, &field) : reflection.MutableMessage(&message, &field);
    fields(*inner, path, &open);
  }

  // A name where a message stands is most often meant as the file that the message starts from.
  std::string base_hint(const pb::FieldDescriptor& field, const Tokenizer::Token& got) const {
    const bool named = got.type == Tokenizer::TYPE_STRING && field.message_type()->FindFieldByName("base") != nullptr;
    return named ? fmt::format("; write {} {{ base: {} }}", field.name(), shown(got)) : "";
  }

  void scalar(pb::Message& message, const pb::FieldDescriptor& field, const std::string& path) {
    const Tokenizer::Token start = token();
    if (start.type == Tokenizer::TYPE_SYMBOL && start.text != "-") {
      fault(start, path, fmt::format("expected {}, got {}", expected_text(field), shown(start)));
      if (start.text == "{" || start.text == "<") skip_value();
      return;
    }
    ScalarText text;
    text.negative = take("-");
    text.type = token().type;
    text.text = token().text;
    if (at_end()) return fault(start, path, fmt::format("expected {}, got nothing", expected_text(field)));
    if (text.type == Tokenizer::TYPE_STRING) {
      text.text.clear();
      for (; token().type == Tokenizer::TYPE_STRING; tokenizer_.Next()) {
        Tokenizer::ParseStringAppend(token().text, &text.text);
      }
    } else {
      const int end_line = token().line;
      const int end_column = token().end_column;
      tokenizer_.Next();
      const bool glued = token().line == end_line && token().column == end_column &&
                         token().type == Tokenizer::TYPE_IDENTIFIER &&
                         (text.type == Tokenizer::TYPE_INTEGER || text.type == Tokenizer::TYPE_FLOAT);
      if (glued) {
        fault(start, path,
              fmt::format("expected {}, got {}{}; the unit is part of the field's name", expected_text(field),
                          text.text, token().text));
        tokenizer_.Next();
        return;
      }
    }
    if (const std::string wrong = store_scalar(message, field, text); !wrong.empty()) return fault(start, path, wrong);
    if (field.is_repeated()) locations_.set(path, origin(start));
  }

  // -- faults

  static std::string shown(const Tokenizer::Token& token) {
    if (token.type == Tokenizer::TYPE_END) return "the end of the file";
    return token.text.size() > 40 ? token.text.substr(0, 40) + "..." : token.text;
  }

  std::string unknown_field_text(const pb::Descriptor& type, const std::string& name) const {
    std::vector<std::string> allowed;
    for (int i = 0; i < type.field_count(); ++i) allowed.push_back(type.field(i)->name());
    if (suggestions(name, allowed).empty()) {
      for (const pb::Descriptor* outer : enclosing_) {
        if (outer != &type && outer->FindFieldByName(name) != nullptr)
          return "no such field here, but one level up: is a \"}\" missing above?";
      }
    }
    return "no such field" + suggestion_text(name, allowed);
  }

  // A field that was already given, or another member of its oneof.
  std::string clash_text(const pb::Message& message, const pb::FieldDescriptor& field, const std::string& path,
                         const std::string& at) const {
    if (field.is_repeated()) return {};
    if (locations_.has(at)) return fmt::format("given twice (first in line {})", locations_.where(at).line);
    const pb::OneofDescriptor* oneof = field.real_containing_oneof();
    if (oneof == nullptr) return {};
    const pb::FieldDescriptor* other = message.GetReflection()->GetOneofFieldDescriptor(message, oneof);
    if (other == nullptr) return {};
    return fmt::format("cannot be given together with {} (line {}); choose one", other->name(),
                       locations_.where(join_path(path, other->name())).line);
  }

  void fault(const Tokenizer::Token& at, const std::string& field, std::string message) {
    add_fault(at.line, at.column, field, std::move(message));
  }

  // A fault of form. Only the first in a line: the others usually follow from it.
  void syntax_fault(const std::string& field, std::string message) {
    if (!faults_.empty() && faults_.back().where.line == token().line + 1) return;
    fault(token(), field, std::move(message));
  }

  void add_fault(int line, int column, const std::string& field, std::string message) {
    if (stopped_) return;
    FieldOrigin at{source_, line + 1, source_->byte_column(line + 1, column)};
    faults_.push_back(at.diagnostic(field, std::move(message)));
    if (faults_.size() == fault_limit_) {
      faults_.back().message += fmt::format(" (stopped after {} faults)", kMostFaults);
      stopped_ = true;
    }
  }

  // From the tokenizer: strings that are not closed, wrong escapes, stray characters.
  void AddError(int line, pb::io::ColumnNumber column, const std::string& message) override {
    if (faults_.empty() || faults_.back().where.line != line + 1) add_fault(line, column, "", message);
  }

  // -- tokens

  const Tokenizer::Token& token() const { return tokenizer_.current(); }
  bool at_end() const { return token().type == Tokenizer::TYPE_END; }
  bool looking_at(std::string_view text) const {
    return token().type == Tokenizer::TYPE_SYMBOL && token().text == text;
  }
  bool take(std::string_view text) {
    if (!looking_at(text)) return false;
    tokenizer_.Next();
    return true;
  }
  FieldOrigin origin(const Tokenizer::Token& at) const {
    return {source_, at.line + 1, source_->byte_column(at.line + 1, at.column)};
  }

  // Skips what looks like one value, with everything nested in it.
  void skip_value() {
    if (looking_at("{") || looking_at("[") || looking_at("<")) return skip_nested();
    take("-");
    const bool text = token().type == Tokenizer::TYPE_STRING;
    if (at_end() || looking_at("}")) return;
    tokenizer_.Next();
    while (text && token().type == Tokenizer::TYPE_STRING) tokenizer_.Next();
  }

  void skip_nested() {
    int depth = 0;
    do {
      if (looking_at("{") || looking_at("[") || looking_at("<")) ++depth;
      if (looking_at("}") || looking_at("]") || looking_at(">")) --depth;
      tokenizer_.Next();
    } while (depth > 0 && !at_end() && !stopped_);
  }

  void skip_line() {
    const int line = token().line;
    do {
      if (looking_at("{") || looking_at("[")) {
        skip_nested();
      } else {
        tokenizer_.Next();
      }
    } while (!at_end() && !stopped_ && token().line == line && !looking_at("}"));
  }

  SourcePtr source_;
  FieldLocations& locations_;
  std::vector<Diagnostic>& faults_;
  std::size_t fault_limit_;
  bool stopped_ = false;
  std::vector<const pb::Descriptor*> enclosing_;  // the messages around the current field, outermost first
  pb::io::ArrayInputStream stream_;
  mutable Tokenizer tokenizer_;  // its current() is not const
};

}  // namespace

FieldLocations parse_textproto(const SourcePtr& source, pb::Message& message, std::vector<Diagnostic>& faults) {
  message.Clear();
  FieldLocations locations;
  Parser(source, locations, faults).whole_file(message);
  return locations;
}

FieldLocations parse_textproto(const SourcePtr& source, pb::Message& message) {
  std::vector<Diagnostic> faults;
  FieldLocations locations = parse_textproto(source, message, faults);
  if (!faults.empty()) throw ConfigError(std::move(faults));
  return locations;
}

FieldLocations load_textproto(const std::string& path, pb::Message& message) {
  return parse_textproto(read_source(path), message);
}

void parse_textproto_value(const SourcePtr& source, pb::Message& message, const pb::FieldDescriptor& field,
                           const std::string& path, FieldLocations& locations, std::vector<Diagnostic>& faults) {
  Parser(source, locations, faults).one_value(message, field, path);
}

}  // namespace lightcone

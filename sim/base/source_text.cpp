// SPDX-License-Identifier: Apache-2.0
#include "sim/base/source_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <utility>

namespace lightcone {
namespace {

constexpr std::size_t kLongestExcerpt = 400;

[[noreturn]] void refuse(const std::string& path, std::string message, int line = 0, int column = 0) {
  throw ConfigError({Diagnostic{{path, line, column}, {}, std::move(message), {}}});
}

bool is_binary(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == 0x7f || (byte < 0x20 && std::strchr("\t\n\v\f\r", c) == nullptr) || byte == 0;
}

// Stops reading one byte after the limit, so that an endless device or a huge file costs no more than the limit.
std::string read_bounded(const std::string& path, std::ifstream& in) {
  std::string text;
  std::string block(1u << 16, '\0');
  while (in && text.size() <= kLargestInputFile) {
    in.read(block.data(), static_cast<std::streamsize>(block.size()));
    const auto got = static_cast<std::size_t>(in.gcount());
    if (std::find(block.begin(), block.begin() + in.gcount(), '\0') != block.begin() + in.gcount())
      refuse(path, "is a binary file (it holds zero bytes); expected protobuf text");
    text.append(block, 0, got);
  }
  if (text.size() > kLargestInputFile)
    refuse(path,
           fmt::format("is larger than {} MiB; expected a text file of a few kilobytes", kLargestInputFile >> 20));
  if (in.bad()) refuse(path, fmt::format("cannot be read: {}", std::strerror(errno)));
  return text;
}

void refuse_control_characters(const std::string& path, const std::string& text) {
  const auto bad = std::find_if(text.begin(), text.end(), is_binary);
  if (bad == text.end()) return;
  const auto line = 1 + std::count(text.begin(), bad, '\n');
  const auto line_start = std::find(std::make_reverse_iterator(bad), text.rend(), '\n').base();
  refuse(path, fmt::format("is not a text file: control character 0x{:02x}", static_cast<unsigned char>(*bad)),
         static_cast<int>(line), static_cast<int>(bad - line_start) + 1);
}

}  // namespace

SourceText::SourceText(std::string name, std::string text) : name_(std::move(name)), text_(std::move(text)) {
  line_starts_.push_back(0);
  for (std::size_t i = 0; i < text_.size(); ++i) {
    if (text_[i] == '\n') line_starts_.push_back(i + 1);
  }
}

std::string_view SourceText::line_text(int line) const {
  if (line < 1 || static_cast<std::size_t>(line) > line_starts_.size()) return {};
  const std::size_t start = line_starts_[static_cast<std::size_t>(line) - 1];
  std::string_view rest = std::string_view(text_).substr(start);
  rest = rest.substr(0, rest.find('\n'));
  if (!rest.empty() && rest.back() == '\r') rest.remove_suffix(1);
  return rest;
}

std::string SourceText::excerpt(int line) const {
  const std::string_view found = line_text(line);
  if (found.size() > kLongestExcerpt) return {};
  std::string out(found);
  std::replace(out.begin(), out.end(), '\t', ' ');
  return out;
}

int SourceText::byte_column(int line, int tabbed_column, int tab_width) const {
  const std::string_view text = line_text(line);
  if (text.find('\t') == std::string_view::npos) return tabbed_column + 1;
  int tabbed = 0;
  int bytes = 0;
  while (tabbed < tabbed_column) {
    const bool tab = static_cast<std::size_t>(bytes) < text.size() && text[static_cast<std::size_t>(bytes)] == '\t';
    tabbed += tab ? tab_width - tabbed % tab_width : 1;
    ++bytes;
  }
  return bytes + 1;
}

SourcePtr read_source(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) refuse(path, "no such file");
  if (std::filesystem::is_directory(status)) refuse(path, "is a folder; expected a text file");
  if (std::filesystem::is_regular_file(status) && std::filesystem::file_size(path, error) > kLargestInputFile)
    refuse(path,
           fmt::format("is larger than {} MiB; expected a text file of a few kilobytes", kLargestInputFile >> 20));
  std::ifstream in(path, std::ios::binary);
  if (!in) refuse(path, fmt::format("cannot be opened: {}", std::strerror(errno)));
  std::string text = read_bounded(path, in);
  if (text.rfind("\xef\xbb\xbf", 0) == 0) text.erase(0, 3);  // a byte-order mark carries no meaning in UTF-8
  refuse_control_characters(path, text);
  return std::make_shared<const SourceText>(path, std::move(text));
}

}  // namespace lightcone

#include "core/base/error.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace bulssi {

Error::Error(ErrorKind kind, std::string message) : kind_(kind), message_(std::move(message)) {}
const char* Error::what() const noexcept { return message_.c_str(); }

void append_signed(std::string& text, int64_t part) { text += std::to_string(part); }
void append_unsigned(std::string& text, uint64_t part) { text += std::to_string(part); }
void append(std::string& text, double part) {
  char digits[40];
  for (int precision : {6, 15, 17}) {
    std::snprintf(digits, sizeof digits, "%.*g", precision, part);
    if (std::strtod(digits, nullptr) == part) break;
  }
  text += digits;
}
void append(std::string& text, std::span<const int64_t> items) {
  text += '[';
  for (size_t i = 0; i < items.size(); ++i) {
    if (i) text += ", ";
    text += std::to_string(items[i]);
  }
  text += ']';
}

void Part::append_chars(std::string& text, const void* part) { text += static_cast<const char*>(part); }

std::string join_parts(Parts parts) {
  std::string text;
  for (const Part& part : parts) part.append_to(text);
  return text;
}

void fail_parts(ErrorKind kind, Parts parts) { throw Error(kind, join_parts(parts)); }
void fail(ErrorKind kind, const char* message) { throw Error(kind, message); }
void fail(const char* message) { fail(ErrorKind::runtime, message); }

}  // namespace bulssi

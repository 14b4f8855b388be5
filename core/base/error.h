// Errors with the kind of Python exception they become, and the text building that they need.
#pragma once
#include <cstdint>
#include <cstdio>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace bulssi {

enum class ErrorKind : uint8_t {
  runtime,
  value,
  type,
  index,
  not_implemented,
  overflow,
  attribute,
  zero_division,
  buffer,
  key,
  assertion
};

class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message) : kind_(kind), message_(std::move(message)) {}
  ErrorKind kind() const { return kind_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorKind kind_;
  std::string message_;
};

// An error that the interpreter already holds (raised by Python code called from the core).
class PendingError : public std::exception {};

inline void append(std::string& text, std::string_view part) { text += part; }
inline void append(std::string& text, const char* part) { text += part; }
inline void append(std::string& text, const std::string& part) { text += part; }
inline void append(std::string& text, char part) { text += part; }
inline void append(std::string& text, bool part) { text += part ? "True" : "False"; }
template <class T>
  requires std::is_integral_v<T>
void append(std::string& text, T part) {
  text += std::to_string(part);
}
inline void append(std::string& text, double part) {  // the shortest text that reads back as the same number
  char digits[40];
  for (int precision : {6, 15, 17}) {
    std::snprintf(digits, sizeof digits, "%.*g", precision, part);
    if (std::stod(digits) == part) break;
  }
  text += digits;
}
// A shape or index list, as [2, 3].
inline void append(std::string& text, std::span<const int64_t> items) {
  text += '[';
  for (size_t i = 0; i < items.size(); ++i) {
    if (i) text += ", ";
    text += std::to_string(items[i]);
  }
  text += ']';
}
template <class T>
  requires std::is_convertible_v<const T&, std::span<const int64_t>>
void append(std::string& text, const T& items) {
  append(text, static_cast<std::span<const int64_t>>(items));
}

template <class... Parts>
std::string str(const Parts&... parts) {
  std::string text;
  (append(text, parts), ...);
  return text;
}

template <class... Parts>
[[noreturn, gnu::cold, gnu::noinline]] void fail(ErrorKind kind, const Parts&... parts) {
  throw Error(kind, str(parts...));
}
template <class... Parts>
[[noreturn, gnu::cold, gnu::noinline]] void fail(const Parts&... parts) {
  throw Error(ErrorKind::runtime, str(parts...));
}
template <class... Parts>
inline void check(bool condition, const Parts&... parts) {
  if (__builtin_expect(!condition, 0)) fail(parts...);
}

}  // namespace bulssi

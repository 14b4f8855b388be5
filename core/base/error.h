// Errors with the kind of Python exception they become, and the text building that they need.
#pragma once
#include <cstdint>
#include <exception>
#include <initializer_list>
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
  Error(ErrorKind kind, std::string message);
  ErrorKind kind() const { return kind_; }
  const char* what() const noexcept override;

 private:
  ErrorKind kind_;
  std::string message_;
};

// An error that the interpreter already holds (raised by Python code called from the core).
class PendingError : public std::exception {};

// How each type is written. Headers of other types bring an overload for them.
inline void append(std::string& text, std::string_view part) { text += part; }
inline void append(std::string& text, const char* part) { text += part; }
inline void append(std::string& text, const std::string& part) { text += part; }
inline void append(std::string& text, char part) { text += part; }
inline void append(std::string& text, bool part) { text += part ? "True" : "False"; }
void append(std::string& text, double part);                     // the shortest text that reads back as the same number
void append(std::string& text, std::span<const int64_t> items);  // a shape or index list, as [2, 3]
void append_signed(std::string& text, int64_t part);
void append_unsigned(std::string& text, uint64_t part);
template <class T>
  requires std::is_integral_v<T>
void append(std::string& text, T part) {
  std::is_signed_v<T> ? append_signed(text, part) : append_unsigned(text, part);
}
template <class T>
  requires std::is_convertible_v<const T&, std::span<const int64_t>>
void append(std::string& text, const T& items) {
  append(text, static_cast<std::span<const int64_t>>(items));
}

// One part of a text, whatever its type. Only its `append` is compiled per type; a function per list of types, as
// templates would make, was a tenth of the library's code.
class Part {
 public:
  Part(const char* text) : part_(text), append_(append_chars) {}
  template <class T>
  Part(const T& part) : part_(&part), append_(append_as<T>) {}
  void append_to(std::string& text) const { append_(text, part_); }

 private:
  static void append_chars(std::string& text, const void* part);
  template <class T>
  static void append_as(std::string& text, const void* part) {
    append(text, *static_cast<const T*>(part));
  }
  const void* part_;
  void (*append_)(std::string& text, const void* part);
};
using Parts = std::initializer_list<Part>;
std::string join_parts(Parts parts);
[[noreturn, gnu::cold]] void fail_parts(ErrorKind kind, Parts parts);

template <class... T>
std::string str(const T&... parts) {
  return join_parts({parts...});
}

[[noreturn, gnu::cold]] void fail(ErrorKind kind, const char* message);
[[noreturn, gnu::cold]] void fail(const char* message);
template <class... T>
[[noreturn, gnu::always_inline]] inline void fail(ErrorKind kind, const T&... parts) {
  fail_parts(kind, {parts...});
}
template <class... T>
[[noreturn, gnu::always_inline]] inline void fail(const T&... parts) {
  fail_parts(ErrorKind::runtime, {parts...});
}
template <class... T>
[[gnu::always_inline]] inline void check(bool condition, const T&... parts) {
  if (__builtin_expect(!condition, 0)) fail(parts...);
}

}  // namespace bulssi

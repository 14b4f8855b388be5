// PyTorch schema strings, parsed: "sum(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) ->
// Tensor". The same text is checked against the C++ function's type at compile time (registry.h), drives the parsing of
// Python arguments, `__text_signature__` and the stubs.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bulssi {

enum class ArgType : uint8_t {
  tensor,
  scalar,
  integer,
  floating,
  boolean,
  dtype,
  string,
  device,
  generator,
  layout,
  memory_format,
  dimname
};

struct Parameter {
  std::string name;
  ArgType type = ArgType::tensor;
  bool list = false;
  int list_size = 0;          // int[2]: a single number stands for that many
  bool optional = false;      // None is a value
  bool only_numbers = false;  // a Scalar for which another overload takes a tensor: that one gets tensors of no dims
  bool keyword_only = false;
  bool has_default = false;
  std::string default_text;
};

struct Signature {
  std::string text;
  std::string name;
  std::vector<Parameter> parameters;
  std::vector<std::string> results;  // names of a named tuple, or empty
  int positional = 0;                // how many may be given by position
  int required = 0;
  int device = -1;  // which parameter says where the result lives
};

namespace schema {

constexpr bool is_space(char c) { return c == ' ' || c == '\n'; }
constexpr std::string_view trim(std::string_view s) {
  while (!s.empty() && is_space(s.front())) s.remove_prefix(1);
  while (!s.empty() && is_space(s.back())) s.remove_suffix(1);
  return s;
}
// string_view::find is no constant expression where GCC 12 builds with -fsanitize=undefined.
constexpr size_t find(std::string_view text, char wanted) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == wanted) return i;
  }
  return std::string_view::npos;
}
// The text between the outer parentheses behind the name.
constexpr std::string_view parameters_of(std::string_view text) {
  const size_t open = find(text, '(');
  int depth = 0;
  for (size_t i = open; i < text.size(); ++i) {
    depth += text[i] == '(';
    depth -= text[i] == ')';
    if (depth == 0) return text.substr(open + 1, i - open - 1);
  }
  return {};
}
// Calls f(part) for each comma-separated part outside brackets.
template <class F>
constexpr void split(std::string_view text, F f) {
  int depth = 0;
  size_t start = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size()) {
      depth += text[i] == '[' || text[i] == '(';
      depth -= text[i] == ']' || text[i] == ')';
      if (depth > 0 || text[i] != ',') continue;
    }
    const std::string_view part = trim(text.substr(start, i - start));
    if (!part.empty()) f(part);
    start = i + 1;
  }
}
constexpr std::string_view type_of(std::string_view part) { return part.substr(0, find(part, ' ')); }

}  // namespace schema

Signature parse_signature(std::string_view text);

}  // namespace bulssi

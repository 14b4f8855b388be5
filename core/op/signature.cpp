#include "core/op/signature.h"

#include "core/base/error.h"

namespace bulssi {

static ArgType arg_type(std::string_view base, std::string_view text) {
  if (base == "Tensor") return ArgType::tensor;
  if (base == "Scalar") return ArgType::scalar;
  if (base == "int" || base == "SymInt") return ArgType::integer;
  if (base == "float") return ArgType::floating;
  if (base == "bool") return ArgType::boolean;
  if (base == "ScalarType") return ArgType::dtype;
  if (base == "str") return ArgType::string;
  if (base == "Device") return ArgType::device;
  if (base == "Generator") return ArgType::generator;
  if (base == "Layout") return ArgType::layout;
  if (base == "MemoryFormat") return ArgType::memory_format;
  fail("signature \"", text, "\": unknown type ", base);
}

Signature parse_signature(std::string_view text) {
  Signature s;
  s.text = text;
  s.name = text.substr(0, text.find('('));
  bool keyword_only = false;
  schema::split(schema::parameters_of(text), [&](std::string_view part) {
    if (part == "*") {
      keyword_only = true;
      return;
    }
    Parameter p;
    std::string_view type = schema::type_of(part);
    std::string_view rest = schema::trim(part.substr(type.size()));
    if (type.back() == '?') {
      p.optional = true;
      type.remove_suffix(1);
    }
    if (type.back() == ']') {
      const size_t open = type.find('[');
      p.list = true;
      for (char c : type.substr(open + 1)) {
        if (c >= '0' && c <= '9') p.list_size = p.list_size * 10 + (c - '0');
      }
      type = type.substr(0, open);
      if (type.back() == '?') type.remove_suffix(1);
    }
    p.type = arg_type(type, text);
    const size_t equals = rest.find('=');
    p.name = rest.substr(0, equals);
    p.has_default = equals != std::string_view::npos;
    if (p.has_default) p.default_text = rest.substr(equals + 1);
    p.keyword_only = keyword_only;
    if (!keyword_only) ++s.positional;
    if (!p.has_default) ++s.required;
    s.parameters.push_back(std::move(p));
  });
  const size_t arrow = text.find("->");
  if (arrow != std::string_view::npos) {
    std::string_view result = schema::trim(text.substr(arrow + 2));
    if (!result.empty() && result.front() == '(') {
      schema::split(schema::parameters_of(result), [&](std::string_view part) {
        const size_t space = part.rfind(' ');
        if (space != std::string_view::npos) s.results.emplace_back(part.substr(space + 1));
      });
    }
  }
  for (size_t i = 0; i < s.parameters.size(); ++i) {
    if (s.parameters[i].type == ArgType::device) s.device = static_cast<int>(i);
  }
  return s;
}

}  // namespace bulssi

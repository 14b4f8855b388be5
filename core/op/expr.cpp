#include "core/op/expr.h"

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <tuple>
#include <vector>

#include "core/base/error.h"

namespace bulssi {

namespace {

struct Entry {
  std::string function;  // "" constant, "arg" argument
  int32_t arguments[3] = {-1, -1, -1};
  double constant = 0;
  Expr::Routine routine;
};
struct Graph {
  std::vector<Entry> entries;
  std::map<std::tuple<std::string, int32_t, int32_t, int32_t, uint64_t>, int32_t> known;
};
Graph& graph() {
  static Graph g;
  return g;
}

int32_t intern(Entry entry) {
  Graph& g = graph();
  const auto key = std::make_tuple(entry.function, entry.arguments[0], entry.arguments[1], entry.arguments[2],
                                   std::bit_cast<uint64_t>(entry.constant));
  auto [at, fresh] = g.known.try_emplace(key, static_cast<int32_t>(g.entries.size()));
  if (fresh) g.entries.push_back(std::move(entry));
  return at->second;
}

double operation(const std::string& f, double a, double b) {
  if (f == "+") return a + b;
  if (f == "-") return a - b;
  if (f == "*") return a * b;
  if (f == "/") return a / b;
  if (f == "<") return a < b;
  if (f == ">") return a > b;
  if (f == "<=") return a <= b;
  if (f == ">=") return a >= b;
  if (f == "==") return a == b;
  if (f == "!=") return a != b;
  if (f == "&") return a != 0 && b != 0;
  if (f == "|") return a != 0 || b != 0;
  fail("expression: unknown operation ", f);
}

}  // namespace

Expr::Expr(double constant) {
  Entry entry;
  entry.constant = constant;
  this->entry = intern(entry);
}
Expr Expr::argument(int index) {
  Entry entry;
  entry.function = "arg";
  entry.constant = index;
  Expr made;
  made.entry = intern(entry);
  return made;
}
Expr Expr::make(const char* function, std::span<const Expr> arguments, Routine routine) {
  Entry entry;
  entry.function = function;
  entry.routine = routine;
  for (size_t i = 0; i < arguments.size(); ++i) entry.arguments[i] = arguments[i].entry;
  Expr made;
  made.entry = intern(entry);
  return made;
}

double Expr::evaluate(std::span<const double> arguments) const {
  // Entries only refer to earlier ones.
  const auto& entries = graph().entries;
  std::vector<double> values(entry + 1);
  for (int32_t i = 0; i <= entry; ++i) {
    const Entry& e = entries[i];
    auto value = [&](int k) { return values[e.arguments[k]]; };
    if (e.function.empty())
      values[i] = e.constant;
    else if (e.function == "arg")
      values[i] = size_t(e.constant) < arguments.size() ? arguments[size_t(e.constant)] : 0;
    else if (e.function == "neg")
      values[i] = -value(0);
    else if (e.function == "!")
      values[i] = value(0) == 0;
    else if (e.function == "select")
      values[i] = value(0) != 0 ? value(1) : value(2);
    else if (e.routine.one)
      values[i] = e.routine.one(value(0));
    else if (e.routine.two)
      values[i] = e.routine.two(value(0), value(1));
    else if (e.routine.three)
      values[i] = e.routine.three(value(0), value(1), value(2));
    else
      values[i] = operation(e.function, value(0), value(1));
  }
  return values[entry];
}

std::string Expr::text(std::span<const std::string> names, const std::string& type) const {
  const auto& entries = graph().entries;
  std::vector<int> uses(entry + 1);
  uses[entry] = 1;
  for (int32_t i = entry; i >= 0; --i) {
    if (!uses[i]) continue;
    for (int32_t a : entries[i].arguments) {
      if (a >= 0) ++uses[a];
    }
  }
  std::string statements;
  std::vector<std::string> texts(entry + 1);
  for (int32_t i = 0; i <= entry; ++i) {
    if (!uses[i]) continue;
    const Entry& e = entries[i];
    auto part = [&](int k) { return texts[e.arguments[k]]; };
    std::string t;
    bool truth = false;
    if (e.function.empty()) {
      char digits[40];
      std::snprintf(digits, sizeof digits, "%.17g", e.constant);
      t = std::isinf(e.constant)   ? (e.constant > 0 ? type + "(INFINITY)" : type + "(-INFINITY)")
          : std::isnan(e.constant) ? type + "(NAN)"
                                   : type + "(" + digits + ")";
    } else if (e.function == "arg") {
      t = names[size_t(e.constant)];
    } else if (e.function == "neg") {
      t = "(-" + part(0) + ")";
    } else if (e.function == "!") {
      t = "(!" + part(0) + ")";
      truth = true;
    } else if (e.function == "select") {
      t = "(" + part(0) + " ? " + part(1) + " : " + part(2) + ")";
    } else if (!std::isalpha(static_cast<unsigned char>(e.function[0]))) {
      t = "(" + part(0) + " " + e.function + " " + part(1) + ")";
      truth = std::strchr("<>=!&|", e.function[0]) != nullptr;
    } else {
      t = e.function + "(" + part(0);
      for (int k = 1; k < 3 && e.arguments[k] >= 0; ++k) t += ", " + part(k);
      t += ")";
    }
    const bool named = uses[i] > 1 && !e.function.empty() && e.function != "arg" && i != entry;
    if (named) {
      statements += std::string("const ") + (truth ? "bool" : type) + " t" + std::to_string(i) + " = " + t + ";\n";
      t = "t" + std::to_string(i);
    }
    texts[i] = t;
  }
  return statements + "return " + texts[entry] + ";\n";
}

}  // namespace bulssi

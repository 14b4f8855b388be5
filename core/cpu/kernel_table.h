// Kernels by instruction set. A family has one table of them per set: core/cpu/isa/<family>.cpp ends in
// KERNEL_TABLE(Table, family, table), and its user, TAKE_KERNELS(Table, family) at namespace scope, makes the function
// `const Table& <family>_kernels()`, which answers with the table of the set that was chosen.
#pragma once

#define BULSSI_JOIN_(a, b) a##b
#define BULSSI_JOIN(a, b) BULSSI_JOIN_(a, b)

#define KERNEL_TABLE(Table, family, table) \
  extern "C" const Table* BULSSI_JOIN(bulssi_##family##_, BULSSI_ISA)() { return &bulssi::BULSSI_ISA::table; }

#ifndef BULSSI_ISA

#include <bulssi_isas.h>

#include <cstring>
#include <iterator>
#include <type_traits>

#include "core/base/error.h"
#include "core/cpu/cpu.h"

namespace bulssi::cpu {

template <class Table>
struct TableOf {
  const char* isa;
  const Table* (*get)();
};
template <class Table>
const Table& table_of_chosen(const TableOf<Table>* all, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (!std::strcmp(isa(), all[i].isa)) return *all[i].get();
  }
  fail("no instruction set was chosen");
}
// Of a table that has kernels of both floating types, those of T.
template <class T, class Table>
const auto& kernels_of(const Table& table) {
  if constexpr (std::is_same_v<T, float>)
    return table.f32;
  else
    return table.f64;
}

}  // namespace bulssi::cpu

#define BULSSI_DECLARE_TABLE(isa, Table, family) extern "C" const Table* bulssi_##family##_##isa();
#define BULSSI_TABLE_OF(isa, Table, family) {#isa, bulssi_##family##_##isa},
#define TAKE_KERNELS(Table, family)                                                                           \
  BULSSI_FOR_ISAS(BULSSI_DECLARE_TABLE, Table, family)                                                        \
  const Table& family##_kernels() {                                                                           \
    static constexpr ::bulssi::cpu::TableOf<Table> all[] = {BULSSI_FOR_ISAS(BULSSI_TABLE_OF, Table, family)}; \
    static const Table& chosen = ::bulssi::cpu::table_of_chosen(all, std::size(all));                         \
    return chosen;                                                                                            \
  }

#endif

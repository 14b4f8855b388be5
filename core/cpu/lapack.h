// LAPACK (and what BLAS it goes with) as typed calls: letters and numbers are given by value, as they read in its
// documentation, where Fortran takes addresses. Matrices are stored by columns.
#pragma once
#include <cstddef>
#include <type_traits>
#include <utility>

#include "core/cpu/blas.h"

namespace bulssi {

namespace lapack_detail {

template <class A>
auto address(const A& a) {
  if constexpr (std::is_pointer_v<A>)
    return const_cast<void*>(static_cast<const void*>(a));
  else
    return const_cast<void*>(static_cast<const void*>(&a));
}
template <class A>
using Address = void*;
template <size_t>
using Length = size_t;

// Fortran compilers append the length of every text argument.
template <size_t... I, class... A>
void call(void* function, std::index_sequence<I...>, const A&... a) {
  reinterpret_cast<void (*)(Address<A>..., Length<I>...)>(function)(address(a)...,
                                                                    (static_cast<void>(I), size_t{1})...);
}

}  // namespace lapack_detail

class Routine {
 public:
  explicit Routine(void* function) : function_(function) {}
  template <class... A>
  void operator()(const A&... a) const {
    static_assert(
        ((std::is_pointer_v<A> || std::is_same_v<A, int> || std::is_same_v<A, char> || std::is_floating_point_v<A>) &&
         ...),
        "LAPACK takes int, char, floating numbers and pointers");
    lapack_detail::call(function_, std::make_index_sequence<(size_t{std::is_same_v<A, char>} + ... + 0)>(), a...);
  }

 private:
  void* function_;
};

template <size_t N>
struct RoutineName {
  char letters[N + 2];  // "?" for the type, the name, "_"
  constexpr RoutineName(const char (&name)[N]) : letters{} {
    for (size_t i = 0; i + 1 < N; ++i) letters[i + 1] = name[i];
    letters[N] = '_';
  }
};

// lapack<double, "potrf">() is dpotrf. The first call of each opens the library if need be: see blas_find_library.
template <class T, RoutineName name>
const Routine& lapack() {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);
  // Before the static: looking for the library runs Python, which may let another thread in here, and that one would
  // wait for this one with the interpreter's lock.
  blas_detail::open();
  static const Routine routine = [] {
    RoutineName full = name;
    full.letters[0] = std::is_same_v<T, float> ? 's' : 'd';
    return Routine(blas_detail::find(full.letters));
  }();
  return routine;
}

}  // namespace bulssi

// BLAS and LAPACK from the scipy-openblas32 package, opened at first use: importing bulssi does not load the library.
#pragma once
#include <string>

namespace bulssi {

// Where the shared library is. Takes effect until the library has been opened.
void blas_set_library_path(const char* path);
// Asked at first use while no path is set: the binding looks for the package then, not at import. Runs Python, so the
// first call of blas() is made with the interpreter's lock held, outside of parallel_for.
extern std::string (*blas_find_library)();
bool blas_loaded() noexcept;
// What the library says about itself, or an empty string when it is not loaded.
const char* blas_config();

namespace blas_detail {
void open();  // the library, unless it is
void* find(const char* name);
}  // namespace blas_detail

// The function `name` (without the package's prefix "scipy_": "dgesdd_", "cblas_dgemm"), with 32-bit integers. Opens
// the library if need be. Throws Error, naming the path, when the library or the function is missing. The library runs
// on the calling thread alone: threads are ours. Call through a static, so that the look-up happens once:
//   static const auto dgesdd = blas<void(char*, int*, …)>("dgesdd_");
template <class Function>
Function* blas(const char* name) {
  return reinterpret_cast<Function*>(blas_detail::find(name));
}

}  // namespace bulssi

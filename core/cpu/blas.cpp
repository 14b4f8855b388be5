#include "core/cpu/blas.h"

#include <dlfcn.h>

#include <atomic>
#include <mutex>
#include <string>

#include "core/base/error.h"

namespace bulssi {

std::string (*blas_find_library)() = nullptr;

namespace {

std::mutex mutex;
std::string library_path;
std::atomic<void*> library{nullptr};

// The environment would let OpenBLAS start its own threads while it loads; one thread is set right after.
void* open_library() {
  if (void* handle = library.load()) return handle;
  std::string found;  // asked for before locking: Python may let another thread in here meanwhile
  if (library_path.empty() && blas_find_library) found = blas_find_library();
  std::lock_guard lock(mutex);
  if (void* handle = library.load()) return handle;
  if (library_path.empty()) library_path = found;
  if (library_path.empty())
    fail(ErrorKind::runtime,
         "linear algebra: the path of the BLAS library is not set; is the package scipy-openblas32 installed?");
  void* handle = dlopen(library_path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char* reason = dlerror();
    fail(ErrorKind::runtime, "linear algebra: cannot open the BLAS library ", library_path, ": ",
         reason ? reason : "unknown reason", ". Reinstall the package scipy-openblas32.");
  }
  if (auto set_threads = reinterpret_cast<void (*)(int)>(dlsym(handle, "scipy_openblas_set_num_threads")))
    set_threads(1);
  library.store(handle);
  return handle;
}

}  // namespace

void blas_set_library_path(const char* path) {
  std::lock_guard lock(mutex);
  library_path = path ? path : "";
}

bool blas_loaded() noexcept { return library.load() != nullptr; }

const char* blas_config() {
  if (!blas_loaded()) return "";
  static const auto config = blas<const char*()>("openblas_get_config");
  return config();
}

void blas_detail::open() { open_library(); }

void* blas_detail::find(const char* name) {
  void* handle = open_library();
  void* symbol = dlsym(handle, (std::string("scipy_") + name).c_str());
  if (!symbol) fail(ErrorKind::runtime, "linear algebra: ", library_path, " has no function scipy_", name);
  return symbol;
}

}  // namespace bulssi

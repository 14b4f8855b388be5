// Uninitialised elements for the duration of a call.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/base/alloc.h"

namespace bulssi {

template <class T>
class Scratch {
 public:
  explicit Scratch(int64_t n) : bytes_(static_cast<size_t>(n) * sizeof(T)), p_(static_cast<T*>(allocate(bytes_))) {}
  ~Scratch() { deallocate(p_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* get() const { return p_; }

 private:
  size_t bytes_;
  T* p_;
};

}  // namespace bulssi

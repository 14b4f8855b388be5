// Intrusive reference counting.
#pragma once
#include <cstdint>
#include <utility>

namespace bulssi {

// Counts change only while the interpreter lock is held, so they are plain integers. A free-threaded build switches
// this one typedef to an atomic.
using Count = uint32_t;

// An owning pointer to a T for which retain(T*) and release(T*) exist. An object is born with a count of one, which
// Ref::adopt takes over.
template <class T>
class Ref {
 public:
  Ref() = default;
  Ref(std::nullptr_t) {}
  explicit Ref(T* pointer) : pointer_(pointer) {
    if (pointer_) retain(pointer_);
  }
  Ref(const Ref& other) : pointer_(other.pointer_) {
    if (pointer_) retain(pointer_);
  }
  Ref(Ref&& other) noexcept : pointer_(other.pointer_) { other.pointer_ = nullptr; }
  Ref& operator=(const Ref& other) {
    Ref copy(other);
    std::swap(pointer_, copy.pointer_);
    return *this;
  }
  Ref& operator=(Ref&& other) noexcept {
    Ref moved(std::move(other));
    std::swap(pointer_, moved.pointer_);
    return *this;
  }
  ~Ref() {
    if (pointer_) release(pointer_);
  }

  static Ref adopt(T* pointer) {
    Ref made;
    made.pointer_ = pointer;
    return made;
  }
  T* detach() { return std::exchange(pointer_, nullptr); }
  T* get() const { return pointer_; }
  T* operator->() const { return pointer_; }
  T& operator*() const { return *pointer_; }
  explicit operator bool() const { return pointer_ != nullptr; }
  friend bool operator==(const Ref& a, const Ref& b) { return a.pointer_ == b.pointer_; }

 protected:
  T* pointer_ = nullptr;
};

}  // namespace bulssi

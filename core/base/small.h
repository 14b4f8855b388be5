// A vector whose first N elements live inside the object.
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace bulssi {

template <class T, int N>
class Small {
 public:
  using value_type = T;
  Small() = default;
  // By way of the first: where the memory does not suffice, the destructor frees what is there.
  explicit Small(size_t n, const T& value = T()) : Small() { resize(n, value); }
  Small(std::initializer_list<T> items) : Small() { append(items.begin(), items.end()); }
  Small(std::span<const T> items) : Small() { append(items.data(), items.data() + items.size()); }
  template <class It>
    requires(!std::is_integral_v<It>)
  Small(It first, It last) : Small() {
    append(first, last);
  }
  Small(const Small& other) : Small() { append(other.begin(), other.end()); }
  Small(Small&& other) noexcept { take(other); }
  Small& operator=(const Small& other) {
    if (this != &other) {
      clear();
      append(other.begin(), other.end());
    }
    return *this;
  }
  Small& operator=(Small&& other) noexcept {
    if (this != &other) {
      drop();
      take(other);
    }
    return *this;
  }
  ~Small() { drop(); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  int dims() const { return static_cast<int>(size_); }  // the same number for loops over dimensions
  bool empty() const { return size_ == 0; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  T& operator[](size_t i) { return data_[checked(i)]; }
  const T& operator[](size_t i) const { return data_[checked(i)]; }
  T& front() { return data_[checked(0)]; }
  T& back() { return data_[checked(size_ - 1)]; }
  const T& front() const { return data_[checked(0)]; }
  const T& back() const { return data_[checked(size_ - 1)]; }
  operator std::span<const T>() const { return {data_, size_}; }

  void reserve(size_t n) {
    if (n > capacity_) grow(n);
  }
  void push_back(T value) {
    if (size_ == capacity_) grow(size_ + 1);
    new (data_ + size_) T(std::move(value));
    ++size_;
  }
  void pop_back() { data_[--size_].~T(); }
  template <class It>
  void append(It first, It last) {
    for (; first != last; ++first) push_back(*first);
  }
  void append(const T* first, const T* last) {
    const size_t n = static_cast<size_t>(last - first);
    reserve(size_ + n);
    if constexpr (std::is_trivially_copyable_v<T>) {
      for (size_t i = 0; i < n; ++i) data_[size_ + i] = first[i];
      size_ += static_cast<uint32_t>(n);
    } else {
      for (; first != last; ++first) push_back(*first);
    }
  }
  void insert(size_t at, T value) {
    push_back(std::move(value));
    for (size_t i = size_ - 1; i > at; --i) std::swap(data_[i], data_[i - 1]);
  }
  void erase(size_t at) {
    for (size_t i = at; i + 1 < size_; ++i) data_[i] = std::move(data_[i + 1]);
    pop_back();
  }
  void resize(size_t n, const T& value = T()) {
    while (size_ > n) pop_back();
    reserve(n);
    while (size_ < n) push_back(value);
  }
  void clear() {
    const size_t n = std::exchange(size_, 0);  // first: what the end of an element runs may look here
    if constexpr (!std::is_trivially_destructible_v<T>) {
      for (size_t i = 0; i < n; ++i) data_[i].~T();
    }
  }
  friend bool operator==(const Small& a, const Small& b) {
    if (a.size_ != b.size_) return false;
    for (size_t i = 0; i < a.size_; ++i) {
      if (!(a.data_[i] == b.data_[i])) return false;
    }
    return true;
  }

 private:
  // AddressSanitizer does not see that an element inside the object is none of the vector's.
  size_t checked(size_t i) const {
#ifdef __SANITIZE_ADDRESS__
    if (i >= size_) __builtin_trap();
#endif
    return i;
  }
  T* inlined() { return reinterpret_cast<T*>(room_); }
  void drop() {
    clear();
    if (data_ != inlined()) ::operator delete(data_);
    data_ = inlined();
    capacity_ = N;
  }
  void take(Small& other) {
    if (other.data_ != other.inlined()) {
      data_ = std::exchange(other.data_, other.inlined());
      size_ = std::exchange(other.size_, 0);
      capacity_ = std::exchange(other.capacity_, N);
      return;
    }
    data_ = inlined();
    capacity_ = N;
    size_ = 0;
    for (size_t i = 0; i < other.size_; ++i) new (data_ + i) T(std::move(other.data_[i]));
    size_ = other.size_;
    other.clear();
  }
  void grow(size_t n) {
    const size_t wanted = n > 2 * size_t{capacity_} ? n : 2 * size_t{capacity_};
    T* moved = static_cast<T*>(::operator new(wanted * sizeof(T)));
    for (size_t i = 0; i < size_; ++i) {
      new (moved + i) T(std::move(data_[i]));
      data_[i].~T();
    }
    if (data_ != inlined()) ::operator delete(data_);
    data_ = moved;
    capacity_ = static_cast<uint32_t>(wanted);
  }

  T* data_ = inlined();
  uint32_t size_ = 0;
  uint32_t capacity_ = N;
  alignas(T) unsigned char room_[N * sizeof(T)];
};

}  // namespace bulssi

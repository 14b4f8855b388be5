// A block of memory that tensors share.
#pragma once
#include <cstdint>

#include "core/base/alloc.h"
#include "core/base/ref.h"
#include "core/tensor/device.h"

namespace bulssi {

// Counts in-place changes. It belongs to the storage, except for tensors made by `.data`, which count apart.
struct Version {
  Count refs = 1;
  uint32_t value = 0;
};
inline void retain(Version* v) { ++v->refs; }
inline void release(Version* v) {
  if (--v->refs == 0) deallocate(v, sizeof(Version));
}

// Who changed it last in place, for error messages.
struct Change {
  const char* op;
  void* code;
  int32_t offset, line;
  bool recorded;  // it became a node of the graph
};
void drop_change(Change* c);

// Header and data lie in one 64-byte aligned block unless the memory is somebody else's (NumPy, DLPack) or has been
// resized.
struct alignas(64) Storage {
  Count refs = 1;
  uint32_t version = 0;
  int64_t bytes = 0;
  char* data = nullptr;
  void (*free_foreign)(void* context, void* data, int64_t bytes) = nullptr;
  void* context = nullptr;
  int64_t block = 0;  // bytes of header and data as allocated
  Change* change = nullptr;
  Device device;
  bool resizable = true;
  bool read_only = false;
  Count views_out = 0;  // buffers that somebody outside holds on to: the memory stays where it is

  char* own_data() { return reinterpret_cast<char*>(this + 1); }
};
static_assert(sizeof(Storage) == 64);

void destroy(Storage* s);
inline void retain(Storage* s) { ++s->refs; }
inline void release(Storage* s) {
  if (--s->refs == 0) destroy(s);
}

Ref<Storage> new_storage(int64_t bytes, Device device);
// Memory owned by somebody else: `free_foreign` is called when the last tensor is gone.
Ref<Storage> foreign_storage(void* data, int64_t bytes, void* context,
                             void (*free_foreign)(void* context, void* data, int64_t bytes));
// Note [Replaced memory]
// A kernel that runs without the interpreter's lock works on the memory that its tensors had when it began. Another
// thread may meanwhile give such a tensor other memory (resize_, set_, .data = …): what it had is handed to retire(),
// which keeps it until all kernels that were running then have ended. All of these are called with the lock held.
uint64_t kernel_begins();
void kernel_ended(uint64_t number);
void retire(Ref<Storage> replaced);

// Grows (or shrinks) the memory in place of the old one; contents are kept as far as they fit.
void resize_storage(Storage& s, int64_t bytes);

}  // namespace bulssi

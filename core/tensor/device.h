// Where storages live.
#pragma once
#include <cstdint>
#include <string>

namespace bulssi {

enum class DeviceKind : uint8_t { cpu, cuda, meta };

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int8_t index = -1;  // -1: none given
  friend bool operator==(const Device&, const Device&) = default;
};
inline const char* device_kind_name(DeviceKind kind) {
  return kind == DeviceKind::cpu ? "cpu" : kind == DeviceKind::cuda ? "cuda" : "meta";
}
inline void append(std::string& text, const Device& device) {
  text += device_kind_name(device.kind);
  if (device.index >= 0) text += ":" + std::to_string(device.index);
}

// Where the tensors that an operation makes shall live, and whose operation it is, for messages. The call of an
// operation sets it from its arguments (Note [Devices] in program/backend.h), so that no operation passes devices on.
struct Placement {
  Device device;
  const char* op = "";
};
extern thread_local constinit Placement placement [[gnu::tls_model("initial-exec")]];
extern thread_local constinit Device default_device [[gnu::tls_model("initial-exec")]];

struct DeviceScope {
  explicit DeviceScope(Device device) : before(placement.device), changed(!(device == before)) {
    if (changed) [[unlikely]]
      placement.device = device;
  }
  ~DeviceScope() {
    if (changed) [[unlikely]]
      placement.device = before;
  }
  DeviceScope(const DeviceScope&) = delete;
  Device before;
  bool changed;
};
struct CallScope {
  CallScope(Device device, const char* op) : before(placement) { placement = {device, op}; }
  ~CallScope() { placement = before; }
  CallScope(const CallScope&) = delete;
  Placement before;
};

}  // namespace bulssi

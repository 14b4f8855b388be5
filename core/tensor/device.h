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

}  // namespace bulssi

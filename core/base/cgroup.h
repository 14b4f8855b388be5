// The control groups that limit this process.
#pragma once
#include <functional>
#include <string>

namespace bulssi {

// Calls f(folder, unified) for the group of this process that has a controller ("cpu", "memory") and each one above it:
// inside a container one's own may not be visible, but walking up to the root meets the mounted one. `unified` tells
// version 2, which names its files otherwise.
void for_each_control_group(const char* controller, const std::function<void(const std::string&, bool)>& f);

}  // namespace bulssi

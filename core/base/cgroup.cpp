#include "core/base/cgroup.h"

#include <cstdio>
#include <cstring>

namespace bulssi {

void for_each_control_group(const char* controller, const std::function<void(const std::string&, bool)>& f) {
  std::FILE* file = std::fopen("/proc/self/cgroup", "re");
  if (!file) return;
  const std::string wanted = std::string(",") + controller + ",";
  char line[4096];
  while (std::fgets(line, sizeof line, file)) {  // "4:cpu,cpuacct:/group", or "0::/group" in version 2
    line[std::strcspn(line, "\n")] = 0;
    char* controllers = std::strchr(line, ':');
    char* path = controllers ? std::strchr(controllers + 1, ':') : nullptr;
    if (!path) continue;
    *path++ = 0;
    const bool unified = *++controllers == 0;
    if (!unified && ("," + std::string(controllers) + ",").find(wanted) == std::string::npos) continue;
    const std::string root = std::string("/sys/fs/cgroup") + (unified ? "" : "/") + (unified ? "" : controller);
    for (std::string group = path;;) {
      f(root + group, unified);
      const size_t slash = group.rfind('/');
      if (group.empty() || slash == std::string::npos) break;
      group.resize(slash);
    }
  }
  std::fclose(file);
}

}  // namespace bulssi

#include "emulator/counts.h"
#include "emulator/access.h"
void emu_count_begin(const char *name, dim3 grid, dim3 block, size_t shared_bytes) {}
void emu_count_end(void) {}
bool emu_count_access(const void *p, size_t bytes, bool writes, const void *pc, bool shared) {
  return false;
}
void emu_count_event(emu_event event) {}

#include "base/program.h"

#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/** The folder of the running program, in PATH of N bytes. */
void cz_program_folder(char *path, size_t n) {
  const ssize_t len = readlink("/proc/self/exe", path, n - 1);
  path[len > 0 ? len : 0] = 0;
  char *slash = strrchr(path, '/');
  if (slash) *slash = 0;
}

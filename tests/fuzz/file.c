#include "fuzz/fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/cloze-fuzz-XXXXXX", path[64];

static void clean(void) {
  unlink(path);
  rmdir(folder);
}

/* A file of its own folder, and none of memory behind /proc/self/fd: HDF5 asks for the real path,
 * which that has not, and would refuse whatever the bytes are. */
const char *fuzz_file(const uint8_t *data, size_t size) {
  if (!*path) {
    if (!mkdtemp(folder) || atexit(clean)) abort();
    snprintf(path, sizeof path, "%s/input", folder);
  }
  unlink(path); /* another file, whatever HDF5 still knows of the last */
  const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd)) abort();
  return path;
}

#include "util.h"

#include "base/text.h"

#include <dirent.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

uint64_t seed;
char scratch[256];

const char *in_scratch(const char *name) {
  static char paths[16][512];
  static int next;
  char *p = paths[next++ % 16];
  snprintf(p, sizeof *paths, "%s/%s", scratch, name);
  return p;
}

void fresh_folder(const char *path) {
  GOOD(cz_fs_make_dirs(path));
  DIR *d = opendir(path);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));) {
    char file[1024];
    snprintf(file, sizeof file, "%s/%s", path, e->d_name);
    unlink(file); /* folders and the two dots refuse */
  }
  closedir(d);
}

void slurp(cz_buf *out, const char *path) {
  out->len = 0;
  GOOD(cz_fs_read(path, out));
}

void spill(const char *path, const void *bytes, size_t n) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
}

int set_up(void **state) {
  const char *text = getenv("CZ_TEST_SEED");
  int64_t given = (int64_t)time(NULL);
  if (text && cz_parse_int(text, &given) != CZ_OK) return -1;
  seed = (uint64_t)given;
  printf("CZ_TEST_SEED=%llu\n", (unsigned long long)seed);
  snprintf(scratch, sizeof scratch, "%s/scratch.XXXXXX", CZ_BINARY_DIR);
  return mkdtemp(scratch) ? 0 : -1;
}

int tear_down(void **state) {
  char command[512];
  snprintf(command, sizeof command, "rm -rf '%s'", scratch);
  return system(command);
}

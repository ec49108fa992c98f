#define _XOPEN_SOURCE 700 /* nftw, mkdtemp */
#include "common.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/number.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A path that was given out. */
typedef struct place {
  struct place *next;
  char path[];
} place;

static char top[256];
static place *places;

/* Tests lie in other folders than the program, from which modules are looked for. */
__attribute__((constructor)) static void find_modules(void) {
  setenv("CZ_MODULE_PATH", CZ_MODULES_BUILT, 0);
}

void check_ok(cz_status st, const char *expression, const char *file, int line) {
  if (st == CZ_OK) return;
  print_error("%s: %s\n%s\n", expression, cz_error_message(), cz_error_chain());
  _fail(file, line);
}

void check_fails(cz_status st, cz_status code, const char *text, const char *expression,
                 const char *file, int line) {
  if (st == code && strstr(cz_error_message(), text)) return;
  print_error("%s: %s, '%s'; expected %s, '%s'\n", expression, cz_status_name(st),
              st ? cz_error_message() : "", cz_status_name(code), text);
  _fail(file, line);
}

uint64_t test_seed(void) {
  static uint64_t seed;
  const char *text = getenv("CZ_TEST_SEED");
  int64_t given = (int64_t)(cz_seconds() * 1e9) & INT64_MAX;
  if (seed) return seed;
  if (text && cz_parse_int(text, &given) != CZ_OK) {
    fprintf(stderr, "CZ_TEST_SEED: %s\n", cz_error_message());
    exit(2);
  }
  seed = (uint64_t)given;
  print_message("CZ_TEST_SEED=%llu\n", (unsigned long long)seed);
  return seed;
}

int make_folder(void **state) {
  const char *above = getenv("TMPDIR");
  snprintf(top, sizeof top, "%s/cloze-test-XXXXXX", above ? above : "/tmp");
  return mkdtemp(top) ? 0 : -1;
}

static int drop(const char *path, const struct stat *s, int flag, struct FTW *at) {
  return remove(path);
}

int remove_tree(const char *name) { return nftw(under(name), drop, 8, FTW_DEPTH | FTW_PHYS); }

int drop_folder(void **state) {
  for (place *next; places; places = next) {
    next = places->next;
    free(places);
  }
  if (getenv("CZ_TEST_KEEP")) {
    print_message("kept %s\n", top);
    return 0;
  }
  return nftw(top, drop, 8, FTW_DEPTH | FTW_PHYS);
}

const char *folder(void) { return top; }

const char *under(const char *name) {
  char path[1024];
  snprintf(path, sizeof path, "%s%s%s", *name == '/' ? "" : top, *name == '/' ? "" : "/", name);
  for (place *p = places; p; p = p->next)
    if (!strcmp(p->path, path)) return p->path;
  size_t n = strlen(path) + 1;
  place *p = malloc(sizeof *p + n);
  assert_non_null(p);
  memcpy(p->path, path, n);
  p->next = places;
  return (places = p)->path;
}

const char *write_bytes(const char *name, const void *bytes, size_t n) {
  const char *path = under(name);
  char above[1024];
  snprintf(above, sizeof above, "%s", path);
  *strrchr(above, '/') = '\0';
  OK(cz_fs_make_dirs(above));
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
  return path;
}

const char *write_text(const char *name, const char *text) {
  return write_bytes(name, text, strlen(text));
}

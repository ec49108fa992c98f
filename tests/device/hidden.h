/* Memory that the host cannot touch until it is shown: what a device of its own has. For far.c and
 * for the stub module, which links nothing; one table a source that includes this. */
#ifndef CZ_TESTS_DEVICE_HIDDEN_H
#define CZ_TESTS_DEVICE_HIDDEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

enum { HIDDEN_BLOCKS = 4096, HIDDEN_PAGE = 4096 };

static struct {
  void *at[HIDDEN_BLOCKS];
  size_t bytes[HIDDEN_BLOCKS];
  int n;
} hidden;

/* Shows or hides all of it; false when the system refuses. */
static inline bool hidden_show(bool shown) {
  bool done = true;
  for (int i = 0; i < hidden.n; i++)
    done &= !mprotect(hidden.at[i], hidden.bytes[i], shown ? PROT_READ | PROT_WRITE : PROT_NONE);
  return done;
}

/* Zeroed memory of BYTES and a page more; null when there is none. */
static inline void *hidden_alloc(size_t bytes) {
  size_t whole = (bytes + HIDDEN_PAGE - 1) / HIDDEN_PAGE * HIDDEN_PAGE + HIDDEN_PAGE;
  if (hidden.n == HIDDEN_BLOCKS) return NULL;
  void *p = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return NULL;
  hidden.bytes[hidden.n] = whole;
  return hidden.at[hidden.n++] = p;
}

/* False for what hidden_alloc did not give. */
static inline bool hidden_release(void *p) {
  for (int i = 0; i < hidden.n; i++) {
    if (hidden.at[i] != p) continue;
    munmap(p, hidden.bytes[i]);
    hidden.at[i] = hidden.at[--hidden.n];
    hidden.bytes[i] = hidden.bytes[hidden.n];
    return true;
  }
  return false;
}

#endif

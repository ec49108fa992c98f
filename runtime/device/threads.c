#define _GNU_SOURCE
#include "device/threads.h"
#include "base/log.h"
#include "device/probe.h"

#include <link.h>
#include <omp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Each knows nothing of the other's threads: a loop of one inside a loop of the other starts as
 * many threads again on the same cores, and a limit set in one does not hold in the other. */
static const char *const runtimes[] = {"libgomp", "libomp.so", "libomp-", "libiomp5"};
enum { RUNTIMES = sizeof runtimes / sizeof *runtimes };

typedef struct found {
  int n;
  const char *path[RUNTIMES];
} found;

static int look(struct dl_phdr_info *object, size_t bytes, void *self) {
  (void)bytes;
  found *f = self;
  const char *slash = strrchr(object->dlpi_name, '/'),
             *name = slash ? slash + 1 : object->dlpi_name;
  for (int i = 0; i < RUNTIMES; i++)
    if (!strncmp(name, runtimes[i], strlen(runtimes[i])) && f->n < RUNTIMES)
      f->path[f->n++] = object->dlpi_name;
  return 0;
}

/* clang's programs have its runtime, and Debian's OpenBLAS, made by gcc, brings the other one: such
 * a build holds the BLAS to one thread (device.c) and has no oneDNN. */
#if defined(__clang__)
enum { RUNTIMES_OF_BUILD = 2 };
#else
enum { RUNTIMES_OF_BUILD = 1 };
#endif

static cz_status one_runtime(void) {
  found f = {0};
  dl_iterate_phdr(look, &f);
  if (f.n <= RUNTIMES_OF_BUILD) return CZ_OK;
  char list[1024] = "";
  for (int i = 0, at = 0; i < f.n && at < (int)sizeof list; i++)
    at += snprintf(list + at, sizeof list - (size_t)at, "%s%s", i ? ", " : "", f.path[i]);
  return CZ_FAIL(CZ_EUSAGE,
                 "%d OpenMP runtimes are loaded: %s. Their threads would take each other's cores: "
                 "is one of them in LD_PRELOAD, or is the BLAS made for another compiler?",
                 f.n, list);
}

static void no_more_than_processors(void) {
  static bool warned;
  int threads = omp_get_max_threads(), processors = cz_processors();
  if (warned || threads <= processors) return;
  warned = true;
  cz_warn("%d threads on %d processors take turns: set OMP_NUM_THREADS to %d", threads, processors,
          processors);
}

/** Refuses a process with two OpenMP runtimes (CZ_EUSAGE, with their paths), and warns once when
 * there are to be more threads than processors. */
cz_status cz_threads_check(void) {
  CZ_TRY(one_runtime());
  no_more_than_processors();
  return CZ_OK;
}

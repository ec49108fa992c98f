#define _GNU_SOURCE
#include "device/threads.h"
#include "base/log.h"
#include "device/probe.h"

#include <link.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/** Whether threads that wait for each other should sleep rather than spin: others keep the
 * processors busy (LOAD, of the last minute), and the user has not said how to wait. A thread that
 * spins then takes the turn of the one that it waits for. */
bool cz_threads_should_sleep(int threads, int processors, double load) {
  return threads > 1 && load > processors && !getenv("OMP_WAIT_POLICY") &&
         !getenv("GOMP_SPINCOUNT");
}

/* The load is the machine's, and so are the processors that it is compared with: this process may
 * have some of them only. */
static void sleep_beside_others(void) {
  static bool warned;
  const int processors = (int)sysconf(_SC_NPROCESSORS_ONLN);
  double load;
  if (warned || getloadavg(&load, 1) != 1 ||
      !cz_threads_should_sleep(omp_get_max_threads(), processors, load))
    return;
  warned = true;
  cz_warn(
      "this machine's load was %.1f in the last minute, on %d processors, and threads that wait "
      "spin: with OMP_WAIT_POLICY=passive in the environment they sleep, which is several times "
      "faster if others go on computing",
      load, processors);
}

/** Refuses a process with two OpenMP runtimes (CZ_EUSAGE, with their paths), and warns once when
 * there are to be more threads than processors, or others use them too. */
cz_status cz_threads_check(void) {
  CZ_TRY(one_runtime());
  no_more_than_processors();
  sleep_beside_others();
  return CZ_OK;
}

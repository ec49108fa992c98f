#include "base/clock.h"

#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/** Seconds since some fixed moment, never decreasing. */
double cz_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The second number of the file at PATH, Linux's schedstat of a thread, nanoseconds, in seconds;
 * WITHOUT where there is no such file. */
static double waited_of(const char *path, double without) {
  char text[128] = "", *end;
  FILE *f = fopen(path, "r");
  if (!f) return without;
  const bool read = fgets(text, sizeof text, f) != NULL;
  fclose(f);
  strtod(text, &end); /* what it worked */
  return read ? 1e-9 * strtod(end, NULL) : NAN;
}

/** Seconds over all threads that live. */
double cz_waited_seconds(void) {
  DIR *d = opendir("/proc/self/task");
  double sum = d && !isnan(waited_of("/proc/self/schedstat", NAN)) ? 0 : NAN;
  for (const struct dirent *e; d && (e = readdir(d));) {
    char path[320];
    snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", e->d_name);
    if (e->d_name[0] != '.') sum += waited_of(path, 0); /* a thread that has ended meanwhile */
  }
  if (d) closedir(d);
  return sum;
}

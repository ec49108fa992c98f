#include "base/clock.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

/** Seconds since some fixed moment, never decreasing. */
double cz_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/** Seconds over all threads that live; the second number of Linux's schedstat, nanoseconds. */
double cz_waited_seconds(void) {
  DIR *d = opendir("/proc/self/task");
  double sum = d ? 0 : NAN;
  for (const struct dirent *e; d && (e = readdir(d));) {
    char path[320];
    double worked, waited;
    snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", e->d_name);
    FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
    if (!f) continue;
    sum += fscanf(f, "%lf %lf", &worked, &waited) == 2 ? 1e-9 * waited : NAN;
    fclose(f);
  }
  if (d) closedir(d);
  return sum;
}

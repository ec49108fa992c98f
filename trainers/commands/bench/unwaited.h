/* What a training step takes of a device that computes while the host goes on: in a loop that does
 * not wait, as training is one; of the device's time alone; and of the host's to submit it. */
#ifndef CZ_BENCH_UNWAITED_H
#define CZ_BENCH_UNWAITED_H

#include "device/device.h"

#include <stdint.h>

typedef struct cz_bench_unwaited {
  double step;   /* seconds, of many without a wait between them */
  double device; /* of a step that was submitted while the device was busy with something else, so
                    that it never waited for the host */
  double host;   /* until the host has submitted a step, with nothing before it */
} cz_bench_unwaited;

/* Keeps the device busy with copies while the host submits what is to be timed. */
typedef struct cz_bench_hold {
  cz_device *device;
  cz_event *begin, *end;
  char *from, *to;
  int64_t copies; /* that take as long as the host needs to submit a step */
} cz_bench_hold;

/* A step is fed to the device, and submitted; both may return before it has run. */
typedef struct cz_bench_work {
  void *self;
  cz_status (*feed)(void *self);
  cz_status (*submit)(void *self, int64_t step);
} cz_bench_work;

CZ_MUST cz_status cz_bench_hold_open(cz_bench_hold *h, cz_device *device);
CZ_MUST cz_status cz_bench_hold_begin(cz_bench_hold *h);
CZ_MUST cz_status cz_bench_hold_end(cz_bench_hold *h, double *seconds);
void cz_bench_hold_close(cz_bench_hold *h);
CZ_MUST cz_status cz_bench_time_unwaited(cz_bench_unwaited *t, cz_bench_hold *h,
                                         const cz_bench_work *w, int64_t steps);

#endif

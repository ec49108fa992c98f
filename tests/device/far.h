/* A device as a graphics card is one, made of `cpu`: its memory is forbidden to the host
 * outside kernels, write and read, and a kernel, write, late read, fill or copy does not run when
 * it is called but when somebody waits for it or for what came after it: await runs what was called
 * before the event, and no more. Host code that touches device memory in place crashes here; code
 * that does not wait is seen. */
#ifndef CZ_TESTS_FAR_H
#define CZ_TESTS_FAR_H

#include "device/device.h"

typedef struct far_traffic {
  size_t written, read, copied; /* bytes: from the host, to the host, on the device */
} far_traffic;

typedef struct far_waits {
  int whole,  /* until all had run: sync, read, release */
      events, /* for an event */
      late,   /* for a late read that had not arrived */
      idle;   /* of these, with nothing called behind it for the device to go on with */
} far_waits;

extern const struct cz_device cz_far;

void far_open(void);
void far_close(void);
void far_slow(bool on);
far_waits far_waited(bool forget);
int far_calls(cz_op op);
cz_device *far_near(void);
uint64_t far_clocks(void);
int far_waiting(void);
int far_unfinished(void);
int far_most_waiting(bool forget);
far_traffic far_moved(bool forget);

#endif

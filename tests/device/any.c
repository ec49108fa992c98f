#include "any.h"
#include "far.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cz_device far;

/** The name in CZ_TEST_DEVICE, OTHERWISE when there is none. */
const char *any_name(const char *otherwise) {
  const char *name = getenv("CZ_TEST_DEVICE");
  return name && *name ? name : otherwise;
}

/** Opens the device, or ends the program with the reason: a test without its device is no test.
 * There is one `far` at a time. */
cz_device *any_open(const char *name) {
  cz_device *device = NULL;
  if (!strcmp(name, "far")) {
    far_open();
    far = cz_far;
    return &far;
  }
  if (cz_device_open(&device, name) == CZ_OK) return device;
  fprintf(stderr, "CZ_TEST_DEVICE: %s\n", cz_error_message());
  exit(2);
}

/** Closes it and clears the pointer; accepts null. */
void any_close(cz_device **device) {
  if (*device == &far) far_close();
  cz_device_close(device);
}

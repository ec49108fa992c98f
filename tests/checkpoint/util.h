/* What the tests of weight files and checkpoints share: an emptied folder and whole-file
 * reads. */
#ifndef CZ_TESTS_CHECKPOINT_UTIL_H
#define CZ_TESTS_CHECKPOINT_UTIL_H

#include "common/common.h"
#include "base/fs.h"
#include "device/random.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

void fresh_folder(const char *path); /* made, and emptied of files */
void slurp(cz_buf *out, const char *path);

#endif

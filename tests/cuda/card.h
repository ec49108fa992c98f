/* The fake card of a test: opened, with settings that work, and its log. */
#ifndef CZ_TESTS_CUDA_CARD_H
#define CZ_TESTS_CUDA_CARD_H

#include "common/common.h"
#include "cuda/fake.h"
#include "device/device.h"
#include "kernels/add/add.h"
#include "kernels/common/launch.h"

extern fake_state *card; /* of the module */

/* launch.h's cz_cuda_multiply, of the module. */
extern bool (*multiply)(void *stream, const cz_cuda_product *product);

/** Setup of cmocka: the module is loaded, a folder is there, which is the user's cache. */
int load_card(void **state);
int unload_card(void **state);

/** Sets all of the fake to what works, on an empty cache. */
void new_card(void);

cz_device *open_card(void);

/** Closes it; all that it held must be released, and no call was one that CUDA forbids. */
void close_card(cz_device **d);

/** Begins the log anew. */
void new_log(void);

/** Whether TEXT was logged or warned of since then; the log begins anew. */
bool logged(const char *text);

/** Floats on the card: N numbers FIRST, FIRST + 1, ... */
float *floats(cz_device *d, int64_t n, float first);

/** Puts y = a + b, N numbers, into the stream. */
void add(cz_device *d, float *y, const float *a, const float *b, int64_t n, bool backward);

#endif

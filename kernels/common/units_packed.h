/* Arrays that are kept in oneDNN's own order, each for as long as its contents have one version.
 * Private to units_onednn.c. */
#ifndef CZ_KERNELS_COMMON_UNITS_PACKED_H
#define CZ_KERNELS_COMMON_UNITS_PACKED_H

#include "kernels/common/units_onednn.h"

#if CZ_HAVE_ONEDNN

#include <dnnl.h>
#include <pthread.h>

CZ_C_BEGIN

typedef struct cz__packed cz__packed;

enum { CZ__PACKED_BUCKETS = 256 };

/* All arrays of one user of the library, whose lock the caller of each function holds. */
typedef struct cz__packs {
  dnnl_engine_t engine;
  pthread_mutex_t *lock;
  pthread_cond_t done; /* some array has been packed */
  cz_units_counts *counts;
  cz__packed *bucket[CZ__PACKED_BUCKETS];
} cz__packs;

void cz__packs_open(cz__packs *p, dnnl_engine_t engine, pthread_mutex_t *lock,
                    cz_units_counts *counts);
dnnl_data_type_t cz__dnnl_type(cz_dtype dtype);
dnnl_status_t cz__plain(dnnl_memory_desc_t *md, cz_dtype dtype, int64_t rows, int64_t columns,
                        bool transposed, int64_t ld);
unsigned cz__bucket_of(const void *bytes, size_t n, unsigned buckets);

dnnl_status_t cz__packs_find(cz__packs *p, cz__packed **found, const cz__onednn_job *j,
                             const dnnl_memory_desc_t *order);
dnnl_status_t cz__packed_fill(cz__packs *p, cz__packed *w, uint64_t version);
const void *cz__packed_data(const cz__packed *w);
void cz__packs_forget(cz__packs *p, const void *memory, size_t bytes);
void cz__packs_close(cz__packs *p);

CZ_C_END

#endif

#endif

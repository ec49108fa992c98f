/* Shapes as the files of this folder store them: text for messages, comparison, products
 * that may not overflow, since a file may promise any extent. Internal to checkpoint. */
#ifndef CZ_CHECKPOINT_EXTENTS_H
#define CZ_CHECKPOINT_EXTENTS_H

#include "base/mem.h"

#include <stdbool.h>

enum { CZ__EXTENTS_TEXT = 160 };

const char *cz__extents_text(char out[CZ__EXTENTS_TEXT], const int64_t *dims, int rank);
bool cz__extents_same(const int64_t *a, int rank_a, const int64_t *b, int rank_b);
bool cz__extents_count(uint64_t *count, const int64_t *dims, int rank);

#endif

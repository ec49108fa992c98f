/* Near-duplicates: texts that share most of their words' sequences, such as the descriptions of
 * two packages of one source.
 *
 * A text is the set of its shingles, runs of three words in lower case; of fewer words it has one
 * shingle. Two texts are near-duplicates when the Jaccard index of their sets, |A and B| / |A or
 * B|, is at least 0.7. Words are runs of word characters; of a text of more than 1,024 words the
 * first count. Scripts that do not put spaces between words have long words: there only what is
 * nearly equal by phrases is found.
 *
 * Each text is compared with few others: those that agree with it in one of 32 bands of 4 minimum
 * hashes (MinHash, Broder 1997; bands, Leskovec, Rajaraman, Ullman 2014, 3.4), at most 4 a band.
 * Found are so 99.98 % of the pairs at 0.7 and all but one in ten million at 0.8; what is
 * found is then compared exactly. The time is that of reading the texts, some 128 hashes a word,
 * whatever the texts are. */
#ifndef CZ_ENSEMBLE_NEAR_H
#define CZ_ENSEMBLE_NEAR_H

#include "base/mem.h"

#include <stdbool.h>

/* Texts that are no near-duplicates of one another. */
typedef struct cz_near cz_near;

CZ_MUST cz_status cz_near_create(cz_near **near, uint64_t seed);
CZ_MUST cz_status cz_near_add(cz_near *near, bool *added, const char *const *fields,
                              size_t n_fields);
void cz_near_destroy(cz_near **near);

#endif

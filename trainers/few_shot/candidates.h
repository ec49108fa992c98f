/* Texts that have candidates of their own, of which one, or any of several, is right: ReCoRD's
 * questions, whose blank is filled by an entity of the passage (docs/pet.md 3.3). The class of such
 * a text is the number of a candidate, C the most that a text has, and scores [n, C] are minus
 * infinity behind a text's last one. What is trained on and counted is a question: in T it is a
 * text for each of its right answers, each with some wrong ones. */
#ifndef CZ_FEW_SHOT_CANDIDATES_H
#define CZ_FEW_SHOT_CANDIDATES_H

#include "few_shot/examples.h"

/* Candidates that a text of T has at most, as the published code draws them. */
enum { CZ_TRAINED_CANDIDATES = 10 };

CZ_MUST cz_status cz_candidates_take(cz_text_set *set, const cz_examples *e,
                                     const cz_records *records, const uint64_t *hashes,
                                     const int32_t *rows, size_t n, uint64_t seed);
CZ_MUST cz_status cz_candidates_measure(cz_examples *e);
uint64_t cz_candidates_hash(const cz_text_set *set, uint64_t hash);

/* What is the same of texts with labels. */
void cz_text_set_wanted(int32_t *wanted, const cz_text_set *set, const int32_t *answers,
                        int32_t classes);
double cz_text_set_accuracy(const cz_text_set *set, const float *scores, int32_t classes);

#endif

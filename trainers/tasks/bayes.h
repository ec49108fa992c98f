/* Multinomial naive Bayes over words, with one added to each count (Manning, Raghavan, Schuetze
 * 2008, 13.2): what a program knows that counts the words of the labelled texts and nothing else.
 *
 * A word is a run of letters and digits in lower case, ASCII's; every byte beyond counts as a
 * letter. Of longer words the first 64 bytes count. */
#ifndef CZ_TASKS_BAYES_H
#define CZ_TASKS_BAYES_H

#include "base/mem.h"

#include <ctype.h>
#include <stdbool.h>

typedef struct cz_bayes cz_bayes;

CZ_MUST cz_status cz_bayes_create(cz_bayes **b, int32_t classes);
CZ_MUST cz_status cz_bayes_learn(cz_bayes *b, int32_t class, const char *const *fields,
                                 size_t n_fields);
int32_t cz_bayes_classify(double *scores, const cz_bayes *b, const char *const *fields,
                          size_t n_fields);
void cz_bayes_destroy(cz_bayes **b);

/* Whether C is part of a word. */
static inline bool cz_bayes_in_word(char c) {
  return isalnum((unsigned char)c) || ((unsigned char)c & 0x80);
}

#endif

/* Texts chosen by an ensemble: those of D that its members disagree on, in the order in which to
 * label them (ensemble/next.h), and a T that has the first of them (docs/pet.md 4.3). */
#ifndef CZ_FEW_SHOT_CHOSEN_H
#define CZ_FEW_SHOT_CHOSEN_H

#include "ensemble/next.h"
#include "few_shot/examples.h"

CZ_MUST cz_status cz_label_order(cz_next *order, size_t *n, const cz_examples *e,
                                 const char *folder);
CZ_MUST cz_status cz_examples_choose(cz_examples *e, const cz_examples_keys *keys);
const char *cz_chosen_elsewhere(const cz_examples_keys *keys, const cz_examples_keys *by);

#endif

/* The order in which the masks of an answer of several tokens are filled in, and its score: the sum
 * of log p of its tokens, each when it is filled in (Schick and Schuetze 2021, "It's Not Just Size
 * That Matters", 3.1; docs/pet.md 3.3).
 *
 *   confident_first   one token a step: the one that the model finds likeliest of those that are
 *                     wanted at the masks that are left; the leftmost of several alike
 *   left_to_right     one token a step, the leftmost mask's
 *   parallel          all in one step, each without having seen the others
 *
 * The three are the published code's "default", "ltr" and "parallel". An answer of one token has
 * the same score in each. */
#ifndef CZ_ENSEMBLE_FILL_H
#define CZ_ENSEMBLE_FILL_H

#include <stdbool.h>
#include <stdint.h>

typedef enum cz_fill_order {
  CZ_FILL_CONFIDENT_FIRST,
  CZ_FILL_LEFT_TO_RIGHT,
  CZ_FILL_PARALLEL
} cz_fill_order;

extern const char *const cz_fill_order_names[];

enum { CZ_FILL_TOKENS = 64 }; /* of an answer at most */

/* An answer of N tokens on its way; with the rest zero none of them stands in the text yet. */
typedef struct cz_fill {
  int32_t n;
  uint64_t filled; /* bit i: token i stands at its mask */
  double score;    /* log p of those, in nats */
} cz_fill;

bool cz_fill_is_whole(const cz_fill *f);
uint64_t cz_fill_reads(const cz_fill *f, cz_fill_order order);
void cz_fill_step(cz_fill *f, cz_fill_order order, const double *logp);

#endif

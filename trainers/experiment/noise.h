/* What the draw of the test examples adds to the noise of a table: how far a row's mean
 * score, its difference to the baseline row, and its lead over the simple baseline would
 * move with other examples of the same kind.
 *
 * All rows and seeds are scored on the same examples, so a difference is taken example by
 * example before its error is worked out, and examples of one source are drawn as a
 * whole. A column of means over examples has its error in closed form; one that holds an
 * F1, MCC, correlation or BLEU by the bootstrap. */
#ifndef CZ_EXPERIMENT_NOISE_H
#define CZ_EXPERIMENT_NOISE_H

#include "experiment/results.h"

CZ_MUST cz_status cz_noise_read(cz_results *r, const char *run);

#endif

/* Pretraining objectives: each file is a batch transform and its config keys; the list is
 * objectives.def.
 *
 * A transform takes a raw piece of tokens and makes inputs and targets (docs/t5.md
 * 3). The loss head of all of these is cross-entropy over the targets (and over the
 * inputs too for single-stack models that ask for it), so a row only says what is read
 * and what is written.
 *
 * `fidelity`, where the paper's text and the released code depart; where the paper is
 * silent, `paper` does what the code does:
 *
 *                                paper (default)              code
 *                                corrected
 *   targets cap                  inputs_length                the published file's
 *                                (iid_*.c)    inputs_length
 *   an example that does not     is cut, EOS kept             is cut, EOS kept
 *                                does not arise: pieces are shorter, or
 *     fit targets_length
 *     random noise spans stay clear
 *   more spans than sentinels    starts again at              runs on into ordinary
 *                                pieces      random noise spans stay clear
 *                                  <extra_id_0>
 *   sentinel of a span           as coded: before the span,   same
 *                                always before its span, and one more
 *                                  after it when the piece
 *                                  closes the targets
 *                                  begins with noise
 *   random spans                 never begin a piece with     same
 *                                rotated by a random offset
 *                                  noise, always end with it
 *   random tokens of BERT-style  from 3 up, sentinels too     same
 *                                ordinary pieces only
 *
 * An explicit targets_length wins over every default cap. All draws are keyed by
 * (seed, use, epoch, index of the piece): neither order nor threads matter, and
 * objectives that share a mask corrupt the same tokens of the same piece, which pairs
 * their comparison. */
#ifndef CZ_OBJECTIVE_H
#define CZ_OBJECTIVE_H

#include "config/config.h"
#include "data/example.h"

enum { CZ_SENTINELS_MAX = 1024 };

/* What an objective must know about the tokenizer. */
typedef struct cz_vocabulary {
  int32_t size; /* the tokenizer's size, sentinels included (T5: 32,100): random tokens are drawn
                   below it */
  int32_t pad, eos, unk;
  int32_t n_sentinels;
  int32_t sentinels[CZ_SENTINELS_MAX]; /* ids of <extra_id_0>, <extra_id_1>, ... (T5: 32,099
                                          downwards); further ones are not used */
} cz_vocabulary;

typedef enum cz_fidelity { CZ_FIDELITY_PAPER, CZ_FIDELITY_CODE, CZ_FIDELITY_CORRECTED } cz_fidelity;

/* Their spellings in a configuration, null-terminated. */
extern const char *const cz_fidelity_names[];

/* Whether documents are joined before they are cut: as the released code does for the
 * objective, or the same for all, so that rows of a table read pieces of one length. */
typedef enum cz_concatenate {
  CZ_CONCATENATE_CODE,
  CZ_CONCATENATE_YES,
  CZ_CONCATENATE_NO
} cz_concatenate;

extern const char *const cz_concatenate_names[];

/* Every key any objective has; each objective's table names those it reads. */
typedef struct cz_objective_config {
  int64_t inputs_length,
      targets_length; /* caps with EOS, in tokens; targets_length 0: the objective's own */
  double noise_density, mean_noise_span_length, random_token_probability;
  int fidelity;
  int concatenate; /* cz_concatenate */
  uint64_t seed;   /* not a key: the run's */
} cz_objective_config;

/* A configured objective; `self` of cz_corrupt_fn. Owns nothing but itself. */
typedef struct cz_objective {
  const struct cz_objective_row *row;
  cz_objective_config config;
  cz_vocabulary vocabulary;
  cz_cut cut;                      /* derived by the row's solve */
  int64_t inputs_cap, targets_cap; /* tokens with EOS, derived; inputs_cap 0: no inputs at all */
} cz_objective;

typedef struct cz_objective_row {
  const char *name, *help;
  cz_section section;
  cz_status (*solve)(
      cz_objective *o); /* derives cut and caps from the configuration; refuses what can't work */
  cz_corrupt_fn corrupt;
} cz_objective_row;

/* The rows of objectives.def. */
extern const cz_objective_row *const cz_objective_rows[];
extern const size_t cz_objective_count;

CZ_MUST cz_status cz_objective_find(const cz_objective_row **row, const char *name);
CZ_MUST cz_status cz_objective_init(cz_objective *o, const cz_objective_row *row,
                                    const cz_objective_config *config,
                                    const cz_vocabulary *vocabulary);
CZ_MUST cz_status cz_objective_apply(const cz_objective *o, cz_example *out, const cz_piece *piece);
CZ_MUST cz_status cz_objective_mean_lengths(const cz_objective *o, double *inputs, double *targets,
                                            int64_t pieces);

#endif

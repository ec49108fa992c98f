/* The folder objectives: what a model learns from raw text. A reader (data/source.h) hands over
 * a piece, a run of tokens of one document or of several joined ones; the objective draws
 * which of its tokens are noise, and two functions make inputs and targets of piece and noise
 * mask (denoise.h), cut to their caps, with EOS. What comes out is an example, which the reader
 * counts and packs into batches. So an objective is a file with a row: its keys, how it solves
 * its lengths, and a function from piece to example (docs/t5.md 3); the list is objectives.def.
 * It knows no file, no batch and no model. The loss of all is cross-entropy over the targets
 * (and over the inputs too for single stacks that request it), or over the labels of tokens that
 * are read as they are (masked_lm, next_sentence, causal_lm; data/batch.h).
 *
 * `fidelity`, where the paper's text and the released code depart; where the paper is silent,
 * `paper` does what the code does:
 *
 *   targets' cap        paper      inputs_length
 *                       code       the published file's (iid_*.c)
 *                       corrected  inputs_length
 *   targets over the    paper      cut, EOS kept
 *   cap                 code       cut, EOS kept
 *                       corrected  do not arise: pieces are shorter, or runs of noise stay clear
 *   spans beyond the    paper      start again at <extra_id_0>
 *   sentinels           code       run on into ordinary pieces
 *                       corrected  stay clear
 *   sentinel of a span  paper      before it; after it when the piece begins with noise
 *                       code       the same
 *                       corrected  before it, and one more closes the targets
 *   random spans        paper      never begin a piece with noise, always end with it
 *                       code       the same
 *                       corrected  rotated by a random offset
 *   random tokens of    paper      from 3 up, sentinels too
 *   BERT-style          code       the same
 *                       corrected  ordinary pieces only
 *   what a masked LM    paper      any but special tokens and the mask of a pattern
 *   may predict         code       any but the two around a text: the mask of a pattern too, and
 *                                  padding, where there is some (masking.h)
 *                       corrected  as the paper
 *
 * An explicit targets_length wins over every default cap. All draws are keyed by (seed, use,
 * epoch, index of the piece): neither order nor threads matter, and objectives that share a
 * mask corrupt the same tokens of the same piece, which pairs their comparison. */
#ifndef CZ_OBJECTIVE_H
#define CZ_OBJECTIVE_H

#include "config/config.h"
#include "data/example.h"
#include "objectives/fidelity.h"

enum { CZ_SENTINELS_MAX = 1024 };

/* What an objective must know about the tokenizer. */
typedef struct cz_vocabulary {
  int32_t size; /* the tokenizer's size, sentinels included (T5: 32,100): random tokens are drawn
                   below it */
  int32_t pad, eos, unk;
  int32_t cls, sep, mask; /* around a text, between and behind texts, in place of a token */
  int32_t n_sentinels;
  int32_t sentinels[CZ_SENTINELS_MAX]; /* ids of <extra_id_0>, <extra_id_1>, ... (T5: 32,099
                                          downwards); further ones are not used */
} cz_vocabulary;

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
  double noise_density, mean_noise_span_length, random_token_probability, kept_token_probability;
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

/* What an objective's examples are: inputs and targets, both with EOS; or tokens as they are with
 * labels (cz_example), for a stack that sees both sides of a token or only what is before it. */
typedef enum cz_form { CZ_FORM_TEXT_TO_TEXT, CZ_FORM_MASKED, CZ_FORM_CAUSAL } cz_form;

typedef struct cz_objective_row {
  const char *name, *help;
  cz_form form;
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
CZ_MUST cz_status cz_need_token(const cz_objective_row *row, int32_t id, const char *what);
CZ_MUST cz_status cz_objective_apply(const cz_objective *o, cz_example *out, const cz_piece *piece);
CZ_MUST cz_status cz_objective_mean_lengths(const cz_objective *o, double *inputs, double *targets,
                                            int64_t pieces);

#endif

/* Texts of a set as the inputs of a model: under a pattern, with the mask as the row that the head
 * of classes reads, or as they stand, with the token that the family's classifier reads. A record
 * whose classifier reads several texts is one input of them all, with a row in each. */
#ifndef CZ_FEW_SHOT_PREPARE_H
#define CZ_FEW_SHOT_PREPARE_H

#include "data/prepared.h"
#include "few_shot/examples.h"
#include "nn/net.h"

/* What a text is to say: its class, or how likely each is. */
typedef struct cz_wanted {
  int32_t label;      /* negative: none */
  const double *soft; /* [C], or null */
} cz_wanted;

/* Makes inputs, one at a time, and counts what was cut. Zero-initialise but for what it borrows. */
typedef struct cz_preparer {
  const cz_prompts *prompts;
  const cz_prompt *prompt;       /* one of theirs, the first of */
  size_t several;                /* texts of a record; 0: one */
  const cz_model_config *config; /* of the model that will read them */
  size_t
      classes; /* answers that each text has room for; 0: as many as it has, which is one a label */
  bool trim;   /* no more masks than the longest answer has tokens */
  const cz_demonstrations *demonstrations; /* in front of each, or null */
  cz_prompt_input input;
  cz_example example;
  size_t cut_texts, cut_tokens;
  size_t short_texts, dropped; /* texts without some of the demonstrations; of those, how many */
  int32_t *answers;            /* of the text under way, [C, W, masks] */
  size_t answers_cap, masks;   /* masks: those that stay */
  size_t target;               /* tokens of the target that is to be generated */
  uint64_t seed;               /* of how many surplus masks a text to train on has behind it */
} cz_preparer;

/* An input under a prompt, whose masks stand side by side from `place` on. */
typedef struct cz_masked_text {
  const int32_t *ids, *types; /* [n] */
  size_t n, place, masks;
} cz_masked_text;

CZ_MUST cz_status cz_masked_text_find(cz_masked_text *text, const cz_prompt *prompt,
                                      const cz_prepared *set, size_t i);
CZ_MUST cz_status cz_prepare_text(cz_preparer *p, cz_prepared *out, const cz_text_set *set,
                                  size_t i, const cz_wanted *wanted);
CZ_MUST cz_status cz_prepare_set(cz_preparer *p, cz_prepared *out, const cz_text_set *set);
cz_reader_kind cz_reader_of(const cz_model_config *config);
void cz_preparer_plain(cz_preparer *p, const cz_prompts *prompts);
void cz_preparer_free(cz_preparer *p);

#endif

/* What a model has forgotten: its masked-LM loss on texts that no member is trained on, with masks
 * that are always the same. */
#ifndef CZ_FEW_SHOT_HELD_OUT_TEXTS_H
#define CZ_FEW_SHOT_HELD_OUT_TEXTS_H

#include "few_shot/prepare.h"
#include "objectives/masking.h"

typedef struct cz_held_out_texts cz_held_out_texts;

CZ_MUST cz_status cz_held_out_texts_open(cz_held_out_texts **h, cz_model *model,
                                         const cz_examples *e, const cz_vocabulary *vocabulary,
                                         int64_t n, int64_t batch_tokens);
CZ_MUST cz_status cz_held_out_texts_loss(double *loss, const cz_held_out_texts *h);
double cz_held_out_texts_tokens(const cz_held_out_texts *h);
void cz_held_out_texts_close(cz_held_out_texts **h);

#endif

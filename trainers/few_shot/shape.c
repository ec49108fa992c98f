#include "few_shot/shape.h"
#include "nn/hf_survey.h"

static cz_net_head_kind head_of(const cz_member_shape *s) {
  return s->classifier ? CZ_NET_CLASSIFIER : CZ_NET_LABEL_WORDS;
}

/* The head that trains: classes, what masks say, or answers of several tokens or of each text's
 * own. */
static cz_loop_head loss_of(const cz_member_shape *s) {
  if (s->generates) return (cz_loop_head){.net = {.kind = CZ_NET_VOCABULARY}};
  if (s->answers)
    return (cz_loop_head){.net = {.kind = CZ_NET_CHOICES, .classes = s->classes, .words = s->masks},
                          .words = s->answers,
                          .sets = s->sets};
  return (cz_loop_head){.net = {.kind = head_of(s),
                                .soft = s->soft,
                                .temperature = s->temperature,
                                .classes = s->classes,
                                .words = s->width,
                                .together = s->texts,
                                .choice = s->choice},
                        .words = s->classifier ? NULL : s->words};
}

static int64_t texts_of(const cz_member_shape *s) { return s->texts ? s->texts : 1; }

static int64_t longest_of(const cz_member_shape *s) { return texts_of(s) * s->max_length; }

/** What a classifier of FILE reads of a record. */
void cz_member_shape_plain(cz_member_shape *s, const cz_pattern_file *file) {
  s->texts = (int64_t)file->n_plains;
  s->choice = file->input == CZ_INPUT_CHOICE;
}

/** Numbers that the classification head of FILE has for a text: one a label, or, to be chosen
 * among, one. */
int64_t cz_member_shape_numbers(const cz_pattern_file *file) {
  return file->input == CZ_INPUT_CHOICE ? 1 : (int64_t)file->n_labels;
}

/** What SHAPE says of JOB: what its batches hold, and the heads of its loss, which are classes and
 * with `lm` masked words. The rest of JOB stays as it is. */
void cz_member_shape_job(cz_loop_job *job, const cz_member_shape *s) {
  job->layout = CZ_LAYOUT_TOKENS;
  job->batch.max_inputs = longest_of(s);
  job->batch.texts = s->texts;
  job->batch.soft_classes = s->soft ? s->classes : 0;
  job->heads[0] = loss_of(s);
  job->heads[0].weight = 1 - s->lm;
  job->heads[1] = (cz_loop_head){.net = {.kind = CZ_NET_VOCABULARY}, .weight = s->lm};
  job->n_heads = s->lm > 0 ? 2 : 1;
}

/** Tokens of one run of a net that scores. */
int64_t cz_member_shape_run(const cz_member_shape *s) {
  return s->score_tokens > longest_of(s) ? s->score_tokens : longest_of(s);
}

/** That the model in FOLDER, of a family that can have the head, can be asked as a masked LM: its
 * weights have the head, and TOKENIZER a mask token. CZ_EUSAGE; other errors as cz_hf_survey_open.
 * To be called before the model is opened, which would draw the head and say so. */
cz_status cz_masked_lm_check(const char *folder, const cz_tokenizer *tokenizer) {
  cz_hf_survey s;
  cz_status st = cz_hf_survey_open(&s, folder);
  const bool there = st == CZ_OK && s.present & CZ_HEAD_BIT(CZ_HEAD_MASKED_LM);
  cz_hf_survey_close(&s);
  CZ_TRY(st);
  if (!there)
    return CZ_FAIL(
        CZ_EUSAGE,
        "%s has no masked-LM head, which tokens at a mask are scored by; `cloze pretrain` with "
        "objective masked_lm and init: %s trains one",
        folder, folder);
  if (cz_tokenizer_get_facts(tokenizer)->mask < 0)
    return CZ_FAIL(CZ_EUSAGE,
                   "%s: the tokenizer has no mask token, and a masked LM is asked at one", folder);
  return CZ_OK;
}

/** Builds the net that scores texts of SHAPE with MODEL, which is borrowed and may change its
 * weights; of label words the scorer has none yet. The caller destroys it. */
cz_status cz_member_shape_scorer(cz_scorer **scorer, cz_model *model, const cz_member_shape *s) {
  const cz_scorer_options o = {.head = head_of(s),
                               .classes = s->classes,
                               .words = s->width,
                               .texts = s->texts,
                               .choice = s->choice,
                               .max_length = longest_of(s),
                               .batch_tokens = cz_member_shape_run(s)};
  return cz_scorer_create(scorer, model, &o);
}

/* What a few-shot stage has opened fits together: told before anything is computed, since texts
 * are scored after a member is trained. */
#include "stages/few_shot.h"
#include "few_shot/shape.h"
#include "nn/hf_survey.h"

/* A classifier that the folder has is one of as many classes as there are labels, or of one number
 * where texts are chosen among. */
static cz_status fits_classes(const cz_few_shot *f) {
  const cz_examples *e = f->examples;
  const int64_t wanted = cz_member_shape_numbers(e->file);
  cz_hf_survey s;
  if (f->head != CZ_HEAD_CLASSIFICATION) return CZ_OK;
  cz_status st = cz_hf_survey_open(&s, f->init);
  if (st == CZ_OK && s.present & CZ_HEAD_BIT(f->head) && s.config.n_labels != wanted)
    st = CZ_FAIL(CZ_EUSAGE,
                 "%s has a classifier of %lld classes, and %s has %d labels%s; begin with a model "
                 "that has none, or with other labels",
                 f->init, (long long)s.config.n_labels, e->file->path, (int)e->classes,
                 wanted == 1 ? ", whose texts get one number each (input: choice)" : "");
  cz_hf_survey_close(&s);
  return st;
}

/* Whether there may be texts that PROMPT leaves no room, or token types that a model of TYPES has
 * not. */
static bool may_not_fit(const cz_prompt *prompt, int64_t types) {
  bool fixed = false;
  for (size_t i = 0; i < prompt->pattern->n; i++)
    fixed |= prompt->pieces[i].kind == CZ_PIECE_SOURCE && !prompt->pieces[i].shortenable;
  return fixed || (prompt->pair && types < 2);
}

static cz_status fits_types(const cz_prompt_input *in, const cz_few_shot *f,
                            const cz_prompt *prompt, int64_t types) {
  for (size_t i = 0; i < in->encoding.n; i++)
    if (in->encoding.types[i] >= types)
      return cz_config_error(prompt->pattern->node,
                             "the second segment's tokens are of type %d, and %s has %lld type "
                             "(type_vocab_size); a pattern without || wants no more",
                             (int)in->encoding.types[i], f->init, (long long)types);
  return CZ_OK;
}

static cz_status fits_texts(const cz_few_shot *f, const cz_prompt *prompt, int64_t types) {
  const cz_examples *e = f->examples;
  const cz_text_set *const sets[] = {&e->t, &e->d, &e->test};
  cz_prompt_input in = {0};
  cz_status st = CZ_OK;
  if (!may_not_fit(prompt, types)) return CZ_OK;
  for (size_t k = 0; k < sizeof sets / sizeof *sets; k++)
    for (size_t i = 0; i < sets[k]->n; i++) {
      CZ_GO(st, cz_prompt_apply(&in, e->prompts, prompt, sets[k]->texts, i), done);
      CZ_GO(st, fits_types(&in, f, prompt, types), done);
    }
done:
  cz_prompt_input_free(&in);
  return st;
}

/** Refuses what the members PLANS [n], in ascending order of pattern, of the opened F would be
 * refused in the midst of their work: a text that leaves no room under a pattern (CZ_EINVAL with
 * file and line), a second segment where the model has one token type, a classifier of other
 * classes (CZ_EUSAGE). */
cz_status cz_few_shot_fit(const cz_few_shot *f, const cz_member_plan *plans, size_t n) {
  const cz_prompts *p = f->examples->prompts;
  const cz_model_config *c = &f->config;
  const int64_t types = cz_family_key(c->family, CZ_FACT_N_TYPES) ? c->n_types : INT64_MAX;
  CZ_TRY(fits_classes(f));
  for (size_t i = 0; i < n; i++) {
    const int32_t pattern = plans[i].pattern;
    if (i && plans[i - 1].pattern == pattern) continue;
    if (pattern >= 0) CZ_TRY(fits_texts(f, &p->items[pattern], types));
    for (size_t k = 0; pattern < 0 && k < f->examples->file->n_plains; k++)
      CZ_TRY(fits_texts(f, &p->plains[k], types));
  }
  return CZ_OK;
}

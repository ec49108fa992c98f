#include "few_shot/prepare.h"
#include "base/hash.h"
#include "device/random.h"

#include <stdlib.h>

/* The token that the family's classifier reads of an input of N tokens. */
static int32_t pooled_row(const cz_model_config *config, size_t n) {
  const int32_t span[2] = {0, (int32_t)n};
  int32_t row;
  cz_net_pooled_rows(&row, config, span, 1);
  return row;
}

/* A target of N tokens: behind it any number of surplus masks to train on, drawn by (seed, text,
 * pattern), and one where it is generated. */
static void take_target(cz_preparer *p, const cz_prompt *prompt, const cz_text_set *set, size_t i,
                        size_t n) {
  const uint64_t hash = set->hashes ? set->hashes[i] : 0;
  size_t surplus = 1;
  cz_stream s;
  if (p->trim) {
    cz_stream_init(&s, cz_hash64(&hash, sizeof hash, p->seed), "surplus masks",
                   (uint32_t)(prompt - p->prompts->items), 0);
    surplus = (size_t)cz_stream_below(&s, CZ_PROMPT_SURPLUS + 1);
  }
  p->target = n;
  p->masks = n + surplus;
}

/* What the masks of a text to train on say, the target and padding behind it; other tokens nothing.
 */
static cz_status add_target(cz_example *e, const cz_preparer *p) {
  const int32_t pad = cz_tokenizer_get_facts(p->prompts->tokenizer)->pad;
  const size_t first = (size_t)p->input.rows[0];
  for (size_t i = 0; i < e->inputs.len; i++) {
    const bool asked = i >= first && i < first + p->masks;
    CZ_TRY(cz_ids_add(&e->labels, !asked                  ? CZ_NOT_COUNTED
                                  : i - first < p->target ? p->answers[i - first]
                                                          : pad));
  }
  return CZ_OK;
}

/* The answers that text I has of its own, and how many masks stay for them. Of more than there is
 * room for, as a text of D may have that a member is trained beside, none are kept. */
static cz_status find_answers(cz_preparer *p, const cz_prompt *prompt, const cz_text_set *set,
                              size_t i) {
  const size_t masks = p->input.n_rows, own = cz_prompt_answer_count(set->texts, i),
               cells = own * prompt->n_words * masks,
               room = p->classes > own ? p->classes * prompt->n_words * masks : cells;
  size_t longest = 0;
  p->masks = masks;
  p->target = 0;
  if (!prompt->choices && (masks <= 1 || !p->trim)) return CZ_OK;
  CZ_TRY(cz_grow(&p->answers, &p->answers_cap, room, sizeof *p->answers));
  CZ_TRY(cz_prompt_answers(p->answers, p->prompts, prompt, set->texts, i));
  for (size_t k = 0; k < cells; k++)
    if (p->answers[k] >= 0 && k % masks >= longest) longest = k % masks + 1;
  if (p->prompts->file->generates) return take_target(p, prompt, set, i, longest), CZ_OK;
  for (size_t k = cells; k < room; k++) p->answers[k] = -1;
  if (p->trim) p->masks = longest;
  if (!prompt->choices || (p->classes && own > p->classes)) return CZ_OK;
  return cz_ids_append(&p->example.answers, p->answers, (int64_t)room);
}

/* BEGIN: where the text begins among the inputs. */
static cz_status add_rows(cz_example *e, const cz_preparer *p, int32_t begin) {
  const cz_prompt_input *in = &p->input;
  for (size_t i = 0; i < p->masks; i++) CZ_TRY(cz_ids_add(&e->rows, begin + in->rows[i]));
  return in->n_rows ? CZ_OK : cz_ids_add(&e->rows, begin + pooled_row(p->config, in->encoding.n));
}

/* Of LIST, one for each token, what is left without the surplus masks, which stand side by side. */
static cz_status add_kept(cz_ids *out, const cz_preparer *p, const int32_t *list) {
  const cz_prompt_input *in = &p->input;
  const size_t n = in->encoding.n, end = in->n_rows ? (size_t)in->rows[0] + p->masks : n,
               rest = end + in->n_rows - p->masks;
  CZ_TRY(cz_ids_append(out, list, (int64_t)end));
  return cz_ids_append(out, list + rest, (int64_t)(n - rest));
}

/* Tokenizers have a type for a second text, also of families whose models know none. */
static cz_status add_types(cz_example *e, const cz_preparer *p) {
  const bool typed = cz_family_key(p->config->family, CZ_FACT_N_TYPES);
  if (typed) return add_kept(&e->types, p, p->input.encoding.types);
  while (e->types.len < e->inputs.len) CZ_TRY(cz_ids_add(&e->types, 0));
  return CZ_OK;
}

/* One text of a record more. */
static cz_status add_text(cz_preparer *p, const cz_prompt *prompt, const cz_text_set *set,
                          size_t i) {
  cz_example *e = &p->example;
  const int32_t begin = (int32_t)e->inputs.len;
  const uint64_t *hash = set->hashes ? &set->hashes[i] : NULL;
  CZ_TRY(cz_prompt_apply_behind(&p->input, p->prompts, prompt, set->texts, i, p->demonstrations,
                                hash));
  p->short_texts += p->input.dropped > 0;
  p->dropped += p->input.dropped;
  p->cut_texts += p->input.n_cut > 0;
  p->cut_tokens += p->input.n_cut;
  CZ_TRY(find_answers(p, prompt, set, i));
  CZ_TRY(add_kept(&e->inputs, p, p->input.encoding.ids));
  CZ_TRY(add_types(e, p));
  if (p->trim && p->target) CZ_TRY(add_target(e, p));
  return add_rows(e, p, begin);
}

/** Appends text I of SET to OUT, as the prompts of P make it, asking for WANTED (null: nothing).
 * Its number in OUT is that of the call. CZ_EINVAL as cz_prompt_apply. */
cz_status cz_prepare_text(cz_preparer *p, cz_prepared *out, const cz_text_set *set, size_t i,
                          const cz_wanted *wanted) {
  cz_example *e = &p->example;
  cz_example_clear(e);
  for (size_t k = 0; k < (p->several ? p->several : 1); k++) {
    CZ_TRY(add_text(p, p->prompt + k, set, i));
    if (p->several > 1) CZ_TRY(cz_ids_add(&e->ends, (int32_t)e->inputs.len));
  }
  e->text = (int64_t)e->inputs.len;
  e->klass = wanted ? wanted->label : -1;
  for (int64_t c = 0; wanted && wanted->soft && c < out->soft_classes; c++) {
    CZ_TRY(cz_grow(&e->soft.data, &e->soft.cap, e->soft.len + 1, sizeof *e->soft.data));
    e->soft.data[e->soft.len++] = wanted->soft[c];
  }
  return cz_prepared_add(out, e);
}

/** Appends all texts of SET with their labels: number i of OUT is text i, where OUT was empty. */
cz_status cz_prepare_set(cz_preparer *p, cz_prepared *out, const cz_text_set *set) {
  for (size_t i = 0; i < set->n; i++)
    CZ_TRY(
        cz_prepare_text(p, out, set, i, &(cz_wanted){.label = set->labels ? set->labels[i] : -1}));
  return CZ_OK;
}

/** Input I of SET, borrowed from it, which PROMPT made with all of its masks. */
cz_status cz_masked_text_find(cz_masked_text *text, const cz_prompt *prompt, const cz_prepared *set,
                              size_t i) {
  size_t n_types;
  text->ids = cz_id_lists_at(&set->inputs, i, &text->n);
  text->types = cz_id_lists_at(&set->types, i, &n_types);
  const int32_t *places = cz_id_lists_at(&set->rows, i, &text->masks);
  CZ_CHECK(text->masks == (size_t)prompt->pattern->masks && n_types == text->n);
  CZ_CHECK(places[text->masks - 1] - places[0] == (int32_t)text->masks - 1);
  text->place = (size_t)places[0];
  return CZ_OK;
}

/** How a classifier of CONFIG's family reads plain texts: the last token of one that begins and
 * ends with tokens of its own, or what the tokenizer makes of it. */
cz_reader_kind cz_reader_of(const cz_model_config *config) {
  return config->family->pooled_last ? CZ_READS_FRAMED : CZ_READS_PLAIN;
}

/** Points P at what classifiers read of PROMPTS, which is borrowed. */
void cz_preparer_plain(cz_preparer *p, const cz_prompts *prompts) {
  p->prompts = prompts;
  p->prompt = prompts->plains;
  p->several = prompts->file->n_plains;
}

/** Frees the room in which inputs are made, and leaves P ready for use. */
void cz_preparer_free(cz_preparer *p) {
  cz_prompt_input_free(&p->input);
  cz_example_free(&p->example);
  free(p->answers);
  p->answers = NULL, p->answers_cap = 0;
}

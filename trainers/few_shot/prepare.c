#include "few_shot/prepare.h"

/* The token that the family's classifier reads of an input of N tokens. */
static int32_t pooled_row(const cz_model_config *config, size_t n) {
  const int32_t span[2] = {0, (int32_t)n};
  int32_t row;
  cz_net_pooled_rows(&row, config, span, 1);
  return row;
}

static cz_status add_rows(cz_example *e, const cz_preparer *p) {
  const cz_prompt_input *in = &p->input;
  if (in->n_rows) return cz_ids_append(&e->rows, in->rows, (int64_t)in->n_rows);
  return cz_ids_add(&e->rows, pooled_row(p->config, in->encoding.n));
}

/* Tokenizers have a type for a second text, also of families whose models know none. */
static cz_status add_types(cz_example *e, const cz_preparer *p) {
  const cz_encoding *x = &p->input.encoding;
  const bool typed = cz_family_key(p->config->family, CZ_FACT_N_TYPES);
  if (typed) return cz_ids_append(&e->types, x->types, (int64_t)x->n);
  for (size_t i = 0; i < x->n; i++) CZ_TRY(cz_ids_add(&e->types, 0));
  return CZ_OK;
}

/** Appends text I of SET to OUT, as the prompt of P makes it, asking for WANTED (null: nothing).
 * Its number in OUT is that of the call. CZ_EINVAL as cz_prompt_apply. */
cz_status cz_prepare_text(cz_preparer *p, cz_prepared *out, const cz_text_set *set, size_t i,
                          const cz_wanted *wanted) {
  cz_example *e = &p->example;
  const cz_encoding *x = &p->input.encoding;
  CZ_TRY(cz_prompt_apply(&p->input, p->prompts, p->prompt, set->texts, i));
  p->cut_texts += p->input.n_cut > 0;
  p->cut_tokens += p->input.n_cut;
  cz_example_clear(e);
  CZ_TRY(cz_ids_append(&e->inputs, x->ids, (int64_t)x->n));
  CZ_TRY(add_types(e, p));
  CZ_TRY(add_rows(e, p));
  e->text = (int64_t)x->n;
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

/** Frees the room in which inputs are made, and leaves P ready for use. */
void cz_preparer_free(cz_preparer *p) {
  cz_prompt_input_free(&p->input);
  cz_example_free(&p->example);
}

#include "nn/hf_survey.h"
#include "nn/hf_files.h"

#include <stdlib.h>
#include <string.h>

/* Every parameter of M that is for HEAD has its tensor in the file. A head without any of its own,
 * whose output is the embedding, is there where the folder's class has it. */
static bool is_present(const cz_model *m, const cz__hf_names *names, int head, unsigned class) {
  bool any = class & CZ_HEAD_BIT(head);
  for (size_t i = 0; i < m->params->n; i++) {
    if (!(m->origins[i].heads & CZ_HEAD_BIT(head))) continue;
    if (!cz__hf_find(names, m->origins[i].tensor)) return false;
    any = true;
  }
  return any;
}

/* The heads that the family can have, whether the folder's class has them or not. */
static cz_status find_heads(cz_hf_survey *s) {
  cz_model_config c = s->config;
  cz_model *m = NULL;
  cz__hf_names names = {0};
  cz_status st;
  c.heads = cz_family_heads(c.family);
  CZ_GO(st, cz_model_declare(&m, &c, NULL), done);
  CZ_GO(st, cz__hf_names_make(&names, s->weights, m), done);
  for (int h = 0; h < CZ_HEADS; h++)
    if (is_present(m, &names, h, s->config.heads)) s->present |= CZ_HEAD_BIT(h);
done:
  cz__hf_names_free(&names);
  cz_model_destroy(&m);
  return st;
}

static cz_tensor_use use_of(const cz_model *m, const cz__hf_names *names, size_t i) {
  const cz_safetensors_info *t = cz_safetensors_at(names->file, i);
  cz_tensor_use use = CZ_TENSOR_IGNORED;
  for (size_t k = 0; k < m->params->n; k++)
    if (cz__hf_find(names, m->origins[k].tensor) == t) return CZ_TENSOR_READ;
  for (const cz_weight_alias *a = m->config.family->aliases; a && a->tensor; a++)
    if (!strcmp(a->alias, names->canonical[i]) && cz__hf_find(names, a->tensor))
      use = CZ_TENSOR_ALIAS;
  return use;
}

static cz_status survey(cz_hf_survey *s, const char *folder) {
  cz_model *m = NULL;
  cz__hf_names names = {0};
  cz_status st;
  const size_t n = cz_safetensors_count(s->weights);
  CZ_GO(st, cz__hf_declare(&m, &names, &s->config, s->weights, folder, NULL), done);
  s->config = m->config; /* tied or not, as the weights say */
  s->drawn = m->drawn;
  CZ_GO(st, cz_model_count(&s->parameters, &s->config), done);
  CZ_GO(st, cz_alloc(&s->uses, n ? n : 1, sizeof *s->uses), done);
  for (size_t i = 0; i < n; i++) s->uses[i] = use_of(m, &names, i);
  st = find_heads(s);
done:
  cz__hf_names_free(&names);
  cz_model_destroy(&m);
  return st;
}

/** Looks into FOLDER as cz_hf_open would, with the same errors, but reads none of the weights'
 * numbers, besides those of an output matrix that may be the embedding. Close S in any case. */
cz_status cz_hf_survey_open(cz_hf_survey *s, const char *folder) {
  *s = (cz_hf_survey){0};
  CZ_TRY(cz_hf_config_of(&s->config, folder));
  CZ_TRY(cz_safetensors_open_model(&s->weights, folder));
  return survey(s, folder);
}

/** Closes the weights and frees the list. */
void cz_hf_survey_close(cz_hf_survey *s) {
  cz_safetensors_close(&s->weights);
  free(s->uses);
  s->uses = NULL;
}

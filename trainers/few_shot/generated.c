#include "few_shot/generated.h"
#include "few_shot/questions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Rows of logits of one run, each as wide as the vocabulary; a text has no more masks. */
enum { ROWS = CZ_PATTERN_MASKS };

struct cz_generator {
  cz_questions *questions;
  const cz_prompts *prompts;
  int64_t words; /* of the vocabulary */
  /* what is filled in */
  const cz_prepared *inputs;
  int32_t *ids; /* of all inputs, one behind the other */
  bool *open;   /* of each whether it is a mask that is left */
};

/* Where input I begins among the tokens of all, and its PLACES [MASKS] there. */
static size_t begin_of(const cz_generator *g, size_t i, const int32_t **places, size_t *masks) {
  size_t n;
  *places = cz_id_lists_at(&g->inputs->rows, i, masks);
  return (size_t)(cz_id_lists_at(&g->inputs->inputs, i, &n) - g->inputs->inputs.all.data);
}

/* *LOGP of the likeliest of LOGITS [n], and which it is; of several the first. */
static cz_status likeliest(double *logp, int32_t *token, const double *logits, int64_t n) {
  double sum = 1; /* its own part, e to the 0 */
  *token = 0;
  for (int64_t i = 1; i < n; i++)
    if (logits[i] > logits[*token]) *token = (int32_t)i;
  for (int64_t i = 0; i < n; i++)
    if (i != *token) sum += exp(logits[i] - logits[*token]);
  *logp = -log(sum);
  return isfinite(*logp)
             ? CZ_OK
             : CZ_FAIL(CZ_ENUMERIC, "log p of the likeliest token is %g, not finite", *logp);
}

/* What a run has asked, by LOGITS [n, V]. Fills in, of each of its texts, the mask that the model
 * is surest of; the leftmost of several. The masks of one text, its number times ROWS and the
 * mask's, stand side by side. */
static cz_status answer(void *self, const size_t *who, const double *logits, size_t n) {
  cz_generator *g = self;
  double best = -INFINITY, logp = 0;
  int32_t token = 0, chosen = 0;
  size_t place = 0, masks;
  const int32_t *places;
  for (size_t i = 0; i < n; i++) {
    const size_t begin = begin_of(g, who[i] / ROWS, &places, &masks);
    CZ_TRY(likeliest(&logp, &token, logits + (int64_t)i * g->words, g->words));
    if (logp > best) best = logp, chosen = token, place = begin + (size_t)places[who[i] % ROWS];
    if (i + 1 < n && who[i + 1] / ROWS == who[i] / ROWS) continue;
    g->ids[place] = chosen;
    g->open[place] = false; /* though it may be the mask's token again */
    best = -INFINITY;
  }
  return CZ_OK;
}

/** Builds a net that writes with MODEL, which is borrowed, has a masked-LM head and may change its
 * weights, what texts of PROMPTS ask for. CZ_EUSAGE for a tokenizer without a token for padding,
 * which is what surplus masks say. The caller destroys it. */
cz_status cz_generator_create(cz_generator **g, cz_model *model, const cz_prompts *prompts,
                              int64_t batch_tokens) {
  cz_status st;
  if (cz_tokenizer_get_facts(prompts->tokenizer)->pad < 0)
    return CZ_FAIL(CZ_EUSAGE,
                   "%s: the tokenizer has no token for padding, which stands at masks behind the "
                   "target of task %s",
                   prompts->file->path, prompts->file->task->name);
  CZ_TRY(cz_alloc(g, 1, sizeof **g));
  (*g)->prompts = prompts;
  (*g)->words = model->config.vocab_size;
  const cz_questions_options o = {
      .batch_tokens = batch_tokens, .rows = ROWS, .logits = true, .self = *g, .answer = answer};
  st = cz_questions_create(&(*g)->questions, model, &o);
  if (st != CZ_OK) cz_generator_destroy(g);
  return st;
}

/* Asks text I at the masks that are left; none: asks nothing. */
static cz_status append(cz_generator *g, size_t i) {
  size_t n, masks, left = 0, first;
  const int32_t *places;
  const size_t begin = begin_of(g, i, &places, &masks);
  const cz_asked_text text = {.ids = g->ids + begin,
                              .types = cz_id_lists_at(&g->inputs->types, i, &n),
                              .n = n,
                              .cut = n,
                              .rest = n};
  CZ_CHECK(masks <= ROWS);
  for (size_t k = 0; k < masks; k++) left += g->open[begin + (size_t)places[k]];
  if (!left) return CZ_OK;
  CZ_TRY(cz_questions_segment(g->questions, &first, &text, (int64_t)left));
  for (size_t k = 0; k < masks; k++)
    if (g->open[begin + (size_t)places[k]])
      CZ_TRY(cz_questions_ask(g->questions, first + (size_t)places[k], 0, i * ROWS + k));
  return CZ_OK;
}

static cz_status fill_all(cz_generator *g) {
  for (int32_t step = 0; step < ROWS; step++) {
    for (size_t i = 0; i < g->inputs->count; i++) CZ_TRY(append(g, i));
    CZ_TRY(cz_questions_run(g->questions));
  }
  return CZ_OK;
}

static void open_masks(cz_generator *g) {
  const int32_t *places;
  size_t masks;
  for (size_t i = 0; i < g->inputs->count; i++) {
    const size_t begin = begin_of(g, i, &places, &masks);
    for (size_t k = 0; k < masks; k++) g->open[begin + (size_t)places[k]] = true;
  }
}

/** IDS, the tokens of all INPUTS one behind the other, with the masks filled in. CZ_ENUMERIC for a
 * probability that is not finite, CZ_EINTERRUPT after a signal. */
cz_status cz_generator_fill(cz_generator *g, int32_t *ids, const cz_prepared *inputs) {
  const size_t all = inputs->inputs.all.len;
  g->inputs = inputs;
  g->ids = ids;
  CZ_TRY(cz_alloc(&g->open, all, sizeof *g->open));
  if (all) memcpy(ids, inputs->inputs.all.data, all * sizeof *ids);
  open_masks(g);
  cz_status st = fill_all(g);
  free(g->open);
  g->open = NULL;
  cz_questions_clear(g->questions);
  return st;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/* The next word at or behind *AT, letters a to z in any case, and its length; 0: there is none. */
static size_t next_word(const char **at) {
  size_t n = 0;
  while (**at && !is_letter(**at)) ++*at;
  while (is_letter((*at)[n])) n++;
  return n;
}

/* Whether each word of A is one of B. */
static bool words_in(const char *a, const char *b) {
  for (size_t n; (n = next_word(&a)); a += n) {
    bool found = false;
    const char *at = b;
    for (size_t k; !found && (k = next_word(&at)); at += k)
      found = k == n && !strncasecmp(a, at, n);
    if (!found) return false;
  }
  return true;
}

/** Whether OUTPUT names what TARGET names: all of its words occur there, or the other way round. A
 * word is made of the letters a to z, in any case; an output without one names anything. */
bool cz_generator_same(const char *output, const char *target) {
  return words_in(output, target) || words_in(target, output);
}

/* The text that IDS have at the masks of input I; special tokens, padding among them, are none. */
static cz_status decode(const cz_generator *g, cz_buf *out, const int32_t *ids, size_t i) {
  size_t masks;
  const int32_t *places;
  const size_t begin = begin_of(g, i, &places, &masks);
  int32_t tokens[ROWS];
  for (size_t k = 0; k < masks; k++) tokens[k] = ids[begin + (size_t)places[k]];
  out->len = 0;
  CZ_TRY(cz_tokenizer_decode(g->prompts->tokenizer, out, tokens, masks, true));
  return cz_buf_add(out, "", 1);
}

/** SCORES [n, 2] of the texts of SET, which are INPUTS: 1 for the second class where what the model
 * writes names the target, else for the first, and 0 for the other. Errors as cz_generator_fill. */
cz_status cz_generator_run(cz_generator *g, float *scores, const cz_text_set *set,
                           const cz_prepared *inputs) {
  const size_t field = g->prompts->file->target;
  int32_t *ids;
  cz_buf text = {0};
  cz_status st;
  CZ_TRY(cz_alloc(&ids, inputs->inputs.all.len, sizeof *ids));
  CZ_GO(st, cz_generator_fill(g, ids, inputs), done);
  for (size_t i = 0; i < set->n; i++) {
    CZ_GO(st, decode(g, &text, ids, i), done);
    const bool same = cz_generator_same(text.data, set->records[i]->fields[field]);
    scores[2 * i] = same ? 0 : 1;
    scores[2 * i + 1] = same ? 1 : 0;
  }
done:
  cz_buf_free(&text);
  free(ids);
  return st;
}

/** Tokens that were read since it was made, a text as often as it has masks. */
double cz_generator_read(const cz_generator *g) { return cz_questions_read(g->questions); }

/** Frees it, not the model; clears the pointer, accepts null. */
void cz_generator_destroy(cz_generator **g) {
  cz_generator *x = *g;
  if (!x) return;
  cz_questions_destroy(&x->questions);
  free(x);
  *g = NULL;
}

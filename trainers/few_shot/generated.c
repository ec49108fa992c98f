#include "few_shot/generated.h"
#include "base/stop.h"
#include "nn/net.h"
#include "training/feed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Rows of logits of one run, each as wide as the vocabulary; a text has no more masks. */
enum { ROWS = CZ_PATTERN_MASKS };

/* A row of a run: a mask of a text. */
typedef struct question {
  size_t text, place; /* its token among those of all inputs */
} question;

struct cz_generator {
  cz_net *net;
  const cz_prompts *prompts;
  int64_t batch_tokens, words; /* words: of the vocabulary */
  /* what is filled in */
  const cz_prepared *inputs;
  int32_t *ids; /* of all inputs, one behind the other */
  bool *open;   /* of each whether it is a mask that is left */
  /* a run */
  cz_flat_batch batch;
  cz_ids rows, targets;
  question questions[ROWS];
  double *logits; /* [ROWS, words] */
  double read;    /* tokens of all runs */
};

/** Builds a net that writes with MODEL, which is borrowed, has a masked-LM head and may change its
 * weights, what texts of PROMPTS ask for. CZ_EUSAGE for a tokenizer without a token for padding,
 * which is what surplus masks say. The caller destroys it. */
cz_status cz_generator_create(cz_generator **g, cz_model *model, const cz_prompts *prompts,
                              int64_t batch_tokens) {
  const cz_net_options o = {
      .capacity_segments = ROWS, /* each has a row at least */
      .capacity_encoder = 1,
      .capacity_decoder = batch_tokens,
      .dropout = 0,
      .n_heads = 1,
      .heads = {{.kind = CZ_NET_VOCABULARY, .capacity_rows = ROWS, .logits = true}}};
  cz_status st;
  if (cz_tokenizer_get_facts(prompts->tokenizer)->pad < 0)
    return CZ_FAIL(CZ_EUSAGE,
                   "%s: the tokenizer has no token for padding, which stands at masks behind the "
                   "target of task %s",
                   prompts->file->path, prompts->file->task->name);
  CZ_TRY(cz_alloc(g, 1, sizeof **g));
  (*g)->prompts = prompts;
  (*g)->batch_tokens = batch_tokens;
  (*g)->words = model->config.vocab_size;
  CZ_GO(st, cz_alloc(&(*g)->logits, ROWS * (size_t)(*g)->words, sizeof *(*g)->logits), fail);
  CZ_GO(st, cz_net_create(&(*g)->net, model, &o), fail);
  return CZ_OK;
fail:
  cz_generator_destroy(g);
  return st;
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

/* Fills in, of each text of the run, the mask that the model is surest of; the leftmost of several.
 * Questions of one text stand side by side. */
static cz_status fill(cz_generator *g) {
  double best = -INFINITY, logp = 0;
  int32_t token = 0, chosen = 0;
  size_t place = 0;
  for (size_t i = 0; i < g->rows.len; i++) {
    const question *q = &g->questions[i];
    CZ_TRY(likeliest(&logp, &token, g->logits + (int64_t)i * g->words, g->words));
    if (logp > best) best = logp, chosen = token, place = q->place;
    if (i + 1 < g->rows.len && q[1].text == q->text) continue;
    g->ids[place] = chosen;
    g->open[place] = false; /* though it may be the mask's token again */
    best = -INFINITY;
  }
  return CZ_OK;
}

/* Computes the run that was put together, and empties it. */
static cz_status flush(cz_generator *g) {
  const cz_graph_run_options run = {0};
  const int64_t n = (int64_t)g->rows.len;
  const cz_net_head_feed head = {
      .rows = g->rows.data, .n_rows = n, .targets = g->targets.data, .denominator = 1};
  cz_feed feed;
  if (!n) return CZ_OK;
  CZ_TRY(cz_stop_check("generating"));
  cz_feed_flat_batch(&feed, &g->batch, 1);
  feed.heads = &head;
  CZ_TRY(cz_net_feed(g->net, &feed));
  CZ_TRY(cz_graph_forward(g->net->graph, &run));
  CZ_TRY(cz_graph_read(g->net->graph, g->logits, g->net->heads[0].logits, n * g->words));
  CZ_TRY(fill(g));
  g->read += (double)g->batch.decoder.ids.len;
  g->batch.decoder.ids.len = g->batch.decoder.spans.len = g->batch.types.len = 0;
  g->rows.len = g->targets.len = 0;
  g->batch.segments = 0;
  return CZ_OK;
}

/* Asks text I, whose tokens begin at BEGIN among those of all, at the masks that are left; none:
 * asks nothing. */
static cz_status append(cz_generator *g, size_t i, size_t begin) {
  size_t n, n_types, masks, left = 0;
  cz_flat_batch *b = &g->batch;
  const int32_t *types = cz_id_lists_at(&g->inputs->types, i, &n_types);
  const int32_t *places = cz_id_lists_at(&g->inputs->rows, i, &masks);
  cz_id_lists_at(&g->inputs->inputs, i, &n);
  CZ_CHECK(n_types == n && masks <= ROWS);
  for (size_t k = 0; k < masks; k++) left += g->open[begin + (size_t)places[k]];
  if (!left) return CZ_OK;
  if ((int64_t)(b->decoder.ids.len + n) > g->batch_tokens || g->rows.len + left > ROWS)
    CZ_TRY(flush(g));
  const size_t first = b->decoder.ids.len;
  CZ_TRY(cz_ids_append(&b->decoder.ids, g->ids + begin, (int64_t)n));
  CZ_TRY(cz_ids_append(&b->types, types, (int64_t)n));
  b->segments++;
  for (size_t k = 0; k < masks; k++) {
    const size_t place = begin + (size_t)places[k];
    if (!g->open[place]) continue;
    g->questions[g->rows.len] = (question){i, place};
    CZ_TRY(cz_ids_add(&g->rows, (int32_t)first + places[k]));
    CZ_TRY(cz_ids_add(&g->targets, 0)); /* what its loss would be nobody reads */
  }
  return cz_token_lists_close(&b->decoder, first);
}

static cz_status fill_all(cz_generator *g) {
  for (int32_t step = 0; step < ROWS; step++) {
    size_t n, begin = 0;
    for (size_t i = 0; i < g->inputs->count; i++, begin += n) {
      cz_id_lists_at(&g->inputs->inputs, i, &n);
      CZ_TRY(append(g, i, begin));
    }
    CZ_TRY(flush(g));
  }
  return CZ_OK;
}

static void open_masks(cz_generator *g) {
  size_t n, masks, begin = 0;
  for (size_t i = 0; i < g->inputs->count; i++, begin += n) {
    const int32_t *places = cz_id_lists_at(&g->inputs->rows, i, &masks);
    cz_id_lists_at(&g->inputs->inputs, i, &n);
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
  g->batch.decoder.ids.len = g->batch.decoder.spans.len = g->batch.types.len = 0;
  g->rows.len = g->targets.len = 0;
  g->batch.segments = 0;
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

/* The text at the masks of input I, whose tokens begin at IDS; special tokens, padding among them,
 * are none. */
static cz_status decode(const cz_generator *g, cz_buf *out, const int32_t *ids, size_t i) {
  size_t masks;
  const int32_t *places = cz_id_lists_at(&g->inputs->rows, i, &masks);
  int32_t tokens[ROWS];
  for (size_t k = 0; k < masks; k++) tokens[k] = ids[places[k]];
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
  size_t n, begin = 0;
  cz_status st;
  CZ_TRY(cz_alloc(&ids, inputs->inputs.all.len, sizeof *ids));
  CZ_GO(st, cz_generator_fill(g, ids, inputs), done);
  for (size_t i = 0; i < set->n; i++, begin += n) {
    cz_id_lists_at(&inputs->inputs, i, &n);
    CZ_GO(st, decode(g, &text, ids + begin, i), done);
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
double cz_generator_read(const cz_generator *g) { return g->read; }

/** Frees it, not the model; clears the pointer, accepts null. */
void cz_generator_destroy(cz_generator **g) {
  cz_generator *x = *g;
  if (!x) return;
  cz_net_destroy(&x->net);
  cz_flat_batch_free(&x->batch);
  free(x->rows.data);
  free(x->targets.data);
  free(x->logits);
  free(x);
  *g = NULL;
}

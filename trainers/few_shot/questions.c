#include "few_shot/questions.h"
#include "base/stop.h"
#include "nn/net.h"
#include "training/feed.h"

#include <stdlib.h>

/* Rows of logits of one run, unless a single segment has more. */
enum { ROWS = 512 };

struct cz_questions {
  cz_net *net;
  cz_questions_options options;
  int64_t capacity_rows;
  cz_flat_batch batch; /* of the run under way */
  cz_ids rows, targets;
  size_t *who;     /* [capacity_rows] */
  int64_t width;   /* numbers of an answer */
  double *numbers; /* [capacity_rows, width] */
  double read;     /* tokens of all runs */
};

/** Builds a net that asks MODEL, which is borrowed, has a head of the vocabulary and may change its
 * weights. The caller destroys it. */
cz_status cz_questions_create(cz_questions **q, cz_model *model,
                              const cz_questions_options *options) {
  const bool logits = options->logits;
  const int64_t rows = logits || options->rows > ROWS ? options->rows : ROWS;
  const cz_net_options o = {
      .capacity_segments = rows, /* each is asked one question at least */
      .capacity_encoder = 1,
      .capacity_decoder = options->batch_tokens,
      .dropout = 0,
      .n_heads = 1,
      .heads = {
          {.kind = CZ_NET_VOCABULARY, .capacity_rows = rows, .logits = logits, .no_loss = logits}}};
  cz_status st;
  CZ_TRY(cz_alloc(q, 1, sizeof **q));
  (*q)->options = *options;
  (*q)->capacity_rows = rows;
  CZ_GO(st, cz_alloc(&(*q)->who, (size_t)rows, sizeof *(*q)->who), fail);
  (*q)->width = logits ? model->config.vocab_size : 1;
  CZ_GO(st, cz_alloc(&(*q)->numbers, (size_t)(rows * (*q)->width), sizeof *(*q)->numbers), fail);
  CZ_GO(st, cz_net_create(&(*q)->net, model, &o), fail);
  return CZ_OK;
fail:
  cz_questions_destroy(q);
  return st;
}

/** How many questions a run has room for. */
int64_t cz_questions_rows(const cz_questions *q) { return q->capacity_rows; }

/** Appends TEXT, which is copied, as a segment of which ROWS questions, one at least, are going to
 * be asked before the next segment; *FIRST is the place of its first token in the run. Answers what
 * was asked before where both have no room together: CZ_ENUMERIC and others as its `answer`,
 * CZ_EINTERRUPT after a signal. */
cz_status cz_questions_segment(cz_questions *q, size_t *first, const cz_asked_text *text,
                               int64_t rows) {
  cz_flat_batch *b = &q->batch;
  const int64_t before = (int64_t)text->cut, behind = (int64_t)(text->n - text->rest);
  CZ_CHECK(text->cut <= text->rest && text->rest <= text->n);
  CZ_CHECK(rows > 0 && rows <= q->capacity_rows);
  if ((int64_t)b->decoder.ids.len + before + behind > q->options.batch_tokens ||
      (int64_t)q->rows.len + rows > q->capacity_rows)
    CZ_TRY(cz_questions_run(q));
  *first = b->decoder.ids.len;
  CZ_TRY(cz_ids_append(&b->decoder.ids, text->ids, before));
  CZ_TRY(cz_ids_append(&b->decoder.ids, text->ids + text->rest, behind));
  CZ_TRY(cz_ids_append(&b->types, text->types, before));
  CZ_TRY(cz_ids_append(&b->types, text->types + text->rest, behind));
  b->segments++;
  return cz_token_lists_close(&b->decoder, *first);
}

/** Has the model read ID at PLACE of the run. */
void cz_questions_fill(cz_questions *q, size_t place, int32_t id) {
  q->batch.decoder.ids.data[place] = id;
}

/** Asks, for WHO, how likely TOKEN is at PLACE of the run: of a causal LM, behind it. */
cz_status cz_questions_ask(cz_questions *q, size_t place, int32_t token, size_t who) {
  CZ_CHECK((int64_t)q->rows.len < q->capacity_rows);
  q->who[q->rows.len] = who;
  CZ_TRY(cz_ids_add(&q->rows, (int32_t)place));
  return cz_ids_add(&q->targets, token);
}

/** Answers what was asked and not answered yet, if anything, and forgets it. Errors as
 * cz_questions_segment. */
cz_status cz_questions_run(cz_questions *q) {
  const cz_graph_run_options run = {0};
  const int64_t n = (int64_t)q->rows.len;
  const cz_net_head *h = &q->net->heads[0];
  const cz_net_head_feed head = {
      .rows = q->rows.data, .n_rows = n, .targets = q->targets.data, .denominator = 1};
  cz_feed feed;
  if (!n) return CZ_OK;
  CZ_TRY(cz_stop_check("scoring"));
  cz_feed_flat_batch(&feed, &q->batch, 1);
  feed.heads = &head;
  CZ_TRY(cz_net_feed(q->net, &feed));
  CZ_TRY(cz_graph_forward(q->net->graph, &run));
  CZ_TRY(cz_graph_read(q->net->graph, q->numbers, q->options.logits ? h->logits : h->nll,
                       n * q->width));
  for (int64_t i = 0; i < n && !q->options.logits; i++) q->numbers[i] = -q->numbers[i];
  CZ_TRY(q->options.answer(q->options.self, q->who, q->numbers, (size_t)n));
  q->read += (double)q->batch.decoder.ids.len;
  cz_questions_clear(q);
  return CZ_OK;
}

/** Forgets what was asked and not answered, as after a failure. */
void cz_questions_clear(cz_questions *q) {
  q->batch.decoder.ids.len = q->batch.decoder.spans.len = q->batch.types.len = 0;
  q->rows.len = q->targets.len = 0;
  q->batch.segments = 0;
}

/** Tokens that were read since it was made. */
double cz_questions_read(const cz_questions *q) { return q->read; }

/** Frees it, not the model; clears the pointer, accepts null. */
void cz_questions_destroy(cz_questions **q) {
  cz_questions *x = *q;
  if (!x) return;
  cz_net_destroy(&x->net);
  cz_flat_batch_free(&x->batch);
  free(x->rows.data);
  free(x->targets.data);
  free(x->who);
  free(x->numbers);
  free(x);
  *q = NULL;
}

/* One batch: its memory, made once at the budgets' size, and laying out the examples of
 * each shard. */
#include "data/window.h"

#include <stdlib.h>
#include <string.h>

static int64_t decoder_budget(const cz_batch_plan *plan) {
  return plan->layout == CZ_LAYOUT_STACK ? plan->input_tokens + plan->target_tokens
                                         : plan->target_tokens;
}

static cz_status create_shard(cz_shard *s, const cz_batch_plan *plan) {
  size_t inputs = (size_t)(plan->input_tokens / plan->shards),
         row = (size_t)(decoder_budget(plan) / plan->shards);
  size_t segments =
      (size_t)(plan->target_tokens / plan->shards); /* each has a target token at least */
  CZ_TRY(cz_alloc(&s->encoder.ids, inputs, sizeof(int32_t)));
  CZ_TRY(cz_alloc(&s->encoder.spans, 2 * segments, sizeof(int32_t)));
  CZ_TRY(cz_alloc(&s->decoder.ids, row, sizeof(int32_t)));
  CZ_TRY(cz_alloc(&s->decoder.spans, 2 * segments, sizeof(int32_t)));
  CZ_TRY(cz_alloc(&s->targets, row, sizeof(int32_t)));
  CZ_TRY(cz_alloc(&s->loss_rows, row, sizeof(int32_t)));
  CZ_TRY(cz_alloc(&s->loss_targets, row, sizeof(int32_t)));
  return cz_alloc(&s->prefix, segments, sizeof(int32_t));
}

/** Allocates a batch at the capacity of PLAN. Free with cz__batch_free, also after a
 * failure. */
cz_status cz__batch_create(cz_batch *b, const cz_batch_plan *plan) {
  *b = (cz_batch){.padded_positions = decoder_budget(plan)};
  CZ_TRY(cz_alloc(&b->shards, (size_t)plan->shards, sizeof *b->shards));
  b->n_shards = plan->shards;
  for (int64_t i = 0; i < b->n_shards; i++) CZ_TRY(create_shard(&b->shards[i], plan));
  return CZ_OK;
}

/** Frees a batch; accepts a zero-initialised one. */
void cz__batch_free(cz_batch *b) {
  for (int64_t i = 0; i < b->n_shards; i++) {
    cz_shard *s = &b->shards[i];
    free(s->encoder.ids);
    free(s->encoder.spans);
    free(s->decoder.ids);
    free(s->decoder.spans);
    free(s->targets);
    free(s->loss_rows);
    free(s->loss_targets);
    free(s->prefix);
  }
  free(b->shards);
  *b = (cz_batch){0};
}

/* Ends a segment of N tokens that were just written. */
static void add_span(cz_stack_tokens *side, int64_t segment, int64_t n) {
  side->spans[2 * segment] = (int32_t)side->tokens;
  side->tokens += n;
  side->spans[2 * segment + 1] = (int32_t)side->tokens;
}

static void add_targets(cz_shard *s, int64_t at, const cz_ids *y, bool count) {
  for (size_t i = 0; i < y->len; i++) {
    s->targets[at + (int64_t)i] = count ? y->data[i] : CZ_NOT_COUNTED;
    if (!count) continue;
    s->loss_rows[s->n_loss_rows] = (int32_t)(at + (int64_t)i);
    s->loss_targets[s->n_loss_rows++] = y->data[i];
  }
}

/* Appends one decoder segment whose targets are READ, then TARGETS: position i reads
 * target i - 1, the first one the start id. */
static void add_row(cz_shard *s, const cz_ids *read, const cz_ids *targets, bool count_read,
                    int32_t start) {
  cz_stack_tokens *d = &s->decoder;
  int32_t *ids = d->ids + d->tokens;
  ids[0] = start;
  if (read->len) memcpy(ids + 1, read->data, read->len * sizeof *ids);
  memcpy(ids + 1 + read->len, targets->data, (targets->len - 1) * sizeof *ids);
  add_targets(s, d->tokens, read, count_read);
  add_targets(s, d->tokens + (int64_t)read->len, targets, true);
  add_span(d, s->segments, (int64_t)(read->len + targets->len));
}

/* The row of a single stack is inputs, then targets (docs/t5.md 2). A prefix LM sees
 * the inputs from all of their positions and from the next one, which reads the inputs'
 * last token and predicts the first target: inputs + 1 positions, the first of which
 * reads the start id. */
static void add_example(cz_shard *s, const cz_example *e, const cz_batch_plan *plan) {
  bool stack = plan->layout == CZ_LAYOUT_STACK;
  const cz_ids none = {0}, *encoded = stack ? &none : &e->inputs,
               *read = stack ? &e->inputs : &none;
  if (encoded->len)
    memcpy(s->encoder.ids + s->encoder.tokens, encoded->data, encoded->len * sizeof(int32_t));
  add_span(&s->encoder, s->segments, (int64_t)encoded->len);
  add_row(s, read, &e->targets, plan->loss_on_inputs, plan->start);
  s->prefix[s->segments] = read->len ? (int32_t)read->len + 1 : 0;
  s->segments++;
}

static void count_example(cz_batch *b, const cz_example *e) {
  b->text_tokens += e->text;
  b->input_sum += (int64_t)e->inputs.len;
  b->target_sum += (int64_t)e->targets.len;
}

/** Lays out batch BATCH of the window. `after` is left to the caller. */
void cz__batch_fill(cz_batch *b, const cz__window *w, const cz_batch_plan *plan, int64_t batch) {
  b->segments = b->encoder_tokens = b->decoder_tokens = b->n_loss_rows = 0;
  b->text_tokens = b->input_sum = b->target_sum = 0;
  for (int64_t i = 0; i < b->n_shards; i++)
    b->shards[i].segments = b->shards[i].n_loss_rows = b->shards[i].encoder.tokens =
        b->shards[i].decoder.tokens = 0;
  for (size_t i = 0; i < w->count; i++) {
    if (w->bin[i] / plan->shards != batch) continue;
    add_example(&b->shards[w->bin[i] % plan->shards], &w->examples[i], plan);
    count_example(b, &w->examples[i]);
  }
  for (int64_t i = 0; i < b->n_shards; i++) {
    const cz_shard *s = &b->shards[i];
    b->segments += s->segments;
    b->encoder_tokens += s->encoder.tokens;
    b->decoder_tokens += s->decoder.tokens;
    b->n_loss_rows += s->n_loss_rows;
  }
  b->cut = w->cut[batch];
}

/* One batch: its memory, made once at the budgets' size, and laying out the examples of
 * each shard. */
#include "data/window.h"

#include <stdlib.h>
#include <string.h>

static int64_t decoder_budget(const cz_batch_plan *plan) {
  switch (plan->layout) {
  case CZ_LAYOUT_ENCDEC: return plan->target_tokens;
  case CZ_LAYOUT_STACK: return plan->input_tokens + plan->target_tokens;
  case CZ_LAYOUT_TOKENS: return plan->input_tokens;
  }
  return 0;
}

/** Texts of an example, whose rows make one answer. */
int64_t cz__batch_texts(const cz_batch_plan *plan) { return plan->texts ? plan->texts : 1; }

/** What a shard of PLAN, whose budgets are set, holds at most. A segment has a target token at
 * least, or with TOKENS a token. */
cz_shard_room cz_batch_room(const cz_batch_plan *plan) {
  const bool tokens = plan->layout == CZ_LAYOUT_TOKENS;
  const int64_t inputs = plan->input_tokens / plan->shards,
                targets = plan->target_tokens / plan->shards;
  return (cz_shard_room){.segments = plan->examples
                                         ? plan->examples / plan->shards * cz__batch_texts(plan)
                                     : tokens ? inputs
                                              : targets,
                         .encoder_tokens = tokens ? 0 : inputs,
                         .decoder_tokens = decoder_budget(plan) / plan->shards};
}

/* What only TOKENS has: at most a row of classes for each token. */
static cz_status create_aligned(cz_shard *s, const cz_batch_plan *plan, size_t tokens) {
  if (plan->layout != CZ_LAYOUT_TOKENS) return CZ_OK;
  CZ_TRY(cz_alloc(&s->types, tokens, sizeof(int32_t)));
  CZ_TRY(cz_alloc(&s->class_rows, tokens, sizeof(int32_t)));
  CZ_TRY(cz_alloc(&s->classes, tokens, sizeof(int32_t)));
  if (!plan->soft_classes) return CZ_OK;
  return cz_alloc(&s->soft, tokens * (size_t)plan->soft_classes, sizeof *s->soft);
}

static cz_status create_shard(cz_shard *s, const cz_batch_plan *plan) {
  const cz_shard_room room = cz_batch_room(plan);
  const size_t inputs = (size_t)room.encoder_tokens, row = (size_t)room.decoder_tokens,
               segments = (size_t)room.segments;
  CZ_TRY(cz_alloc(&s->encoder.ids, inputs, sizeof(int32_t)));
  CZ_TRY(cz_alloc(&s->encoder.spans, 2 * segments, sizeof(int32_t)));
  CZ_TRY(cz_alloc(&s->decoder.ids, row, sizeof(int32_t)));
  CZ_TRY(cz_alloc(&s->decoder.spans, 2 * segments, sizeof(int32_t)));
  CZ_TRY(cz_alloc(&s->targets, row, sizeof(int32_t)));
  CZ_TRY(cz_alloc(&s->loss_rows, row, sizeof(int32_t)));
  CZ_TRY(cz_alloc(&s->loss_targets, row, sizeof(int32_t)));
  CZ_TRY(cz_alloc(&s->prefix, segments, sizeof(int32_t)));
  CZ_TRY(cz_alloc(&s->numbers, segments, sizeof *s->numbers));
  return create_aligned(s, plan, row);
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
    free(s->numbers);
    free(s->types);
    free(s->class_rows);
    free(s->classes);
    free(s->soft);
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
static void add_text_to_text(cz_shard *s, const cz_example *e, const cz_batch_plan *plan) {
  bool stack = plan->layout == CZ_LAYOUT_STACK;
  const cz_ids none = {0}, *encoded = stack ? &none : &e->inputs,
               *read = stack ? &e->inputs : &none;
  if (encoded->len)
    memcpy(s->encoder.ids + s->encoder.tokens, encoded->data, encoded->len * sizeof(int32_t));
  add_span(&s->encoder, s->segments, (int64_t)encoded->len);
  add_row(s, read, &e->targets, plan->loss_on_inputs, plan->start);
  s->prefix[s->segments] = read->len ? (int32_t)read->len + 1 : 0;
  s->numbers[s->segments++] = e->number;
}

static void add_labels(cz_shard *s, const cz_ids *labels, int64_t at, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    const int32_t label = labels->len ? labels->data[i] : CZ_NOT_COUNTED;
    s->targets[at + i] = label;
    if (label == CZ_NOT_COUNTED) continue;
    s->loss_rows[s->n_loss_rows] = (int32_t)(at + i);
    s->loss_targets[s->n_loss_rows++] = label;
  }
}

/* The class of answer A; C: of the plan's distributions, 0 where it has none. */
static void add_class(cz_shard *s, const cz_example *e, int64_t a, int64_t C) {
  const bool soft = e->soft.len > 0;
  s->classes[a] = soft || e->klass < 0 ? CZ_NOT_COUNTED : e->klass;
  if (!C) return;
  double *row = s->soft + a * C;
  memset(row, 0, (size_t)C * sizeof *row);
  if (soft)
    memcpy(row, e->soft.data, (size_t)C * sizeof *row);
  else if (e->klass >= 0)
    row[e->klass] = 1;
}

/* Every answer of an example has its class: each row, or all rows of several texts together. */
static void add_classes(cz_shard *s, const cz_example *e, int64_t at, const cz_batch_plan *plan) {
  const int64_t texts = cz__batch_texts(plan);
  for (size_t i = 0; i < e->rows.len; i++, s->n_class_rows++) {
    const int64_t n = s->n_class_rows;
    s->class_rows[n] = (int32_t)at + e->rows.data[i];
    if (n % texts == 0) add_class(s, e, n / texts, plan->soft_classes);
  }
}

/* Ends a segment of N tokens, of which SEEN are not padding. */
static void add_segment(cz_shard *s, int64_t n, int64_t seen, int64_t number) {
  add_span(&s->decoder, s->segments, n);
  s->prefix[s->segments] = (int32_t)seen;
  s->numbers[s->segments++] = number;
}

static void add_tokens(cz_shard *s, const cz_example *e, const cz_batch_plan *plan) {
  cz_stack_tokens *d = &s->decoder;
  const int64_t at = d->tokens, n = (int64_t)e->inputs.len;
  memcpy(d->ids + at, e->inputs.data, (size_t)n * sizeof *d->ids);
  memset(s->types + at, 0, (size_t)n * sizeof *s->types);
  if (e->types.len) memcpy(s->types + at, e->types.data, (size_t)n * sizeof *s->types);
  add_labels(s, &e->labels, at, n);
  add_classes(s, e, at, plan);
  if (!e->ends.len) add_segment(s, n, n - e->padding, e->number);
  for (size_t i = 0; i < e->ends.len; i++) {
    const int64_t length = e->ends.data[i] - (i ? e->ends.data[i - 1] : 0);
    add_segment(s, length, length, e->number);
  }
}

static void add_example(cz_shard *s, const cz_example *e, const cz_batch_plan *plan) {
  if (plan->layout == CZ_LAYOUT_TOKENS)
    add_tokens(s, e, plan);
  else
    add_text_to_text(s, e, plan);
}

static void count_example(cz_batch *b, cz_shard *s, const cz_example *e, int64_t texts) {
  b->text_tokens += e->text;
  b->input_sum += (int64_t)e->inputs.len;
  b->target_sum += (int64_t)e->targets.len;
  if (!e->soft.len && e->klass < 0) return;
  s->n_classes += (int64_t)e->rows.len / texts;
  s->n_known += e->rows.len > 0;
}

/** Lays out batch BATCH of the window. `after` is left to the caller. */
void cz__batch_fill(cz_batch *b, const cz__window *w, const cz_batch_plan *plan, int64_t batch) {
  b->segments = b->encoder_tokens = b->decoder_tokens = b->n_loss_rows = 0;
  b->text_tokens = b->input_sum = b->target_sum = b->n_class_rows = b->n_classes = b->n_known = 0;
  for (int64_t i = 0; i < b->n_shards; i++)
    b->shards[i].segments = b->shards[i].n_loss_rows = b->shards[i].n_class_rows =
        b->shards[i].n_classes = b->shards[i].n_known = b->shards[i].encoder.tokens =
            b->shards[i].decoder.tokens = 0;
  for (size_t i = 0; i < w->count; i++) {
    if (w->bin[i] / plan->shards != batch) continue;
    cz_shard *s = &b->shards[w->bin[i] % plan->shards];
    add_example(s, &w->examples[i], plan);
    count_example(b, s, &w->examples[i], cz__batch_texts(plan));
  }
  for (int64_t i = 0; i < b->n_shards; i++) {
    const cz_shard *s = &b->shards[i];
    b->segments += s->segments;
    b->encoder_tokens += s->encoder.tokens;
    b->decoder_tokens += s->decoder.tokens;
    b->n_loss_rows += s->n_loss_rows;
    b->n_class_rows += s->n_class_rows;
    b->n_classes += s->n_classes;
    b->n_known += s->n_known;
  }
  b->cut = w->cut[batch];
}

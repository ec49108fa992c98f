#include "training/feed.h"

#include <stdlib.h>

static cz_stack_input tokens_of(const cz_stack_tokens *t) {
  return (cz_stack_input){.ids = t->ids, .spans = t->spans, .tokens = t->tokens};
}

/** Points FEED at SHARD, which must outlive it. With LOSS_ROWS the loss reads only the
 * positions that count, otherwise all, of which some are marked as not counted. The loss
 * is the sum over counted positions divided by DENOMINATOR. */
void cz_feed_shard(cz_feed *feed, const cz_shard *s, bool loss_rows, double denominator) {
  *feed = (cz_feed){.segments = s->segments,
                    .encoder = tokens_of(&s->encoder),
                    .decoder = tokens_of(&s->decoder),
                    .prefix = s->prefix,
                    .loss_rows = loss_rows ? s->loss_rows : NULL,
                    .targets = loss_rows ? s->loss_targets : s->targets,
                    .n_loss_rows = loss_rows ? s->n_loss_rows : s->decoder.tokens,
                    .denominator = denominator};
  feed->decoder.types = s->types;
}

/** Points FEED and its HEADS [options.n_heads] at SHARD, which must outlive them: the head of the
 * vocabulary reads the labels, the others the rows of classes, with soft targets where they have
 * them. Each kind's loss is divided by its denominator, TOKENS or CLASSES; one weighs w with its
 * denominator divided by w. */
void cz_feed_heads(cz_feed *feed, cz_net_head_feed *heads, const cz_net_options *options,
                   const cz_shard *s, double tokens, double classes) {
  cz_feed_shard(feed, s, true, tokens);
  for (int i = 0; i < options->n_heads; i++) {
    const cz_net_head_options *o = &options->heads[i];
    if (o->kind == CZ_NET_VOCABULARY)
      heads[i] = (cz_net_head_feed){.rows = s->loss_rows,
                                    .n_rows = s->n_loss_rows,
                                    .targets = s->loss_targets,
                                    .denominator = tokens};
    else
      heads[i] = (cz_net_head_feed){.rows = s->class_rows,
                                    .n_rows = s->n_class_rows,
                                    .targets = o->soft ? NULL : s->classes,
                                    .soft = o->soft ? s->soft : NULL,
                                    .numbers = s->numbers,
                                    .denominator = classes};
  }
  feed->heads = heads;
}

static cz_stack_input input_of(const cz_token_lists *l) {
  return (cz_stack_input){
      .ids = l->ids.data, .spans = l->spans.data, .tokens = (int64_t)l->ids.len};
}

/** Points FEED at B's lists, which must outlive it; the loss reads every decoder position
 * and is divided by DENOMINATOR. */
void cz_feed_flat_batch(cz_feed *feed, const cz_flat_batch *b, double denominator) {
  *feed = (cz_feed){.segments = b->segments,
                    .encoder = input_of(&b->encoder),
                    .decoder = input_of(&b->decoder),
                    .prefix = b->prefix.data,
                    .targets = b->targets.data,
                    .n_loss_rows = (int64_t)b->decoder.ids.len,
                    .denominator = denominator};
  if (b->types.len) feed->decoder.types = b->types.data;
}

/** Ends a segment whose first token is number BEGIN of the list and whose last one was
 * just added. */
cz_status cz_token_lists_close(cz_token_lists *l, size_t begin) {
  CZ_TRY(cz_ids_add(&l->spans, (int32_t)begin));
  return cz_ids_add(&l->spans, (int32_t)l->ids.len);
}

/** Sets the capacities of OPTIONS to what B takes, leaving the rest. */
void cz_flat_batch_capacities(cz_net_options *options, const cz_flat_batch *b) {
  options->capacity_segments = b->segments;
  options->capacity_encoder = b->encoder.ids.len ? (int64_t)b->encoder.ids.len : 1;
  options->capacity_decoder = (int64_t)b->decoder.ids.len;
}

/** Frees the lists; accepts a zero-initialised batch. */
void cz_flat_batch_free(cz_flat_batch *b) {
  free(b->encoder.ids.data);
  free(b->encoder.spans.data);
  free(b->decoder.ids.data);
  free(b->decoder.spans.data);
  free(b->targets.data);
  free(b->types.data);
  free(b->prefix.data);
}

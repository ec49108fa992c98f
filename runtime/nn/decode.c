#include "nn/decode.h"
#include "graph/ops.h"
#include "nn/layers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Host lists that a step feeds. R is the number of rows of the cache, B of beams. */
typedef struct step_lists {
  int32_t *spans, *k_spans, *cross; /* [B, 2] */
  int32_t *last;                    /* [B] */
  int32_t *rows_at, *positions;     /* [R] */
} step_lists;

/* Host lists of a reordering: rows FROM go to rows TO. */
typedef struct row_moves {
  int32_t *from, *to; /* [R] */
  int32_t *past;      /* [B] tokens in the cache afterwards */
} row_moves;

struct cz_decoder {
  cz_model *model;
  cz_decoder_options options;
  bool pair;
  cz_crossed *made; /* [L] encode graph: cross keys and values [inputs, H*K] */
  cz_crossed *lent; /* [L] step graph: the same memory, borrowed */
  cz_cache *caches; /* [L] step graph: [max_beams * max_length, H*K] */
  cz_graph *encode, *step;
  int64_t enc_segments, enc_inputs; /* extents of `encode` */
  cz_value enc_ids, enc_spans, enc_positions;
  int64_t rows, beams, inputs; /* extents of `step` */
  cz_value ids, spans, positions, rows_at, k_spans, prefix, last, cross_spans, logits;
  int32_t *enc_at; /* [capacity_segments, 2] spans of the present encoder batch */
  int32_t *past;   /* [max_beams] tokens in the cache */
  int32_t *block;  /* all of `lists` and `moves` */
  step_lists lists;
  row_moves moves;
  int32_t *places; /* [capacity_encoder] rows of the position table of an encoder batch */
  int32_t *device_rows;
  void *moved; /* [max_beams * max_length, H*K], for reordering */
  cz_scratch workspace;
  double *wide; /* one row of logits */
};

static int64_t cache_rows(const cz_decoder *d) {
  return d->options.max_beams * d->options.max_length;
}
static int64_t inner(const cz_decoder *d) {
  return d->model->config.n_heads * d->model->config.d_kv;
}
static int64_t step_rows(const cz_decoder *d) {
  return d->pair ? d->options.max_beams : cache_rows(d);
}

static void build_encode(cz_decoder *d) {
  const cz_model *m = d->model;
  cz_graph *g = d->encode;
  d->enc_segments = cz_graph_extent(g, "segments", d->options.capacity_segments);
  d->enc_inputs = cz_graph_extent(g, "inputs", d->options.capacity_encoder);
  const int64_t spans[2] = {d->enc_segments, 2};
  d->enc_ids = cz_graph_input(g, "enc_ids", CZ_I32, 1, &d->enc_inputs);
  d->enc_spans = cz_graph_input(g, "enc_spans", CZ_I32, 2, spans);
  d->enc_positions = CZ_ABSENT;
  if (m->encoder.positions)
    d->enc_positions = cz_graph_input(g, "enc_positions", CZ_I32, 1, &d->enc_inputs);
  cz_builder b = {.g = g, .model = m};
  cz_tokens t = cz_layer_encoder_tokens(d->enc_spans, d->enc_positions);
  const cz_encoded encoded = {.x = cz_layer_encoder(&b, d->enc_ids, &t, false),
                              .spans = d->enc_spans};
  for (int64_t i = 0; i < m->decoder.n; i++) {
    char scope[CZ_SCOPE];
    cz_layer_enter_block(&b, scope, &m->decoder, i);
    d->made[i] = cz_layer_crossed(&b, &m->decoder.blocks[i].cross, &encoded);
    cz_graph_keep(g, d->made[i].k);
    cz_graph_keep(g, d->made[i].v);
  }
}

/* The memory that block I reads besides this step's tokens. */
static void declare_memory(cz_decoder *d, int64_t i) {
  cz_graph *g = d->step;
  const int64_t cache[2] = {cache_rows(d), inner(d)}, cross[2] = {d->inputs, inner(d)};
  char name[64];
  snprintf(name, sizeof name, "cache.%lld.k", (long long)i);
  d->caches[i] =
      (cz_cache){.k = cz_graph_state(g, name, 2, cache), .rows = d->rows_at, .k_spans = d->k_spans};
  snprintf(name, sizeof name, "cache.%lld.v", (long long)i);
  d->caches[i].v = cz_graph_state(g, name, 2, cache);
  if (!d->pair) return;
  snprintf(name, sizeof name, "cross.%lld.k", (long long)i);
  d->lent[i].k = cz_graph_borrow(g, name, 2, cross);
  snprintf(name, sizeof name, "cross.%lld.v", (long long)i);
  d->lent[i].v = cz_graph_borrow(g, name, 2, cross);
  d->lent[i].spans = d->cross_spans;
}

static void declare_step(cz_decoder *d) {
  cz_graph *g = d->step;
  d->rows = cz_graph_extent(g, "tokens", step_rows(d));
  d->beams = cz_graph_extent(g, "beams", d->options.max_beams);
  const int64_t spans[2] = {d->beams, 2};
  d->ids = cz_graph_input(g, "ids", CZ_I32, 1, &d->rows);
  d->rows_at = cz_graph_input(g, "cache_rows", CZ_I32, 1, &d->rows);
  d->spans = cz_graph_input(g, "spans", CZ_I32, 2, spans);
  d->k_spans = cz_graph_input(g, "k_spans", CZ_I32, 2, spans);
  d->last = cz_graph_input(g, "last", CZ_I32, 1, &d->beams);
  d->positions = d->prefix = d->cross_spans = CZ_ABSENT;
  if (d->model->decoder.positions)
    d->positions = cz_graph_input(g, "positions", CZ_I32, 1, &d->rows);
  if (d->model->config.family->architecture == CZ_PREFIX_LM)
    d->prefix = cz_graph_input(g, "prefix", CZ_I32, 1, &d->beams);
  if (d->pair) {
    d->inputs = cz_graph_extent(g, "inputs", d->options.capacity_encoder);
    d->cross_spans = cz_graph_input(g, "cross_spans", CZ_I32, 2, spans);
  }
  for (int64_t i = 0; i < d->model->decoder.n; i++) declare_memory(d, i);
}

static void build_step(cz_decoder *d) {
  const cz_stack *s = &d->model->decoder;
  const cz_stack_reads reads = {.crossed = d->pair ? d->lent : NULL, .caches = d->caches};
  cz_builder b = {.g = d->step, .model = d->model, .scope = s->name};
  cz_tokens t = cz_layer_decoder_tokens(d->model, d->spans, d->positions, d->prefix);
  cz_value x = cz_layer_embed(&b, s, d->ids, &t), out[CZ_OP_OUT];
  x = cz_layer_stack(&b, s, s->n, x, &t, &reads, false);
  cz_value in[] = {x, d->last}; /* [beams, D]: only rows that are read */
  cz_graph_op(d->step, out, CZ_OP_gather, "head.gather", 2, in, NULL);
  x = cz_layer_finish(&b, s, out[0], d->spans);
  b.scope = "head";
  d->logits = cz_layer_logits(&b, x);
  cz_graph_keep(d->step, d->logits);
}

static int32_t *take(int32_t **at, int64_t n) {
  int32_t *list = *at;
  *at += n;
  return list;
}

/* Cuts the host lists from one block. */
static cz_status allocate_lists(cz_decoder *d) {
  const int64_t B = d->options.max_beams, R = cache_rows(d);
  CZ_TRY(cz_alloc(&d->block, (size_t)(8 * B + 4 * R), sizeof *d->block));
  int32_t *at = d->block;
  d->lists.spans = take(&at, 2 * B);
  d->lists.k_spans = take(&at, 2 * B);
  d->lists.cross = take(&at, 2 * B);
  d->lists.last = take(&at, B);
  d->lists.rows_at = take(&at, R);
  d->lists.positions = take(&at, R);
  d->moves.from = take(&at, R);
  d->moves.to = take(&at, R);
  d->moves.past = take(&at, B);
  CZ_CHECK(at == d->block + 8 * B + 4 * R);
  return CZ_OK;
}

static cz_status allocate(cz_decoder *d) {
  cz_device *device = d->model->device;
  const size_t L = (size_t)d->model->decoder.n;
  CZ_TRY(cz_alloc(&d->made, L, sizeof *d->made));
  CZ_TRY(cz_alloc(&d->lent, L, sizeof *d->lent));
  CZ_TRY(cz_alloc(&d->caches, L, sizeof *d->caches));
  CZ_TRY(cz_alloc(&d->places, (size_t)d->options.capacity_encoder, sizeof *d->places));
  CZ_TRY(cz_alloc(&d->enc_at, (size_t)d->options.capacity_segments * 2, sizeof *d->enc_at));
  CZ_TRY(cz_alloc(&d->past, (size_t)d->options.max_beams, sizeof *d->past));
  CZ_TRY(allocate_lists(d));
  CZ_TRY(cz_alloc(&d->wide, (size_t)d->model->config.vocab_size, sizeof *d->wide));
  CZ_TRY(cz_device_alloc(device, &d->device_rows, (size_t)cache_rows(d) * sizeof *d->device_rows));
  return cz_device_alloc(device, &d->moved,
                         (size_t)(cache_rows(d) * inner(d)) *
                             cz_dtype_bytes(d->model->params->compute));
}

/* An encoder has no next token, and learned positions end somewhere. */
static cz_status check_model(const cz_decoder *d) {
  const cz_model *m = d->model;
  if (m->config.family->architecture == CZ_ENCODER)
    return CZ_FAIL(CZ_EINVAL,
                   "decoder: family %s has no next token to generate: each of its "
                   "tokens sees all others",
                   m->config.family->name);
  if (m->decoder.positions && d->options.max_length > cz_model_longest(&m->config))
    return CZ_FAIL(CZ_EINVAL, "decoder: sequences of %lld tokens, the model has %lld positions",
                   (long long)d->options.max_length, (long long)cz_model_longest(&m->config));
  return CZ_OK;
}

/** Builds the two graphs of incremental decoding for MODEL (borrowed, must outlive the
 * decoder). */
cz_status cz_decoder_create(cz_decoder **decoder, cz_model *model,
                            const cz_decoder_options *options) {
  const cz_graph_options score = {0};
  cz_status st;
  CZ_TRY(cz_alloc(decoder, 1, sizeof **decoder));
  cz_decoder *d = *decoder;
  d->model = model;
  d->options = *options;
  d->pair = model->config.family->architecture == CZ_ENCODER_DECODER;
  CZ_GO(st, check_model(d), fail);
  CZ_GO(st, allocate(d), fail);
  if (d->pair) {
    CZ_GO(st, cz_graph_create(&d->encode, model->params), fail);
    build_encode(d);
    CZ_GO(st, cz_graph_finish(d->encode, &score), fail);
  }
  CZ_GO(st, cz_graph_create(&d->step, model->params), fail);
  declare_step(d);
  build_step(d);
  CZ_GO(st, cz_graph_finish(d->step, &score), fail);
  return CZ_OK;
fail:
  cz_decoder_destroy(decoder);
  return st;
}

/** Frees the decoder, not the model; clears the pointer, accepts null. */
void cz_decoder_destroy(cz_decoder **decoder) {
  cz_decoder *d = *decoder;
  if (!d) return;
  cz_device *device = d->model->device;
  cz_graph_destroy(&d->step);
  cz_graph_destroy(&d->encode);
  cz_device_free(device, &d->device_rows, (size_t)cache_rows(d) * sizeof *d->device_rows);
  cz_device_free(device, &d->moved,
                 (size_t)(cache_rows(d) * inner(d)) * cz_dtype_bytes(d->model->params->compute));
  cz_scratch_free(device, &d->workspace);
  free(d->made);
  free(d->lent);
  free(d->caches);
  free(d->places);
  free(d->enc_at);
  free(d->past);
  free(d->block);
  free(d->wide);
  free(d);
  *decoder = NULL;
}

static cz_status feed_encoder_positions(cz_decoder *d, const cz_feed *f) {
  if (d->enc_positions == CZ_ABSENT) return CZ_OK;
  CZ_TRY(cz_net_positions(d->places, &d->model->config, "encoder", &f->encoder, f->segments));
  return cz_graph_feed_int(d->encode, d->enc_positions, d->places, f->encoder.tokens);
}

/** Forgets all sequences and encodes a batch (the encoder fields of FEED; single stacks
 * pass segments only). */
cz_status cz_decoder_start(cz_decoder *d, const cz_feed *f) {
  const cz_graph_run_options run = {0};
  memset(d->past, 0, (size_t)d->options.max_beams * sizeof *d->past);
  if (!d->pair) return CZ_OK;
  if (f->segments > d->options.capacity_segments)
    return CZ_FAIL(CZ_EINVAL, "decoder: %lld segments, room for %lld", (long long)f->segments,
                   (long long)d->options.capacity_segments);
  memcpy(d->enc_at, f->encoder.spans, (size_t)f->segments * 2 * sizeof *d->enc_at);
  CZ_TRY(cz_graph_set_extent(d->encode, d->enc_segments, f->segments));
  CZ_TRY(cz_graph_set_extent(d->encode, d->enc_inputs, f->encoder.tokens));
  CZ_TRY(cz_graph_feed_int(d->encode, d->enc_ids, f->encoder.ids, f->encoder.tokens));
  CZ_TRY(cz_graph_feed_int(d->encode, d->enc_spans, f->encoder.spans, 2 * f->segments));
  CZ_TRY(feed_encoder_positions(d, f));
  CZ_TRY(cz_graph_forward(d->encode, &run));
  CZ_TRY(cz_graph_set_extent(d->step, d->inputs, f->encoder.tokens));
  for (int64_t i = 0; i < d->model->decoder.n; i++) {
    cz_graph_lend(d->step, d->lent[i].k, cz_graph_arg(d->encode, d->made[i].k).data);
    cz_graph_lend(d->step, d->lent[i].v, cz_graph_arg(d->encode, d->made[i].v).data);
  }
  return CZ_OK;
}

static cz_status fill_lists(cz_decoder *d, int64_t *tokens, const int32_t *lengths,
                            const int32_t *segment, int64_t n) {
  const step_lists *l = &d->lists;
  int64_t at = 0;
  int32_t first = (int32_t)d->model->config.family->position_offset;
  for (int64_t b = 0; b < n; b++) {
    if (lengths[b] < 1 || d->past[b] + lengths[b] > d->options.max_length)
      return CZ_FAIL(CZ_EINVAL,
                     "decoder: sequence %lld has %d tokens and gets %d more, room for %lld",
                     (long long)b, d->past[b], lengths[b], (long long)d->options.max_length);
    int64_t base = b * d->options.max_length;
    for (int32_t j = 0; j < lengths[b]; j++) {
      l->rows_at[at + j] = (int32_t)(base + d->past[b] + j);
      l->positions[at + j] = first + d->past[b] + j;
    }
    l->spans[2 * b] = (int32_t)at;
    l->spans[2 * b + 1] = (int32_t)(at += lengths[b]);
    l->k_spans[2 * b] = (int32_t)base;
    l->k_spans[2 * b + 1] = (int32_t)(base + d->past[b] + lengths[b]);
    l->last[b] = (int32_t)at - 1;
    if (d->pair)
      memcpy(l->cross + 2 * b, d->enc_at + (int64_t)2 * segment[b], 2 * sizeof *l->cross);
    d->past[b] += lengths[b];
  }
  *tokens = at;
  return CZ_OK;
}

/* Logits [N, V] as float32, refused when one is not finite: no score and no maximum over
 * them means anything then. */
static cz_status read_logits(cz_decoder *d, float *logits, int64_t n) {
  const int64_t V = d->model->config.vocab_size;
  cz_device *device = d->model->device;
  const cz_arg a = cz_graph_arg(d->step, d->logits);
  if (a.dtype == CZ_F32)
    CZ_TRY(device->read(device, logits, a.data, (size_t)(n * V) * sizeof *logits));
  for (int64_t b = 0; b < n && a.dtype != CZ_F32; b++) {
    CZ_TRY(cz_device_read_as(
        device, d->wide, (char *)a.data + (size_t)(b * V) * cz_dtype_bytes(a.dtype), V, a.dtype));
    for (int64_t v = 0; v < V; v++) logits[b * V + v] = (float)d->wide[v];
  }
  for (int64_t i = 0; i < n * V; i++)
    if (!isfinite(logits[i]))
      return CZ_FAIL(CZ_ENUMERIC,
                     "the logit of token %lld is %g, not finite, behind %d tokens of "
                     "sequence %lld",
                     (long long)(i % V), (double)logits[i], d->past[i / V], (long long)(i / V));
  return CZ_OK;
}

/** Decodes one more piece of N sequences: sequence b gets lengths[b] >= 1 new tokens
 * (ids, one sequence after another), reads encoder segment segment[b] and, in a prefix
 * LM, sees its first prefix[b] tokens from everywhere. logits [N, V] are those of each
 * sequence's newest token. CZ_EINVAL when a sequence would pass max_length, CZ_ENUMERIC
 * when a logit is not finite. */
cz_status cz_decoder_step(cz_decoder *d, float *logits, const int32_t *ids, const int32_t *lengths,
                          const int32_t *segment, const int32_t *prefix, int64_t n) {
  const cz_graph_run_options run = {0};
  int64_t tokens = 0;
  cz_graph *g = d->step;
  const step_lists *l = &d->lists;
  if (n < 1 || n > d->options.max_beams)
    return CZ_FAIL(CZ_EINVAL, "decoder: %lld sequences, room for %lld", (long long)n,
                   (long long)d->options.max_beams);
  CZ_TRY(fill_lists(d, &tokens, lengths, segment, n));
  CZ_TRY(cz_graph_set_extent(g, d->rows, tokens));
  CZ_TRY(cz_graph_set_extent(g, d->beams, n));
  CZ_TRY(cz_graph_feed_int(g, d->ids, ids, tokens));
  CZ_TRY(cz_graph_feed_int(g, d->rows_at, l->rows_at, tokens));
  CZ_TRY(cz_graph_feed_int(g, d->spans, l->spans, 2 * n));
  CZ_TRY(cz_graph_feed_int(g, d->k_spans, l->k_spans, 2 * n));
  CZ_TRY(cz_graph_feed_int(g, d->last, l->last, n));
  if (d->positions != CZ_ABSENT) CZ_TRY(cz_graph_feed_int(g, d->positions, l->positions, tokens));
  if (d->prefix != CZ_ABSENT) CZ_TRY(cz_graph_feed_int(g, d->prefix, prefix, n));
  if (d->pair) CZ_TRY(cz_graph_feed_int(g, d->cross_spans, l->cross, 2 * n));
  CZ_TRY(cz_graph_forward(g, &run));
  return read_logits(d, logits, n);
}

/* dst[at] = src[from] for whole cache rows, through a copy, since rows may change
 * places. */
static cz_status move_rows(cz_decoder *d, cz_value state, const int32_t *from, const int32_t *to,
                           int64_t n) {
  cz_device *device = d->model->device;
  cz_arg cache = cz_graph_arg(d->step, state);
  cz_arg rows = {.data = d->device_rows, .dtype = CZ_I32, .ndim = 1, .dim = {n}};
  cz_arg moved = {
      .data = d->moved, .dtype = d->model->params->compute, .ndim = 2, .dim = {n, inner(d)}};
  CZ_TRY(device->write(device, d->device_rows, from, (size_t)n * sizeof *from));
  cz_call gather = {.in = {cache, rows}, .out = {moved}};
  CZ_TRY(cz_op_run(device, CZ_OP_gather, &gather, &d->workspace));
  CZ_TRY(device->write(device, d->device_rows, to, (size_t)n * sizeof *to));
  cz_call append = {.in = {cache, moved, rows}, .out = {cache}};
  return cz_op_run(device, CZ_OP_cache_append, &append, &d->workspace);
}

/** Makes sequence b continue what sequence parent[b] has read so far, for the first N
 * sequences: the step of a beam search. */
cz_status cz_decoder_reorder(cz_decoder *d, const int32_t *parent, int64_t n) {
  int64_t L = d->options.max_length, moved = 0;
  int32_t *from = d->moves.from, *to = d->moves.to, *past = d->moves.past;
  for (int64_t b = 0; b < n; b++) {
    past[b] = d->past[parent[b]];
    for (int32_t j = 0; parent[b] != b && j < past[b]; j++) {
      from[moved] = (int32_t)(parent[b] * L + j);
      to[moved++] = (int32_t)(b * L + j);
    }
  }
  memcpy(d->past, past, (size_t)n * sizeof *past);
  if (!moved) return CZ_OK;
  for (int64_t i = 0; i < d->model->decoder.n; i++) {
    CZ_TRY(move_rows(d, d->caches[i].k, from, to, moved));
    CZ_TRY(move_rows(d, d->caches[i].v, from, to, moved));
  }
  return CZ_OK;
}

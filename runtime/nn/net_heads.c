/* The heads of a net: what they read of the body's last states, their losses and scores. */
#include "nn/net_heads.h"
#include "graph/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first head of a kind, and further ones. */
static const char *const numbered[][CZ_NET_HEADS] = {
    [CZ_NET_VOCABULARY] = {"vocabulary", "vocabulary.1", "vocabulary.2", "vocabulary.3"},
    [CZ_NET_LABEL_WORDS] = {"label_words", "label_words.1", "label_words.2", "label_words.3"},
    [CZ_NET_CLASSIFIER] = {"classifier", "classifier.1", "classifier.2", "classifier.3"},
    [CZ_NET_NEXT_SENTENCE] = {"next_sentence", "next_sentence.1", "next_sentence.2",
                              "next_sentence.3"},
    [CZ_NET_SENTENCE] = {"sentence", "sentence.1", "sentence.2", "sentence.3"},
    [CZ_NET_CHOICES] = {"choices", "choices.1", "choices.2", "choices.3"}};

static bool is_listed(const cz_net *n) { return n->options.n_heads > 0; }

/* The head that stands for no list: all of its options are the net's. */
static cz_net_head_options plain_head(const cz_net_options *o) {
  return (cz_net_head_options){
      .kind = CZ_NET_VOCABULARY, .capacity_rows = o->capacity_decoder, .logits = o->logits};
}

/* What KIND needs of the model: bits of cz_head, one of which must be there. */
static unsigned needs(const cz_model *m, cz_net_head_kind kind) {
  switch (kind) {
  case CZ_NET_VOCABULARY:
  case CZ_NET_LABEL_WORDS:
  case CZ_NET_CHOICES:
    return m->config.family->architecture == CZ_ENCODER ? CZ_HEAD_BIT(CZ_HEAD_MASKED_LM) : 0;
  case CZ_NET_CLASSIFIER: return CZ_HEAD_BIT(CZ_HEAD_CLASSIFICATION);
  case CZ_NET_NEXT_SENTENCE: return CZ_HEAD_BIT(CZ_HEAD_NEXT_SENTENCE);
  case CZ_NET_SENTENCE: break;
  }
  return 0;
}

static cz_status check_head(const cz_net *n, const cz_net_head_options *o) {
  const cz_model *m = n->model;
  const unsigned wanted = needs(m, o->kind);
  if (wanted && !(wanted & m->config.heads))
    return CZ_FAIL(CZ_EINVAL, "head %s: this model of family %s was made without it",
                   numbered[o->kind][0], m->config.family->name);
  if (o->kind == CZ_NET_CLASSIFIER && !o->choice && m->config.problem != CZ_PROBLEM_SINGLE_LABEL)
    return CZ_FAIL(CZ_EINVAL, "head %s: its problem_type is %s, and only %s is computed here",
                   numbered[o->kind][0], cz_problem_names[m->config.problem],
                   cz_problem_names[CZ_PROBLEM_SINGLE_LABEL]);
  const bool listed = o->kind == CZ_NET_LABEL_WORDS || o->kind == CZ_NET_CHOICES;
  if (listed && (o->classes < 1 || o->words < 1))
    return CZ_FAIL(CZ_EINVAL, "head %s: %lld classes of %lld %s", numbered[o->kind][0],
                   (long long)o->classes, (long long)o->words,
                   o->kind == CZ_NET_CHOICES ? "tokens" : "words");
  if (o->kind == CZ_NET_CHOICES && o->soft)
    return CZ_FAIL(CZ_EINVAL, "head %s: its targets are answers, and cannot be soft",
                   numbered[o->kind][0]);
  if (o->kind == CZ_NET_LABEL_WORDS && m->config.scaled)
    return CZ_FAIL(CZ_EINVAL, "head %s: the logits of family %s are scaled, which it does not do",
                   numbered[o->kind][0], m->config.family->name);
  return cz__net_check_together(n, o);
}

/** CZ_EINVAL for heads that the model lacks or that are made wrongly. */
cz_status cz__net_check_heads(const cz_net *n) {
  const cz_net_head_options plain = plain_head(&n->options);
  CZ_CHECK(n->options.n_heads <= CZ_NET_HEADS);
  if (!is_listed(n)) return check_head(n, &plain);
  for (int i = 0; i < n->options.n_heads; i++) CZ_TRY(check_head(n, &n->options.heads[i]));
  return CZ_OK;
}

static bool reads_rows(const cz_net_head_options *o) {
  return o->kind != CZ_NET_SENTENCE &&
         o->kind != CZ_NET_CHOICES; /* which repeats rows by answers */
}

/** Whether this net's last block is computed of the rows that its heads read alone
 * (cz_model_reads_rows). Not by cuDNN, which takes no segment without queries. */
bool cz__net_heads_read_rows(const cz_net *n) {
  bool all = is_listed(n) || n->options.loss_rows;
  for (int i = 0; i < n->options.n_heads; i++) all &= reads_rows(&n->options.heads[i]);
  return all && cz_model_reads_rows(&n->model->config) && !n->options.cudnn;
}

static int64_t classes_of(const cz_net *n, const cz_net_head_options *o) {
  switch (o->kind) {
  case CZ_NET_VOCABULARY: return n->model->config.vocab_size;
  case CZ_NET_LABEL_WORDS:
  case CZ_NET_CHOICES: return o->classes;
  case CZ_NET_CLASSIFIER: return o->choice ? o->together : n->model->config.n_labels;
  case CZ_NET_NEXT_SENTENCE: return 2;
  case CZ_NET_SENTENCE: break;
  }
  return 0;
}

/** "head.rows": an input of head H, in the plain net under the name alone. */
cz_value cz__net_head_input(cz_net *n, const cz_net_head *h, const char *what, cz_dtype dtype,
                            int ndim, const int64_t *dim) {
  char name[96];
  snprintf(name, sizeof name, "%s.%s", h->name, what);
  return cz_graph_input(n->graph, is_listed(n) ? name : what, dtype, ndim, dim);
}

static void declare_targets(cz_net *n, cz_net_head *h) {
  const cz_dtype real = n->model->device->real;
  const int64_t one = 1, soft[2] = {h->n_answers, h->classes};
  if (h->options.no_loss) return;
  if (h->options.soft && h->options.kind != CZ_NET_VOCABULARY)
    h->soft = cz__net_head_input(n, h, "soft", real, 2, soft);
  else
    h->targets = cz__net_head_input(n, h, "targets", CZ_I32, 1, &h->n_answers);
  h->denominator = cz__net_head_input(n, h, "denominator", real, 1, &one);
}

static void declare_rows(cz_net *n, cz_net_head *h) {
  char name[96];
  snprintf(name, sizeof name, "%s.rows", h->name);
  if (is_listed(n)) {
    h->n_rows = cz_graph_extent(n->graph, name, h->options.capacity_rows);
    h->rows = cz_graph_input(n->graph, name, CZ_I32, 1, &h->n_rows);
  } else if (n->options.loss_rows) {
    h->n_rows = cz_graph_extent(n->graph, "loss_rows", h->options.capacity_rows);
    h->rows = cz_graph_input(n->graph, "loss_rows", CZ_I32, 1, &h->n_rows);
  } else {
    h->n_rows = n->decoder_tokens;
  }
  h->n_answers = h->n_rows;
  if (cz__net_together(&h->options) > 1) cz__net_declare_together(n, h);
}

static void declare_row_spans(cz_net *n, cz_net_head *h) {
  const int64_t spans[2] = {n->segments, 2};
  h->spans = cz__net_head_input(n, h, "spans", CZ_I32, 2, spans);
}

static void declare(cz_net *n, cz_net_head *h) {
  const cz_net_head none = {.options = h->options,
                            .name = h->name,
                            .classes = classes_of(n, &h->options),
                            .rows = CZ_ABSENT,
                            .spans = CZ_ABSENT,
                            .places = CZ_ABSENT,
                            .targets = CZ_ABSENT,
                            .soft = CZ_ABSENT,
                            .denominator = CZ_ABSENT,
                            .words = CZ_ABSENT,
                            .loss = CZ_ABSENT,
                            .nll = CZ_ABSENT,
                            .logits = CZ_ABSENT,
                            .scores = CZ_ABSENT,
                            .sentences = CZ_ABSENT,
                            .choices = h->choices};
  *h = none;
  if (h->options.kind == CZ_NET_SENTENCE) return;
  declare_rows(n, h);
  if (h->options.kind == CZ_NET_CHOICES) {
    cz__net_declare_choices(n, h);
    return;
  }
  declare_targets(n, h);
  if (h->options.kind == CZ_NET_VOCABULARY) return;
  const int64_t words[2] = {h->classes,
                            h->options.kind == CZ_NET_LABEL_WORDS ? h->options.words : 1};
  h->places = cz__net_head_input(n, h, "places", CZ_I32, 1, &h->n_answers);
  h->words = cz__net_head_input(n, h, "words", CZ_I32, 2, words);
}

/** P as a value of the graph; absent where there is none. */
cz_value cz__net_param(cz_builder *b, cz_param *p) {
  return p ? cz_graph_param(b->g, p) : CZ_ABSENT;
}

/* Loss and logits over the vocabulary; x [rows, E]. */
static void build_vocabulary(cz_net *n, cz_net_head *h, cz_builder *b, cz_value x) {
  cz_value out[CZ_OP_OUT];
  char name[96];
  if (h->options.logits) {
    h->logits = cz_layer_logits(b, x); /* [rows, V] */
    cz_graph_keep(b->g, h->logits);
  }
  if (h->options.no_loss) return;
  cz_cross_entropy_attr attr = {.z_loss = n->options.z_loss,
                                .label_smoothing = n->options.label_smoothing,
                                .logit_scale = cz_layer_logit_scale(n->model)};
  cz_value in[] = {x, cz_graph_param(b->g, n->model->head), h->targets, h->denominator,
                   cz__net_param(b, n->model->heads.lm_bias)};
  snprintf(name, sizeof name, "%s.loss", b->scope);
  cz_graph_op(b->g, out, CZ_OP_cross_entropy, name, 5, in, &attr);
  h->loss = out[CZ_CROSS_ENTROPY_LOSS];
  h->nll = out[CZ_CROSS_ENTROPY_NLL];
  cz_graph_loss(b->g, h->loss);
  cz_graph_keep(b->g, h->nll);
}

/* Scores of classes, rows of TABLE, and their loss; x [answers, width of TABLE]. */
static void build_scores(cz_net_head *h, cz_builder *b, cz_value x, cz_value table, cz_value bias) {
  const double t = h->options.temperature;
  const cz_label_words_attr attr = {.temperature = t ? t : 1};
  cz_value in[CZ_OP_IN], out[CZ_OP_OUT];
  char name[96];
  in[CZ_LABEL_WORDS_X] = x;
  in[CZ_LABEL_WORDS_ROWS] = h->places;
  in[CZ_LABEL_WORDS_TABLE] = table;
  in[CZ_LABEL_WORDS_BIAS] = bias;
  in[CZ_LABEL_WORDS_WORDS] = h->words;
  in[CZ_LABEL_WORDS_HARD] = h->targets;
  in[CZ_LABEL_WORDS_SOFT] = h->soft;
  in[CZ_LABEL_WORDS_DENOMINATOR] = h->denominator;
  snprintf(name, sizeof name, "%s.scores", b->scope);
  cz_graph_op(b->g, out, CZ_OP_label_words, name, 8, in, &attr);
  h->scores = out[CZ_LABEL_WORDS_SCORES];
  cz_graph_keep(b->g, h->scores);
  if (h->options.no_loss) return;
  h->loss = out[CZ_LABEL_WORDS_LOSS];
  cz_graph_loss(b->g, h->loss);
}

static void build_classes(cz_net_head *h, cz_builder *b, cz_value x, cz_linear_weights w) {
  build_scores(h, b, x, cz_graph_param(b->g, w.weight), cz__net_param(b, w.bias));
}

/* What a classifier reads of pooled rows x [rows, D], and its weights. Of several rows what goes
 * into the classifier has dropout, the sum, or each that is chosen among. */
static void build_pooled(cz_net *n, cz_net_head *h, cz_builder *b, cz_value x) {
  const cz_head_weights *w = &n->model->heads;
  const bool pair = h->options.kind == CZ_NET_NEXT_SENTENCE;
  const bool several = cz__net_together(&h->options) > 1;
  x = cz_layer_pool(b, x);
  if (several && !h->options.choice) x = cz__net_add_up(h, b, x);
  if (!pair || n->model->config.family->next_sentence_dropout)
    x = cz_layer_dropout(b, "dropout", x, CZ_ABSENT, CZ_FACT_CLASSIFIER_DROPOUT);
  if (h->options.choice)
    build_scores(h, b, cz__net_line_up(h, b, x, w->classifier), h->together.unit, CZ_ABSENT);
  else
    build_classes(h, b, x, pair ? w->next_sentence : w->classifier);
}

/* The mean of each segment's rows of x [T, D]. */
static void build_sentences(cz_net *n, cz_net_head *h, cz_builder *b, cz_value x) {
  cz_value in[2], out[CZ_OP_OUT];
  char name[96];
  in[CZ_POOL_X] = x, in[CZ_POOL_SPANS] = n->decoder.spans;
  snprintf(name, sizeof name, "%s.pool", h->name);
  cz_graph_op(b->g, out, CZ_OP_pool, name, 2, in, NULL);
  h->sentences = out[0];
  cz_graph_keep(b->g, h->sentences);
}

/* The rows of H of the body's last states: gathered before anything else, so that nothing of the
 * size of all tokens is made. With KEYS x is what goes into the last block. */
static cz_value gather_rows(cz_net *n, cz_net_head *h, cz_builder *b, cz_value x,
                            const cz_tokens *t, const cz_crossed *keys) {
  const cz_stack *s = &n->model->decoder;
  cz_value in[] = {x, h->rows}, out[CZ_OP_OUT];
  cz_tokens rows = *t;
  char name[96];
  if (h->rows == CZ_ABSENT) return x;
  snprintf(name, sizeof name, "%s.gather", h->name);
  cz_graph_op(b->g, out, CZ_OP_gather, name, 2, in, NULL);
  if (!keys) return out[0];
  rows.spans = h->spans;
  x = cz_layer_last_block(b, s, h->name, out[0], &rows, keys);
  return cz_layer_finish(b, s, x, h->spans);
}

static void build_head(cz_net *n, cz_net_head *h, cz_builder b, cz_value x, const cz_tokens *t,
                       const cz_crossed *keys) {
  cz_graph_block(b.g, h->name, false);
  b.scope = h->name;
  x = gather_rows(n, h, &b, x, t, keys);
  b.share_dropout = false; /* a row is a place of its own, of no segment's mask */
  const cz_linear_weights output = {n->model->head, n->model->heads.lm_bias};
  switch (h->options.kind) {
  case CZ_NET_VOCABULARY: build_vocabulary(n, h, &b, cz_layer_transform(&b, x)); break;
  case CZ_NET_LABEL_WORDS: build_classes(h, &b, cz_layer_transform(&b, x), output); break;
  case CZ_NET_CLASSIFIER:
  case CZ_NET_NEXT_SENTENCE: build_pooled(n, h, &b, x); break;
  case CZ_NET_SENTENCE: build_sentences(n, h, &b, x); break;
  case CZ_NET_CHOICES: cz__net_build_choices(n, h, &b, cz_layer_transform(&b, x)); break;
  }
}

/* "label_words", and of further heads of that kind "label_words.1". */
static const char *name_of(cz_net *n, int i) {
  int before = 0;
  if (!is_listed(n)) return "head";
  for (int k = 0; k < i; k++) before += n->options.heads[k].kind == n->options.heads[i].kind;
  return numbered[n->options.heads[i].kind][before];
}

/** Adds the end of the body and the heads to the graph, on x [T, D], what all of its blocks yield
 * for the tokens T, or by cz__net_heads_read_rows all but the last. */
void cz__net_build_heads(cz_net *n, cz_builder *b, cz_value x, const cz_tokens *t) {
  const bool rows = cz__net_heads_read_rows(n);
  const cz_stack *s = &n->model->decoder;
  cz_crossed keys = {0};
  if (rows)
    keys = cz_layer_last_keys(b, s, x, t);
  else
    x = cz_layer_finish(b, s, x, t->spans);
  n->n_heads = is_listed(n) ? n->options.n_heads : 1;
  for (int i = 0; i < n->n_heads; i++) {
    cz_net_head *h = &n->heads[i];
    h->options = is_listed(n) ? n->options.heads[i] : plain_head(&n->options);
    h->name = name_of(n, i);
    declare(n, h);
    if (rows) declare_row_spans(n, h);
    build_head(n, h, *b, x, t, rows ? &keys : NULL);
  }
  n->loss = n->heads[0].loss, n->nll = n->heads[0].nll, n->logits = n->heads[0].logits;
}

/** The words of each class of a LABEL_WORDS head, [C, W], fed once before the first batch; -1 fills
 * up a class of fewer. CZ_EINVAL for an id outside the vocabulary and a class without a word. */
cz_status cz_net_set_words(cz_net *n, int head, const int32_t *words) {
  cz_net_head *h = &n->heads[head];
  const int64_t W = h->options.words, V = n->model->config.vocab_size;
  CZ_CHECK(head < n->n_heads && h->options.kind == CZ_NET_LABEL_WORDS);
  for (int64_t c = 0; c < h->classes; c++) {
    int64_t there = 0;
    for (int64_t w = 0; w < W; w++) {
      const int32_t id = words[c * W + w];
      if (id < -1 || id >= V)
        return CZ_FAIL(CZ_EINVAL, "%s: word %d of class %lld is outside the vocabulary of %lld",
                       h->name, id, (long long)c, (long long)V);
      there += id >= 0;
    }
    if (!there) return CZ_FAIL(CZ_EINVAL, "%s: class %lld has no word", h->name, (long long)c);
  }
  h->has_words = true;
  return cz_graph_feed_int(n->graph, h->words, words, h->classes * W);
}

/** The row of each segment that a classifier of CONFIG's family reads: its first token or its last;
 * ROWS [segments]. Segments are not empty. */
void cz_net_pooled_rows(int32_t *rows, const cz_model_config *c, const int32_t *spans,
                        int64_t segments) {
  for (int64_t b = 0; b < segments; b++)
    rows[b] = c->family->pooled_last ? spans[2 * b + 1] - 1 : spans[2 * b];
}

/* Classes are the rows of a classifier, one word each. */
static cz_status feed_own_words(cz_net *n, cz_net_head *h) {
  int32_t *own;
  if (h->words == CZ_ABSENT || h->has_words) return CZ_OK;
  if (h->options.kind == CZ_NET_LABEL_WORDS)
    return CZ_FAIL(CZ_EINVAL, "%s: its words were not set", h->name);
  CZ_TRY(cz_alloc(&own, (size_t)h->classes, sizeof *own));
  for (int64_t c = 0; c < h->classes; c++) own[c] = (int32_t)c;
  cz_status st = cz_graph_feed_int(n->graph, h->words, own, h->classes);
  h->has_words = st == CZ_OK;
  free(own);
  return st;
}

/** CZ_EINVAL for a loss that would be divided by nothing. */
cz_status cz__net_check_denominator(const cz_net_head *h, const cz_net_head_feed *f) {
  if (h->denominator != CZ_ABSENT && !(f->denominator > 0))
    return CZ_FAIL(CZ_EINVAL, "loss denominator %g is not positive", f->denominator);
  return CZ_OK;
}

static cz_status check_targets(const cz_net_head *h, const cz_net_head_feed *f, int64_t answers) {
  const bool words = h->options.kind == CZ_NET_VOCABULARY;
  for (int64_t i = 0; h->targets != CZ_ABSENT && i < answers; i++)
    if (f->targets[i] >= h->classes)
      return CZ_FAIL(CZ_EINVAL, "target %d at row %lld is outside the %s of %lld", f->targets[i],
                     (long long)i, words ? "vocabulary" : "classes", (long long)h->classes);
  for (int64_t i = 0; h->soft != CZ_ABSENT && i < answers * h->classes; i++)
    if (!(f->soft[i] >= 0 && isfinite(f->soft[i])))
      return CZ_FAIL(CZ_EINVAL, "%s: weight %g of class %lld at row %lld", h->name, f->soft[i],
                     (long long)(i % h->classes), (long long)(i / h->classes));
  return cz__net_check_denominator(h, f);
}

/* Which of the rows of F are of each segment of FEED: rows of one follow one another, and segments
 * are in order. */
static cz_status feed_row_spans(cz_net *n, cz_net_head *h, const cz_net_head_feed *f,
                                const cz_feed *feed) {
  int64_t i = 0;
  if (h->spans == CZ_ABSENT) return CZ_OK;
  for (int64_t b = 0; b < feed->segments; b++) {
    n->numbers[2 * b] = (int32_t)i;
    while (i < f->n_rows && f->rows[i] >= feed->decoder.spans[2 * b] &&
           f->rows[i] < feed->decoder.spans[2 * b + 1])
      i++;
    n->numbers[2 * b + 1] = (int32_t)i;
  }
  if (i < f->n_rows)
    return CZ_FAIL(CZ_EINVAL,
                   "%s: row %d, number %lld, is of a segment before that of the one "
                   "before it; segments must be in order",
                   h->name, f->rows[i], (long long)i);
  return cz_graph_feed_int(n->graph, h->spans, n->numbers, 2 * feed->segments);
}

static cz_status feed_head(cz_net *n, cz_net_head *h, const cz_net_head_feed *f,
                           const cz_feed *feed) {
  cz_graph *g = n->graph;
  const int64_t tokens = feed->decoder.tokens;
  if (h->options.kind == CZ_NET_SENTENCE) return CZ_OK;
  if (h->options.kind == CZ_NET_CHOICES) return cz__net_feed_choices(n, h, f, feed);
  const int64_t together = cz__net_together(&h->options), answers = f->n_rows / together;
  if (f->n_rows % together)
    return CZ_FAIL(CZ_EINVAL, "%s: %lld rows, and %lld of them make one answer", h->name,
                   (long long)f->n_rows, (long long)together);
  CZ_TRY(check_targets(h, f, answers));
  CZ_TRY(feed_own_words(n, h));
  if (h->rows != CZ_ABSENT) {
    CZ_TRY(cz_graph_set_extent(g, h->n_rows, f->n_rows));
    CZ_TRY(cz__net_check_ids(is_listed(n) ? h->name : "loss rows", f->rows, f->n_rows, tokens));
    CZ_TRY(cz_graph_feed_int(g, h->rows, f->rows, f->n_rows));
    CZ_TRY(feed_row_spans(n, h, f, feed));
  }
  if (together > 1) CZ_TRY(cz__net_feed_together(n, h, f->n_rows));
  if (h->places != CZ_ABSENT) {
    for (int64_t i = 0; i < answers; i++) n->places[i] = (int32_t)i;
    CZ_TRY(cz_graph_feed_int(g, h->places, n->places, answers));
  }
  if (h->targets != CZ_ABSENT) CZ_TRY(cz_graph_feed_int(g, h->targets, f->targets, answers));
  if (h->soft != CZ_ABSENT) CZ_TRY(cz_graph_feed_real(g, h->soft, f->soft, answers * h->classes));
  return h->denominator == CZ_ABSENT ? CZ_OK
                                     : cz_graph_feed_real(g, h->denominator, &f->denominator, 1);
}

/** Checks and feeds what the heads read of FEED. Errors as cz_net_feed. */
cz_status cz__net_feed_heads(cz_net *n, const cz_feed *f) {
  const cz_net_head_feed plain = {.rows = f->loss_rows,
                                  .n_rows =
                                      n->options.loss_rows ? f->n_loss_rows : f->decoder.tokens,
                                  .targets = f->targets,
                                  .denominator = f->denominator};
  for (int i = 0; i < n->n_heads; i++)
    CZ_TRY(feed_head(n, &n->heads[i], is_listed(n) ? &f->heads[i] : &plain, f));
  return CZ_OK;
}

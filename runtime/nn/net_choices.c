/* The head CHOICES: which of several answers of several tokens is right (docs/pet.md 1.1). A text
 * has as many masks as its longest answer has tokens, and token t of each answer is asked for at
 * mask t, all in one pass. So a mask's row is gathered once for each answer that has a token there,
 * cross_entropy makes its log-probability over all words, and choices the hinge over the answers.
 */
#include "graph/ops.h"
#include "nn/net_heads.h"

#include <stdio.h>
#include <stdlib.h>

struct cz_net_choices {
  int64_t candidates, questions;      /* extents */
  cz_value spans, groups, right, one; /* inputs; one: what nobody reads is divided by */
  const int32_t *answers;             /* [sets, C, M], borrowed; null: not set */
  int64_t sets;
  /* the batch under way, and how much of it there is */
  int32_t *rows, *tokens;     /* [B C M] */
  int32_t (*answer_spans)[2]; /* [B C] rows of each answer */
  int32_t (*group_spans)[2];  /* [B] answers of each question */
  int32_t *right_answers;     /* [B] */
  int64_t n_rows, n_candidates, n_questions;
};

static void destroy(cz_net_choices **c) {
  if (!*c) return;
  free((*c)->rows);
  free((*c)->tokens);
  free((*c)->answer_spans);
  free((*c)->group_spans);
  free((*c)->right_answers);
  free(*c);
  *c = NULL;
}

static cz_status create(cz_net_choices **c, int64_t segments, const cz_net_head_options *o) {
  const size_t B = (size_t)segments, C = (size_t)o->classes, M = (size_t)o->words;
  CZ_TRY(cz_alloc(c, 1, sizeof **c));
  CZ_TRY(cz_alloc(&(*c)->rows, B * C * M, sizeof *(*c)->rows));
  CZ_TRY(cz_alloc(&(*c)->tokens, B * C * M, sizeof *(*c)->tokens));
  CZ_TRY(cz_alloc(&(*c)->answer_spans, B * C, sizeof *(*c)->answer_spans));
  CZ_TRY(cz_alloc(&(*c)->group_spans, B, sizeof *(*c)->group_spans));
  return cz_alloc(&(*c)->right_answers, B, sizeof *(*c)->right_answers);
}

/** Makes room for what the heads CHOICES of NET feed. Freed by cz__net_destroy_choices, also after
 * a failure. */
cz_status cz__net_create_choices(cz_net *n) {
  for (int i = 0; i < n->options.n_heads; i++) {
    cz_net_head_options *o = &n->options.heads[i];
    if (o->kind != CZ_NET_CHOICES) continue;
    o->capacity_rows = n->options.capacity_segments * o->classes * o->words;
    CZ_TRY(create(&n->heads[i].choices, n->options.capacity_segments, o));
  }
  return CZ_OK;
}

/** Frees the room; accepts a net that has none. */
void cz__net_destroy_choices(cz_net *n) {
  for (int i = 0; i < CZ_NET_HEADS; i++) destroy(&n->heads[i].choices);
}

static int64_t extent(const cz_net *n, const cz_net_head *h, const char *what, int64_t capacity) {
  char name[96];
  snprintf(name, sizeof name, "%s.%s", h->name, what);
  return cz_graph_extent(n->graph, name, capacity);
}

/** Declares the inputs of H behind its rows. */
void cz__net_declare_choices(cz_net *n, cz_net_head *h) {
  cz_net_choices *c = h->choices;
  const cz_dtype real = n->model->device->real;
  const int64_t segments = n->options.capacity_segments, one = 1;
  c->candidates = extent(n, h, "candidates", segments * h->classes);
  c->questions = extent(n, h, "questions", segments);
  const int64_t spans[2] = {c->candidates, 2}, groups[2] = {c->questions, 2};
  h->targets = cz__net_head_input(n, h, "targets", CZ_I32, 1, &h->n_rows);
  c->spans = cz__net_head_input(n, h, "spans", CZ_I32, 2, spans);
  c->groups = cz__net_head_input(n, h, "groups", CZ_I32, 2, groups);
  c->one = cz__net_head_input(n, h, "one", real, 1, &one);
  c->right = CZ_ABSENT;
  if (h->options.no_loss) return;
  c->right = cz__net_head_input(n, h, "right", CZ_I32, 1, &c->questions);
  h->denominator = cz__net_head_input(n, h, "denominator", real, 1, &one);
}

/** The loss of H and the scores of all answers; x [rows, E], a row for each of their tokens. */
void cz__net_build_choices(cz_net *n, cz_net_head *h, cz_builder *b, cz_value x) {
  const cz_net_choices *c = h->choices;
  const cz_cross_entropy_attr words = {.logit_scale = cz_layer_logit_scale(n->model)};
  const cz_choices_attr summed = {.mean = false};
  cz_value in[CZ_OP_IN], out[CZ_OP_OUT];
  char name[96];
  in[CZ_CROSS_ENTROPY_H] = x;
  in[CZ_CROSS_ENTROPY_W] = cz_graph_param(b->g, n->model->head);
  in[CZ_CROSS_ENTROPY_TARGETS] = h->targets;
  in[CZ_CROSS_ENTROPY_DENOMINATOR] = c->one;
  in[CZ_CROSS_ENTROPY_BIAS] = cz__net_param(b, n->model->heads.lm_bias);
  snprintf(name, sizeof name, "%s.words", b->scope);
  cz_graph_op(b->g, out, CZ_OP_cross_entropy, name, 5, in, &words);
  h->nll = out[CZ_CROSS_ENTROPY_NLL];
  cz_graph_keep(b->g, h->nll);
  in[CZ_CHOICES_NLL] = h->nll;
  in[CZ_CHOICES_ROWS] = c->spans;
  in[CZ_CHOICES_GROUPS] = c->groups;
  in[CZ_CHOICES_RIGHT] = c->right;
  in[CZ_CHOICES_DENOMINATOR] = h->denominator;
  snprintf(name, sizeof name, "%s.loss", b->scope);
  cz_graph_op(b->g, out, CZ_OP_choices, name, 5, in, &summed);
  h->scores = out[CZ_CHOICES_SCORES];
  cz_graph_keep(b->g, h->scores);
  if (h->options.no_loss) return;
  h->loss = out[CZ_CHOICES_LOSS];
  cz_graph_loss(b->g, h->loss);
}

/* Tokens of an answer, which -1 fills up to M. */
static int64_t length_of(const int32_t *answer, int64_t M) {
  int64_t n = 0;
  while (n < M && answer[n] >= 0) n++;
  return n;
}

/** The answers of a CHOICES head, set before the first batch: ANSWERS [SETS, C, M], borrowed while
 * the net is fed. One set is that of all segments; of several each reads that of its number
 * (cz_net_head_feed). -1 fills up an answer of fewer tokens than M, and a set of fewer answers than
 * C. CZ_EINVAL for an id outside the vocabulary, a token behind a -1 and a set without an answer.
 */
cz_status cz_net_set_answers(cz_net *net, int head, const int32_t *answers, int64_t sets) {
  cz_net_head *h = &net->heads[head];
  const int64_t M = h->options.words, V = net->model->config.vocab_size, C = h->classes;
  CZ_CHECK(head < net->n_heads && h->options.kind == CZ_NET_CHOICES && sets > 0);
  for (int64_t s = 0; s < sets; s++) {
    int64_t there = 0;
    for (int64_t c = 0; c < C; c++) {
      const int32_t *answer = answers + (s * C + c) * M;
      const int64_t length = length_of(answer, M);
      for (int64_t t = 0; t < M; t++)
        if (t < length ? answer[t] >= V : answer[t] != -1)
          return CZ_FAIL(CZ_EINVAL,
                         "%s: token %d at place %lld of answer %lld of set %lld; expected one of "
                         "the vocabulary of %lld, and -1 behind the last",
                         h->name, answer[t], (long long)t, (long long)c, (long long)s,
                         (long long)V);
      there += length > 0;
    }
    if (!there) return CZ_FAIL(CZ_EINVAL, "%s: set %lld has no answer", h->name, (long long)s);
  }
  h->choices->answers = answers;
  h->choices->sets = sets;
  return CZ_OK;
}

/* Appends an answer of N tokens at the masks ROWS. */
static void add_answer(cz_net_choices *c, const int32_t *rows, const int32_t *tokens, int64_t n) {
  int32_t *span = c->answer_spans[c->n_candidates++];
  span[0] = (int32_t)c->n_rows;
  for (int64_t t = 0; t < n; t++, c->n_rows++) {
    c->rows[c->n_rows] = rows[t];
    c->tokens[c->n_rows] = tokens[t];
  }
  span[1] = (int32_t)c->n_rows;
}

/* Appends the question that segment B asks at its masks ROWS [masks]; RIGHT: its answer, not read
 * without a loss. */
static cz_status add_question(cz_net_head *h, int64_t b, int64_t set, const int32_t *rows,
                              int64_t masks, int32_t right) {
  cz_net_choices *c = h->choices;
  const int64_t M = h->options.words, first = c->n_candidates;
  if (set < 0 || set >= c->sets)
    return CZ_FAIL(CZ_EINVAL, "%s: segment %lld reads set %lld of %lld", h->name, (long long)b,
                   (long long)set, (long long)c->sets);
  int32_t *number = &c->right_answers[c->n_questions];
  *number = -1;
  for (int64_t k = 0; k < h->classes; k++) {
    const int32_t *answer = c->answers + (set * h->classes + k) * M;
    const int64_t n = length_of(answer, M);
    if (!n) continue;
    if (n > masks)
      return CZ_FAIL(CZ_EINVAL,
                     "%s: answer %lld of segment %lld has %lld tokens; it has %lld masks", h->name,
                     (long long)k, (long long)b, (long long)n, (long long)masks);
    if (k == right) *number = (int32_t)(c->n_candidates - first);
    add_answer(c, rows, answer, n);
  }
  if (!h->options.no_loss && *number < 0)
    return CZ_FAIL(CZ_EINVAL, "%s: number %d is right in segment %lld, which has no such answer",
                   h->name, right, (long long)b);
  c->group_spans[c->n_questions][0] = (int32_t)first;
  c->group_spans[c->n_questions++][1] = (int32_t)c->n_candidates;
  return CZ_OK;
}

/* The rows of F, segment by segment: a segment without one asks nothing, nor does one whose right
 * answer is not known. */
static cz_status add_questions(cz_net_head *h, const cz_net_head_feed *f, const cz_feed *feed) {
  const cz_net_choices *c = h->choices;
  int64_t i = 0;
  CZ_CHECK(c->sets == 1 || f->numbers);
  for (int64_t b = 0; b < feed->segments; b++) {
    const int64_t first = i, from = feed->decoder.spans[2 * b], to = feed->decoder.spans[2 * b + 1];
    while (i < f->n_rows && f->rows[i] < to && f->rows[i] > (i > first ? f->rows[i - 1] : from - 1))
      i++;
    const int32_t right = i == first || h->options.no_loss ? -1 : f->targets[first];
    if (i == first || (right < 0 && !h->options.no_loss)) continue;
    CZ_TRY(add_question(h, b, c->sets > 1 ? f->numbers[b] : 0, f->rows + first, i - first, right));
  }
  return i == f->n_rows
             ? CZ_OK
             : CZ_FAIL(CZ_EINVAL, "%s: row %d, number %lld, is in no segment or not in order",
                       h->name, f->rows[i], (long long)i);
}

/** Checks and feeds what H reads of FEED. CZ_EINVAL for rows outside the segments or not ascending,
 * an answer that has more tokens than its segment has masks, and a right one that is not there. */
cz_status cz__net_feed_choices(cz_net *n, cz_net_head *h, const cz_net_head_feed *f,
                               const cz_feed *feed) {
  cz_graph *g = n->graph;
  cz_net_choices *c = h->choices;
  const double one = 1;
  if (!c->answers) return CZ_FAIL(CZ_EINVAL, "%s: its answers were not set", h->name);
  CZ_TRY(cz__net_check_denominator(h, f));
  c->n_rows = c->n_candidates = c->n_questions = 0;
  CZ_TRY(add_questions(h, f, feed));
  CZ_TRY(cz_graph_set_extent(g, h->n_rows, c->n_rows));
  CZ_TRY(cz_graph_set_extent(g, c->candidates, c->n_candidates));
  CZ_TRY(cz_graph_set_extent(g, c->questions, c->n_questions));
  CZ_TRY(cz_graph_feed_int(g, h->rows, c->rows, c->n_rows));
  CZ_TRY(cz_graph_feed_int(g, h->targets, c->tokens, c->n_rows));
  CZ_TRY(cz_graph_feed_int(g, c->spans, *c->answer_spans, 2 * c->n_candidates));
  CZ_TRY(cz_graph_feed_int(g, c->groups, *c->group_spans, 2 * c->n_questions));
  CZ_TRY(cz_graph_feed_real(g, c->one, &one, 1));
  if (h->options.no_loss) return CZ_OK;
  CZ_TRY(cz_graph_feed_int(g, c->right, c->right_answers, c->n_questions));
  return cz_graph_feed_real(g, h->denominator, &f->denominator, 1);
}

/* Beam search against plain searches of this file, over the probabilities of every short
 * output. Models are drawn until every length has been best and every rule of the search
 * has decided a case, so that none of them can be dropped unseen. */
#include "train_test.h"

#include "base/log.h"
#include "device/random.h"
#include "decoding/search.h"

#include "nn/net.h"

#include <math.h>

enum { V = 5, EOS = 1, LONGEST = 4, PREFIXES = 156, MOST_MODELS = 300, INPUTS = 2 };

/* log p of each next token after each prefix of at most LONGEST - 1 tokens. */
typedef struct table {
  double next[PREFIXES][V];
} table;

typedef struct output {
  int32_t ids[LONGEST];
  int64_t n;
  double score;
} output;

/* What a search must obey; NONE breaks no rule, the others one each. */
typedef enum broken {
  NONE,
  PENALTY,
  FIRST_END,
  FEW_CANDIDATES,
  TOO_SHORT,
  NOT_BANNED,
  RULES
} broken;

typedef struct settings {
  int64_t beams, longest;
  double alpha;
  int32_t banned, eos;
} settings;

static size_t place_of(const int32_t *ids, int64_t n) {
  size_t place = 0;
  for (int64_t i = 0; i < n; i++) place = place * V + (size_t)ids[i] + 1;
  return place;
}

static cz_model *draw_model(cz_device *device, const char *name, uint64_t seed) {
  cz_model_config c;
  cz_model *m;
  OK(cz_model_config_named(&c, name));
  c.vocab_size = V, c.d_model = 8, c.d_kv = 2, c.d_ff = 16, c.n_layers = c.n_decoder_layers = 1,
  c.n_heads = 4;
  c.buckets = 16, c.max_distance = 20, c.dropout = 0;
  OK(cz_model_create(&m, &c, device));
  OK(cz_params_init(m->params, seed));
  for (size_t i = 0; i < m->params->n; i++) { /* fresh weights think that all tokens are alike */
    const cz_param *p = m->params->list[i];
    for (int64_t k = 0; k < p->count; k++) ((float *)p->value)[k] *= 4;
  }
  return m;
}

/* The training graph's log p of every next token, from one batch: a segment for each of
 * the outputs of LONGEST - 1 tokens, EOS within or not. */
static void make_table(table *t, cz_model *m, const cz_ids *input) {
  enum { B = V * V * V, MOST_INPUT = 8, ROWS = MOST_INPUT + LONGEST };
  static int32_t enc[B * MOST_INPUT], enc_spans[2 * B], dec[B * ROWS], spans[2 * B],
      targets[B * ROWS], prefixes[B];
  static double logits[B * ROWS * V];
  const bool pair = m->config.family->architecture == CZ_ENCODER_DECODER;
  const int64_t n = (int64_t)input->len, lead = pair ? 0 : n, rows = lead + LONGEST;
  cz_net *net;
  assert_true(n <= MOST_INPUT);
  for (int32_t b = 0; b < B; b++) {
    int32_t *d = dec + b * rows, last[] = {b / V / V, b / V % V, b % V};
    d[0] = 0;
    memcpy(d + 1, input->data, (size_t)lead * sizeof *d);
    memcpy(d + 1 + lead, last, sizeof last);
    memcpy(enc + b * n, input->data, (size_t)n * sizeof *enc);
    enc_spans[2 * b] = b * (int32_t)n, enc_spans[2 * b + 1] = (b + 1) * (int32_t)n;
    spans[2 * b] = b * (int32_t)rows, spans[2 * b + 1] = (b + 1) * (int32_t)rows;
    prefixes[b] = (int32_t)n + 1;
  }
  cz_net_options o = {.capacity_segments = B,
                      .capacity_encoder = B * n,
                      .capacity_decoder = B * rows,
                      .logits = true};
  cz_feed f = {.segments = B,
               .encoder.tokens = pair ? B * n : 0,
               .decoder.tokens = B * rows,
               .n_loss_rows = B * rows,
               .encoder.ids = enc,
               .encoder.spans = enc_spans,
               .decoder.ids = dec,
               .decoder.spans = spans,
               .prefix = prefixes,
               .targets = targets,
               .denominator = 1};
  OK(cz_net_create(&net, m, &o));
  OK(cz_net_feed(net, &f));
  OK(cz_graph_forward(net->graph, &(cz_graph_run_options){0}));
  OK(cz_graph_read(net->graph, logits, net->logits, B * rows * V));
  cz_net_destroy(&net);
  for (int64_t b = 0; b < B; b++)
    for (int64_t k = 0; k < LONGEST; k++) { /* after K tokens */
      const double *x = logits + (b * rows + lead + k) * V;
      double sum = 0;
      for (int v = 0; v < V; v++) sum += exp(x[v] - x[0]);
      for (int v = 0; v < V; v++)
        t->next[place_of(dec + b * rows + 1 + lead, k)][v] = x[v] - x[0] - log(sum);
    }
}

static double penalty(const settings *s, int64_t n) { return pow((5 + (double)n) / 6, s->alpha); }

static int descending(const void *a, const void *b) {
  const output *x = a, *y = b;
  return (x->score < y->score) - (x->score > y->score);
}

/* Every alive output with every token behind it, best first; tokens that are banned have
 * no probability. */
static int64_t grow(output *all, const output *alive, int64_t n, const table *t, int32_t end) {
  int64_t made = 0;
  for (int64_t i = 0; i < n; i++) {
    const double *next = t->next[place_of(alive[i].ids, alive[i].n)];
    double sum = 0;
    for (int32_t v = 0; v < end; v++) sum += exp(next[v]);
    for (int32_t v = 0; v < end; v++) {
      output *o = &all[made++];
      *o = alive[i];
      o->ids[o->n++] = v;
      o->score += next[v] - log(sum);
    }
  }
  qsort(all, (size_t)made, sizeof *all, descending);
  return made;
}

/* Wu et al. 2016, as Mesh TensorFlow has it (t5.md 6.1): lists of W and of W, the best 2W
 * continuations sorted into them. */
static output beam_search(const table *t, settings s, broken rule) {
  enum { MOST = 256 };
  static output all[MOST * V], alive[MOST], finished[MOST + 2 * MOST];
  int64_t n = 1, ended = 0, W = s.beams, longest = s.longest - (rule == TOO_SHORT);
  if (rule == PENALTY) s.alpha = -s.alpha;
  alive[0] = (output){0};
  for (int64_t length = 1; length <= longest && n; length++) {
    int64_t made = grow(all, alive, n, t, s.banned && rule != NOT_BANNED ? s.banned : V),
            looked = W * (rule == FEW_CANDIDATES ? 1 : 2);
    n = 0;
    for (int64_t i = 0; i < made && i < looked; i++)
      if (all[i].ids[length - 1] != s.eos) {
        if (n < W) alive[n++] = all[i];
      } else {
        finished[ended] = all[i];
        finished[ended].n--;
        finished[ended++].score /= penalty(&s, length);
      }
    qsort(finished, (size_t)ended, sizeof *finished, descending);
    ended = ended < W ? ended : W;
    if (ended && rule == FIRST_END) break;
    if (ended == W && n && finished[W - 1].score >= alive[0].score / penalty(&s, s.longest)) break;
  }
  return ended ? finished[0] : n ? alive[0] : (output){0};
}

/* The likeliest token, again and again. */
static output greedy_search(const table *t, settings s) {
  output o = {0}, all[V];
  while (o.n < s.longest) {
    grow(all, &o, 1, t, s.banned ? s.banned : V);
    o = all[0];
    if (o.ids[o.n - 1] != s.eos) continue;
    o.n--;
    break;
  }
  return o;
}

/* The best of all outputs that end. */
static void try_all(output *best, const table *t, const settings *s, const output *from) {
  double end =
      (from->score + t->next[place_of(from->ids, from->n)][s->eos]) / penalty(s, from->n + 1);
  if (end > best->score) *best = *from, best->score = end;
  for (int32_t v = 0; v < V && from->n + 1 < s->longest; v++) {
    output longer = *from;
    longer.ids[longer.n++] = v;
    longer.score += t->next[place_of(from->ids, from->n)][v];
    if (v != s->eos) try_all(best, t, s, &longer);
  }
}

static bool same(const output *a, const output *b) {
  return a->n == b->n && !memcmp(a->ids, b->ids, (size_t)a->n * sizeof *a->ids);
}

static output search(const table *t, const settings *s) {
  return s->beams == 1 ? greedy_search(t, *s) : beam_search(t, *s, NONE);
}

/* Whether rounding could decide: probabilities that are a little off lead elsewhere. */
static bool shaky(const table *t, const settings *s, const output *found) {
  static table off;
  cz_stream r;
  cz_stream_init(&r, test_seed(), "rounding", 0, 0);
  for (int k = 0; k < 4; k++) {
    for (int i = 0; i < PREFIXES * V; i++)
      off.next[i / V][i % V] = t->next[i / V][i % V] + 2e-3 * (cz_stream_uniform(&r) - 0.5);
    output again = search(&off, s);
    if (!same(&again, found)) return true;
  }
  return false;
}

/* Runs the search under test for one input. */
static output run_search(cz_model *m, const cz_ids *input, const settings *s) {
  cz_ids found = {0};
  output o = {0};
  cz_search_options options = {.beams = s->beams,
                               .length_penalty = s->alpha,
                               .max_length = s->longest,
                               .batch_tokens = 100,
                               .banned_from = s->banned};
  m->config.eos_id = s->eos;
  OK(cz_search(&found, &o.score, m, input, 1, &options, NULL, NULL));
  assert_true((int64_t)found.len <= s->longest);
  o.n = (int64_t)found.len;
  if (found.len) memcpy(o.ids, found.data, found.len * sizeof *found.data);
  free(found.data);
  return o;
}

static void check(cz_model *m, const cz_ids *input, const settings *s, const output *want) {
  output found = run_search(m, input, s);
  if (!same(&found, want) || !(fabs(found.score - want->score) <= 1e-3 * (1 + fabs(want->score))))
    fail_msg("%s, %lld beams, at most %lld, alpha %g, banned from %d: %lld tokens of score %g, "
             "should be %lld of %g",
             m->config.family->name, (long long)s->beams, (long long)s->longest, s->alpha,
             s->banned, (long long)found.n, found.score, (long long)want->n, want->score);
}

static const settings cases[] = {{1, LONGEST, 0.6, 0, EOS},
                                 {2, LONGEST, 0, 0, EOS},
                                 {2, LONGEST, 0.6, 0, EOS},
                                 {2, LONGEST, 2, 0, EOS},
                                 {3, LONGEST, 1, 4, EOS},
                                 {2, 3, 1, 0, EOS},
                                 {2, 1, 1, 0, EOS},
                                 {1, 3, 0, 4, 4},
                                 {2, 3, 0.6, 4, 4} /* its end is banned: it never ends */,
                                 {2, 1, 0.6, 4, 4}};

/* How often each length was best, and each rule decided. */
typedef struct seen {
  int lengths[LONGEST], rules[RULES];
} seen;

static void check_input(seen *counts, cz_model *m, const cz_ids *input) {
  static table t;
  make_table(&t, m, input);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const settings *s = &cases[i];
    output want = search(&t, s);
    if (s->eos == s->banned) assert_int_equal(want.n, s->longest);
    if (shaky(&t, s, &want)) continue;
    check(m, input, s, &want);
    for (int rule = 1; rule < RULES && s->beams > 1; rule++) {
      output other = beam_search(&t, *s, rule);
      counts->rules[rule] += !same(&other, &want);
    }
  }
  settings wide = {256, LONGEST, 0.6, 0,
                   EOS}; /* nothing falls out of a beam as wide as there are outputs */
  output best = {.score = -INFINITY}, want = search(&t, &wide);
  try_all(&best, &t, &wide, &(output){0});
  if (shaky(&t, &wide, &want)) return;
  assert_true(same(&best, &want));
  check(m, input, &wide, &best);
  counts->lengths[best.n]++;
}

static bool enough(const seen *counts) {
  for (int i = 0; i < LONGEST; i++)
    if (counts->lengths[i] == 0) return false;
  for (int i = 1; i < RULES; i++)
    if (counts->rules[i] == 0) return false;
  return true;
}

static void searches(void **state) {
  static const char *const names[] = {"t5-nano", "lm-nano", "prefix-lm-nano"};
  cz_stream s;
  cz_device *device;
  seen counts = {0};
  OK(cz_device_open(&device, "cpu"));
  cz_stream_init(&s, test_seed(), "searches", 0, 0);
  int models = 0;
  for (; models < 9 || (models < MOST_MODELS && !enough(&counts)); models++) {
    cz_model *m = draw_model(device, names[models % 3], test_seed() + (uint64_t)models);
    for (int64_t i = 0; i < INPUTS; i++) {
      cz_ids input = {0};
      for (int64_t n = 2 + i; n > 0; n--)
        OK(cz_ids_add(&input, n > 1 ? (int32_t)cz_stream_below(&s, V) : EOS));
      check_input(&counts, m, &input);
      free(input.data);
    }
    cz_model_destroy(&m);
  }
  print_message(
      "%d models; best lengths 0 to 3: %d %d %d %d times; rules decided %d %d %d %d %d times\n",
      models, counts.lengths[0], counts.lengths[1], counts.lengths[2], counts.lengths[3],
      counts.rules[PENALTY], counts.rules[FIRST_END], counts.rules[FEW_CANDIDATES],
      counts.rules[TOO_SHORT], counts.rules[NOT_BANNED]);
  assert_true(enough(&counts));
  cz_device_close(&device);
}

/* A model whose logits are not finite has no output. */
static void not_finite(void **state) {
  static const char *const names[] = {"t5-nano", "lm-nano", "prefix-lm-nano"};
  static const double values[] = {NAN, INFINITY};
  cz_device *device;
  OK(cz_device_open(&device, "cpu"));
  for (int i = 0; i < 6; i++) {
    cz_model *m = draw_model(device, names[i % 3], test_seed() + (uint64_t)i);
    cz_param *p = m->params->list[(size_t)i % m->params->n];
    cz_ids input = {0}, found = {0};
    double score;
    const cz_search_options options = {.beams = 1 + i % 2, .max_length = 3, .batch_tokens = 100};
    for (int64_t k = 0; k < p->count; k++) ((float *)p->value)[k] = (float)values[i / 3];
    OK(cz_ids_add(&input, 3));
    assert_int_equal(cz_search(&found, &score, m, &input, 1, &options, NULL, NULL), CZ_ENUMERIC);
    assert_non_null(strstr(cz_error_message(), "finite"));
    free(input.data);
    free(found.data);
    cz_model_destroy(&m);
  }
  cz_device_close(&device);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(searches), cmocka_unit_test(not_finite)};
  cz_log_quiet(true);
  return cmocka_run_group_tests(tests, make_runs, drop_runs);
}

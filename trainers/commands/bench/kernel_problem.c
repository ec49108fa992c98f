#include "commands/bench/kernels.h"
#include "kernels/activation/activation.h"
#include "kernels/add/add.h"
#include "kernels/attention/attention.h"
#include "kernels/cache_append/cache_append.h"
#include "kernels/common/shape.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/dropout/dropout.h"
#include "kernels/embedding/embedding.h"
#include "kernels/gather/gather.h"
#include "kernels/label_words/label_words.h"
#include "kernels/linear/linear.h"
#include "kernels/norm/norm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Sizes of an entry by name; 0 or false where it does not give them. */
typedef struct sizes {
  int64_t rows, of, width, outputs, vocabulary, segments, queries, keys, heads, head_size, masks,
      classes, words;
  bool bias, relu, position_bias, causal, residual, layer, gated;
} sizes;

#define SIZE(key)                                                                                  \
  { #key, offsetof(sizes, key) }
static const struct named {
  const char *name;
  size_t at;
} numbers[] = {SIZE(rows),     SIZE(of),      SIZE(width), SIZE(outputs), SIZE(vocabulary),
               SIZE(segments), SIZE(queries), SIZE(keys),  SIZE(heads),   SIZE(head_size),
               SIZE(masks),    SIZE(classes), SIZE(words)},
  flags[] = {SIZE(bias),     SIZE(relu),  SIZE(position_bias), SIZE(causal),
             SIZE(residual), SIZE(layer), SIZE(gated)};
enum { NUMBERS = sizeof numbers / sizeof *numbers, FLAGS = sizeof flags / sizeof *flags };

static void random_below(cz_case *c, cz_rand *r, int input, int64_t n, int64_t below) {
  int32_t *x = cz_case_int(c, input, 1, &n);
  for (int64_t i = 0; i < n; i++) x[i] = (int32_t)cz_rand_int(r, 0, below - 1);
}

/* Segments of one length each. */
static void equal_spans(cz_case *c, int input, int64_t segments, int64_t length) {
  int32_t *x = cz_case_int(c, input, 2, (int64_t[]){segments, 2});
  for (int64_t i = 0; i < segments; i++)
    x[2 * i] = (int32_t)(i * length), x[2 * i + 1] = (int32_t)((i + 1) * length);
}

static void make_linear(cz_case *c, cz_rand *r, const sizes *s) {
  cz_case_normal(c, r, CZ_LINEAR_X, 2, (int64_t[]){s->rows, s->width}, 1);
  cz_case_normal(c, r, CZ_LINEAR_W, 2, (int64_t[]){s->outputs, s->width},
                 1 / sqrt((double)s->width));
  if (s->bias) cz_case_normal(c, r, CZ_LINEAR_BIAS, 1, &s->outputs, 0.1);
  *(cz_linear_attr *)c->attr =
      (cz_linear_attr){.activation = s->relu ? CZ_ACTIVATION_RELU : CZ_ACTIVATION_NONE, .alpha = 1};
}

enum { BUCKETS = 32, MAX_DISTANCE = 128 }; /* T5's */

static void make_attention(cz_case *c, cz_rand *r, const sizes *s) {
  const int64_t width = s->heads * s->head_size;
  cz_case_normal(c, r, CZ_ATTENTION_Q, 2, (int64_t[]){s->segments * s->queries, width}, 0.4);
  cz_case_normal(c, r, CZ_ATTENTION_K, 2, (int64_t[]){s->segments * s->keys, width}, 0.4);
  cz_case_normal(c, r, CZ_ATTENTION_V, 2, (int64_t[]){s->segments * s->keys, width}, 1);
  equal_spans(c, CZ_ATTENTION_Q_SPANS, s->segments, s->queries);
  equal_spans(c, CZ_ATTENTION_K_SPANS, s->segments, s->keys);
  if (s->position_bias)
    cz_case_normal(c, r, CZ_ATTENTION_POSITION_BIAS, 2, (int64_t[]){BUCKETS, s->heads}, 1);
  *(cz_attention_attr *)c->attr =
      (cz_attention_attr){.heads = (int)s->heads,
                          .mask = s->causal ? CZ_ATTENTION_MASK_CAUSAL : CZ_ATTENTION_MASK_FULL,
                          .scale = s->position_bias ? 1 : 1 / sqrt((double)s->head_size),
                          .buckets = BUCKETS,
                          .max_distance = MAX_DISTANCE,
                          .bidirectional = !s->causal,
                          .dropout = 0.1,
                          .share_queries = true};
  c->training = true;
}

static void make_norm(cz_case *c, cz_rand *r, const sizes *s) {
  const int64_t dim[] = {s->rows, s->width};
  cz_case_normal(c, r, CZ_NORM_X, 2, dim, 1);
  cz_case_normal(c, r, CZ_NORM_GAIN, 1, &s->width, 1);
  if (s->layer) cz_case_normal(c, r, CZ_NORM_BIAS, 1, &s->width, 1);
  if (s->residual) cz_case_normal(c, r, CZ_NORM_RESIDUAL, 2, dim, 1);
  *(cz_norm_attr *)c->attr = (cz_norm_attr){.kind = s->layer ? CZ_NORM_LAYER : CZ_NORM_RMS,
                                            .eps = 1e-6,
                                            .dropout = s->residual ? 0.1 : 0};
  c->training = true;
}

static void make_activation(cz_case *c, cz_rand *r, const sizes *s) {
  const int64_t dim[] = {s->rows, s->width};
  cz_case_normal(c, r, CZ_ACTIVATION_X, 2, dim, 1);
  if (s->gated) cz_case_normal(c, r, CZ_ACTIVATION_GATE, 2, dim, 1);
  ((cz_activation_attr *)c->attr)->kind = s->gated ? CZ_ACTIVATION_GELU_TANH : CZ_ACTIVATION_GELU;
}

static void make_dropout(cz_case *c, cz_rand *r, const sizes *s) {
  cz_case_normal(c, r, CZ_DROPOUT_X, 2, (int64_t[]){s->rows, s->width}, 1);
  *(cz_dropout_attr *)c->attr = (cz_dropout_attr){.p = 0.1};
  c->training = true;
}

static void make_add(cz_case *c, cz_rand *r, const sizes *s) {
  const int64_t dim[] = {s->rows, s->width};
  cz_case_normal(c, r, CZ_ADD_A, 2, dim, 1);
  cz_case_normal(c, r, CZ_ADD_B, 2, dim, 1);
}

static void make_embedding(cz_case *c, cz_rand *r, const sizes *s) {
  cz_case_normal(c, r, CZ_EMBEDDING_TABLE, 2, (int64_t[]){s->vocabulary, s->width}, 1);
  random_below(c, r, CZ_EMBEDDING_IDS, s->rows, s->vocabulary);
}

static void make_gather(cz_case *c, cz_rand *r, const sizes *s) {
  cz_case_normal(c, r, CZ_GATHER_X, 2, (int64_t[]){s->of, s->width}, 1);
  random_below(c, r, CZ_GATHER_ROWS, s->rows, s->of);
}

static void make_cross_entropy(cz_case *c, cz_rand *r, const sizes *s) {
  cz_case_normal(c, r, CZ_CROSS_ENTROPY_H, 2, (int64_t[]){s->rows, s->width}, 1);
  cz_case_normal(c, r, CZ_CROSS_ENTROPY_W, 2, (int64_t[]){s->vocabulary, s->width}, 1);
  random_below(c, r, CZ_CROSS_ENTROPY_TARGETS, s->rows, s->vocabulary);
  *cz_case_real(c, CZ_CROSS_ENTROPY_DENOMINATOR, 1, (int64_t[]){1}) = (double)s->rows;
  *(cz_cross_entropy_attr *)c->attr =
      (cz_cross_entropy_attr){.z_loss = 1e-4, .logit_scale = 1 / sqrt((double)s->width)};
}

static void make_label_words(cz_case *c, cz_rand *r, const sizes *s) {
  const int64_t n = s->classes * s->words;
  cz_case_normal(c, r, CZ_LABEL_WORDS_X, 2, (int64_t[]){s->rows, s->width}, 1);
  random_below(c, r, CZ_LABEL_WORDS_ROWS, s->masks, s->rows);
  cz_case_normal(c, r, CZ_LABEL_WORDS_TABLE, 2, (int64_t[]){s->vocabulary, s->width}, 0.02);
  int32_t *words = cz_case_int(c, CZ_LABEL_WORDS_WORDS, 2, (int64_t[]){s->classes, s->words});
  for (int64_t i = 0; i < n; i++) words[i] = (int32_t)cz_rand_int(r, 0, s->vocabulary - 1);
  random_below(c, r, CZ_LABEL_WORDS_HARD, s->masks, s->classes);
  *cz_case_real(c, CZ_LABEL_WORDS_DENOMINATOR, 1, (int64_t[]){1}) = (double)s->masks;
  ((cz_label_words_attr *)c->attr)->temperature = 1;
}

/* An op without a line here takes no sizes. An entry without sizes is the problem that the op's
 * cases name (kernels/cases.h). */
static const struct maker {
  cz_op op;
  void (*make)(cz_case *c, cz_rand *r, const sizes *s);
  const char *needs[6];
} makers[] = {
    {CZ_OP_linear, make_linear, {"rows", "width", "outputs"}},
    {CZ_OP_attention, make_attention, {"segments", "queries", "keys", "heads", "head_size"}},
    {CZ_OP_norm, make_norm, {"rows", "width"}},
    {CZ_OP_activation, make_activation, {"rows", "width"}},
    {CZ_OP_dropout, make_dropout, {"rows", "width"}},
    {CZ_OP_add, make_add, {"rows", "width"}},
    {CZ_OP_embedding, make_embedding, {"rows", "vocabulary", "width"}},
    {CZ_OP_gather, make_gather, {"rows", "of", "width"}},
    {CZ_OP_cross_entropy, make_cross_entropy, {"rows", "vocabulary", "width"}},
    {CZ_OP_label_words,
     make_label_words,
     {"rows", "masks", "vocabulary", "width", "classes", "words"}}};
enum { MAKERS = sizeof makers / sizeof *makers };

static bool needs(const struct maker *m, const char *name) {
  for (int i = 0; m && i < 6 && m->needs[i]; i++)
    if (!strcmp(m->needs[i], name)) return true;
  return false;
}

static cz_status read_sizes(sizes *s, const struct maker *m, const json_t *entry,
                            const cz_json_place *at) {
  const char *known[NUMBERS + FLAGS + 2] = {"op", "name"};
  *s = (sizes){0};
  for (int i = 0; i < NUMBERS; i++) known[2 + i] = numbers[i].name;
  for (int i = 0; i < FLAGS; i++) known[2 + NUMBERS + i] = flags[i].name;
  CZ_TRY(cz_json_only(entry, at, known, NUMBERS + FLAGS + 2));
  for (int i = 0; i < NUMBERS; i++) {
    bool needed = needs(m, numbers[i].name), given = json_object_get(entry, numbers[i].name);
    if (given && !needed) return cz_json_fail(at, numbers[i].name, "this op has no such size");
    if (needed)
      CZ_TRY(cz_json_get_int((int64_t *)((char *)s + numbers[i].at), entry, at, numbers[i].name, 1,
                             1 << 24));
  }
  for (int i = 0; i < FLAGS; i++)
    if (json_object_get(entry, flags[i].name))
      CZ_TRY(cz_json_get_bool((bool *)((char *)s + flags[i].at), entry, at, flags[i].name));
  return CZ_OK;
}

static cz_status fill(cz_kernel_problem *p, const json_t *entry, const cz_json_place *at) {
  const char *names[CZ_OPS];
  const struct maker *m = NULL;
  sizes s;
  int op;
  cz_rand r = {.state = 1};
  for (int i = 0; i < CZ_OPS; i++) names[i] = cz_op_rows[i]->name;
  CZ_TRY(cz_json_get_choice(&op, entry, at, "op", names, CZ_OPS));
  const size_t words = 1 + (json_object_get(entry, "name") != NULL);
  for (int i = 0; i < MAKERS && json_object_size(entry) > words; i++)
    if (makers[i].op == (cz_op)op) m = &makers[i];
  CZ_TRY(read_sizes(&s, m, entry, at));
  p->op = (cz_op)op;
  if (!m && !cz_op_case_table[op]->bench) return cz_json_fail(at, "op", "it has no problem");
  if (m)
    m->make(&p->c, &r, &s);
  else
    cz_op_case_table[op]->bench(&p->c, &r);
  return CZ_OK;
}

static size_t bytes_of(const cz_arg *a) { return (size_t)cz_numel(a) * cz_dtype_bytes(a->dtype); }

static cz_status take(cz_kernel_problem *p, cz_arg *a) {
  const size_t bytes = bytes_of(a);
  CZ_TRY(cz_device_alloc(p->device, &a->data, bytes));
  p->owned[p->n_owned] = a->data;
  p->owned_bytes[p->n_owned++] = bytes;
  return CZ_OK;
}

/* N float64 numbers into an array of the device, through its real dtype. */
static cz_status put(cz_kernel_problem *p, const cz_arg *a, const double *host) {
  cz_device *d = p->device;
  const int64_t n = cz_numel(a);
  void *real;
  if (a->dtype == d->real) return cz_device_write_real(d, a->data, host, n);
  CZ_TRY(cz_device_alloc(d, &real, (size_t)n * cz_dtype_bytes(d->real)));
  cz_status st = cz_device_write_real(d, real, host, n);
  if (st == CZ_OK) st = cz_device_cast(d, a->data, a->dtype, real, d->real, n);
  cz_device_free(d, &real, (size_t)n * cz_dtype_bytes(d->real));
  return st;
}

/* Inputs have the dtype asked for, but for those that the row wants in more bits: the first
 * choice that its shape rule takes. */
static cz_status choose_dtypes(cz_kernel_problem *p) {
  const cz_op_row *row = cz_op_rows[p->op];
  char why[256] = "";
  for (uint32_t wide = 0; wide < 1u << row->n_in; wide++) {
    for (int i = 0; i < row->n_in; i++) {
      p->call.in[i] = p->c.in[i];
      if (p->call.in[i].dtype != CZ_I32)
        p->call.in[i].dtype = wide >> i & 1 ? cz_statistic_dtype(p->dtype) : p->dtype;
    }
    if (row->shape(p->call.out, p->call.in, p->c.attr, why, sizeof why) &&
        cz_call_dtype(&p->call) == p->dtype)
      return CZ_OK;
  }
  return CZ_FAIL(CZ_EINVAL, "%s in %s: %s", row->name, cz_dtype_names[p->dtype], why);
}

static cz_status make_arrays(cz_kernel_problem *p) {
  const cz_op_row *row = cz_op_rows[p->op];
  for (int i = 0; i < row->n_in; i++) {
    cz_arg *a = &p->call.in[i];
    if (!cz_present(a)) continue;
    if (row->weights >> i & 1) a->version = p->number;
    CZ_TRY(take(p, a));
    CZ_TRY(a->dtype == CZ_I32 ? p->device->write(p->device, a->data, p->c.in[i].data, bytes_of(a))
                              : put(p, a, p->c.in[i].data));
  }
  for (int o = 0; o < row->n_out; o++) {
    cz_arg *a = &p->call.out[o];
    if (row->must_alias[o])
      a->data = p->call.in[row->must_alias[o] - 1].data;
    else if (cz_present(a))
      CZ_TRY(take(p, a));
  }
  return CZ_OK;
}

/* Small random gradients at the outputs where one arrives, and room for those of the inputs. */
static cz_status make_gradients(cz_kernel_problem *p) {
  const cz_op_row *row = cz_op_rows[p->op];
  cz_rand r = {.state = 2};
  for (int o = 0; o < row->n_out; o++) {
    cz_arg *a = &p->call.dout[o];
    double *host;
    if (row->out_saved >> o & 1 || !cz_present(&p->call.out[o])) continue;
    *a = p->call.out[o];
    CZ_TRY(take(p, a));
    CZ_TRY(cz_alloc(&host, (size_t)cz_numel(a), sizeof *host));
    for (int64_t i = 0; i < cz_numel(a); i++) host[i] = cz_rand_real(&r, -0.01, 0.01);
    cz_status st = put(p, a, host);
    free(host);
    CZ_TRY(st);
  }
  for (int i = 0; i < row->n_in; i++) {
    cz_arg *a = &p->call.din[i];
    if (!(row->grad >> i & 1) || !cz_present(&p->call.in[i])) continue;
    *a = p->call.in[i];
    if (row->weights >> i & 1) a->dtype = cz_statistic_dtype(a->dtype);
    p->call.mode[i] = CZ_GRAD_WRITE;
    CZ_TRY(take(p, a));
  }
  return CZ_OK;
}

static cz_status make_workspace(cz_kernel_problem *p) {
  const cz_op_row *row = cz_op_rows[p->op];
  cz_arg work = {.dtype = CZ_F64, .ndim = 1};
  for (int backward = 0; backward < (row->not_differentiable ? 1 : 2); backward++) {
    const cz_kernels *k;
    CZ_TRY(cz_device_kernels(p->device, &k, p->op, &p->call, backward));
    int64_t n = k->workspace ? (int64_t)(k->workspace(&p->call, backward) + 7) / 8 : 0;
    if (n > work.dim[0]) work.dim[0] = n;
  }
  CZ_TRY(take(p, &work));
  p->call.workspace = work.data, p->call.workspace_bytes = bytes_of(&work);
  return CZ_OK;
}

/** Makes the problem of ENTRY, {"op", "name", sizes}, whose real arrays have DTYPE where the row
 * takes them in it, in DEVICE's memory. NUMBER, not 0, is another one for every problem of a
 * device: the version of its weights. CZ_EINVAL with the place in the file for sizes that do not
 * fit the op, or with op, dtype and device where there is no kernel. The caller frees P in any
 * case. */
cz_status cz_kernel_problem_make(cz_kernel_problem *p, cz_device *device, cz_dtype dtype,
                                 uint64_t number, const json_t *entry, const cz_json_place *at) {
  *p = (cz_kernel_problem){.device = device, .dtype = dtype, .number = number};
  CZ_TRY(fill(p, entry, at));
  p->legal = true;
  const cz_op_row *row = cz_op_rows[p->op];
  p->call = (cz_call){.n_in = row->n_in,
                      .n_out = row->n_out,
                      .attr = p->c.attr,
                      .key.seed = 1,
                      .training = p->c.training,
                      .stream = device->stream};
  CZ_TRY(choose_dtypes(p));
  CZ_TRY(make_arrays(p));
  if (!row->not_differentiable) CZ_TRY(make_gradients(p));
  return make_workspace(p);
}

/** Frees the problem. */
void cz_kernel_problem_free(cz_kernel_problem *p) {
  for (int i = 0; i < p->n_owned; i++) cz_device_free(p->device, &p->owned[i], p->owned_bytes[i]);
  cz_case_free(&p->c);
  p->n_owned = 0;
}

/* Of a table of which an op reads some rows, those. */
static double read_of(const cz_kernel_problem *p, int input) {
  const cz_arg *a = &p->call.in[input];
  const double all = (double)bytes_of(a),
               row = a->ndim == 2 && a->dim[0] ? all / (double)a->dim[0] : 0;
  const bool table = input == CZ_EMBEDDING_TABLE, words = p->op == CZ_OP_label_words;
  double rows = 0;
  if (p->op == CZ_OP_cache_append && input == CZ_CACHE_APPEND_CACHE) return 0;
  if ((p->op == CZ_OP_embedding || p->op == CZ_OP_gather) && table)
    rows = (double)p->call.out[0].dim[0];
  if (words && input == CZ_LABEL_WORDS_X) rows = (double)cz_numel(&p->call.in[CZ_LABEL_WORDS_ROWS]);
  if (words && input == CZ_LABEL_WORDS_TABLE)
    rows = (double)cz_numel(&p->call.in[CZ_LABEL_WORDS_WORDS]);
  return rows > 0 && rows * row < all ? rows * row : all;
}

/* A cache keeps its other rows. */
static double written_to(const cz_kernel_problem *p, int output) {
  return (double)bytes_of(p->op == CZ_OP_cache_append ? &p->call.in[CZ_CACHE_APPEND_X]
                                                      : &p->call.out[output]);
}

/** The bytes of what a pass reads and of what it writes, each counted once. */
double cz_kernel_problem_bytes(const cz_kernel_problem *p, bool backward) {
  const cz_op_row *row = cz_op_rows[p->op];
  cz_needs reads = {backward ? row->needs.in : ~0u, backward ? row->needs.out : 0};
  double bytes = 0;
  if (backward && row->needs_of) row->needs_of(&reads, p->call.attr);
  for (int i = 0; i < row->n_in; i++)
    bytes += (reads.in >> i & 1 ? read_of(p, i) : 0) +
             (backward ? (double)bytes_of(&p->call.din[i]) : 0);
  for (int o = 0; o < row->n_out; o++)
    bytes += (!backward || reads.out >> o & 1 ? written_to(p, o) : 0) +
             (backward ? (double)bytes_of(&p->call.dout[o]) : 0);
  return bytes;
}

/** The floating-point operations of a pass's matrix products, as the row counts them. */
double cz_kernel_problem_flop(const cz_kernel_problem *p, bool backward) {
  cz_call on_host = p->call;
  const cz_op_row *row = cz_op_rows[p->op];
  for (int i = 0; i < row->n_in; i++)
    on_host.in[i].data = p->c.in[i].dtype == CZ_I32 ? p->c.in[i].data : NULL;
  return row->flops ? row->flops(&on_host, backward) : 0;
}

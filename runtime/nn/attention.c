#include "nn/attention.h"
#include "graph/graph.h"
#include "graph/ops.h"

#include <stdio.h>
#include <string.h>

const char *const cz_attention_choices[] = {"own", "cudnn", "auto", NULL};

/** What MODEL's attentions need, in a net with DROPOUT of attention weights. */
cz_attention_wish cz_attention_wish_of(const cz_model *m, double dropout) {
  return (cz_attention_wish){.config = &m->config,
                             .device = m->device,
                             .precision = m->params->compute == CZ_BF16  ? CZ_PRECISION_BF16
                                          : m->params->compute == CZ_F16 ? CZ_PRECISION_F16
                                                                         : CZ_PRECISION_F32,
                             .dropout = dropout};
}

static bool has_bias(const cz_model_config *c) {
  return c->family->positions == CZ_POSITIONS_BUCKETS;
}

static cz_status refuse_model(const cz_model_config *c, const char **key) {
  *key = "model.name";
  if (c->family->architecture == CZ_PREFIX_LM)
    return CZ_FAIL(CZ_EUSAGE, "attention cudnn: cuDNN has no mask for the prefix of a %s",
                   c->family->name);
  if (has_bias(c) && c->family->architecture != CZ_ENCODER_DECODER)
    return CZ_FAIL(CZ_EUSAGE,
                   "attention cudnn: every attention of a %s has a relative bias, whose gradient "
                   "cuDNN does not make; our own kernels do",
                   c->family->name);
  *key = "model.d_kv";
  if (c->d_kv % CZ_ATTENTION_CUDNN_STEP || c->d_kv > CZ_ATTENTION_CUDNN_HEAD)
    return CZ_FAIL(CZ_EUSAGE,
                   "attention cudnn: d_kv is %lld; cuDNN takes a multiple of %d, at most %d",
                   (long long)c->d_kv, CZ_ATTENTION_CUDNN_STEP, CZ_ATTENTION_CUDNN_HEAD);
  return CZ_OK;
}

static bool computes(cz_device *d, cz_dtype dtype) {
  const cz_kernels *k = d->kernels(d, CZ_OP_attention_cudnn, dtype);
  return k && k->forward;
}

/* The oracle has the op too, in float64 alone; no cuDNN computes it there. */
static bool has_cudnn(cz_device *d) { return computes(d, CZ_BF16); }

static cz_status refuse_lack(cz_device *d) {
  return CZ_FAIL(CZ_EUSAGE,
                 "attention cudnn: device %s has no cuDNN; a card has, --device cuda, where its "
                 "headers were there when the module was built",
                 d->name);
}

/* The oracle's kernels pass: nets by them are what cuDNN's are compared with. */
static cz_status refuse_device(const cz_attention_wish *w, const char **key) {
  cz_device *d = w->device;
  *key = "train.attention";
  if (d && computes(d, cz_precision_dtype(w->precision, d))) return CZ_OK;
  if (d && !has_cudnn(d)) return refuse_lack(d);
  *key = "train.precision";
  if (w->precision != CZ_PRECISION_F32) return CZ_OK;
  return CZ_FAIL(
      CZ_EUSAGE,
      "attention cudnn: the precision is f32; cuDNN computes attention in bf16 and fp16");
}

/** CZ_EUSAGE, with the value in the way and the KEY that has it, when cuDNN cannot compute the
 * attentions that are wished; nothing is opened. */
cz_status cz_attention_refused(const cz_attention_wish *w, const char **key) {
  CZ_TRY(refuse_model(w->config, key));
  *key = "model.dropout";
  if (w->dropout > 0)
    return CZ_FAIL(CZ_EUSAGE,
                   "attention cudnn: dropout is %g, and cuDNN does not draw this program's masks; "
                   "it takes 0 alone",
                   w->dropout);
  return refuse_device(w, key);
}

/** As cz_attention_refused, and CZ_EUSAGE for the oracle, which a run would wrongly call cuDNN. */
cz_status cz_attention_refused_to_run(const cz_attention_wish *w, const char **key) {
  CZ_TRY(cz_attention_refused(w, key));
  *key = "train.attention";
  return !w->device || has_cudnn(w->device) ? CZ_OK : refuse_lack(w->device);
}

/* Rows of the call below: what attends, what comes of it, and gradients. */
enum { ROW_QKV, ROW_O, ROW_DQKV, ROWS = ROW_DQKV + 3 };

/* A call of one segment of one row, on ROWS of BYTES each, SPANS and STATS. */
static cz_call smallest(const cz_attention_wish *w, const cz_attention_cudnn_attr *attr, char *rows,
                        size_t bytes, void *spans, void *stats) {
  cz_call call = {.attr = attr};
  cz_arg row = {.data = rows,
                .dtype = cz_precision_dtype(w->precision, w->device),
                .ndim = 2,
                .dim = {1, w->config->n_heads * w->config->d_kv}};
  for (int i = CZ_ATTENTION_CUDNN_Q; i <= CZ_ATTENTION_CUDNN_V; i++) {
    call.in[i] = call.din[i] = row;
    call.din[i].data = rows + (size_t)(ROW_DQKV + i) * bytes;
    call.mode[i] = CZ_GRAD_WRITE;
  }
  row.data = rows + ROW_O * bytes;
  call.out[CZ_ATTENTION_CUDNN_O] = call.dout[CZ_ATTENTION_CUDNN_O] = row;
  call.out[CZ_ATTENTION_CUDNN_STATS] =
      (cz_arg){.data = stats, .dtype = w->device->real, .ndim = 2, .dim = {1, w->config->n_heads}};
  call.in[CZ_ATTENTION_CUDNN_Q_SPANS] = call.in[CZ_ATTENTION_CUDNN_K_SPANS] =
      (cz_arg){.data = spans, .dtype = CZ_I32, .ndim = 2, .dim = {1, 2}};
  return call;
}

/** Attends to one row by cuDNN, forward and backward, to learn before a run whether the library is
 * there and takes these heads on this card: CZ_EUSAGE with its reason. */
cz_status cz_attention_try_cudnn(const cz_attention_wish *w) {
  static const int32_t span[2] = {0, 1};
  const cz_model_config *c = w->config;
  const size_t bytes = (size_t)(c->n_heads * c->d_kv) *
                       cz_dtype_bytes(cz_precision_dtype(w->precision, w->device)),
               of_stats = (size_t)c->n_heads * cz_dtype_bytes(w->device->real);
  const cz_attention_cudnn_attr attr = {
      .heads = (int)c->n_heads, .scale = 1, .longest_q = 1, .longest_k = 1};
  cz_device *d = w->device;
  cz_scratch scratch = {0};
  void *rows = NULL, *spans = NULL, *stats = NULL;
  cz_status st;
  CZ_GO(st, cz_device_alloc(d, &rows, ROWS * bytes), done);
  CZ_GO(st, cz_device_alloc(d, &spans, sizeof span), done);
  CZ_GO(st, cz_device_alloc(d, &stats, of_stats), done);
  CZ_GO(st, d->write(d, spans, span, sizeof span), done);
  cz_call call = smallest(w, &attr, rows, bytes, spans, stats);
  CZ_GO(st, cz_op_run(d, CZ_OP_attention_cudnn, &call, &scratch), done);
  CZ_GO(st, cz_op_run_backward(d, CZ_OP_attention_cudnn, &call, &scratch), done);
  st = d->sync(d);
done:
  cz_scratch_free(d, &scratch);
  cz_device_free(d, &rows, ROWS * bytes);
  cz_device_free(d, &spans, sizeof span);
  cz_device_free(d, &stats, of_stats);
  return st == CZ_OK || st == CZ_ENOMEM ? st : CZ_FAIL(CZ_EUSAGE, "%s", cz_error_message());
}

/* ---- the choice ---- */

static const cz_attention_times times[] = {
#define CZ_ATTENTION_TIMES(card, own, cudnn) {card, own, cudnn},
#include "nn/attention_times.def"
    {NULL, 0, 0}};

/* The row of a device; null when there is none. A card's name ends where the number of cards
 * follows. */
static const cz_attention_times *times_of(const cz_attention_times *table, const char *name) {
  for (; table->card; table++) {
    const size_t n = strlen(table->card);
    if (!strncmp(table->card, name, n) && (!name[n] || name[n] == ',')) return table;
  }
  return NULL;
}

/* What stands in the way of cuDNN; null: nothing. */
static const char *obstacle(const cz_attention_wish *w) {
  const char *key;
  if (cz_attention_refused(w, &key) == CZ_OK && cz_attention_try_cudnn(w) == CZ_OK) return NULL;
  return cz_error_message();
}

static const char *which(const cz_model_config *c) {
  return has_bias(c)
             ? " from decoder to encoder; self-attention, which has a relative bias, by our "
               "own kernels"
             : "";
}

/** Whether `auto` takes cuDNN on the wish's device: where TABLE says that it is faster and nothing
 * stands in its way. WHY: which and why, in one line. */
bool cz_attention_auto(const cz_attention_times *table, const cz_attention_wish *w, char *why,
                       size_t n) {
  cz_device_info info;
  if (w->device->info(w->device, &info) != CZ_OK) cz_error_clear(), *info.name = 0;
  const cz_attention_times *t = times_of(table, info.name);
  if (!t) {
    snprintf(why, n, "attention: our own kernels; cuDNN's were not timed on %s", info.name);
    return false;
  }
  if (t->own_us <= t->cudnn_us) {
    snprintf(why, n, "attention: our own kernels, %.0f us on %s where cuDNN's take %.0f", t->own_us,
             t->card, t->cudnn_us);
    return false;
  }
  const char *in_the_way = obstacle(w);
  if (in_the_way)
    snprintf(why, n, "attention: our own kernels, though cuDNN's are faster on %s: %s", t->card,
             in_the_way);
  else
    snprintf(why, n, "attention: by cuDNN%s; %.0f us on %s where our own kernels take %.0f",
             which(w->config), t->cudnn_us, t->card, t->own_us);
  if (in_the_way) cz_error_clear();
  return !in_the_way;
}

/** Whether attentions without a relative bias are cuDNN's, on the wish's device. WHY: which, in one
 * line; empty for our own, where nobody asked. */
bool cz_attention_takes_cudnn(cz_attention_choice choice, const cz_attention_wish *w, char *why,
                              size_t n) {
  *why = 0;
  if (choice == CZ_ATTENTION_AUTO && !has_cudnn(w->device))
    snprintf(why, n, "attention: our own kernels; device %s has no cuDNN", w->device->name);
  else if (choice == CZ_ATTENTION_AUTO)
    return cz_attention_auto(times, w, why, n);
  if (choice == CZ_ATTENTION_BY_CUDNN) snprintf(why, n, "attention: by cuDNN%s", which(w->config));
  return choice == CZ_ATTENTION_BY_CUDNN;
}

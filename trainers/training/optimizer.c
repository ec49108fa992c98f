#include "training/optimizer.h"
#include "training/optimizer_rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char optimizer_help[] = "what an update is made by"
#define CZ_OPTIMIZER(id, name, help, ...) "; " #name ": " help
#include "training/optimizers.def"
#undef CZ_OPTIMIZER
    ;
static const char *const schedules[] = {
    "constant", "rsqrt", "linear", "cosine", "transformers_linear", NULL};
static const cz_key_spec optimizer_keys[] = {
    CZ_KEY(cz_optimizer_keys, name, ENUM, .fallback = "adafactor", .choices = cz_optimizer_names,
           .help = optimizer_help),
    CZ_KEY(cz_optimizer_keys, learning_rate, REAL, .min = 0, .max = INFINITY,
           .help = "peak rate; with rsqrt the factor before 1/sqrt"),
    CZ_KEY(cz_optimizer_keys, schedule, ENUM, .fallback = "constant", .choices = schedules,
           .help =
               "constant; 1/sqrt(max(step, warmup)); or warm up, then fall to final_rate: linear "
               "and cosine at the last step, transformers_linear one step behind it"),
    CZ_KEY(cz_optimizer_keys, warmup_steps, INT, .fallback = "0", .min = 0, .max = 1e12,
           .unit = "steps",
           .help = "of rsqrt: steps at the flat rate; otherwise steps of linear rise"),
    CZ_KEY(cz_optimizer_keys, final_rate, REAL, .fallback = "0", .min = 0, .max = 1,
           .help = "where a falling schedule ends, as a part of the peak"),
    CZ_KEY(cz_optimizer_keys, clip_norm, REAL, .fallback = "0", .min = 0, .max = INFINITY,
           .help = "largest global gradient norm; 0: no clipping (T5)"),
    CZ_KEY(cz_optimizer_keys, beta1, REAL, .fallback = "0.9", .min = 0, .max = 1,
           .help = "AdamW: decay of the first moment"),
    CZ_KEY(cz_optimizer_keys, beta2, REAL, .fallback = "0.999", .min = 0, .max = 1,
           .help = "AdamW: decay of the second moment"),
    CZ_KEY(cz_optimizer_keys, epsilon, REAL, .fallback = "1e-6", .min = 0, .max = 1,
           .help = "AdamW: added to the root of the second moment"),
    CZ_KEY(cz_optimizer_keys, weight_decay, REAL, .fallback = "0", .min = 0, .max = 10,
           .help = "AdamW: decoupled decay of matrices"),
    CZ_KEY(cz_optimizer_keys, decay_exponent, REAL, .fallback = "0.8", .min = 0, .max = 1,
           .help = "Adafactor: second-moment decay 1 - (t + 1)^-this"),
    CZ_KEY(cz_optimizer_keys, clip_threshold, REAL, .fallback = "1", .min = 0, .max = INFINITY,
           .help = "Adafactor: largest RMS of an update"),
};
const cz_section cz_optimizer_section =
    CZ_SECTION("optimizer", "How gradients become updates.", optimizer_keys);

/* Offsets (elements) and sizes of one parameter's state in the flat block. */
typedef struct slots {
  int n;
  int64_t offset[CZ_OPTIMIZER_STATES], count[CZ_OPTIMIZER_STATES];
  bool factored;
} slots;

struct cz_optimizer {
  cz_optimizer_keys keys;
  const cz_optimizer_row *row;
  void *attr; /* of row->op */
  cz_params *params;
  slots *slots;
  void *state; /* flat, on the device */
  int64_t flat;
  int32_t *parts; /* of the parameters that are trained: on the device */
  int64_t n_parts;
  bool copies; /* the parts say which parameters have one */
  cz_parts_maximum maximum;
  void *small; /* on the device: where SUM and the others lie */
  void *scale; /* the loss scale: the graph's loss seed, or one of `small` */
  cz_arg losses;
  int64_t growth_steps; /* of the loss scale; 0: it stays 1 */
  cz_scratch scratch;
};

/* Places of the small arrays, in elements: each in a cache line of its own. */
enum { SUM = 0, NOW = 16, HYPER = 32, GOOD = 48, SCALE = 64, SMALL = 80 };

static size_t real_bytes(const cz_optimizer *o) { return cz_dtype_bytes(o->params->device->real); }

static void *small_at(const cz_optimizer *o, int place) {
  return (char *)o->small + (size_t)place * real_bytes(o);
}

/* N reals on the device. */
static cz_arg reals(const cz_optimizer *o, void *data, int64_t n) {
  return (cz_arg){.data = data, .dtype = o->params->device->real, .ndim = 1, .dim = {n}};
}

/* Lays the state of P out behind *FLAT elements. */
static void lay_out(slots *s, int64_t *flat, const cz_optimizer_row *row, const cz_param *p) {
  s->factored = row->factored && row->factored(p->ndim, p->dim);
  if (s->factored) {
    s->n = 2; /* rows and columns */
    s->count[0] = p->count / p->dim[p->ndim - 1];
    s->count[1] = p->count / p->dim[p->ndim - 2];
  } else {
    for (s->n = 0; s->n < CZ_OPTIMIZER_STATES && row->state[s->n]; s->n++)
      s->count[s->n] = p->count;
  }
  for (int i = 0; i < s->n; i++) {
    s->offset[i] = *flat;
    *flat += cz_flat_room(s->count[i]);
  }
}

/** Elements of state that an optimizer of KEYS keeps for those PARAMS that are trained; the list
 * may be without memory: what it will take before it is made. */
int64_t cz_optimizer_elements(const cz_optimizer_keys *keys, const cz_params *params) {
  int64_t flat = 0;
  slots s;
  for (size_t i = 0; i < params->n; i++)
    if (params->list[i]->trainable)
      lay_out(&s, &flat, &cz_optimizer_rows[keys->name], params->list[i]);
  return flat;
}

/* Parameter I as a row of parts. */
static cz_status make_part(cz_optimizer *o, int32_t *row, size_t i) {
  const cz_param *p = o->params->list[i];
  const slots *s = &o->slots[i];
  const int64_t count = p->count, rows = s->factored ? p->dim[p->ndim - 2] : 1,
                cols = s->factored ? p->dim[p->ndim - 1] : count, offset = p->offset / CZ_FLAT_UNIT,
                state = s->offset[0] / CZ_FLAT_UNIT;
  if (s->factored && !cz_adafactor_factors(p->ndim, p->dim))
    return CZ_FAIL(CZ_EINVAL,
                   "parameter %s: the last two dimensions, which are factored, are not "
                   "the largest",
                   p->name);
  if (p->offset % CZ_FLAT_UNIT || s->offset[0] % CZ_FLAT_UNIT)
    return CZ_FAIL(CZ_EINVAL,
                   "parameter %s begins at element %lld, and its state at %lld: not both multiples "
                   "of %d",
                   p->name, (long long)p->offset, (long long)s->offset[0], CZ_FLAT_UNIT);
  if (count > INT32_MAX || offset > INT32_MAX || state > INT32_MAX)
    return CZ_FAIL(CZ_EINVAL, "parameter %s: %lld elements at %lld are too many for an optimizer",
                   p->name, (long long)count, (long long)p->offset);
  row[CZ_FLAT_OFFSET] = (int32_t)offset;
  row[CZ_FLAT_ROWS] = (int32_t)rows;
  row[CZ_FLAT_COLS] = (int32_t)cols;
  row[CZ_FLAT_COUNT] = (int32_t)count;
  row[CZ_FLAT_FLAGS] = (p->decay ? CZ_FLAT_DECAY : 0) | (s->factored ? CZ_FLAT_FACTORED : 0) |
                       (p->copy ? CZ_FLAT_COPY : 0);
  row[CZ_FLAT_STATE] = (int32_t)state;
  return CZ_OK;
}

static size_t parts_bytes(const cz_optimizer *o) {
  return o->params->n * CZ_FLAT_FIELDS * sizeof(int32_t);
}

static cz_status make_parts(cz_optimizer *o) {
  cz_device *d = o->params->device;
  int32_t *rows;
  cz_status st = CZ_OK;
  o->copies = o->params->copies;
  CZ_TRY(cz_alloc(&rows, o->params->n * CZ_FLAT_FIELDS, sizeof *rows));
  for (size_t i = 0; i < o->params->n && st == CZ_OK; i++) {
    if (!o->params->list[i]->trainable) continue;
    st = make_part(o, rows + o->n_parts * CZ_FLAT_FIELDS, i);
    const cz_flat_part p = cz_flat_part_at(rows, o->n_parts++);
    cz_parts_count(&o->maximum, &p);
  }
  if (st == CZ_OK)
    st = cz_device_alloc_for(d, &o->parts, parts_bytes(o), "the optimizer's list of parameters");
  if (st == CZ_OK) st = d->write(d, o->parts, rows, parts_bytes(o));
  free(rows);
  return st;
}

/** Creates the optimizer of those PARAMS (borrowed) that are trainable now, with its state zeroed
 * on the same device. */
cz_status cz_optimizer_create(cz_optimizer **optimizer, const cz_optimizer_keys *keys,
                              cz_params *params) {
  const double one = 1;
  cz_status st;
  CZ_TRY(cz_alloc(optimizer, 1, sizeof **optimizer));
  cz_optimizer *o = *optimizer;
  o->keys = *keys;
  o->row = &cz_optimizer_rows[keys->name];
  o->params = params;
  CZ_GO(st, cz_alloc(&o->slots, params->n, sizeof *o->slots), fail);
  for (size_t i = 0; i < params->n; i++)
    if (params->list[i]->trainable) lay_out(&o->slots[i], &o->flat, o->row, params->list[i]);
  CZ_GO(st, make_parts(o), fail);
  CZ_GO(st, cz_alloc(&o->attr, cz_op_rows[o->row->op]->attr_bytes, 1), fail);
  o->row->fill(o->attr, keys, &o->maximum);
  CZ_GO(st,
        cz_device_alloc_for(params->device, &o->state, (size_t)o->flat * real_bytes(o),
                            "the optimizer's states"),
        fail);
  CZ_GO(st,
        cz_device_alloc_for(params->device, &o->small, SMALL * real_bytes(o),
                            "the optimizer's numbers"),
        fail);
  o->scale = small_at(o, SCALE);
  CZ_GO(st, cz_device_write_real(params->device, o->scale, &one, 1), fail);
  return CZ_OK;
fail:
  cz_optimizer_destroy(optimizer);
  return st;
}

/** Frees the optimizer and its state, not the parameters; clears the pointer, accepts
 * null. */
void cz_optimizer_destroy(cz_optimizer **optimizer) {
  cz_optimizer *o = *optimizer;
  if (!o) return;
  cz_device *d = o->params->device;
  cz_device_free(d, &o->state, (size_t)o->flat * real_bytes(o));
  cz_device_free(d, &o->parts, parts_bytes(o));
  cz_device_free(d, &o->small, SMALL * real_bytes(o));
  cz_scratch_free(d, &o->scratch);
  free(o->slots);
  free(o->attr);
  free(o);
  *optimizer = NULL;
}

/** Bytes of state: what a checkpoint of it takes. */
size_t cz_optimizer_bytes(const cz_optimizer *o) { return (size_t)o->flat * real_bytes(o); }

/** Tells the optimizer where the batch's losses lie, N reals in device memory, and the loss seed
 * (cz_graph_loss_seed) with which the gradient is made. Both are borrowed. Without it the losses
 * count as finite and the loss scale is 1. */
void cz_optimizer_bind(cz_optimizer *o, void *losses, int64_t n, void *loss_seed) {
  o->losses = reals(o, losses, n);
  o->scale = loss_seed;
}

/** Makes the loss scale FIRST, a power of two, and lets it move (kernels/clip/clip.h): it doubles
 * after GROWTH_STEPS. Its state is saved and loaded with the optimizer's. */
cz_status cz_optimizer_scale(cz_optimizer *o, double first, int64_t growth_steps) {
  o->growth_steps = growth_steps;
  return cz_device_write_real(o->params->device, o->scale, &first, 1);
}

/* The squares of the N numbers of FLAT, into SUM. */
static cz_status sum_of_squares(cz_optimizer *o, void *flat, int64_t n) {
  cz_call call = {.in = {reals(o, flat, n)}, .out = {reals(o, small_at(o, SUM), 1)}};
  return cz_op_run(o->params->device, CZ_OP_sumsq, &call, &o->scratch);
}

/** Whether all parameters are finite, and so small that their squares can be summed. Waits for the
 * device. */
cz_status cz_optimizer_finite(cz_optimizer *o, bool *finite) {
  double sum;
  CZ_TRY(sum_of_squares(o, o->params->values, o->params->flat));
  CZ_TRY(cz_device_read_real(o->params->device, &sum, small_at(o, SUM), 1));
  *finite = isfinite(sum);
  return CZ_OK;
}

/* Norm, factor and whether the step is made, into HYPER. */
static cz_status clip(cz_optimizer *o, double number, double rate) {
  cz_device *d = o->params->device;
  const double now[CZ_CLIP_NOWS] = {[CZ_CLIP_RATE] = rate, [CZ_CLIP_STEP] = number};
  const cz_clip_attr attr = {.clip_norm = o->keys.clip_norm,
                             .growth_steps = (double)o->growth_steps};
  cz_call call = {.attr = &attr};
  CZ_TRY(cz_device_write_real(d, small_at(o, NOW), now, CZ_CLIP_NOWS));
  CZ_TRY(sum_of_squares(o, o->params->grads, o->params->trained));
  call.in[CZ_CLIP_SUMSQ] = reals(o, small_at(o, SUM), 1);
  call.in[CZ_CLIP_LOSSES] = o->losses;
  call.in[CZ_CLIP_NOW] = reals(o, small_at(o, NOW), CZ_CLIP_NOWS);
  call.in[CZ_CLIP_SCALE] = call.out[CZ_CLIP_OUT_SCALE] = reals(o, o->scale, 1);
  call.in[CZ_CLIP_GOOD] = call.out[CZ_CLIP_OUT_GOOD] = reals(o, small_at(o, GOOD), 1);
  call.out[CZ_CLIP_OUT_HYPER] = reals(o, small_at(o, HYPER), CZ_HYPERS);
  return cz_op_run(d, CZ_OP_clip, &call, &o->scratch);
}

/** What the last step was made of, [CZ_HYPERS] reals (kernels/common/hyper.h) in device memory,
 * once it has run. Borrowed; the next step overwrites it. */
void *cz_optimizer_hyper(const cz_optimizer *o) { return small_at(o, HYPER); }

static cz_arg state_arg(const cz_optimizer *o, const slots *s, int i, const cz_param *p) {
  cz_arg a = {.data = (char *)o->state + (size_t)s->offset[i] * real_bytes(o),
              .dtype = o->params->device->real,
              .ndim = p->ndim};
  for (int k = 0; k < p->ndim; k++) a.dim[k] = p->dim[k];
  if (!s->factored) return a;
  a.ndim = p->ndim - 1; /* rows: all dimensions but the last; columns: all but the last but one */
  if (i == 1) a.dim[p->ndim - 2] = p->dim[p->ndim - 1];
  return a;
}

/* One call for all parameters, which lie at the beginning of each buffer. */
static cz_status update(cz_optimizer *o) {
  cz_params *p = o->params;
  cz_call call = {.attr = o->attr};
  call.in[CZ_UPDATE_W] = call.out[CZ_UPDATE_OUT_W] = reals(o, p->values, p->trained);
  call.in[CZ_UPDATE_G] = reals(o, p->grads, p->trained);
  call.in[CZ_UPDATE_STATE] = call.out[CZ_UPDATE_OUT_STATE] = reals(o, o->state, o->flat);
  call.in[CZ_UPDATE_PARTS] =
      (cz_arg){.data = o->parts, .dtype = CZ_I32, .ndim = 2, .dim = {o->n_parts, CZ_FLAT_FIELDS}};
  call.in[CZ_UPDATE_HYPER] = reals(o, small_at(o, HYPER), CZ_HYPERS);
  if (o->copies)
    call.in[CZ_UPDATE_COPY] = call.out[CZ_UPDATE_OUT_COPY] =
        (cz_arg){.data = p->copies, .dtype = p->compute, .ndim = 1, .dim = {p->trained}};
  return cz_op_run(p->device, o->row->op, &call, &o->scratch);
}

/** Clips, and updates every trainable parameter, and its copy, from its gradient, or nothing when
 * the norm or the sum of the losses is not finite. STEP counts from 0; RATE is the learning rate of
 * this step. Local; waits for nothing. */
cz_status cz_optimizer_step(cz_optimizer *o, int64_t step, double rate) {
  CZ_TRY(clip(o, (double)(step + o->row->first_step), rate));
  CZ_TRY(update(o));
  if (o->copies)
    cz_params_values_and_copies_written(o->params);
  else
    cz_params_values_written(o->params);
  return CZ_OK;
}

/* What a checkpoint calls the I-th state of a parameter. */
static const char *state_name(const cz_optimizer *o, const slots *s, int i) {
  static const char *const factored[] = {"row", "column"};
  return s->factored ? factored[i] : o->row->state[i];
}

/* Calls VISIT for every state of every parameter under its name, "optimizer/NAME/m". */
static cz_status each_state(cz_optimizer *o, void *file,
                            cz_status (*visit)(void *file, const char *name, cz_device *d,
                                               const cz_arg *state)) {
  char name[1024];
  for (size_t i = 0; i < o->params->n; i++) {
    const cz_param *p = o->params->list[i];
    for (int k = 0; k < o->slots[i].n; k++) {
      cz_arg state = state_arg(o, &o->slots[i], k, p);
      int n =
          snprintf(name, sizeof name, "optimizer/%s/%s", p->name, state_name(o, &o->slots[i], k));
      if (n < 0 || (size_t)n >= sizeof name)
        return CZ_FAIL(CZ_EINVAL, "a parameter's name is too long: %s", p->name);
      CZ_TRY(visit(file, name, o->params->device, &state));
    }
  }
  return CZ_OK;
}

static cz_status save_state(void *file, const char *name, cz_device *d, const cz_arg *state) {
  return cz_checkpoint_put_device(file, name, d, state->data, state->dim, state->ndim);
}

static cz_status load_state(void *file, const char *name, cz_device *d, const cz_arg *state) {
  return cz_checkpoint_get_device(file, d, state->data, name, state->dim, state->ndim);
}

static const char scale_name[] = "loss_scale", good_name[] = "loss_scale_good_steps";

/** Puts the state into a checkpoint, one entry for each array, and the loss scale where it moves.
 * Waits for the device. */
cz_status cz_optimizer_save(cz_optimizer *o, cz_checkpoint_writer *w) {
  double scale, good;
  CZ_TRY(each_state(o, w, save_state));
  if (!o->growth_steps) return CZ_OK;
  CZ_TRY(cz_device_read_real(o->params->device, &scale, o->scale, 1));
  CZ_TRY(cz_device_read_real(o->params->device, &good, small_at(o, GOOD), 1));
  CZ_TRY(cz_checkpoint_put_real(w, scale_name, scale));
  return cz_checkpoint_put_real(w, good_name, good);
}

/** Takes the state out of a checkpoint of the same optimizer and model. A run that had no loss
 * scale, in another precision, goes on with the first one. */
cz_status cz_optimizer_load(cz_optimizer *o, cz_checkpoint *c) {
  double scale, good;
  CZ_TRY(each_state(o, c, load_state));
  if (!o->growth_steps || !cz_checkpoint_find(c, scale_name)) return CZ_OK;
  CZ_TRY(cz_checkpoint_get_real(c, &scale, scale_name));
  CZ_TRY(cz_checkpoint_get_real(c, &good, good_name));
  CZ_TRY(cz_device_write_real(o->params->device, o->scale, &scale, 1));
  return cz_device_write_real(o->params->device, small_at(o, GOOD), &good, 1);
}

/** Whether the schedule's rates depend on the number of steps of the run. */
bool cz_schedule_needs_steps(const cz_optimizer_keys *k) {
  return k->schedule != CZ_SCHEDULE_CONSTANT && k->schedule != CZ_SCHEDULE_RSQRT;
}

/* From the peak (PART 0) to final_rate of it (PART 1). */
static double fall(const cz_optimizer_keys *k, double part) {
  double left =
      k->schedule == CZ_SCHEDULE_COSINE ? 0.5 * (1 + cos(3.14159265358979323846 * part)) : 1 - part;
  return k->learning_rate * (k->final_rate + (1 - k->final_rate) * left);
}

/** The learning rate of STEP (from 0) in a run of STEPS. rsqrt: learning_rate /
 * sqrt(max(step, warmup_steps)), T5's (t5.md 6.1). linear and cosine: rise over
 * warmup_steps, then fall to final_rate * learning_rate at the last step.
 * transformers_linear: PET's (pet.md 1.3) rises from 0 at step 0 and reaches its end one step
 * behind the last, so the last of the updates is still one. */
double cz_schedule_rate(const cz_optimizer_keys *k, int64_t step, int64_t steps) {
  double peak = k->learning_rate, warm = (double)k->warmup_steps, n = (double)step;
  bool transformers = k->schedule == CZ_SCHEDULE_TRANSFORMERS_LINEAR;
  double last = (double)steps - (transformers ? 0 : 1); /* where part is 1 */
  if (k->schedule == CZ_SCHEDULE_RSQRT) return peak / sqrt(fmax(fmax(n, warm), 1));
  if (n < warm) return peak * (n + (transformers ? 0 : 1)) / warm;
  if (!cz_schedule_needs_steps(k) || last <= warm) return peak;
  return fall(k, (n - warm) / (last - warm));
}

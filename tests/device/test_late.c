/* A loop that waits for nothing inside a step: it writes the files of one that waits for every
 * step, to the byte, on the host's devices and on one whose numbers really come late; a step whose
 * loss or gradient is not finite in one shard changes nothing but the counts; and any number of
 * ranks agrees about it.
 *
 *     mpiexec -n 4 test_late ranks      the last of these alone
 */
#include "far.h"
#include "planted.h"
#include "small.h"
#include "common/common.h"
#include "base/fs.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "device/random.h"
#include "kernels/common/bf16.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static cz_device far_device;

static const char *const names[] = {"ref", "cpu", "far"};
enum { DEVICES = sizeof names / sizeof *names };

static void open_device(cz_device **d, const char *name) {
  *d = &far_device;
  if (strcmp(name, "far")) OK(cz_device_open(d, name));
  far_device = cz_far;
}

static void close_device(cz_device **d) {
  if (*d != &far_device) cz_device_close(d);
}

/* The device whose kernels compute: far's are another's. */
static cz_device *computes(cz_device *d) { return d == &far_device ? far_near() : d; }

typedef struct setting {
  int steps, limit, shards, checkpoint_steps, optimizer;
  double scale;
  int scale_steps;
  bool waits;
  const plant *plant;
} setting;

typedef struct outcome {
  cz_status status;
  cz_loop_result result;
  char message[1024];
} outcome;

/* Trains on D in the folder's NAME, from the checkpoint there when there is one. */
static outcome run(cz_device *d, cz_comm *comm, const char *name, const setting *s) {
  outcome o = {0};
  cz_pairs pairs;
  cz_source source;
  cz_model *m = small_model(d);
  small_source(&source, &pairs);
  cz_loop_job job = small_job(m, comm, &source, s->optimizer);
  job.folder = under(name);
  job.batch.shards = s->shards;
  job.train.steps = s->steps;
  job.train.nonfinite_limit = s->limit;
  job.train.checkpoint_steps = s->checkpoint_steps;
  job.train.loss_scale = s->scale;
  job.train.loss_scale_steps = s->scale_steps;
  OK(cz_fs_make_dirs(job.folder));
  assert_int_equal(setenv("CZ_LOOP_WAIT", s->waits ? "1" : "0", 1), 0);
  plant_in(computes(d), s->plant);
  o.status = cz_loop_run(&o.result, &job);
  plant_in(computes(d), NULL);
  if (o.status != CZ_OK) snprintf(o.message, sizeof o.message, "%s", cz_error_message());
  cz_source_destroy(&source);
  cz_pairs_free(&pairs);
  cz_model_destroy(&m);
  return o;
}

static cz_buf bytes_of(const char *run_name, const char *file) {
  char name[128];
  cz_buf b = {0};
  snprintf(name, sizeof name, "%s/%s", run_name, file);
  OK(cz_fs_read(under(name), &b));
  return b;
}

static void same_file(const char *a, const char *b, const char *file) {
  cz_buf x = bytes_of(a, file), y = bytes_of(b, file);
  if (x.len != y.len || memcmp(x.data, y.data, x.len))
    fail_msg("%s of %s and %s differ:\n%.600s\n%.600s", file, a, b, x.data, y.data);
  assert_true(x.len > 0);
  cz_buf_free(&x), cz_buf_free(&y);
}

/* Whether all entries of two checkpoints whose names begin with PREFIX have the same bytes. */
static bool same_entries(const char *a, const char *b, const char *prefix) {
  cz_checkpoint *x, *y;
  const cz_checkpoint_entry *e;
  bool same = true;
  int n = 0;
  OK(cz_checkpoint_open(&x, under(a)));
  OK(cz_checkpoint_open(&y, under(b)));
  for (size_t i = 0; (e = cz_checkpoint_at(x, i)); i++) {
    if (strncmp(e->name, prefix, strlen(prefix))) continue;
    const size_t bytes = (size_t)e->elements * cz_checkpoint_type_size(e->type);
    char *p = test_malloc(bytes), *q = test_malloc(bytes);
    OK(cz_checkpoint_get(x, p, e->name, e->type, e->dims, e->rank));
    OK(cz_checkpoint_get(y, q, e->name, e->type, e->dims, e->rank));
    same &= !memcmp(p, q, bytes);
    test_free(p), test_free(q);
    n++;
  }
  assert_true(n > 5);
  cz_checkpoint_close(&x), cz_checkpoint_close(&y);
  return same;
}

/* A late read has the bytes of its place in the order, though they are overwritten before they
 * arrive. */
static void late_reads(void **state) {
  for (int i = 0; i < DEVICES; i++) {
    enum { READS = 5, BYTES = 3000 };
    cz_device *d;
    unsigned char *block, seen[READS][BYTES], want[BYTES];
    uint64_t ticket[READS];
    bool there;
    open_device(&d, names[i]);
    OK(cz_device_alloc(d, &block, BYTES));
    for (int k = 0; k < READS; k++) {
      memset(want, 0x10 + k, sizeof want);
      OK(d->write(d, block, want, sizeof want));
      memset(want, 0, sizeof want); /* write has taken its bytes */
      OK(d->read_later(d, seen[k], block, BYTES, &ticket[k]));
    }
    OK(d->arrived(d, ticket[READS - 1], false, &there));
    assert_true(there == (d != &far_device));
    if (!there) assert_int_equal(seen[0][0], 0xFF);
    OK(d->arrived(d, ticket[2], true, &there));
    assert_true(there);
    OK(d->arrived(d, ticket[1], false, &there));
    assert_true(there);
    OK(d->arrived(d, ticket[3], false, &there));
    assert_true(there == (d != &far_device));
    OK(d->arrived(d, ticket[READS - 1], true, &there));
    for (int k = 0; k < READS; k++)
      for (int j = 0; j < BYTES; j++) assert_int_equal(seen[k][j], 0x10 + k);
    cz_device_free(d, &block, BYTES);
    close_device(&d);
  }
}

static const plant in_shard = {.first = 2, .last = 2, .shard = 1, .value = NAN},
                   loss_only = {.first = 0, .last = 0, .shard = 2, .in_loss = true, .value = NAN},
                   infinite = {.first = 3, .last = 4, .all_shards = true, .value = INFINITY},
                   for_ever = {.first = 3, .last = 99, .shard = 0, .value = -INFINITY};

/* Every file of a run that waits, byte for byte, on every device; and between cpu and far all that
 * does not name the processor. */
static void same_files(void **state) {
  static const plant *const plants[] = {NULL, &in_shard, &loss_only, &infinite, &for_ever};
  cz_comm *comm;
  OK(cz_comm_open(&comm, "self"));
  for (int k = 0; k < 5; k++) {
    for (int i = 0; i < DEVICES; i++) {
      cz_device *d;
      outcome o[2];
      char at[2][32];
      open_device(&d, names[i]);
      for (int waits = 0; waits < 2; waits++) {
        const setting s = {.steps = 7,
                           .limit = 3,
                           .shards = 3,
                           .checkpoint_steps = 2,
                           .optimizer = k % 2 ? CZ_OPTIMIZER_ADAFACTOR : CZ_OPTIMIZER_ADAMW_SCALE,
                           .waits = waits,
                           .plant = plants[k]};
        snprintf(at[waits], sizeof at[waits], "%s%d", names[i], waits);
        planted();
        o[waits] = run(d, comm, at[waits], &s);
        assert_true((planted() > 0) == (plants[k] != NULL));
      }
      same_file(at[0], at[1], "metrics.jsonl");
      same_file(at[0], at[1], "checkpoint.h5");
      same_file(at[0], at[1], "checkpoint.prev.h5");
      assert_int_equal(o[0].status, plants[k] == &for_ever ? CZ_ENUMERIC : CZ_OK);
      assert_int_equal(o[1].status, o[0].status);
      assert_true(o[0].result.skipped == o[1].result.skipped &&
                  !memcmp(&o[0].result.loss, &o[1].result.loss, sizeof o[0].result.loss));
      close_device(&d);
    }
    same_file("cpu0", "far0", "metrics.jsonl");
    assert_true(same_entries("cpu0", "far0", "parameters/") &&
                same_entries("cpu0", "far0", "optimizer/"));
    for (int i = 0; i < 2 * DEVICES; i++) {
      char name[32];
      snprintf(name, sizeof name, "%s%d", names[i / 2], i % 2);
      assert_int_equal(remove_tree(name), 0);
    }
  }
  cz_comm_close(&comm);
}

/* The step that is not finite leaves parameters and optimizer as the step before left them, counts
 * as skipped, and the next one trains. */
static void skips_one_step(void **state) {
  static const plant *const plants[] = {&in_shard, &loss_only};
  cz_comm *comm;
  OK(cz_comm_open(&comm, "self"));
  for (int k = 0; k < 2 * 2 * DEVICES; k++) {
    const plant *p = plants[k % 2];
    const int at = (int)p->first;
    const char *const folders[] = {"before", "skipped", "after"};
    cz_device *d;
    open_device(&d, names[k / 2 % DEVICES]);
    for (int i = at ? 0 : 1; i < 3; i++) {
      const setting s = {.steps = at + i,
                         .limit = 2,
                         .shards = 3,
                         .optimizer = k / 2 < DEVICES ? CZ_OPTIMIZER_ADAFACTOR : CZ_OPTIMIZER_ADAMW,
                         .plant = p};
      outcome o = run(d, comm, folders[i], &s);
      assert_int_equal(o.status, CZ_OK);
      assert_int_equal(o.result.skipped, i > 0);
      assert_int_equal(o.result.steps, at + i - (i > 0));
      assert_true(isnan(o.result.last_loss) == (i == 1 && p->in_loss));
    }
    if (at) assert_true(same_entries("before", "skipped", "parameters/"));
    if (at) assert_true(same_entries("before", "skipped", "optimizer/"));
    assert_false(same_entries("skipped", "after", "parameters/"));
    assert_false(same_entries("skipped", "after", "optimizer/"));
    for (int i = at ? 0 : 1; i < 3; i++) assert_int_equal(remove_tree(folders[i]), 0);
    close_device(&d);
  }
  cz_comm_close(&comm);
}

/* Too many in a row end the run with the same words, and the last checkpoint is what it was. */
static void limit(void **state) {
  cz_comm *comm;
  OK(cz_comm_open(&comm, "self"));
  for (int i = 0; i < DEVICES; i++) {
    cz_device *d;
    char words[2][1024];
    open_device(&d, names[i]);
    for (int waits = 0; waits < 2; waits++) {
      setting s = {.steps = 3, .limit = 2, .shards = 3, .checkpoint_steps = 3, .waits = waits};
      assert_int_equal(run(d, comm, "whole", &s).status, CZ_OK);
      s.steps = 50;
      s.plant = &for_ever;
      outcome o = run(d, comm, "run", &s);
      assert_int_equal(o.status, CZ_ENUMERIC);
      assert_int_equal(o.result.skipped, 2);
      assert_non_null(
          strstr(o.message, "2 steps in a row had a loss or gradient that is not finite"));
      assert_non_null(strstr(o.message, "the last checkpoint is good"));
      assert_true(same_entries("run", "whole", "parameters/"));
      snprintf(words[waits], sizeof words[waits], "%s", o.message);
      assert_int_equal(remove_tree("run") + remove_tree("whole"), 0);
    }
    assert_string_equal(words[0], words[1]);
    close_device(&d);
  }
  cz_comm_close(&comm);
}

/* Steps add nothing to the waits for all, and while one of the late reads is waited for the device
 * has the next step to work on. With CZ_LOOP_WAIT it has not. */
static void waits_for_nothing(void **state) {
  enum { FEW = 3, MORE = 9 };
  cz_comm *comm;
  cz_device *d;
  OK(cz_comm_open(&comm, "self"));
  open_device(&d, "far");
  for (int k = 0; k < 2 * 3; k++) {
    far_waits waited[2];
    const bool waits = k % 2;
    for (int i = 0; i < 2; i++) {
      const setting s = {.steps = i ? MORE : FEW, .limit = 1, .shards = 1 + k / 2, .waits = waits};
      far_waited(true);
      for (int op = 0; op < CZ_OPS; op++) far_calls((cz_op)op);
      assert_int_equal(run(d, comm, "run", &s).status, CZ_OK);
      waited[i] = far_waited(true);
      assert_int_equal(far_calls(CZ_OP_adafactor), s.steps); /* one for all parameters */
      assert_int_equal(far_calls(CZ_OP_clip), s.steps);
      assert_int_equal(remove_tree("run"), 0);
    }
    assert_int_equal(waited[1].whole, waited[0].whole);
    assert_int_equal(waited[1].events, waited[0].events);
    assert_int_equal(waited[1].late - waited[0].late, MORE - FEW);
    assert_int_equal(waited[0].idle, waits ? FEW : 1);
    assert_int_equal(waited[1].idle, waits ? MORE : 1); /* the last step's, before the checkpoint */
  }
  close_device(&d);
  cz_comm_close(&comm);
}

/* The numbers called NAME of the lines of a run's metrics, at most N; returns how many. */
static int column(double *out, int n, const char *run_name, const char *name) {
  cz_buf b = bytes_of(run_name, "metrics.jsonl");
  char key[64];
  int k = 0;
  snprintf(key, sizeof key, "\"%s\": ", name);
  OK(cz_buf_add(&b, "", 1));
  for (const char *at = b.data; k < n && (at = strstr(at, key)); at++) {
    const char *number = at + strlen(key);
    out[k++] = *number == '"' ? NAN : strtod(number, NULL);
  }
  cz_buf_free(&b);
  return k;
}

/* A scale of a power of two that meets no end of the numbers moves no bit of what is trained. */
static void scaled(void **state) {
  static const int optimizers[] = {CZ_OPTIMIZER_ADAFACTOR, CZ_OPTIMIZER_ADAMW,
                                   CZ_OPTIMIZER_ADAMW_SCALE};
  cz_comm *comm;
  OK(cz_comm_open(&comm, "self"));
  for (int i = 0; i < 3 * DEVICES; i++) {
    cz_device *d;
    double loss[2][6], norm[2][6], scale[6];
    setting s = {.steps = 6, .limit = 1, .shards = 2, .optimizer = optimizers[i % 3]};
    open_device(&d, names[i / 3]);
    assert_int_equal(run(d, comm, "none", &s).status, CZ_OK);
    s.scale = 512, s.scale_steps = 2;
    assert_int_equal(run(d, comm, "scaled", &s).status, CZ_OK);
    assert_true(same_entries("none", "scaled", "parameters/"));
    assert_true(same_entries("none", "scaled", "optimizer/"));
    for (int k = 0; k < 2; k++) {
      assert_int_equal(column(loss[k], 6, k ? "scaled" : "none", "loss"), 6);
      assert_int_equal(column(norm[k], 6, k ? "scaled" : "none", "gradient_norm"), 6);
    }
    assert_memory_equal(loss[0], loss[1], sizeof loss[0]);
    assert_memory_equal(norm[0], norm[1], sizeof norm[0]);
    assert_int_equal(column(scale, 6, "none", "loss_scale"), 0);
    assert_int_equal(column(scale, 6, "scaled", "loss_scale"), 6);
    for (int k = 0; k < 6; k++) assert_true(scale[k] == 512 << k / 2);
    assert_int_equal(remove_tree("none") + remove_tree("scaled"), 0);
    close_device(&d);
  }
  cz_comm_close(&comm);
}

/* An infinity halves the scale, to the bit, and ends the count of good steps; the next step trains.
 * A run that stops in between goes on with the scale, and the count, that it had. */
static void halves(void **state) {
  static const plant twice = {.first = 3, .last = 4, .shard = 1, .value = INFINITY};
  static const double want[] = {4096, 4096, 4096, 8192, 4096, 2048, 2048, 2048, 4096, 4096};
  enum { STEPS = sizeof want / sizeof *want };
  cz_comm *comm;
  OK(cz_comm_open(&comm, "self"));
  for (int i = 0; i < DEVICES; i++) {
    cz_device *d;
    double scale[STEPS + 1];
    setting s = {
        .steps = STEPS, .limit = 1, .shards = 2, .scale = 4096, .scale_steps = 3, .plant = &twice};
    open_device(&d, names[i]);
    outcome o = run(d, comm, "whole", &s);
    assert_true(o.status == CZ_OK && o.result.skipped == 2 && o.result.steps == STEPS - 2);
    assert_int_equal(column(scale, STEPS + 1, "whole", "loss_scale"), STEPS);
    for (int k = 0; k < STEPS; k++)
      if (scale[k] != want[k]) fail_msg("step %d: scale %g, not %g", k, scale[k], want[k]);
    for (s.steps = 1; s.steps < STEPS; s.steps += 2)
      assert_int_equal(run(d, comm, "parts", &s).status, CZ_OK);
    s.steps = STEPS;
    assert_int_equal(run(d, comm, "parts", &s).status, CZ_OK);
    same_file("whole", "parts", "metrics.jsonl");
    same_file("whole", "parts", "checkpoint.h5");
    assert_int_equal(remove_tree("whole") + remove_tree("parts"), 0);
    close_device(&d);
  }
  cz_comm_close(&comm);
}

/* A scale that runs to its floor says so, with the step; from there on the limit counts. */
static void scale_floor(void **state) {
  cz_comm *comm;
  OK(cz_comm_open(&comm, "self"));
  for (int i = 0; i < DEVICES; i++) {
    const setting s = {
        .steps = 50, .limit = 3, .shards = 2, .scale = 8, .scale_steps = 1, .plant = &for_ever};
    cz_device *d;
    double scale[50];
    open_device(&d, names[i]);
    OK(cz_fs_make_dirs(under("run")));
    OK(cz_log_open(under("run/log.txt")));
    outcome o = run(d, comm, "run", &s);
    cz_log_close();
    cz_buf log = bytes_of("run", "log.txt");
    OK(cz_buf_add(&log, "", 1));
    assert_int_equal(o.status, CZ_ENUMERIC);
    assert_non_null(strstr(o.message, "3 steps in a row had a loss"));
    assert_int_equal(o.result.skipped, 6 + 3); /* 64, 32, 16, 8, 4, 2, and three at 1 */
    assert_int_equal(column(scale, 50, "run", "loss_scale"), 3 + 6 + 2);
    assert_true(scale[3] == 64 && scale[8] == 2 && scale[9] == 1 && scale[10] == 1);
    assert_non_null(strstr(log.data, "step 3: "));
    assert_non_null(strstr(log.data, "the loss scale is 32 from now on\n"));
    const char *line = strstr(log.data, "step 8: ");
    assert_non_null(line);
    assert_non_null(strstr(line, "the loss scale is 1 from now on, its floor\n"));
    cz_buf_free(&log);
    assert_int_equal(remove_tree("run"), 0);
    close_device(&d);
  }
  cz_comm_close(&comm);
}

/* Half precision has a scale unless it is given one, the others have none; a checkpoint of a run
 * without one goes on with the first. */
static void first_scale(void **state) {
  cz_train_keys t = {.precision = CZ_PRECISION_F16};
  assert_true(cz_loop_scale(&t) == 65536);
  t.loss_scale = 4;
  assert_true(cz_loop_scale(&t) == 4);
  t = (cz_train_keys){.precision = CZ_PRECISION_BF16};
  assert_true(cz_loop_scale(&t) == 0);
  cz_comm *comm;
  OK(cz_comm_open(&comm, "self"));
  for (int i = 0; i < DEVICES; i++) {
    setting s = {.steps = 2, .limit = 1, .shards = 2};
    double scale[4] = {0};
    cz_device *d;
    open_device(&d, names[i]);
    assert_int_equal(run(d, comm, "run", &s).status, CZ_OK);
    s.steps = 4, s.scale = 128, s.scale_steps = 9;
    assert_int_equal(run(d, comm, "run", &s).status, CZ_OK);
    assert_int_equal(column(scale, 4, "run", "loss_scale"), 2);
    assert_true(scale[0] == 128 && scale[1] == 128);
    assert_int_equal(remove_tree("run"), 0);
    close_device(&d);
  }
  cz_comm_close(&comm);
}

static void scale_refused(void **state) {
  static const double wrong[] = {3, 0.5, 1000, NAN};
  for (int i = 0; i < 4; i++) {
    cz_loop_job job = small_job(NULL, NULL, NULL, 0);
    job.train.loss_scale = wrong[i];
    FAILS(cz_loop_check(&job), CZ_EUSAGE, "is no power of two from 1 on");
  }
}

static const cz_kernels *(*kernels_of_cpu)(cz_device *d, cz_op op, cz_dtype dtype);

/* Products in bfloat16, which nobody calls here. */
static const cz_kernels *with_products(cz_device *d, cz_op op, cz_dtype dtype) {
  return kernels_of_cpu(d, op, op == CZ_OP_linear ? CZ_F32 : dtype);
}

/* Every copy is its value rounded to nearest, and nobody has to bring it up to date. */
static void check_copies(cz_params *p) {
  float *values = test_calloc((size_t)p->flat, sizeof *values);
  cz_bf16 *copies = test_calloc((size_t)p->flat, sizeof *copies);
  int n = 0;
  OK(p->device->read(p->device, values, p->values, (size_t)p->flat * sizeof *values));
  OK(p->device->read(p->device, copies, p->copies, (size_t)p->flat * sizeof *copies));
  for (size_t i = 0; i < p->n; i++) {
    const cz_param *q = p->list[i];
    for (int64_t k = q->offset; q->copy && k < q->offset + q->count; k++)
      if (copies[k] != cz_bf16_nearest(values[k]))
        fail_msg("%s: the copy of %.9g is %.9g", q->name, values[k], cz_bf16_value(copies[k]));
    n += q->copy != NULL;
  }
  assert_true(n > 10 && !p->stale);
  test_free(values), test_free(copies);
}

static void put_gradients(cz_params *p, cz_stream *s, double planted) {
  double *g = test_calloc((size_t)p->flat, sizeof *g);
  for (size_t i = 0; i < p->n; i++)
    for (int64_t k = 0; k < p->list[i]->count; k++)
      g[p->list[i]->offset + k] = cz_stream_uniform(s) - 0.5;
  g[p->list[3]->offset] += planted;
  OK(cz_device_write_real(p->device, p->grads, g, p->flat));
  test_free(g);
}

/* The values of a parameter, for the caller to free. */
static float *values_of(const cz_params *p, const cz_param *q) {
  float *x = test_calloc((size_t)q->count, sizeof *x);
  OK(p->device->read(p->device, x, q->value, (size_t)q->count * sizeof *x));
  return x;
}

/* The optimizers write what they update with its copies, and nothing else. */
static void copies(void **state) {
  static const int optimizers[] = {CZ_OPTIMIZER_ADAFACTOR, CZ_OPTIMIZER_ADAMW,
                                   CZ_OPTIMIZER_ADAMW_SCALE};
  cz_stream s;
  cz_stream_init(&s, test_seed(), "gradients", 0, 0);
  for (int i = 0; i < 2 * 3; i++) {
    cz_device *d;
    cz_optimizer *o;
    uint64_t version;
    open_device(&d, names[1 + i / 3]);
    kernels_of_cpu = computes(d)->kernels;
    computes(d)->kernels = with_products;
    cz_model *m = small_model(d);
    const cz_optimizer_keys keys = small_job(m, NULL, NULL, optimizers[i % 3]).optimizer;
    cz_params *p = m->params;
    OK(cz_params_compute(p, CZ_BF16));
    OK(cz_params_allocate_grads(p, 0));
    p->list[0]->trainable = false;
    OK(cz_optimizer_create(&o, &keys, p));
    OK(cz_params_refresh(p));
    check_copies(p);
    float *frozen = values_of(p, p->list[0]), *moving = values_of(p, p->list[1]);
    for (int step = 0; step < 4; step++) {
      put_gradients(p, &s, step == 2 ? NAN : 0);
      version = p->version;
      OK(cz_optimizer_step(o, step, 0.01));
      assert_true(p->version > version);
      check_copies(p);
    }
    float *after = values_of(p, p->list[0]), *moved = values_of(p, p->list[1]);
    assert_memory_equal(after, frozen, (size_t)p->list[0]->count * sizeof *after);
    assert_memory_not_equal(moved, moving, (size_t)p->list[1]->count * sizeof *moved);
    test_free(frozen), test_free(moving), test_free(after), test_free(moved);
    cz_optimizer_destroy(&o);
    cz_model_destroy(&m);
    computes(d)->kernels = kernels_of_cpu;
    close_device(&d);
  }
}

/* The first 1, 2 and 4 of four ranks: the same metrics and weights, with a loss or a gradient that
 * only one of them sees is not finite. */
static void ranks(void **state) {
  static const plant *const plants[] = {NULL, &in_shard, &loss_only};
  cz_comm *world, *group;
  OK(cz_comm_open(&world, "mpi"));
  assert_int_equal(world->size, 4);
  for (int k = 0; k < 2 * 3; k++) {
    cz_device *d;
    char at[3][32];
    open_device(&d, k < 3 ? "far" : "cpu");
    for (int n = 0; n < 3; n++) {
      const setting s = {.steps = 4,
                         .limit = 2,
                         .shards = 4,
                         .optimizer = CZ_OPTIMIZER_ADAFACTOR,
                         .waits = k == 4 && n == 1,
                         .plant = plants[k % 3]};
      snprintf(at[n], sizeof at[n], "%d_%d_%d", world->rank, k, n);
      OK(cz_comm_split(world, &group, world->rank < 1 << n ? 0 : 1 + world->rank));
      outcome o = {0};
      if (world->rank < 1 << n) o = run(d, group, at[n], &s);
      assert_int_equal(o.status, CZ_OK);
      if (world->rank < 1 << n) assert_int_equal(o.result.skipped, plants[k % 3] != NULL);
      cz_comm_close(&group);
    }
    for (int n = 1; n < 3 && world->rank == 0; n++) {
      same_file(at[0], at[n], "metrics.jsonl");
      assert_true(same_entries(at[0], at[n], "parameters/"));
      assert_true(same_entries(at[0], at[n], "optimizer/"));
    }
    close_device(&d);
  }
  cz_comm_close(&world);
}

static int begin(void **state) {
  far_open();
  return make_folder(state);
}

static int end(void **state) {
  far_close();
  return drop_folder(state);
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(late_reads),
                                     cmocka_unit_test(same_files),
                                     cmocka_unit_test(skips_one_step),
                                     cmocka_unit_test(limit),
                                     cmocka_unit_test(waits_for_nothing),
                                     cmocka_unit_test(scaled),
                                     cmocka_unit_test(halves),
                                     cmocka_unit_test(scale_floor),
                                     cmocka_unit_test(first_scale),
                                     cmocka_unit_test(scale_refused),
                                     cmocka_unit_test(copies)},
                          under_mpi[] = {cmocka_unit_test(ranks)};
  cz_log_quiet(true);
  if (argc > 1 && !strcmp(argv[1], "ranks"))
    return cmocka_run_group_tests_name("ranks", under_mpi, begin, end);
  return cmocka_run_group_tests_name("late", tests, begin, end);
}

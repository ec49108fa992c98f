/* What is known of each optimizer (trainers/training/optimizers.def), its state in memory and in a
 * checkpoint, and what the schedules are made of. */
#include "base/fs.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "common/common.h"
#include "kernels/common/flat.h"
#include "training/optimizer.h"

#include <stdio.h>
#include <string.h>

/* A vector and two matrices, one of which Adafactor factors; none of a size that is a multiple of
 * the unit in which parameters are laid out. */
static const struct {
  const char *name;
  int ndim;
  int64_t dim[2];
} parameters[] = {{"gain", 1, {37}}, {"large", 2, {129, 203}}, {"small", 2, {31, 201}}};
enum { GAIN, LARGE, SMALL, PARAMETERS };

typedef struct setting {
  cz_device *device;
  cz_params *params;
} setting;

static setting open_setting(void) {
  setting s;
  OK(cz_device_open(&s.device, "cpu"));
  OK(cz_params_create(&s.params, s.device));
  for (int i = 0; i < PARAMETERS; i++) {
    cz_param *p;
    OK(cz_params_declare(s.params, &p, parameters[i].name, parameters[i].ndim, parameters[i].dim,
                         (cz_init){.kind = CZ_INIT_NORMAL, .scale = 1}, true));
  }
  OK(cz_params_allocate(s.params));
  OK(cz_params_allocate_grads(s.params, 0));
  OK(cz_params_init(s.params, test_seed()));
  float *g = test_malloc((size_t)s.params->flat * sizeof *g);
  for (int64_t i = 0; i < s.params->flat; i++) g[i] = -0.5f;
  OK(s.device->write(s.device, s.params->grads, g, cz_params_bytes(s.params)));
  test_free(g);
  return s;
}

static void close_setting(setting *s) {
  cz_params_destroy(&s->params);
  cz_device_close(&s->device);
}

static cz_optimizer_keys keys_of(cz_optimizer_name name) {
  return (cz_optimizer_keys){.name = (int)name,
                             .beta1 = 0.9,
                             .beta2 = 0.999,
                             .epsilon = 1e-6,
                             .decay_exponent = 0.8,
                             .clip_threshold = 1};
}

static void names(void **state) {
  static const char *const known[] = {[CZ_OPTIMIZER_ADAFACTOR] = "adafactor",
                                      [CZ_OPTIMIZER_ADAMW] = "adamw",
                                      [CZ_OPTIMIZER_ADAMW_SCALE] = "adamw_scale"};
  cz_optimizer_name name;
  for (int i = 0; i < (int)(sizeof known / sizeof *known); i++) {
    OK(cz_optimizer_find(&name, known[i]));
    assert_int_equal(name, i);
  }
  for (int i = 0; i < CZ_OPTIMIZERS; i++) {
    OK(cz_optimizer_find(&name, cz_optimizer_names[i]));
    assert_int_equal(name, i);
  }
  assert_null(cz_optimizer_names[CZ_OPTIMIZERS]);
  FAILS(cz_optimizer_find(&name, "sgd"), CZ_EUSAGE, "no optimizer is called 'sgd'");
  FAILS(cz_optimizer_find(&name, "adamw_scal"), CZ_EUSAGE, "adamw_scale");
}

typedef struct entry {
  const char *name;
  int rank;
  int64_t dim[2];
} entry;

enum { ENTRIES = 6 };
static const entry moments[ENTRIES] = {{"gain/m", 1, {37}},        {"gain/v", 1, {37}},
                                       {"large/m", 2, {129, 203}}, {"large/v", 2, {129, 203}},
                                       {"small/m", 2, {31, 201}},  {"small/v", 2, {31, 201}}},
                   statistics[ENTRIES] = {{"gain/v", 1, {37}},
                                          {"large/row", 1, {129}},
                                          {"large/column", 1, {203}},
                                          {"small/v", 2, {31, 201}}};
static const entry *const entries[CZ_OPTIMIZERS] = {[CZ_OPTIMIZER_ADAFACTOR] = statistics,
                                                    [CZ_OPTIMIZER_ADAMW] = moments,
                                                    [CZ_OPTIMIZER_ADAMW_SCALE] = moments};

/* Where every gradient is negative the first moment alone is too: what is saved under a name is
 * what the op keeps there. */
static void check_signs(cz_checkpoint *c, const cz_checkpoint_entry *e) {
  float *x = test_malloc(e->elements * sizeof *x);
  const bool negative = !strcmp(strrchr(e->name, '/'), "/m");
  OK(cz_checkpoint_get(c, x, e->name, e->type, e->dims, e->rank));
  for (uint64_t i = 0; i < e->elements; i++)
    if (!(negative ? x[i] < 0 : x[i] > 0)) fail_msg("%s[%d] is %g", e->name, (int)i, x[i]);
  test_free(x);
}

/* Elements that the states of optimizer NAME take in memory, as their entries in C have them, which
 * are all that C has of an optimizer. */
static int64_t check_entries(cz_checkpoint *c, int name) {
  char text[64];
  int64_t elements = 0;
  size_t n = 0, all = 0;
  for (const entry *e = entries[name]; n < ENTRIES && e[n].name; n++) {
    snprintf(text, sizeof text, "optimizer/%s", e[n].name);
    const cz_checkpoint_entry *got = cz_checkpoint_find(c, text);
    if (!got) fail_msg("%s: there is no %s", cz_optimizer_names[name], text);
    assert_int_equal(got->rank, e[n].rank);
    for (int i = 0; i < got->rank; i++) assert_int_equal(got->dims[i], e[n].dim[i]);
    check_signs(c, got);
    elements += cz_flat_room((int64_t)got->elements);
  }
  for (size_t i = 0; cz_checkpoint_at(c, i); i++)
    all += !strncmp(cz_checkpoint_at(c, i)->name, "optimizer/", 10);
  assert_int_equal(all, n);
  return elements;
}

/* Every array of state has its name and shape in a checkpoint, and whole units in memory, which are
 * counted before they are taken. */
static void states(void **state) {
  for (int name = 0; name < CZ_OPTIMIZERS; name++) {
    setting s = open_setting();
    const cz_optimizer_keys keys = keys_of((cz_optimizer_name)name);
    cz_optimizer *o;
    cz_checkpoint_writer *w;
    cz_checkpoint *c;
    OK(cz_optimizer_create(&o, &keys, s.params));
    OK(cz_optimizer_step(o, 0, 0.01));
    OK(cz_fs_make_dirs(under(cz_optimizer_names[name])));
    OK(cz_checkpoint_begin(&w, under(cz_optimizer_names[name]), 1,
                           cz_checkpoint_bytes(1 << 20, 16)));
    OK(cz_optimizer_save(o, w));
    OK(cz_checkpoint_commit(&w));
    OK(cz_checkpoint_open(&c, under(cz_optimizer_names[name])));
    const int64_t elements = check_entries(c, name);
    assert_int_equal(cz_optimizer_elements(&keys, s.params), elements);
    assert_int_equal(cz_optimizer_bytes(o), elements * (int64_t)sizeof(float));
    cz_checkpoint_close(&c);
    cz_optimizer_destroy(&o);
    close_setting(&s);
  }
}

/* Parts of the flat buffers begin in whole units; one that does not is refused, not rounded down to
 * its neighbour's numbers. */
static void misplaced(void **state) {
  for (int name = 0; name < CZ_OPTIMIZERS; name++) {
    setting s = open_setting();
    const cz_optimizer_keys keys = keys_of((cz_optimizer_name)name);
    cz_optimizer *o = NULL;
    s.params->list[SMALL]->offset -= 1;
    FAILS(cz_optimizer_create(&o, &keys, s.params), CZ_EINVAL, "parameter small begins at element");
    assert_null(o);
    s.params->list[SMALL]->offset += 1;
    OK(cz_optimizer_create(&o, &keys, s.params));
    cz_optimizer_destroy(&o);
    close_setting(&s);
  }
}

/* A schedule needs the number of steps when another number changes a rate. */
static void needs_steps(void **state) {
  cz_optimizer_keys keys = {.learning_rate = 0.5, .final_rate = 0.1, .warmup_steps = 3};
  for (keys.schedule = CZ_SCHEDULE_CONSTANT; keys.schedule <= CZ_SCHEDULE_TRANSFORMERS_LINEAR;
       keys.schedule++) {
    bool differs = false, expected = keys.schedule >= CZ_SCHEDULE_LINEAR;
    for (int64_t step = 0; step < 40; step++)
      differs |= cz_schedule_rate(&keys, step, 40) != cz_schedule_rate(&keys, step, 400);
    if (cz_schedule_needs_steps(&keys) != expected || differs != expected)
      fail_msg("schedule %d: its rates %s with the number of steps", keys.schedule,
               differs ? "change" : "do not change");
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(names), cmocka_unit_test(states),
                                     cmocka_unit_test(misplaced), cmocka_unit_test(needs_steps)};
  cz_log_quiet(true);
  return cmocka_run_group_tests_name("optimizer rows", tests, make_folder, drop_folder);
}

/* The list of targets. CZ_TEST_DEVICE=NAME replaces those after ref by that device in float32,
 * bfloat16 and float16, or in the dtypes that CZ_TEST_DTYPES=f32,bf16 names. */
#include "ops_test.h"
#include "device/any.h"
#include "kernels/common/shape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static target targets[TARGETS] = {
    {.name = "ref", .device_name = "ref", .dtype = CZ_F64, .host_threads = true},
    {.name = "cpu", .device_name = "cpu", .dtype = CZ_F32, .host_threads = true},
    {.name = "cpu in bf16",
     .device_name = "cpu",
     .dtype = CZ_BF16,
     .partial = true,
     .host_threads = true}};
const target *const ref = targets;

static slot memory[TARGETS][SLOTS];

static bool exists(const target *on) { return on < targets + TARGETS && on->device_name; }

/** The number of the target in the list. */
int target_number(const target *on) { return (int)(on - targets); }

/** One more target, whose DEVICE is closed with the others; it may lack ops. */
void target_add(const char *name, cz_dtype dtype, cz_device *device) {
  int n = 0;
  while (exists(&targets[n])) n++;
  if (n == TARGETS) abort();
  targets[n] = (target){.device_name = device->name,
                        .dtype = dtype,
                        .partial = true,
                        .host_threads = true,
                        .device = device,
                        .slots = memory[n]};
  snprintf(targets[n].name, sizeof targets[n].name, "%s", name);
}

/* The kernels of `far` are cpu's, on cpu's threads; what a module computes with is its own. */
static void choose(const char *name) {
  const bool far = !strcmp(name, "far"), host = far || !strcmp(name, "cpu");
  int n = 1;
  memset(targets + 1, 0, sizeof targets - sizeof *targets);
  for (cz_dtype dtype = CZ_F32; dtype < CZ_I32; dtype++) {
    if (!any_wants(dtype)) continue;
    target *on = &targets[n++];
    *on = (target){.device_name = name,
                   .dtype = dtype,
                   .partial = true,
                   .host_threads = host,
                   .reads_clock = !host,
                   .vary = any_orders(name)};
    snprintf(on->name, sizeof on->name, "%.32s in %s", name, cz_dtype_names[dtype]);
  }
}

/** Opens the devices of all targets, one for neighbours of one name. */
void targets_open(void) {
  const char *name = any_name(NULL);
  if (name) choose(name);
  for (int i = 0; i < TARGETS && exists(&targets[i]); i++) {
    const bool shared = i > 0 && !strcmp(targets[i].device_name, targets[i - 1].device_name);
    targets[i].device = shared ? targets[i - 1].device : any_open(targets[i].device_name);
    targets[i].slots = memory[i];
  }
  /* see kernels/common/roundings.h */
  if (ref->device->stream) {
    fprintf(stderr, "tests/ops: ref has a stream, where its kernels look for what rounds\n");
    abort();
  }
}

/** Closes them. */
void targets_close(void) {
  for (int i = 0; i < TARGETS && exists(&targets[i]); i++) slots_free(&targets[i]);
  for (int i = 0; i < TARGETS && exists(&targets[i]); i++) {
    cz_device *device = targets[i].device;
    for (int k = i; k < TARGETS && exists(&targets[k]); k++)
      if (targets[k].device == device) targets[k].device = NULL;
    any_close(&device);
  }
}

/** Target I of the list; null behind the last. */
const target *target_at(int i) { return exists(&targets[i]) ? &targets[i] : NULL; }

/** The target after ON that has kernels of OP; null behind the last. */
const target *next_with(const target *on, cz_op op) {
  for (on++; exists(on); on++) {
    const cz_kernels *k = kernels_of(on, op);
    if (k && k->forward) return on;
  }
  return NULL;
}

/** The target after ON on which P is tried; null behind the last. */
const target *next_target(const target *on, const problem *p) {
  do {
    on = next_with(on, p->op);
  } while (on && (p->only ? on != p->only : has_16_bits(on)));
  return on;
}

/** True when calls of the target hold some arrays in 16 bits and others in 32. */
bool has_16_bits(const target *on) { return cz_statistic_dtype(on->dtype) != on->dtype; }

/** The target's kernels of an op, or null. */
const cz_kernels *kernels_of(const target *on, cz_op op) {
  return on->device->kernels(on->device, op, on->dtype);
}

/** Says which ops each target lacks; the number of targets without any op and of ops without any
 * target but ref. */
int targets_covered(void) {
  int bad = 0;
  for (int i = 1; i < TARGETS && exists(&targets[i]); i++) {
    int n = 0;
    for (int op = 0; op < CZ_OPS; op++) {
      const cz_kernels *k = kernels_of(&targets[i], (cz_op)op);
      n += k && k->forward;
    }
    printf("%s has %d of %d ops%s", targets[i].name, n, (int)CZ_OPS, n < CZ_OPS ? "; not" : "");
    for (int op = 0; op < CZ_OPS; op++) {
      const cz_kernels *k = kernels_of(&targets[i], (cz_op)op);
      if (!k || !k->forward) printf(" %s", cz_op_rows[op]->name);
    }
    printf("\n");
    bad += n == 0;
  }
  for (int op = 0; op < CZ_OPS; op++) {
    if (next_with(ref, (cz_op)op) || cz_op_rows[op]->of_library) continue;
    printf("%s has kernels on ref alone\n", cz_op_rows[op]->name);
    bad++;
  }
  return bad;
}

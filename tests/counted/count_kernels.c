/* What each op of a list costs in the emulator: one call of each pass, counted by itself.
 *
 *   count_kernels SHAPES PRECISION OUT
 *
 * SHAPES is a list as `cloze bench kernels` takes. Adds lines of JSON to the file OUT, for
 * scripts/kernel_report.py: {"set", "op", "name", "pass", "bytes", "gflop", "multiprocessors"} of a
 * pass, with the bytes of its arrays, each counted once, and the multiprocessors that grids are
 * made for; then a line of each kernel that it launched (counts_text.h). An op without a kernel has
 * a line with "refused". Exit code 1 where the list is wrong or a kernel fails. */
#include "commands/bench/kernels.h"
#include "nn/model.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct counting {
  cz_device *device;
  cz_dtype dtype;
  const char *out, *set, *name;
  bool (*begin)(void);
  bool (*write)(const char *path);
  uint64_t made; /* problems */
} counting;

static cz_status open_counting(counting *c, const char *precision_name) {
  cz_precision precision;
  void *module;
  CZ_TRY(cz_precision_find(&precision, precision_name));
  CZ_TRY(cz_device_open(&c->device, "emu:check"));
  c->dtype = cz_precision_dtype(precision, c->device);
  CZ_TRY(cz_device_computes(c->device, c->dtype));
  /* the module that the device has opened */
  module = dlopen(CZ_EMULATED_MODULE, RTLD_NOW | RTLD_NOLOAD);
  if (!module) return CZ_FAIL(CZ_EINVAL, "%s is not the device's module", CZ_EMULATED_MODULE);
  *(void **)&c->begin = dlsym(module, "emu_begin_counting");
  *(void **)&c->write = dlsym(module, "emu_write_counts");
  if (!c->begin || !c->write) return CZ_FAIL(CZ_EINVAL, "the module shows no counters");
  return CZ_OK;
}

static cz_status add_line(const counting *c, json_t *taken) {
  FILE *f = fopen(c->out, "a");
  bool wrong =
      !f || json_dumpf(taken, f, JSON_COMPACT | JSON_REAL_PRECISION(12)) || fputs("\n", f) == EOF;
  json_decref(taken);
  if (f && fclose(f)) wrong = true;
  return wrong ? CZ_FAIL(CZ_EIO, "%s cannot be written", c->out) : CZ_OK;
}

static cz_status count(counting *c, const cz_kernel_problem *p, bool backward) {
  cz_device *d = c->device;
  const cz_kernels *k;
  cz_device_info info;
  CZ_TRY(d->info(d, &info));
  CZ_TRY(cz_device_kernels(d, &k, p->op, &p->call, backward));
  c->begin();
  (backward ? k->backward : k->forward)(&p->call);
  CZ_TRY(d->failed(d));
  CZ_TRY(add_line(c, json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:i}", "set", c->set, "op",
                               cz_op_rows[p->op]->name, "name", c->name, "pass",
                               backward ? "backward" : "forward", "bytes",
                               cz_kernel_problem_bytes(p, backward), "gflop",
                               1e-9 * cz_kernel_problem_flop(p, backward), "multiprocessors",
                               info.cores)));
  return c->write(c->out) ? CZ_OK : CZ_FAIL(CZ_EIO, "%s cannot be written", c->out);
}

static cz_status count_entry(counting *c, const json_t *entry, const cz_json_place *at) {
  cz_kernel_problem p;
  const char *op;
  c->name = "";
  CZ_TRY(cz_json_get_text(&op, entry, at, "op"));
  if (json_object_get(entry, "name")) CZ_TRY(cz_json_get_text(&c->name, entry, at, "name"));
  cz_status st = cz_kernel_problem_make(&p, c->device, c->dtype, ++c->made, entry, at);
  for (int backward = 0; backward < 2 && st == CZ_OK; backward++)
    if (!backward || !cz_op_rows[p.op]->not_differentiable) st = count(c, &p, backward);
  if (st == CZ_EINVAL && p.legal) {
    json_t *line = json_pack("{s:s, s:s, s:s, s:s}", "set", c->set, "op", op, "name", c->name,
                             "refused", cz_error_message());
    cz_error_clear();
    st = add_line(c, line);
  }
  cz_kernel_problem_free(&p);
  return st;
}

static cz_status count_list(counting *c, const char *file) {
  const cz_json_place at = {.file = file};
  json_t *root, *entry;
  const json_t *list;
  cz_status st = CZ_OK;
  size_t i;
  CZ_TRY(cz_json_read(&root, file));
  json_object_foreach(root, c->set, entry) {
    CZ_GO(st, cz_json_get_array(&list, root, &at, c->set), done);
    json_array_foreach(list, i, entry) {
      const cz_json_place of = cz_json_place_key(&at, c->set), here = cz_json_place_item(&of, i);
      CZ_GO(st, count_entry(c, entry, &here), done);
    }
  }
done:
  json_decref(root);
  return st;
}

int main(int argc, char **argv) {
  counting c = {0};
  cz_status st;
  if (argc != 4) return fputs("count_kernels SHAPES PRECISION OUT\n", stderr), 2;
  c.out = argv[3];
  setenv("CZ_EMULATOR_MODE", "count", 1); /* while problems are made, too: no time for races */
  CZ_GO(st, open_counting(&c, argv[2]), done);
  CZ_GO(st, count_list(&c, argv[1]), done);
done:
  if (st != CZ_OK) fprintf(stderr, "count_kernels: %s\n", cz_error_message());
  cz_device_close(&c.device);
  return st != CZ_OK;
}

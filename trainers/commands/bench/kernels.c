/* `cloze bench kernels`: each op alone, forward and backward, at the sizes of a list, beside the
 * copies and the matrix products that the same run measures between its calls. */
#include "commands/bench/kernels.h"
#include "base/args.h"
#include "base/number.h"
#include "commands/bench/bench.h"
#include "device/probe.h"
#include "kernels/common/cpu.h"
#include "nn/model.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_REPEATS = 101, COPY_BYTES = 64 << 20 };
static const double SAMPLE_SECONDS = 5e-3; /* a call that is shorter is repeated so long */

typedef struct bench {
  const char *device_name, *precision_name, *only, *file;
  int64_t repeats;
  bool json;
  cz_device *device;
  cz_dtype dtype;
  cz_event *begin, *end;
  char *from, *to;         /* [COPY_BYTES] each, the device's */
  cz_product_probe *probe; /* null where no rate of plain products is known */
  json_t *rows;
  const char *set; /* of the list */
  uint64_t made;   /* problems */
} bench;

/* Medians of one pass and of what was measured around its calls; 0: not measured. */
typedef struct timing {
  double seconds, copy, products; /* bytes a second; GFLOP a second */
} timing;

static cz_status check_op(const char *name) {
  char known[512] = "";
  int at = 0;
  for (int i = 0; i < CZ_OPS; i++) {
    if (!strcmp(cz_op_rows[i]->name, name)) return CZ_OK;
    at +=
        snprintf(known + at, sizeof known - (size_t)at, "%s%s", i ? ", " : "", cz_op_rows[i]->name);
  }
  return CZ_FAIL(CZ_EUSAGE, "there is no op '%s'; known are %s", name, known);
}

static cz_status parse(bench *b, int argc, char **argv) {
  const char *repeats = "5";
  cz_precision precision;
  const cz_option options[] = {{"--device", &b->device_name, NULL},
                               {"--precision", &b->precision_name, NULL},
                               {"--dtype", &b->precision_name, NULL},
                               {"--op", &b->only, NULL},
                               {"--shapes", &b->file, NULL},
                               {"--repeats", &repeats, NULL},
                               {"--json", NULL, &b->json}};
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 0, 0, cz_bench_usage));
  if (cz_parse_int(repeats, &b->repeats) != CZ_OK || b->repeats < 1 || b->repeats > MOST_REPEATS)
    return CZ_FAIL(CZ_EUSAGE, "--repeats: '%s' is not between 1 and %d", repeats, MOST_REPEATS);
  CZ_TRY(cz_precision_find(&precision, b->precision_name));
  CZ_TRY(cz_device_open(&b->device, b->device_name));
  b->dtype = cz_precision_dtype(precision, b->device);
  if (b->only) CZ_TRY(check_op(b->only));
  return cz_device_computes(b->device, b->dtype);
}

static cz_status open_ceilings(bench *b) {
  cz_device *d = b->device;
  CZ_TRY(d->event(d, &b->begin));
  CZ_TRY(d->event(d, &b->end));
  CZ_TRY(cz_device_alloc(d, &b->from, COPY_BYTES));
  CZ_TRY(cz_device_alloc(d, &b->to, COPY_BYTES));
  return d->fill(d, b->from, 0x3c, COPY_BYTES);
}

/* On the host alone; the first touch of their operands is not counted. */
static cz_status open_products(bench *b) {
  if (b->probe || !b->device->host_memory || b->device->real != CZ_F32) return CZ_OK;
  CZ_TRY(cz_product_probe_create(&b->probe, b->device, b->dtype));
  cz_product_probe_round(b->probe);
  return CZ_OK;
}

static void close_ceilings(bench *b) {
  cz_device *d = b->device;
  if (!d) return;
  d->event_free(d, &b->begin);
  d->event_free(d, &b->end);
  cz_device_free(d, &b->from, COPY_BYTES);
  cz_device_free(d, &b->to, COPY_BYTES);
  cz_product_probe_destroy(&b->probe);
}

/* Seconds of N calls of the kernel, by the device's own clock; of copies when it is null. */
static cz_status run(bench *b, double *seconds, cz_kernel kernel, const cz_call *call, int64_t n) {
  cz_device *d = b->device;
  CZ_TRY(d->record(d, b->begin));
  for (int64_t i = 0; i < n; i++) {
    if (kernel)
      kernel(call);
    else
      CZ_TRY(d->copy(d, b->to, b->from, COPY_BYTES));
    CZ_TRY(d->failed(d));
  }
  CZ_TRY(d->record(d, b->end));
  CZ_TRY(d->await(d, b->end));
  *seconds = d->between(d, b->begin, b->end) / (double)n;
  return CZ_OK;
}

/* Calls, copies and products in turns; the first call is not counted. */
static cz_status measure(bench *b, timing *t, const cz_kernel_problem *p, bool backward) {
  double seconds[MOST_REPEATS], copies[MOST_REPEATS], products[MOST_REPEATS];
  const cz_kernels *k;
  if (cz_kernel_problem_flop(p, backward) > 0) CZ_TRY(open_products(b));
  const bool multiplies = b->probe && cz_kernel_problem_flop(p, backward) > 0;
  CZ_TRY(cz_device_kernels(b->device, &k, p->op, &p->call, backward));
  cz_kernel kernel = backward ? k->backward : k->forward;
  CZ_TRY(run(b, &seconds[0], kernel, &p->call, 1));
  CZ_TRY(run(b, &seconds[0], kernel, &p->call, 1));
  const int64_t n =
      seconds[0] < SAMPLE_SECONDS ? (int64_t)(SAMPLE_SECONDS / (seconds[0] + 1e-9)) + 1 : 1;
  for (int64_t i = 0; i < b->repeats; i++) {
    CZ_TRY(run(b, &copies[i], NULL, NULL, 1));
    if (multiplies) products[i] = cz_product_probe_round(b->probe);
    CZ_TRY(run(b, &seconds[i], kernel, &p->call, n));
  }
  *t = (timing){.seconds = cz_bench_median(seconds, b->repeats),
                .copy = 2.0 * COPY_BYTES / cz_bench_median(copies, b->repeats),
                .products = multiplies ? cz_bench_median(products, b->repeats) : 0};
  return CZ_OK;
}

static json_t *number(double x, bool known) { return known ? json_real(x) : json_null(); }

static cz_status note(bench *b, const char *name, const cz_kernel_problem *p, bool backward) {
  timing t = {0};
  CZ_TRY(measure(b, &t, p, backward));
  const double bytes = cz_kernel_problem_bytes(p, backward),
               gflop = 1e-9 * cz_kernel_problem_flop(p, backward), rate = bytes / t.seconds,
               products = gflop / t.seconds;
  const char *op = cz_op_rows[p->op]->name, *pass = backward ? "backward" : "forward";
  json_array_append_new(
      b->rows, json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o}", "set",
                         b->set, "op", op, "name", name, "pass", pass, "seconds", t.seconds,
                         "bytes", bytes, "gflop", gflop, "gb_per_s", 1e-9 * rate, "gflop_per_s",
                         products, "copy_gb_per_s", 1e-9 * t.copy, "share_of_copy", rate / t.copy,
                         "ceiling_gflop_per_s", number(t.products, t.products > 0),
                         "share_of_products", number(products / t.products, t.products > 0)));
  if (b->json) return CZ_OK;
  printf("%-14s %-26s %-8s %9.3f ms %7.1f GB/s %5.2f of a copy", op, name, pass, 1e3 * t.seconds,
         1e-9 * rate, rate / t.copy);
  if (gflop > 0) printf(" %8.1f GFLOP/s", products);
  printf(t.products > 0 ? " %5.2f of products\n" : "\n", products / t.products);
  fflush(stdout);
  return CZ_OK;
}

/* An op that the device does not compute in this dtype is said to be so, and the list goes on. */
static void note_refusal(bench *b, const char *op, const char *name) {
  json_array_append_new(b->rows, json_pack("{s:s, s:s, s:s, s:s}", "set", b->set, "op", op, "name",
                                           name, "refused", cz_error_message()));
  if (!b->json) printf("%-14s %-26s %s\n", op, name, cz_error_message());
  cz_error_clear();
}

static cz_status bench_entry(bench *b, const json_t *entry, const cz_json_place *at) {
  const char *name = "", *op;
  cz_kernel_problem p;
  CZ_TRY(cz_json_get_text(&op, entry, at, "op"));
  if (json_object_get(entry, "name")) CZ_TRY(cz_json_get_text(&name, entry, at, "name"));
  if (b->only && strcmp(b->only, op)) return CZ_OK;
  cz_status st = cz_kernel_problem_make(&p, b->device, b->dtype, ++b->made, entry, at);
  for (int backward = 0; backward < 2 && st == CZ_OK; backward++)
    if (!backward || !cz_op_rows[p.op]->not_differentiable) st = note(b, name, &p, backward);
  if (st == CZ_EINVAL && p.legal && !b->only) {
    note_refusal(b, op, name);
    st = CZ_OK;
  }
  cz_kernel_problem_free(&p);
  return st;
}

static cz_status bench_list(bench *b) {
  json_t *root, *entry;
  const json_t *list;
  const cz_json_place at = {.file = b->file};
  cz_status st = CZ_OK;
  size_t i;
  CZ_TRY(cz_json_read(&root, b->file));
  json_object_foreach(root, b->set, entry) {
    CZ_GO(st, cz_json_get_array(&list, root, &at, b->set), done);
    if (!b->json) printf("%s\n", b->set);
    json_array_foreach(list, i, entry) {
      const cz_json_place of = cz_json_place_key(&at, b->set), here = cz_json_place_item(&of, i);
      CZ_GO(st, bench_entry(b, entry, &here), done);
    }
  }
  if (json_array_size(b->rows) == 0)
    st = b->only ? CZ_FAIL(CZ_EUSAGE, "%s lists no sizes for op '%s'", b->file, b->only)
                 : cz_json_expected(&at, NULL, root, "an object of lists");
done:
  json_decref(root);
  return st;
}

static cz_status report(const bench *b) {
  cz_device_info info;
  CZ_TRY(b->device->info(b->device, &info));
  if (!b->json) {
    printf("%s, %s, %s, %s, %d threads\n", b->device->name, b->precision_name, info.name,
           info.capability, omp_get_max_threads());
    return CZ_OK;
  }
  return cz_bench_print(json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:O}", "device", b->device->name,
                                  "precision", b->precision_name, "path", cz_device_path(b->device),
                                  "isa", info.capability, "cpu", info.name, "threads",
                                  omp_get_max_threads(), "kernels", b->rows));
}

/** `cloze bench kernels`: every op at the sizes of a list, against its bytes and FLOPs and the
 * rates of copies and products that the same run measures. CZ_EINVAL for a list whose sizes do not
 * fit their ops. */
cz_status cz_bench_kernels(int argc, char **argv) {
  bench b = {
      .device_name = "cpu", .precision_name = "f32", .file = "experiments/bench/kernels.json"};
  cz_status st;
  b.rows = json_array();
  CZ_GO(st, parse(&b, argc, argv), done);
  CZ_GO(st, open_ceilings(&b), done);
  CZ_GO(st, bench_list(&b), done);
  CZ_GO(st, report(&b), done);
done:
  close_ceilings(&b);
  cz_device_close(&b.device);
  json_decref(b.rows);
  return st;
}

/* `cloze devices`: what this machine computes on, and how. */
#include "commands/commands.h"
#include "device/device.h"
#include "experiment/report/table.h"
#include "json/json.h"

#include <stdio.h>

const char cz_devices_usage[] = "cloze devices [--json]\n"
                                "What the processor has, which libraries compute, and by which "
                                "path bfloat16 goes and why; then\n"
                                "the CUDA card, or why there is none to compute on.\n";

/* {name: value} of the cpu device, in the order in which they are shown. */
static cz_status describe(json_t *out, cz_device *d) {
  cz_device_info info;
  CZ_TRY(d->info(d, &info));
  CZ_TRY(cz_json_set_text(out, "processor", info.name));
  json_object_set_new(out, "cores", json_integer(info.cores));
  json_object_set_new(out, "memory_bytes", json_integer(info.memory));
  CZ_TRY(cz_json_set_text(out, "isa", info.capability));
  CZ_TRY(cz_json_set_text(out, "kind", d->processor));
  CZ_TRY(cz_json_set_text(out, "libraries", info.libraries));
  CZ_TRY(cz_json_set_text(out, "matrix_library", cz_device_matrix_library()));
  CZ_TRY(cz_json_set_text(out, "path", cz_device_path(d)));
  return cz_json_set_text(out, "why", cz_device_path_reason(d));
}

/* The same of the CUDA device; {why: reason} when it does not open. */
static cz_status describe_cuda(json_t *out) {
  cz_device *d;
  cz_device_info info;
  if (cz_device_open(&d, "cuda") != CZ_OK) {
    cz_status st = cz_json_set_text(out, "why", cz_error_message());
    cz_error_clear();
    return st;
  }
  cz_status st = d->info(d, &info);
  if (st == CZ_OK) st = cz_json_set_text(out, "card", info.name);
  if (st == CZ_OK) {
    json_object_set_new(out, "multiprocessors", json_integer(info.cores));
    json_object_set_new(out, "memory_bytes", json_integer(info.memory));
    st = cz_json_set_text(out, "capability", info.capability);
  }
  if (st == CZ_OK) st = cz_json_set_text(out, "driver", info.driver);
  if (st == CZ_OK) st = cz_json_set_text(out, "libraries", info.libraries);
  if (st == CZ_OK) st = cz_json_set_text(out, "kind", d->processor);
  cz_device_close(&d);
  return st;
}

typedef struct line {
  const char *key, *label;
} line;

static const line of_cpu[] = {{"processor", "processor"},
                              {"cores", "cores"},
                              {"memory_bytes", "memory, bytes"},
                              {"isa", "instructions"},
                              {"kind", "kind"},
                              {"libraries", "libraries"},
                              {"matrix_library", "matrix library"},
                              {"path", "bf16 goes by"},
                              {"why", "because"},
                              {NULL, NULL}};

static const line of_cuda[] = {{"card", "CUDA card"},
                               {"multiprocessors", "multiprocessors"},
                               {"memory_bytes", "memory, bytes"},
                               {"capability", "capability"},
                               {"driver", "driver"},
                               {"libraries", "libraries"},
                               {"kind", "kind"},
                               {"why", "no CUDA card"},
                               {NULL, NULL}};

/* Those of FOUND that are there. */
static cz_status print(cz_buf *out, json_t *found, const line *lines) {
  for (const line *l = lines; l->key; l++) {
    const json_t *value = json_object_get(found, l->key);
    if (json_is_string(value))
      CZ_TRY(cz_buf_addf(out, "%-18s %s\n", l->label, json_string_value(value)));
    else if (value)
      CZ_TRY(cz_buf_addf(out, "%-18s %lld\n", l->label, (long long)json_integer_value(value)));
  }
  return CZ_OK;
}

static cz_status print_both(cz_buf *out, json_t *found) {
  CZ_TRY(print(out, found, of_cpu));
  CZ_TRY(cz_buf_add(out, "\n", 1));
  return print(out, json_object_get(found, "cuda"), of_cuda);
}

/** The command `cloze devices`; its usage says what it prints. */
cz_status cz_command_devices(int argc, char **argv) {
  bool json = false;
  cz_device *device = NULL;
  cz_buf text = {0};
  const cz_option options[] = {{"--json", NULL, &json}};
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 0, 0, cz_devices_usage));
  CZ_TRY(cz_device_open(&device, "cpu"));
  json_t *found = json_object();
  json_t *cuda = json_object();
  json_object_set_new(found, "cuda", cuda);
  cz_status st = describe(found, device);
  if (st == CZ_OK) st = describe_cuda(cuda);
  if (st == CZ_OK) st = json ? cz_print_json(&text, json_incref(found)) : print_both(&text, found);
  if (st == CZ_OK) fputs(text.data, stdout);
  json_decref(found);
  cz_buf_free(&text);
  cz_device_close(&device);
  return st;
}

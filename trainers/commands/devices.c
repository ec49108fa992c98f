/* `cloze devices`: what this machine computes on, and how. */
#include "commands/commands.h"
#include "device/module.h"
#include "experiment/report/table.h"
#include "json/json.h"

#include <stdio.h>

const char cz_devices_usage[] =
    "cloze devices [--json]\n"
    "What the processor has, which libraries compute, and by which path bfloat16 goes and why; "
    "then\n"
    "the CUDA card, or why there is none to compute on, and which files of NVIDIA's libraries "
    "were\n"
    "found, for which no card is needed, or why not.\n"
    "With --json: processor, cores, memory_bytes, isa, kind, libraries, matrix_library, path, why; "
    "and\n"
    "cuda: card, multiprocessors, memory_bytes, capability, driver, libraries, kind, or why; "
    "cublaslt and\n"
    "cudnn: version and path where one was found, why where none was or it is not used.\n";

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

/* What was FOUND of NVIDIA's libraries, for which no card is needed: {version, path, why}. */
static cz_status describe_libraries(json_t *out, const cz_library_info found[CZ_LIBRARIES]) {
  static const char *const keys[CZ_LIBRARIES] = {"cublaslt", "cudnn"};
  for (int i = 0; i < CZ_LIBRARIES; i++) {
    json_t *one = json_object();
    json_object_set_new(out, keys[i], one);
    if (*found[i].version) {
      CZ_TRY(cz_json_set_text(one, "version", found[i].version));
      CZ_TRY(cz_json_set_text(one, "path", found[i].path));
    }
    if (*found[i].why) CZ_TRY(cz_json_set_text(one, "why", found[i].why));
  }
  return CZ_OK;
}

/* The module looks for them. Why it was not loaded may be the first of them itself, on which it
 * stands. */
static void find_libraries(cz_library_info found[CZ_LIBRARIES]) {
  if (cz_module_find_libraries(found) == CZ_OK) return;
  cz_library_info *blas = &found[CZ_LIBRARY_CUBLASLT], *dnn = &found[CZ_LIBRARY_CUDNN];
  snprintf(blas->why, sizeof blas->why, "%s", cz_error_message());
  snprintf(dnn->why, sizeof dnn->why, "the CUDA module cannot be used, see above");
  cz_error_clear();
}

static cz_status describe_card_and_libraries(json_t *out) {
  cz_library_info found[CZ_LIBRARIES];
  find_libraries(found); /* first: what it has loaded need not be loaded for the device again */
  CZ_TRY(describe_cuda(out));
  return describe_libraries(out, found);
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
                               {"cublaslt", "cuBLASLt"},
                               {"cudnn", "cuDNN"},
                               {NULL, NULL}};

static const char *text_of(const json_t *object, const char *key) {
  const char *text = json_string_value(json_object_get(object, key));
  return text ? text : "";
}

static cz_status print_library(cz_buf *out, const char *label, const json_t *found) {
  const char *version = text_of(found, "version"), *why = text_of(found, "why");
  if (!*version) return cz_buf_addf(out, "%-18s none: %s\n", label, why);
  return cz_buf_addf(out, "%-18s %s, %s%s%s\n", label, version, text_of(found, "path"),
                     *why ? ", which is not used: " : "", why);
}

/* Those of FOUND that are there. */
static cz_status print(cz_buf *out, json_t *found, const line *lines) {
  for (const line *l = lines; l->key; l++) {
    const json_t *value = json_object_get(found, l->key);
    if (json_is_string(value))
      CZ_TRY(cz_buf_addf(out, "%-18s %s\n", l->label, json_string_value(value)));
    else if (json_is_object(value))
      CZ_TRY(print_library(out, l->label, value));
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
  if (st == CZ_OK) st = describe_card_and_libraries(cuda);
  if (st == CZ_OK) st = json ? cz_print_json(&text, json_incref(found)) : print_both(&text, found);
  if (st == CZ_OK) fputs(text.data, stdout);
  json_decref(found);
  cz_buf_free(&text);
  cz_device_close(&device);
  return st;
}

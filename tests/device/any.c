#include "any.h"
#include "far.h"

#include "device/module_find.h"
#include "emulator/control.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cz_device far;

/** The name in CZ_TEST_DEVICE, OTHERWISE when there is none. */
const char *any_name(const char *otherwise) {
  const char *name = getenv("CZ_TEST_DEVICE");
  return name && *name ? name : otherwise;
}

/** The device NAME with the guard around its tensors; null when there is none. Static. */
const char *any_guard(const char *name) {
  const cz_device_row *row;
  for (size_t i = 0; (row = cz_device_at(i)); i++)
    if (!strncmp(row->name, "guard:", 6) && !strcmp(row->name + 6, name)) return row->name;
  return NULL;
}

/** The devices of a test that has OTHERWISE, with a null behind the last: with CZ_TEST_DEVICE that
 * one, and then its guard where it has one. Static. */
const char *const *any_devices(const char *const *otherwise) {
  static const char *list[3];
  if (!any_name(NULL)) return otherwise;
  list[0] = any_name(NULL), list[1] = any_guard(list[0]), list[2] = NULL;
  return list;
}

/* The dtype that the N characters at NAME name, or end the program with the names that there are: a
 * test that tries nothing passes. Precisions call f16 fp16. */
static cz_dtype dtype_of(const char *name, size_t n) {
  if (n == 4 && !strncmp(name, "fp16", n)) return CZ_F16;
  for (cz_dtype t = CZ_F32; t < CZ_I32; t++)
    if (strlen(cz_dtype_names[t]) == n && !strncmp(name, cz_dtype_names[t], n)) return t;
  fprintf(stderr, "CZ_TEST_DTYPES: '%.*s' is none of", (int)n, name);
  for (cz_dtype t = CZ_F32; t < CZ_I32; t++) fprintf(stderr, " %s", cz_dtype_names[t]);
  fprintf(stderr, "\n");
  exit(2);
}

/** Whether CZ_TEST_DTYPES, all real ones when there is none, names DTYPE. Ends the program when it
 * names what is no dtype. */
bool any_wants(cz_dtype dtype) {
  const char *list = getenv("CZ_TEST_DTYPES");
  bool wants = false;
  if (!list || !*list) list = "f32,bf16,f16";
  for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
    wants |= dtype_of(at, strcspn(at, ",")) == dtype;
  return wants;
}

/** How many cases a test tries that has OTHERWISE: CZ_TEST_CASES has fewer for a slow device. */
int any_cases(int otherwise) {
  const char *text = getenv("CZ_TEST_CASES");
  return text && *text ? (int)strtol(text, NULL, 10) : otherwise;
}

/** Opens the device, or ends the program with the reason: a test without its device is no test.
 * There is one `far` at a time. */
cz_device *any_open(const char *name) {
  cz_device *device = NULL;
  if (!strcmp(name, "far")) {
    far_open();
    far = cz_far;
    return &far;
  }
  if (cz_device_open(&device, name) == CZ_OK) return device;
  fprintf(stderr, "CZ_TEST_DEVICE: %s\n", cz_error_message());
  exit(2);
}

/** Closes it and clears the pointer; accepts null. */
void any_close(cz_device **device) {
  if (*device == &far) far_close();
  cz_device_close(device);
}

typedef void (*set_order)(emu_order order, uint64_t seed);

/* The function of a module that was opened before. */
static set_order of_module(const char *file) {
  char path[4096];
  set_order set = NULL;
  cz_module_find(path, sizeof path, file);
  void *module = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
  void *symbol = module ? dlsym(module, "emu_set_order") : NULL;
  memcpy(&set, &symbol, sizeof set);
  if (module) dlclose(module); /* whoever opened it keeps it */
  return set;
}

static void put_in_order(set_order set, int k) {
  set(k == 0 ? EMU_AS_ENVIRONMENT : k == 1 ? EMU_DESCENDING : EMU_RANDOM, (uint64_t)k);
}

static void order_plain(int k) { put_in_order(of_module("libcloze_emu.so"), k); }
static void order_checked(int k) { put_in_order(of_module("libcloze_emu_check.so"), k); }

/** What sets the orders of the device NAME, which is open whenever it is called; null of a device
 * that is not emulated. */
any_order any_orders(const char *name) {
  if (!strcmp(name, "emu:check")) return order_checked;
  return !strcmp(name, "emu") || !strcmp(name, "guard:emu") ? order_plain : NULL;
}

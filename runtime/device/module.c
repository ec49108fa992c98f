#include "device/module.h"
#include "base/log.h"
#include "device/module_find.h"

#include <dlfcn.h>
#include <stdlib.h>

static cz_status raise_text(cz_status code, const char *file, int line, const char *message) {
  return cz_error_raise(code, file, line, "%s", message);
}

static cz_status note_text(cz_status code, const char *file, int line, const char *message) {
  return cz_error_note(code, file, line, "%s", message);
}

static void log_text(const char *text) { cz_log("%s", text); }

static void warn_text(const char *text) { cz_warn("%s", text); }

static const cz_host_api api = {.version = CZ_MODULE_VERSION,
                                .api_bytes = sizeof(cz_host_api),
                                .device_bytes = sizeof(cz_device),
                                .kernels_bytes = sizeof(cz_kernels),
                                .call_bytes = sizeof(cz_call),
                                .ops = cz_module_ops,
                                .raise = raise_text,
                                .trace = cz_error_trace,
                                .note = note_text,
                                .message = cz_error_message,
                                .clear = cz_error_clear,
                                .log = log_text,
                                .warn = warn_text,
                                .library = cz_library_load,
                                .places = cz_library_places};

static const struct module {
  const char *which, *file, *what;
} modules[] = {
    {"cuda", "libcloze_cuda.so", "CUDA module"},
    {"emu", "libcloze_emu.so", "emulated module, which builds with tests have"},
    {"emu:check", "libcloze_emu_check.so", "emulated module, which builds with tests have"}};

/* Of a module that is not in this build, or not installed. */
static cz_status no_module(const struct module *m) {
  char places[1024];
  cz_module_places(places, sizeof places);
  return CZ_FAIL(CZ_EUSAGE, "device %s: there is no %s: %s was looked for in %s", m->which, m->what,
                 m->file, places);
}

/* The module stands on a library that the loader does not find. */
static cz_status no_library(const struct module *m, const char *why) {
  char places[1024];
  cz_library_places(places, sizeof places);
  return CZ_FAIL(CZ_EUSAGE,
                 "device %s: %s. %s needs it; besides where the loader looks it was looked for in "
                 "%s. Install NVIDIA's cuBLAS of this version, or name its folder in "
                 "LD_LIBRARY_PATH",
                 m->which, why, m->file, places);
}

/* Loads the module; PATH then says what was loaded. */
static cz_status load(const struct module *m, char *path, size_t n, void **module) {
  char why[1024];
  bool found = cz_module_find(path, n, m->file);
  *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (*module) return CZ_OK;
  snprintf(why, sizeof why, "%s", dlerror());
  if (cz_library_missing(why)) {
    if (!cz_library_load(why)) return no_library(m, why);
    *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (*module) return CZ_OK;
    snprintf(why, sizeof why, "%s", dlerror());
  }
  if (!found && strstr(why, "No such file")) return no_module(m);
  return CZ_FAIL(CZ_EUSAGE, "device %s: %s", m->which, why);
}

static const struct module *module_of(const char *which) {
  const struct module *m = modules;
  while (strcmp(m->which, which)) CZ_CHECK(++m < modules + sizeof modules / sizeof *modules);
  return m;
}

/** Opens the device WHICH of its module, which is looked for in the folder CZ_MODULE_PATH, or else
 * as module_find.h says. CZ_EUSAGE when there is no module, it does not fit this program, or it has
 * no such device here. The module stays loaded until the process ends: its kernels may be called as
 * long as a device of it is open. */
cz_status cz_module_open(cz_device **device, const char *which) {
  char path[4096], why[1024] = "it says nothing";
  const struct module *m = module_of(which);
  cz_module_device_fn open;
  void *module;
  *device = NULL;
  CZ_TRY(load(m, path, sizeof path, &module));
  void *symbol = dlsym(module, "cz_module_device");
  memcpy(&open, &symbol, sizeof open);
  if (symbol && (*device = open(&api, which, why, sizeof why))) return CZ_OK;
  cz_status st = CZ_FAIL(CZ_EUSAGE, "device %s: %s: %s", which, path,
                         symbol ? why : "this is no module: it has no cz_module_device");
  dlclose(module);
  return st;
}

/** What the CUDA module finds of NVIDIA's libraries, whether or not it opens a device: they need no
 * card. CZ_EUSAGE when there is no module, or none that fits this program. The module stays loaded:
 * its libraries take a tenth of a second, which whoever opens the device next need not wait for. */
cz_status cz_module_find_libraries(cz_library_info out[CZ_LIBRARIES]) {
  char path[4096], why[1024] = "this is no module: it has no cz_module_libraries";
  const struct module *m = module_of("cuda");
  cz_module_libraries_fn find;
  void *module;
  memset(out, 0, CZ_LIBRARIES * sizeof *out);
  CZ_TRY(load(m, path, sizeof path, &module));
  void *symbol = dlsym(module, "cz_module_libraries");
  memcpy(&find, &symbol, sizeof find);
  if (symbol && find(&api, out, why, sizeof why)) return CZ_OK;
  dlclose(module);
  return CZ_FAIL(CZ_EUSAGE, "device %s: %s: %s", m->which, path, why);
}

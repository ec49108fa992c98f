#include "device/module.h"
#include "base/log.h"

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
                                .log = log_text,
                                .warn = warn_text};

/* Says that the module at PATH is not there, as in every build without CUDA, or else what dlopen
 * found wrong in it: WHY. */
static cz_status refuse(const char *which, const char *path, const char *folder, const char *why) {
  bool missing = !strncmp(why, path, strlen(path)) && strstr(why, "No such file");
  if (!missing) return CZ_FAIL(CZ_EUSAGE, "device %s: %s", which, why);
  return CZ_FAIL(CZ_EUSAGE,
                 "device %s: there is no CUDA module: libcloze_cuda.so was looked for in %s", which,
                 folder ? folder
                        : "LD_LIBRARY_PATH and the system's library folders (CZ_MODULE_PATH names "
                          "another folder)");
}

/** Opens libcloze_cuda.so, in the folder CZ_MODULE_PATH or where the loader looks, and its device
 * WHICH. CZ_EUSAGE when there is no module, it does not fit this program, or it has no such
 * device here. The module stays loaded until the process ends: its kernels may be called as long
 * as a device of it is open. */
cz_status cz_module_open(cz_device **device, const char *which) {
  const char *folder = getenv("CZ_MODULE_PATH");
  char path[4096], why[1024] = "it says nothing";
  cz_module_device_fn open;
  snprintf(path, sizeof path, "%s%slibcloze_cuda.so", folder ? folder : "", folder ? "/" : "");
  *device = NULL;
  void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!module) return refuse(which, path, folder, dlerror());
  void *symbol = dlsym(module, "cz_module_device");
  memcpy(&open, &symbol, sizeof open);
  if (symbol && (*device = open(&api, which, why, sizeof why))) return CZ_OK;
  cz_status st = CZ_FAIL(CZ_EUSAGE, "device %s: %s: %s", which, path,
                         symbol ? why : "this is no module: it has no cz_module_device");
  dlclose(module);
  return st;
}

#define _GNU_SOURCE /* dladdr */
#include "cuda/cudnn.h"
#include "cuda/library_file.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where NAME is nowhere: the words of the loader, and where it was looked for. */
static void missing(char *why, size_t n, const char *name, const char *words) {
  char places[512] = "";
  if (cz_host) cz_host->places(places, sizeof places);
  snprintf(why, n,
           "attention by cuDNN needs %s: %s. Besides where the loader looks it was looked for in "
           "%s. NVIDIA's package nvidia-cudnn-cu13 has it; CZ_CUDNN names another file",
           name, words, places);
}

static void *load(const char *name, char *why, size_t n) {
  const char *file = getenv("CZ_CUDNN");
  char words[512];
  void *opened = dlopen(file ? file : name, RTLD_NOW | RTLD_LOCAL);
  if (opened) return opened;
  snprintf(words, sizeof words, "%s", dlerror());
  if (file) {
    snprintf(why, n, "attention by cuDNN: CZ_CUDNN is %s: %s", file, words);
    return NULL;
  }
  if (cz_host && cz_host->library(name)) opened = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!opened) missing(why, n, name, words);
  return opened;
}

static bool find(void *opened, const char *symbol, void *function, char *why, size_t n) {
  void *found = dlsym(opened, symbol);
  memcpy(function, &found, sizeof found);
  if (!found) snprintf(why, n, "attention by cuDNN: the library has no %s", symbol);
  return found;
}

/** Its version, as NVIDIA writes it. */
void cz_cudnn_library_version(const cz_cudnn_library *library, char *text, size_t n) {
  const size_t version = library->GetVersion();
  snprintf(text, n, "%zu.%zu.%zu", version / 10000, version / 100 % 100, version % 100);
}

/** Finds cuDNN, the file NAME unless CZ_CUDNN names one, and the functions of it that are used;
 * false, with WHY, when it is not there or of a version that was not tried. It stays loaded. */
bool cz_cudnn_library_open(cz_cudnn_library *library, const char *name, char *why, size_t n) {
  char text[32];
  void *opened = load(name, why, n);
  if (!opened) return false;
#define CALL(call)                                                                                 \
  if (!find(opened, "cudnn" #call, &library->call, why, n)) return false;
  CZ_CUDNN_CALLS(CALL)
#undef CALL
  const size_t version = library->GetVersion();
  if (version >= CZ_CUDNN_VERSION && version < CZ_CUDNN_END) return true;
  cz_cudnn_library_version(library, text, sizeof text);
  snprintf(why, n, "attention by cuDNN: version %s is there, 9.19.0 or a later 9 is needed", text);
  return false;
}

/** What is found of cuDNN: OUT, cleared by the caller, gets version and file, and why it is not
 * there or not used. */
void cz_cudnn_library_describe(cz_library_info *out) {
  cz_cudnn_library library = {0};
  (void)cz_cudnn_library_open(&library, CZ_CUDNN_FILE, out->why, sizeof out->why);
  if (!library.GetVersion) return;
  cz_cudnn_library_version(&library, out->version, sizeof out->version);
  cz_cuda_library_file(out, &library.GetVersion);
}

#include "device/module_find.h"

#include "base/program.h"

#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Folders of modules, from that of the program: as installed, and in its build folder. */
static const char *const below[] = {CZ_MODULES_INSTALLED, "../modules"};
enum { BELOW = sizeof below / sizeof *below };

/** The PATH by which FILE is to be loaded; true when something is there, false when it is left to
 * the loader, or CZ_MODULE_PATH has none. */
bool cz_module_find(char *path, size_t n, const char *file) {
  const char *folder = getenv("CZ_MODULE_PATH");
  char program[2048];
  if (folder) {
    snprintf(path, n, "%s/%s", folder, file);
    return access(path, F_OK) == 0;
  }
  cz_program_folder(program, sizeof program);
  for (int i = 0; i < BELOW; i++) {
    snprintf(path, n, "%s/%s/%s", program, below[i], file);
    if (access(path, F_OK) == 0) return true;
  }
  snprintf(path, n, "%s", file);
  return false;
}

/** Where that was: for messages. */
void cz_module_places(char *text, size_t n) {
  const char *folder = getenv("CZ_MODULE_PATH");
  char program[512];
  if (folder) {
    snprintf(text, n, "%s", folder);
    return;
  }
  cz_program_folder(program, sizeof program);
  size_t used = 0;
  for (int i = 0; i < BELOW && used < n; i++)
    used += (size_t)snprintf(text + used, n - used, "%s/%s, ", program, below[i]);
  if (used < n)
    snprintf(text + used, n - used,
             "LD_LIBRARY_PATH and the system's library folders (CZ_MODULE_PATH names another "
             "folder)");
}

/* Folders of NVIDIA's libraries, the newest of several last. */
static const char *const libraries[] = {
    "$CUDA_HOME/lib64",
    "/usr/local/cuda*/lib64",
    "$VIRTUAL_ENV/lib/python3*/site-packages/nvidia/*/lib",
    "$HOME/.local/lib/python3*/site-packages/nvidia/*/lib",
    "/usr/local/lib/python3*/*-packages/nvidia/*/lib",
};
enum { LIBRARIES = sizeof libraries / sizeof *libraries };

/* The variable at the front of a folder's name is replaced by its value; false when it has none. */
static bool expand(char *out, size_t n, const char *folder) {
  char name[32];
  const char *value = "", *rest = folder;
  if (*folder == '$') {
    rest = strchr(folder, '/');
    snprintf(name, sizeof name, "%.*s", (int)(rest - folder - 1), folder + 1);
    value = getenv(name);
  }
  if (!value) return false;
  snprintf(out, n, "%s%s", value, rest);
  return true;
}

/* The name in dlopen's words, `NAME: cannot open shared object file: ...`, or the whole. */
static void name_of(const char *why, char *name, size_t n) {
  snprintf(name, n, "%.*s", (int)strcspn(why, ":"), why);
}

/** Whether WHY, the loader's words, are that a library of NVIDIA's is not there. */
bool cz_library_missing(const char *why) {
  return !strncmp(why, "libcu", 5) && strstr(why, "cannot open shared object");
}

static bool load_from(const char *folder, const char *name) {
  char pattern[1024];
  glob_t found;
  bool loaded = false;
  size_t used = expand(pattern, sizeof pattern, folder) ? strlen(pattern) : 0;
  if (!used) return false;
  snprintf(pattern + used, sizeof pattern - used, "/%s", name);
  if (glob(pattern, 0, NULL, &found)) return false;
  for (size_t i = found.gl_pathc; i > 0 && !loaded; i--)
    loaded = dlopen(found.gl_pathv[i - 1], RTLD_NOW | RTLD_LOCAL);
  globfree(&found);
  return loaded;
}

/** Loads the library that WHY names, or says is missing, from where NVIDIA's are, so that what
 * needs it can be loaded: the loader knows it by its name then. False when it is in none of these
 * places. */
bool cz_library_load(const char *why) {
  char name[256];
  name_of(why, name, sizeof name);
  for (int i = 0; i < LIBRARIES; i++)
    if (load_from(libraries[i], name)) return true;
  return false;
}

/** Where that was: for messages. */
void cz_library_places(char *text, size_t n) {
  size_t used = 0;
  *text = 0;
  for (int i = 0; i < LIBRARIES && used < n; i++)
    used += (size_t)snprintf(text + used, n - used, "%s%s", i ? ", " : "", libraries[i]);
}

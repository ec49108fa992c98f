/* Where modules and the libraries that they stand on are looked for. A module: in CZ_MODULE_PATH
 * when that is set, and nowhere else; else below the program, where it is installed and in its
 * build folder; else where the loader looks. A library that the loader does not find: where
 * NVIDIA's toolkit and its Python packages have it. */
#ifndef CZ_DEVICE_MODULE_FIND_H
#define CZ_DEVICE_MODULE_FIND_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

bool cz_module_find(char *path, size_t n, const char *file);
void cz_module_places(char *text, size_t n);
bool cz_library_missing(const char *why);
bool cz_library_load(const char *why);
void cz_library_places(char *text, size_t n);

#endif

/* Strict configuration: one typed table of keys per section, declared by the module that reads it.
 *
 * The table binds YAML (libfyaml) or `key=value` words to a plain struct, prints the help, and writes the resolved values back. An unknown key, a wrong
 * type, or a value out of range is CZ_EUSAGE with file, line, column, the offending text and the nearest spelling. */
#ifndef CZ_CONFIG_CONFIG_H
#define CZ_CONFIG_CONFIG_H

#include "base/mem.h"

#include <stdbool.h>
#include <stdio.h>

typedef enum cz_key_type {
  CZ_KEY_INT,  /* int64_t */
  CZ_KEY_REAL, /* double */
  CZ_KEY_BOOL, /* bool */
  CZ_KEY_TEXT, /* const char *, owned by the configuration's arena */
  CZ_KEY_ENUM  /* int: index into choices */
} cz_key_type;

typedef struct cz_key_spec {
  const char *name;
  cz_key_type type;
  size_t offset;              /* of the member in the section's struct */
  const char *fallback;       /* default as text; null: the key must be given */
  double min, max;            /* of numbers, both included; ignored when min == max == 0 */
  const char *const *choices; /* of enums, null-terminated */
  const char *unit;           /* "tokens", "steps", ...; or null */
  const char *help;           /* one sentence */
} cz_key_spec;

typedef struct cz_section {
  const char *name; /* "objective", "model", ... */
  const char *help;
  const cz_key_spec *keys;
  size_t n_keys;
} cz_section;

#define CZ_SECTION(name, help, keys) {name, help, keys, sizeof(keys) / sizeof *(keys)}

/* A parsed file with its overrides; owns every string that binding hands out. */
typedef struct cz_config cz_config;

/* A place in it. Borrowed from the configuration. */
typedef struct cz_config_node cz_config_node;

#endif

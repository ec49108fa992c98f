/* The tree behind cz_config_node; private to this folder. */
#ifndef CZ_CONFIG_TREE_H
#define CZ_CONFIG_TREE_H

#include "config/config.h"

/* Where nodes come from: a file, or one command-line word. */
typedef struct cz__source {
  const char *name; /* path of the file as it was opened, or the whole word */
  const char *text;
  size_t len;
  bool argument;
} cz__source;

typedef struct cz__config_place {
  const cz__source *source;
  int line, column; /* from 1, columns in characters */
} cz__config_place;

typedef struct cz__entry {
  const char *key;     /* null in a sequence */
  cz__config_place at; /* of the key */
  const cz_config_node *value;
} cz__entry;

struct cz_config_node {
  cz_config_kind kind;
  bool quoted; /* of a scalar: text and nothing else, whatever it looks like */
  cz__config_place at;
  const char *path; /* keys from the root of its source, joined by dots; "" at the root */
  const char *text; /* of a scalar */
  size_t count, cap;
  cz__entry *entries;
  uint32_t *index; /* of a mapping that is not small: entry + 1 by hash of the key, 0: free */
  size_t slots;    /* of index, a power of two */
};

struct cz_config {
  cz_arena *arena;
  const cz_config_node *root;
};

typedef enum cz__looks {
  CZ__LOOKS_TEXT,
  CZ__LOOKS_NULL,
  CZ__LOOKS_BOOL,
  CZ__LOOKS_INT,
  CZ__LOOKS_REAL
} cz__looks;

/* Mappings and lists one inside the other, in a file and in what overrides make of it. */
enum { CZ__CONFIG_DEPTH = 32 };

size_t cz__config_find(const cz_config_node *mapping, const char *key);

const char *cz__config_kind_name(cz_config_kind kind);
cz__looks cz__config_looks(const char *text, int64_t *whole, double *real);
cz_status cz__config_fail(cz__config_place at, const char *path, const char *format, ...)
    CZ_PRINTF(3, 4);
cz_status cz__config_unknown(cz__config_place at, const char *path, const char *what,
                             const char *word, const char *const *names, size_t n);
CZ_MUST cz_status cz__config_node(cz_arena *arena, cz_config_node **out, cz_config_kind kind,
                                  cz__config_place at, const char *path);
CZ_MUST cz_status cz__config_add(cz_arena *arena, cz_config_node *parent, const char *key,
                                 cz__config_place at, const cz_config_node *value);
CZ_MUST cz_status cz__config_path(cz_arena *arena, char **out, const char *parent, const char *key);
CZ_MUST cz_status cz__config_source(cz_arena *arena, cz__source **out, const char *name,
                                    const char *text, size_t n, bool argument);
CZ_MUST cz_status cz__config_bytes(const cz__source *source);
CZ_MUST cz_status cz__config_yaml(cz_arena *arena, const cz_config_node **out,
                                  const cz__source *source, size_t skip, const char *path);
CZ_MUST cz_status cz__config_scalar(cz_buf *out, const char *text, bool quoted);

#endif

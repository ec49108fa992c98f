/* Strict configuration: YAML files, overrides, bases, scales, and one typed table of keys
 * per section, declared by the module that reads it.
 *
 * A file is read into a tree of nodes that never change; every node knows the file, line
 * and column it was written at, so that a complaint about a value that came through a
 * base, a scale or an argument still points at the right place. Merging makes new nodes
 * and shares the old.
 *
 * The table binds a mapping to a plain struct and prints the help. An unknown key, a
 * wrong type, a value out of range, a missing or a duplicate key is CZ_EUSAGE with file,
 * line, column, the offending text, the source line with a caret, and the nearest
 * spelling. */
#ifndef CZ_CONFIG_CONFIG_H
#define CZ_CONFIG_CONFIG_H

#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum cz_key_type {
  CZ_KEY_INT,  /* int64_t */
  CZ_KEY_REAL, /* double */
  CZ_KEY_BOOL, /* bool */
  CZ_KEY_TEXT, /* const char *, owned by the configuration's arena (or by the table, when it is the
                  default) */
  CZ_KEY_ENUM, /* int or an enumeration: index into choices */
  CZ_KEY_TREE  /* a mapping or a list that the caller reads itself */
} cz_key_type;

/* One key of a section. A table is an array of these, each written with one of the three
 * macros below; members that are not named are zero. */
typedef struct cz_key_spec {
  const char *name;
  cz_key_type type;
  size_t offset;        /* of the member in the section's struct */
  const char *fallback; /* default as text; null: the key must be given */
  double min, max;      /* of numbers, both included; INFINITY leaves one side open, 0 and 0 both */
  const char *const *choices; /* of ENUM, null-terminated */
  const char *holds;          /* of TREE: what kind of list or mapping it is, for the help */
  const char *unit;           /* "tokens", "steps", ...; or null */
  const char *help;           /* one sentence */
} cz_key_spec;

/* A key of the struct STRUCT, called as its MEMBER; TYPE is INT, REAL, BOOL, TEXT or ENUM
 * and must be that of the member, or the table does not compile:
 *
 *   CZ_KEY(cz_train_keys, steps, INT, .min = 1, .max = 1e12, .unit = "steps", .help = "...")
 */
#define CZ_KEY(STRUCT, MEMBER, TYPE, ...) CZ_KEY_AS(#MEMBER, STRUCT, MEMBER, TYPE, __VA_ARGS__)

/* The same with a spelling of its own, for C's keywords and members of members. */
#define CZ_KEY_AS(NAME, STRUCT, MEMBER, TYPE, ...)                                                 \
  {                                                                                                \
    .name = NAME, .type = CZ_KEY_##TYPE,                                                           \
    .offset = offsetof(STRUCT, MEMBER) * CZ_KEY_FITS_##TYPE(((STRUCT *)0)->MEMBER), __VA_ARGS__    \
  }
#define CZ_KEY_FITS_INT(x)  _Generic((x), int64_t : 1)
#define CZ_KEY_FITS_REAL(x) _Generic((x), double : 1)
#define CZ_KEY_FITS_BOOL(x) _Generic((x), bool : 1)
#define CZ_KEY_FITS_TEXT(x) _Generic((x), const char * : 1)
#define CZ_KEY_FITS_ENUM(x) _Generic((x), int : 1, unsigned : 1)

/* A key that the caller reads itself; in the table for its spelling and its help. */
#define CZ_KEY_OTHER(NAME, TYPE, ...)                                                              \
  { .name = NAME, .type = CZ_KEY_##TYPE, __VA_ARGS__ }

typedef struct cz_section {
  const char *name; /* "objective", "model", ... */
  const char *help;
  const cz_key_spec *keys;
  size_t n_keys;
} cz_section;

#define CZ_SECTION(name, help, keys)                                                               \
  { name, help, keys, sizeof(keys) / sizeof *(keys) }

/* A parsed file with its bases and overrides; owns every node and string that it hands
 * out. */
typedef struct cz_config cz_config;

/* A place in it. Borrowed from the configuration, never changed. */
typedef struct cz_config_node cz_config_node;

typedef enum cz_config_kind {
  CZ_CONFIG_SCALAR,
  CZ_CONFIG_SEQUENCE,
  CZ_CONFIG_MAPPING
} cz_config_kind;

/* Reading. */
CZ_MUST cz_status cz_config_open(cz_config **config, const char *path);
CZ_MUST cz_status cz_config_parse(cz_config **config, const char *name, const char *text, size_t n);
CZ_MUST cz_status cz_config_from_words(cz_config **config, const char *const *words, size_t n);
void cz_config_destroy(cz_config **config);
const cz_config_node *cz_config_root(const cz_config *config);

/* Changing what the root is. Order of precedence, weakest first: bases, file, scale,
 * overrides. */
CZ_MUST cz_status cz_config_scale(cz_config *config, const char *scale);
CZ_MUST cz_status cz_config_set(cz_config *config, const char *word);

/* Making nodes from nodes; the result lives as long as the configuration, OUT may be any
 * node pointer. */
CZ_MUST cz_status cz_config_retext(cz_config *config, const cz_config_node **out,
                                   const cz_config_node *node, const char *text);
CZ_MUST cz_status cz_config_merge(cz_config *config, const cz_config_node **out,
                                  const cz_config_node *under, const cz_config_node *over);
CZ_MUST cz_status cz_config_with(cz_config *config, const cz_config_node **out,
                                 const cz_config_node *node, const char *path,
                                 const cz_config_node *value);
CZ_MUST cz_status cz_config_without(cz_config *config, const cz_config_node **out,
                                    const cz_config_node *node, const char *key);
CZ_MUST cz_status cz_config_with_word(cz_config *config, const cz_config_node **out,
                                      const cz_config_node *node, const char *word);

/* Walking. */
cz_config_kind cz_config_kind_of(const cz_config_node *node);
bool cz_config_is_nothing(const cz_config_node *node);
size_t cz_config_count(const cz_config_node *node);
const cz_config_node *cz_config_at(const cz_config_node *node, size_t i);
const char *cz_config_key_at(const cz_config_node *node, size_t i);
const cz_config_node *cz_config_get(const cz_config_node *node, const char *key);
CZ_MUST cz_status cz_config_need(const cz_config_node **out, const cz_config_node *node,
                                 const char *key);
CZ_MUST cz_status cz_config_expect(const cz_config_node *node, cz_config_kind kind);
CZ_MUST cz_status cz_config_only(const cz_config_node *node, const char *const *names);

/* Typed scalars. */
CZ_MUST cz_status cz_config_text(const char **out, const cz_config_node *node);
const char *cz_config_text_or(const cz_config_node *node, const char *key, const char *without);
CZ_MUST cz_status cz_config_int(int64_t *out, const cz_config_node *node, double min, double max);
CZ_MUST cz_status cz_config_real(double *out, const cz_config_node *node, double min, double max);

/* A complaint that points at a node. */
cz_status cz_config_error(const cz_config_node *node, const char *format, ...) CZ_PRINTF(2, 3);
CZ_MUST cz_status cz_config_blame(const cz_config_node *node, cz_status status);

/* The status of EXPR, with a CZ_EUSAGE from below made to point at NODE: whoever refuses a
 * value need not know where it was written. Other codes pass as they are. */
#define CZ_AT(node, expr) cz_config_blame((node), (expr))

/* Sections. */
CZ_MUST cz_status cz_config_known(const cz_config_node *node, const cz_section *section);
CZ_MUST cz_status cz_config_bind(const cz_config_node *node, const cz_section *section, void *out,
                                 const char *const *others);
CZ_MUST cz_status cz_config_help(cz_buf *out, const cz_section *section);
CZ_MUST cz_status cz_config_markdown(cz_buf *out, const cz_section *section);

/* Text of a tree. */
CZ_MUST cz_status cz_config_emit(cz_buf *out, const cz_config_node *node);
CZ_MUST cz_status cz_config_canonical(cz_buf *out, const cz_config_node *node);
CZ_MUST cz_status cz_config_hash(uint64_t *out, const cz_config_node *node);
CZ_MUST cz_status cz_config_compare(cz_buf *out, const cz_config_node *there,
                                    const cz_config_node *now);

#endif

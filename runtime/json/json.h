/* JSON with places: parsing, checked access and writing, over jansson.
 *
 * Bytes become a tree by cz_json_parse, cz_json_read, cz_json_open or, a value a line,
 * cz_json_lines; all refuse bytes that are not UTF-8, a NUL byte and a key given twice,
 * with file, line and column. What follows asks for the members of an object by key and
 * type, and a member that is missing or of another type is an error that says where it
 * stands and what was found: `tokenizer.json: model.vocab[3]: expected a text, found 7`,
 * or with a line, `train.jsonl:12: label: expected ...`. A cz_json_place is that address.
 *
 * Writing goes through a tree as well: cz_json_set_* fill an object, cz_json_write puts
 * it into a file. JSON has no number for infinity and NaN: they become null. */
#ifndef CZ_JSON_JSON_H
#define CZ_JSON_JSON_H

#include "base/mem.h"

#include <jansson.h>
#include <stdbool.h>

/* Where a value stands. */
typedef struct cz_json_place {
  const char *file; /* borrowed */
  int64_t line;     /* of a file with a value a line, from 1; 0 elsewhere */
  char path[256];   /* "model.vocab[3]"; "" at the root */
} cz_json_place;

/* Reading. The caller releases *ROOT with json_decref; it is null after a failure. */
CZ_MUST cz_status cz_json_parse(json_t **root, const char *bytes, size_t n, const char *name);
CZ_MUST cz_status cz_json_read(json_t **root, const char *path);
CZ_MUST cz_status cz_json_open(json_t **root, const char *path);

/* Takes the value of one line; borrowed. */
typedef cz_status (*cz_json_line_fn)(void *context, const json_t *value, const cz_json_place *at);
CZ_MUST cz_status cz_json_lines(const char *path, cz_json_line_fn take, void *context);

/* Places of members and items, and complaints about them; KEY null: about AT itself. */
cz_json_place cz_json_place_key(const cz_json_place *at, const char *key);
cz_json_place cz_json_place_item(const cz_json_place *at, size_t i);
cz_status cz_json_fail(const cz_json_place *at, const char *key, const char *format, ...)
    CZ_PRINTF(3, 4);
cz_status cz_json_expected(const cz_json_place *at, const char *key, const json_t *found,
                           const char *expected);

/* Members of the object O by key. */
CZ_MUST cz_status cz_json_only(const json_t *o, const cz_json_place *at, const char *const *keys,
                               size_t n_keys);
CZ_MUST cz_status cz_json_get_array(const json_t **out, const json_t *o, const cz_json_place *at,
                                    const char *key);
CZ_MUST cz_status cz_json_get_text(const char **out, const json_t *o, const cz_json_place *at,
                                   const char *key);
CZ_MUST cz_status cz_json_get_bytes(const char **out, size_t *n, const json_t *o,
                                    const cz_json_place *at, const char *key);
CZ_MUST cz_status cz_json_get_bool(bool *out, const json_t *o, const cz_json_place *at,
                                   const char *key);
CZ_MUST cz_status cz_json_get_int(int64_t *out, const json_t *o, const cz_json_place *at,
                                  const char *key, int64_t min, int64_t max);
CZ_MUST cz_status cz_json_get_real(double *out, const json_t *o, const cz_json_place *at,
                                   const char *key);
CZ_MUST cz_status cz_json_get_choice(int *out, const json_t *o, const cz_json_place *at,
                                     const char *key, const char *const *names, size_t n_names);

/* Writing. Functions that take a VALUE take it over, also when they fail. */
json_t *cz_json_real(double value);
json_t *cz_json_string(const char *bytes);
CZ_MUST cz_status cz_json_set(json_t *object, const char *key, json_t *value);
CZ_MUST cz_status cz_json_set_real(json_t *object, const char *key, double value);
CZ_MUST cz_status cz_json_set_int(json_t *object, const char *key, int64_t value);
CZ_MUST cz_status cz_json_set_text(json_t *object, const char *key, const char *bytes);
CZ_MUST cz_status cz_json_add(json_t *array, json_t *value);
CZ_MUST cz_status cz_json_print(cz_buf *out, const json_t *root, size_t flags);
CZ_MUST cz_status cz_json_write(const json_t *root, const char *path, size_t flags);

#endif

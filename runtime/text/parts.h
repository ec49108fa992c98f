/* The parts of a tokenizer.json and how they are read. Internal.
 *
 * Normalizers, pre-tokenizers and decoders are rows of three tables: a type's name, a
 * parser, a function that runs it on the work space. A `Sequence` is no part of its own:
 * its members are laid flat into the list. A model is a file that ends in a row of the
 * table of models. To add a type, write its functions
 * and its row. */
#ifndef CZ_TEXT_PARTS_H
#define CZ_TEXT_PARTS_H

#include "json/json.h"
#include "text/work.h"

typedef struct cz__part_row {
  const char *type;
  cz_status (*parse)(void **data, cz_arena *arena, const json_t *o,
                     const cz_json_place *at); /* *data in the arena; null parser: no fields */
  cz_status (*run)(const void *data, cz__work *w);
  void (*release)(void *data); /* what the arena does not own; may be null */
} cz__part_row;

typedef struct cz__part_table {
  const char *kind, *members; /* "normalizer", "normalizers" */
  const cz__part_row *rows;
  size_t n;
} cz__part_table;

typedef struct cz__part {
  const cz__part_row *row;
  void *data;
} cz__part;

typedef struct cz__parts {
  cz__part *data;
  size_t len, cap;
} cz__parts;

typedef struct cz__model {
  const struct cz__model_row *row;
  void *data;
  int32_t size; /* ids 0 .. size - 1 */
  int32_t unk;  /* or -1 */
} cz__model;

typedef struct cz__model_row {
  const char *type;
  cz_status (*parse)(cz__model *m, cz_arena *arena, const json_t *o, const cz_json_place *at);
  cz_status (*encode)(const void *data, cz__work *w, const char *s,
                      size_t n); /* appends to w->tokens; s is not empty */
  int32_t (*id)(const void *data, const char *s, size_t n);
  const char *(*piece)(const void *data, int32_t id, size_t *n);
  void (*release)(void *data);
} cz__model_row;

extern const cz__part_table cz__normalizers, cz__pre_tokenizers, cz__decoders;
extern const cz__model_row cz__unigram_model, cz__wordpiece_model, cz__wordlevel_model,
    cz__bpe_model;

CZ_MUST cz_status cz__parts_parse(cz__parts *parts, const cz__part_table *table, cz_arena *arena,
                                  const json_t *json, const cz_json_place *at);
CZ_MUST cz_status cz__parts_run(const cz__parts *parts, cz__work *w);
void cz__parts_release(cz__parts *parts);
CZ_MUST cz_status cz__model_parse(cz__model *m, cz_arena *arena, const json_t *json,
                                  const cz_json_place *at);

/* What cz_json_get_* does not know of. */
CZ_MUST cz_status cz__json_count(int64_t *out, const json_t *o, const cz_json_place *at,
                                 const char *key);
CZ_MUST cz_status cz__json_character(uint32_t *out, const json_t *o, const cz_json_place *at,
                                     const char *key);
CZ_MUST cz_status cz__copy_bytes(char **out, cz_arena *arena, const char *s, size_t n);

/* The keys of a part as two arguments of cz_json_only: every part has a `type`. */
#define CZ__KEYS(...)                                                                              \
  (const char *const[]){"type", __VA_ARGS__},                                                      \
      sizeof((const char *const[]){"type", __VA_ARGS__}) / sizeof(const char *)

#endif

/* What the readers of task files share: checked lines, fields, JSON with places, and
 * building records. */
#ifndef CZ_TASKS_READERS_FIELDS_H
#define CZ_TASKS_READERS_FIELDS_H

#include "base/lines.h"
#include "tasks/task.h"

#include <jansson.h>

/* A text file by lines; checked as a whole when opened. */
typedef struct cz_lines {
  const char *path;
  cz_buf file;
  cz_line_walk walk;
  int64_t number; /* of the line last read, from 1 */
} cz_lines;

CZ_MUST cz_status cz_lines_open(cz_lines *l, const char *path);
bool cz_lines_next(cz_lines *l, char **line);
bool cz_lines_next_record(cz_lines *l, char **line);
void cz_lines_close(cz_lines *l);

/* "FILE:LINE:COLUMN", columns in bytes from 1. */
typedef struct cz_field_place {
  char text[4200]; /* a path of 4,095 bytes, line and column */
} cz_field_place;

cz_field_place cz_lines_place(const cz_lines *l, size_t column);

enum { CZ_FIELDS = 64 };

/* Tab-separated fields of one line. */
typedef struct cz_fields {
  char *text[CZ_FIELDS];
  size_t column[CZ_FIELDS]; /* where it begins, from 1 */
  size_t n;
} cz_fields;

CZ_MUST cz_status cz_fields_split(cz_fields *f, const cz_lines *l, char *line);
bool cz_fields_find(size_t *column, const cz_fields *header, const char *name);
CZ_MUST cz_status cz_fields_column(size_t *column, const cz_fields *header, const cz_lines *l,
                                   const char *name);
CZ_MUST cz_status cz_fields_unique(size_t *column, const cz_fields *header, const char *name,
                                   const char *kind, const char *place, const char *advice);

/* JSON. A place is "FILE:LINE" or "FILE: article 3, question 2": whatever the message
 * must say first. */
CZ_MUST cz_status cz_json_text(const char **out, const json_t *object, const char *key,
                               const char *place);
CZ_MUST cz_status cz_json_get(const json_t **out, const json_t *object, const char *key,
                              json_type type, const char *place);
CZ_MUST cz_status cz_json_line(json_t **out, const cz_lines *l, const char *line);
CZ_MUST cz_status cz_json_label_text(char *out, size_t n, const json_t *item, const char *key,
                                     const char *place);
CZ_MUST cz_status cz_json_label(cz_task_set *set, char *out, size_t n, const json_t *object,
                                const char *key, const char *place);

/* Calls ADD for the JSON object on each line of a file. */
typedef cz_status (*cz_json_record_fn)(cz_task_set *set, const json_t *object, const char *place);
CZ_MUST cz_status cz_json_records(cz_task_set *set, const char *path, cz_json_record_fn add);

/* Records. */
CZ_MUST cz_status cz_task_own(cz_task_set *set, const char **out, const char *text);
CZ_MUST cz_status cz_task_add(cz_task_set *set, const cz_task_record *record,
                              const cz_task_field *fields, size_t n);
CZ_MUST cz_status cz_task_answers(cz_task_set *set, cz_task_record *record,
                                  const char *const *answers, size_t n);
CZ_MUST cz_status cz_task_label(const cz_task_set *set, int32_t *label,
                                const char *const *spellings, const char *text, const char *place);
CZ_MUST cz_status cz_words(char ***out, size_t *n, cz_arena *arena, const char *text);

/* Tables of keys: of tasks whose format is fixed, and of those that a user describes. */
#define CZ_TASK_FILES                                                                              \
  CZ_KEY(cz_task_config, train, TEXT, .fallback = "", .help = "file with the training records"),   \
      CZ_KEY(                                                                                      \
          cz_task_config, dev, TEXT, .fallback = "",                                               \
          .help =                                                                                  \
              "file with the records that are scored while recipes are still being changed; no "   \
              "checkpoint is chosen by it"),                                                       \
      CZ_KEY(cz_task_config, test, TEXT, .fallback = "",                                           \
             .help = "file with the records that are scored once, when the recipe is settled")
extern const cz_key_spec cz_task_file_keys[];
enum { CZ_TASK_FILE_KEYS = 4 };
#define CZ_TASK_SECTION(help)                                                                      \
  { "task", help, cz_task_file_keys, CZ_TASK_FILE_KEYS }

/* Scores that tasks which a user describes may have (custom.c). */
bool cz_task_metric_is_own(cz_task_metric metric);

#endif

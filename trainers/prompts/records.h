/* Records for prompts: the fields that a pattern file names, in its order, and the class. */
#ifndef CZ_PROMPTS_RECORDS_H
#define CZ_PROMPTS_RECORDS_H

#include "prompts/patterns.h"
#include "tasks/readers/table.h"
#include "tasks/task.h"

typedef struct cz_record {
  const char *const *fields;     /* [n_fields of the pattern file] */
  int32_t label;                 /* class; of candidates the number of a right one; -1: none */
  const char *group;             /* what it comes from; null: not asked for */
  int64_t row;                   /* from 0, in the file's order */
  int64_t line;                  /* of the file, from 1; 0: not known */
  const char *const *candidates; /* [n_candidates] of the record's own; null: there are labels */
  const char *const *answers;    /* [n_answers] those that are right; none: not known */
  size_t n_candidates, n_answers;
} cz_record;

/* Those of one file. */
typedef struct cz_records {
  cz_arena *arena;
  const char *path;
  cz_record *items;
  size_t n, cap, n_fields;
  size_t *of_label;     /* [n_labels] records of each class; none of candidates */
  size_t unlabelled;    /* records without one */
  const char *no_label; /* why, where a column or member is missing; or null */
} cz_records;

CZ_MUST cz_status cz_record_of(cz_record *record, const cz_pattern_file *file,
                               const cz_table_record *row);
CZ_MUST cz_status cz_records_read_as(cz_records **records, const cz_pattern_file *file,
                                     const char *path, const cz_table_layout *how);
CZ_MUST cz_status cz_records_of_task(cz_records **records, const cz_pattern_file *file,
                                     const cz_task_set *set);
void cz_records_warn_classes(const cz_records *records, const cz_pattern_file *file);
void cz_records_destroy(cz_records **records);

#endif

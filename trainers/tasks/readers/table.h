/* Data files that a user describes by column names alone: `.csv`, `.tsv`, `.jsonl`, read one
 * record at a time in memory that does not grow with the file.
 *
 * CSV and TSV begin with a line that names the columns, or the caller names them and the first
 * line is a record; TSV knows no quotes. A line of a
 * `.jsonl` file is an object whose members are the columns; standard input, "-", is the same.
 * Other columns are not looked at. A record that is wrong is refused with its place, and the
 * one behind it can be read: who serves a stream answers the bad line and goes on. */
#ifndef CZ_TASKS_READERS_TABLE_H
#define CZ_TASKS_READERS_TABLE_H

#include "base/mem.h"

#include <stdbool.h>

/* What the label column is to the caller. */
typedef enum cz_table_labels {
  CZ_LABELS_NONE,     /* not looked for: unlabelled texts may have it or not */
  CZ_LABELS_IF_THERE, /* test files: missing, or empty in some records */
  CZ_LABELS_NEEDED    /* in every record */
} cz_table_labels;

/* What backslashes in CSV and TSV are: text, or as the published readers of PET take those of
 * Zhang et al.'s sets. */
typedef enum cz_backslashes {
  CZ_BACKSLASHES_KEPT,
  CZ_BACKSLASHES_SPACES,   /* each is a space: AG's News */
  CZ_BACKSLASHES_LINE_ENDS /* \n is a space, so is any other backslash: Yelp, Yahoo */
} cz_backslashes;
extern const char *const cz_backslashes_names[]; /* null-terminated */

/* What commands say of the options that cz_table_layout_take reads. */
#define CZ_COLUMNS_HELP                                                                            \
  "  --columns a,b     names of all columns of .csv and .tsv files whose first line is a record "  \
  "already (the official files of AG's News, Yelp, Yahoo)\n"                                       \
  "  --backslashes H   in their texts: keep (default); spaces, each is a space, as PET reads "     \
  "AG's "                                                                                          \
  "News; line_ends, \\n is a space and so is any other, as it reads Yelp and Yahoo\n"

typedef struct cz_table_layout {
  const char *const *columns; /* [n_columns] of the fields */
  size_t n_columns;
  const char *label; /* its column */
  cz_table_labels labels;
  const char *group; /* the column that says what a record comes from; null: not looked for */
  const char *const *header; /* [n_header] names of all columns of CSV and TSV without a line that
                                names them; null: their first line does */
  size_t n_header;
  cz_backslashes backslashes;
} cz_table_layout;

/* A record; texts are good until the next call. */
typedef struct cz_table_record {
  const char *const *fields; /* [n_columns], in the layout's order; some, but not all, may be "" */
  const char *label;         /* null: none */
  const char *group;         /* what it comes from, not empty; null: the layout asks for none */
  int64_t number;            /* from 0, in the file's order; bad ones count */
  int64_t line;              /* from 1, where it begins */
  const char *place;         /* FILE:LINE */
} cz_table_record;

typedef struct cz_table cz_table;

CZ_MUST cz_status cz_table_layout_take(cz_table_layout *layout, cz_arena *arena,
                                       const char *columns, const char *backslashes);
CZ_MUST cz_status cz_table_open(cz_table **t, const char *path, const cz_table_layout *layout);
CZ_MUST cz_status cz_table_next(cz_table *t, cz_table_record *record, bool *more);
bool cz_table_has_line(const cz_table *t);
const char *cz_table_unlabelled(const cz_table *t);
void cz_table_close(cz_table **t);

#endif

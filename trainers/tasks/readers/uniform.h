/* Tasks whose records are a few named fields and a label: `<prefix> <field>: <text>
 * <field>: <text>` (docs/t5.md 7.1). */
#ifndef CZ_TASKS_READERS_UNIFORM_H
#define CZ_TASKS_READERS_UNIFORM_H

#include "tasks/readers/fields.h"

enum { CZ_UNIFORM_FIELDS = 4 };

/* Adds the record of one line. TEXTS are its fields in the order of the layout, null where the
 * record has none; LABEL is as the file spells it, empty when the file has none. */
typedef cz_status (*cz_uniform_fn)(cz_task_set *set, const char *const *texts, const char *label,
                                   const char *place);

typedef struct cz_uniform {
  const char *prefix;
  struct {
    const char *shown, *column; /* as the model sees it; as the file calls it */
    const char *other;          /* what another official file of the task calls it; or null */
    bool
        paper_only; /* written by fidelity `paper` when the record has it (JSON), never otherwise */
  } fields[CZ_UNIFORM_FIELDS];     /* in the order written */
  const char *label, *other_label; /* the file's column; test files lack it */
  const char *const *spellings;    /* of the classes in the file; null: as in the targets */
  const char *const *paper_labels; /* targets of fidelity `paper`; null: the row's labels */
  const char *const *headerless;   /* columns of files that begin without a header, null-terminated;
                                      null: there is one */
  bool skip_short; /* lines with too few fields are left out, as TFDS does with this file's damaged
                      ones */
  bool number;     /* the label is a score, not a class (STS-B) */
  cz_uniform_fn add; /* what is made of a line; null: a record with the fields as they are */
} cz_uniform;

/* A task of this kind is a table and no code: its row names these functions and points
 * `layout` at a cz_uniform. read_* find columns by the file's own header, so their order
 * does not matter. */
CZ_MUST cz_status cz_uniform_describe(cz_task_set *set);
CZ_MUST cz_status cz_uniform_format(cz_task_set *set, cz_task_record *record);
CZ_MUST cz_status cz_read_uniform_tsv(cz_task_set *set, const char *path);
CZ_MUST cz_status cz_read_uniform_json(cz_task_set *set, const char *path);

#endif

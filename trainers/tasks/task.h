/* The folder tasks: from official files to text, and from a model's text to scores.
 *
 * Data go through it like this. A reader (readers/) takes a file of its task and adds records
 * of named fields, with label, answers and group, to a set; a format (format_t5.h) makes of each
 * record the text that the model reads and the text that it must write (docs/t5.md 7). Stages
 * encode these texts; the model's outputs come back as text and are scored against the set
 * (score.h), and so are those of simple programs (baseline.h). A task is a row: names, labels,
 * metrics, how an output is compared, reader and format; the list is tasks.def.
 *
 * `fidelity`, where the paper's appendix D and the released code depart (`corrected` does
 * what stands under `code`, except SQuAD):
 *
 *              paper (default)                       code
 *   copa       targets False, True                   choice1, choice2
 *   wic        "pos: N" first, when the file has it  never
 *   multirc    mark-up of the passage kept           <br> becomes a space, <b>, </b> go
 *   squad      text as it is (and corrected)         a space on either side of every
 *                                                    punctuation mark, in answers too */
#ifndef CZ_TASK_H
#define CZ_TASK_H

#include "config/config.h"

enum { CZ_TASK_METRICS = 4 };

/* Scores, the rows of metrics.def. All are times 100, so that a share is a percentage and a
 * correlation lies between -100 and 100. F1 is of class 1, macro_f1 the mean over the classes,
 * group_em the share of groups whose every record is right. */
typedef enum cz_task_metric {
  CZ_METRIC_NONE,
#define CZ_METRIC(id, ...) CZ_METRIC_##id,
#include "tasks/metrics.def"
#undef CZ_METRIC
  CZ_METRICS
} cz_task_metric;

/* What a score compares. */
typedef enum cz_task_takes {
  CZ_TAKES_NOTHING,
  CZ_TAKES_CLASSES, /* of a record each */
  CZ_TAKES_NUMBERS,
  CZ_TAKES_GROUPS, /* classes of the records that belong together */
  CZ_TAKES_TEXTS,
  CZ_TAKES_WORDS /* of texts; a word is made of a to z and 0 to 9, all else is not seen */
} cz_task_takes;

extern const cz_task_takes cz_task_metric_takes[CZ_METRICS];

/* Their spellings in configurations and results; null-terminated, the first is "none". */
extern const char *const cz_task_metric_names[];

/* What a model has to beat: what a program that knows nothing would write. */
typedef enum cz_task_baseline {
  CZ_BASELINE_MAJORITY, /* the most frequent target of the training records */
  CZ_BASELINE_COPY,     /* the source text */
  CZ_BASELINE_LEAD      /* the first words of the source text */
} cz_task_baseline;

extern const char *const cz_task_baseline_names[];

/* How an output is compared with the answer. */
typedef enum cz_task_comparison {
  CZ_COMPARE_LABEL,  /* equal to a label's text, else wrong */
  CZ_COMPARE_TEXT,   /* against the answers */
  CZ_COMPARE_NUMBER, /* read as a number, -1 when it is none */
  CZ_COMPARE_NOUN    /* names the same thing as the answer (WSC): decides True or False */
} cz_task_comparison;

typedef enum cz_task_use { CZ_TASK_TRAIN, CZ_TASK_EVALUATE } cz_task_use;

/* A text of a record under the name that the official file, or the user's header, gives
 * it. */
typedef struct cz_task_field {
  const char *name, *text;
} cz_task_field;

/* One example. A reader fills the first part from the file, a format (format_t5.h) the
 * second from the first. Texts are NUL-terminated UTF-8, owned by the set. */
typedef struct cz_task_record {
  const cz_task_field *fields; /* [n_fields] */
  const char *const *answers;  /* [n_answers] that count as right; a class's is its label's text */
  int32_t n_fields, n_answers;
  int32_t label; /* class, -1: none */
  bool unknown;  /* the file gives no answer, as test files do not */
  double number; /* of CZ_COMPARE_NUMBER */
  int64_t group; /* records that some score takes together (question, paragraph, passage) have the
                    same number and lie side by side */
  const char *origin; /* what the record comes from, by a name that other tasks of the same data
                         share; null: its group alone */
  const char *const *candidates; /* [n_candidates] texts, each once, one of which is to be chosen;
                                    null: the task's records have none (cz_task_row) */
  int32_t n_candidates;
  const char *lacks; /* why it has not all the fields that other records have; null: it has */
  int64_t line;      /* of its file, from 1, where a file has a record or several on each; else 0 */

  const char *inputs, *targets; /* what the model reads, what it must write */
  const char *source; /* what a summary or translation starts from, without prefix; the inputs where
                         nothing else fits */
} cz_task_record;

/* Keys of a task's section: files and fidelity of the known tasks; files and all that
 * follows of `tsv` and `csv`, which users describe (custom.c). */
typedef struct cz_task_config {
  const char *train, *dev, *test;
  int fidelity;
  const char *prefix, *labels, *metrics, *input_columns; /* lists are comma-separated */
  const char *target_column, *group_column;
  int64_t lead_words;
  int class_numbers, baseline;
  bool header, unescape;
} cz_task_config;

/* A file of a task, read. */
typedef struct cz_task_set {
  const struct cz_task_row *row;
  cz_task_config config;
  cz_task_use use;
  const char *path;
  const char *unlabelled; /* why records have no answer: which column or member is missing, with
                             its place; or null */
  int64_t line;           /* of the file, that is being read; 0: it is not read by lines */
  cz_arena *arena;
  cz_task_record *records;
  size_t n, cap;
  const char *const *labels;    /* in the order of the classes */
  const char *const *spellings; /* of these in official files; null: as they are */
  int32_t n_labels;
  cz_task_metric metrics[CZ_TASK_METRICS]; /* CZ_METRIC_NONE ends the list */
  cz_task_comparison comparison;
  cz_task_baseline baseline;
  int64_t lead_words;
} cz_task_set;

typedef struct cz_task_row {
  const char *name, *help;
  cz_section section;
  const char *const *labels; /* null-terminated, or null: free text */
  cz_task_metric metrics[CZ_TASK_METRICS];
  cz_task_comparison comparison;
  cz_task_baseline baseline;
  bool drawn_by_label; /* training records may be a few of each label: how often a label stands
                          there says nothing of how often it is right */
  int64_t lead_words;
  cz_status (*describe)(cz_task_set *set); /* labels, scores and comparison from the configuration;
                                              null: the row says it all */
  cz_status (*read)(cz_task_set *set, const char *path);         /* adds the file's records */
  cz_status (*format)(cz_task_set *set, cz_task_record *record); /* their text-to-text form */
  bool candidates;      /* each record has candidates of its own */
  const char *target;   /* name of the field that a prompt's model is to write: whether it does says
                           which of two labels a record has. Null: nothing is written */
  const void *layout;   /* what `read` and `format` must know of this task, or null */
  const char *sides[3]; /* parallel text: what the names of its two files end in, PATH.en and
                           PATH.de; null-terminated, none: one file */
} cz_task_row;

extern const cz_task_row *const cz_task_rows[];
extern const size_t cz_task_count;

CZ_MUST cz_status cz_task_file(char *out, size_t n, const cz_task_row *row, const char *path,
                               int side);
CZ_MUST cz_status cz_task_find(const cz_task_row **row, const char *name);
CZ_MUST cz_status cz_task_help(cz_buf *out, bool markdown);
void cz_task_subsample(cz_task_set *set, size_t maximum);
const char *cz_task_field_of(const cz_task_record *record, const char *name);
CZ_MUST cz_status cz_task_describe(cz_task_set **set, const cz_task_row *row,
                                   const cz_task_config *config);
CZ_MUST cz_status cz_task_load(cz_task_set **set, const cz_task_row *row,
                               const cz_task_config *config, const char *path, cz_task_use use);
void cz_task_set_destroy(cz_task_set **set);

#endif

/* The folder prompts: from records of named fields to what a masked language model reads, and
 * which words of its vocabulary stand for which label (docs/pet.md 3).
 *
 * A pattern file is data (experiments/pet/patterns/): it names the columns, the labels and their
 * words, and has some patterns. Reading it (here) needs no tokenizer; prompt.h makes it ready for
 * one, proves its words and applies it to records (records.h), so adding a task is adding a file.
 */
#ifndef CZ_PROMPTS_PATTERNS_H
#define CZ_PROMPTS_PATTERNS_H

#include "config/config.h"

/* What is done to a field's text before it is tokenised; bits. */
typedef enum cz_pattern_change {
  CZ_STRIP_PUNCTUATION = 1, /* ASCII punctuation at its end goes: Python's rstrip(punctuation) */
  CZ_LOWER_FIRST = 2        /* its first letter becomes a small one */
} cz_pattern_change;

/* A text, or a field of the record. */
typedef struct cz_pattern_part {
  const char *text; /* null: a field */
  int32_t field;
  unsigned changes; /* cz_pattern_change */
} cz_pattern_part;

/* Text that depends on the record, tokenised as one: a field, or a text with fields inside it. */
typedef struct cz_pattern_source {
  const cz_pattern_part *parts;
  size_t n;
} cz_pattern_source;

typedef enum cz_piece_kind { CZ_PIECE_TEXT, CZ_PIECE_SOURCE, CZ_PIECE_MASK } cz_piece_kind;

/* A piece of a pattern; each is tokenised by itself. */
typedef struct cz_pattern_piece {
  cz_piece_kind kind;
  const char *text; /* of TEXT */
  size_t source;    /* of SOURCE: index into the file's sources */
  bool shortenable;
  int32_t masks; /* of MASK */
} cz_pattern_piece;

/* The words of a label, at least one. */
typedef struct cz_label_words {
  const char *const *words;
  const cz_config_node *const *nodes; /* where each was written */
  size_t n;
} cz_label_words;

typedef struct cz_pattern {
  const char *text; /* as the file has it */
  const cz_config_node *node;
  cz_pattern_piece *pieces;
  size_t n;
  size_t second; /* the first piece behind ||; n: there is one segment */
  int32_t masks;
  const cz_label_words *words; /* [n_labels] */
} cz_pattern;

/* What a classifier reads of a record without a prompt: Radford et al. 2018, section 3.3 and
 * figure 1. */
typedef enum cz_input_kind {
  CZ_INPUT_SINGLE,     /* one text */
  CZ_INPUT_PAIR,       /* two, one behind the other */
  CZ_INPUT_SIMILARITY, /* two in both orders, whose representations are added */
  CZ_INPUT_CHOICE,     /* a text for each label, which gets one number; softmax over those */
  CZ_INPUT_KINDS,
  CZ_INPUT_BARE = CZ_INPUT_KINDS /* a classifier's file that does not say: `plain` as it stands */
} cz_input_kind;

extern const char *const cz_input_names[];

/* Everything is owned by the file and does not change. */
typedef struct cz_pattern_file {
  cz_arena *arena;
  cz_config *config;
  const char *path;
  const char *const *fields;  /* names used in patterns */
  const char *const *columns; /* of the data, one a field */
  size_t n_fields;
  const char *label_column;
  const char *const *labels; /* their order numbers the classes */
  const cz_config_node *const *label_nodes;
  size_t n_labels; /* 0: neither the file nor its reader names any */
  const cz_pattern_source *sources;
  size_t n_sources;
  const struct cz_task_row *task; /* whose official files the data are; null: data are tables */
  bool candidates;                /* each record of the task has some of its own, and there are no
                                     labels */
  bool generates;                 /* the task's target is written by the model, and a record is of
                                     the second label where that comes out; its source is choices[0],
                                     of */
  size_t target;                  /* this field */
  const size_t *choices; /* [n_labels] source of each label's answer in a record; null: labels have
                            words */
  cz_pattern *patterns;
  size_t n_patterns;     /* 0: the file is for classifiers alone */
  const char *separator; /* stands behind each demonstration */
  cz_input_kind input;
  cz_pattern *plains; /* what classifiers read, without words and mask: one, of SIMILARITY two, of
                         CHOICE one a label. By default first field || the other fields, of CHOICE
                         first field || each of the others, all of them shortenable */
  size_t n_plains;
} cz_pattern_file;

enum { CZ_PATTERN_MASKS = 64, CZ_PATTERN_FIELDS = 32, CZ_PATTERN_CHOICES = 16 };

CZ_MUST cz_status cz_patterns_open(cz_pattern_file **file, const char *path, const char *labels);
CZ_MUST cz_status cz_patterns_parse(cz_pattern_file **file, const char *name, const char *text,
                                    size_t n, const char *labels);
CZ_MUST cz_status cz_patterns_parse_classifier(cz_pattern_file **file, const char *name,
                                               const char *text, size_t n);
void cz_patterns_close(cz_pattern_file **file);

#endif

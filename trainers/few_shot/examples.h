/* The folder few_shot: classification from a few labelled texts (docs/pet.md).
 *
 * Data goes through it so. A pattern file and data files, of which those of the test set may be
 * several, become T, the labelled texts, D, the unlabelled ones, and the test set, tokenised once
 * for all patterns (examples.h, here; text_set.c); T may have texts besides that an ensemble chose
 * (chosen.h), and texts may have candidates in the place of labels (candidates.h).
 * A prompt, or the plain text, makes of each an input of the model (prepare.h), with others of T in
 * front of it where they are shown (demonstrations.h). Inputs run through nets (runs.h): one asks a
 * model for the scores of all texts of a set (scorer.h), for answers that it writes itself
 * (generated.h), or how likely tokens are (questions.h): of answers of several tokens (answers.h),
 * of texts completed by a causal LM (completions.h).
 *
 * A member is one model that is trained and then scores (member.h), by nets that those of one shape
 * share (shape.h), after the paper or as the published code does (published.h); processes divide
 * members among them (claims.h). What is kept of one is a file of scores (scores_file.h), what it
 * forgot (held_out_texts.h) and, where asked, its model (keep.h). A frozen encoder with logistic
 * regression leaves the same (encoder.h). The ensemble of a stage labels texts for the members of
 * the next generation (generation.h); what many members say together is arithmetic, in ensemble/.
 * A result is judged (summary.h) as that of any task (task_view.h).
 *
 * A student's folder says what its texts are made of (task_file.h) and answers by itself
 * (classifier.h). Beside all this: how likely a text is (likelihood.h), and where a masked LM ranks
 * answers among all words (rank.h). */
#ifndef CZ_FEW_SHOT_EXAMPLES_H
#define CZ_FEW_SHOT_EXAMPLES_H

#include "config/config.h"
#include "ensemble/draw.h"
#include "prompts/prompt.h"

/* The section `examples`. */
typedef struct cz_examples_keys {
  const char *pattern, *labels, *train, *unlabelled_file,
      *test;                              /* files; labels: a list, or empty */
  const cz_config_node *tests;            /* {NAME: FILE}, or null */
  const char *columns;                    /* a list, or empty */
  const char *group_column;               /* of the test files, or empty */
  const char *chosen_by;                  /* folder of a stage, or empty */
  int64_t labelled, unlabelled, tested;   /* texts; -1: all */
  int64_t chosen;                         /* texts of T besides; 0: none */
  int64_t max_length;                     /* tokens of an input */
  int64_t draw_seed;                      /* of T and D; 0: the stage's seed */
  int draw, unlabelled_draw, backslashes; /* cz_draw_kind, cz_unlabelled_kind, cz_backslashes */

  const cz_task_row *task; /* whose reader reads the files of texts; null: they are tables */
  const cz_config_node *task_node;
  cz_task_config task_config; /* its `train` and `test` are those above */
} cz_examples_keys;

extern const cz_section cz_examples_section;

/* Texts of one use, in the order of their file; behind T's those that were chosen (chosen.h). */
typedef struct cz_text_set {
  const char *path;          /* of the file that they come from; null: there are none */
  const cz_record **records; /* [n] */
  uint64_t *hashes;          /* [n] of cz_text_hash */
  int32_t *labels;           /* [n] classes; -1: none, which D's all are */
  bool *right;               /* [n, C] of candidates those that answer; null: there are labels */
  cz_prompt_texts *texts;    /* tokenised, n of them */
  size_t n;
  bool labelled;        /* every text has a label */
  const char *no_label; /* of a part of the test set: why one has none; or null */
} cz_text_set;

/* The texts of one file in the test set. */
typedef struct cz_test_part {
  const char *name; /* among `tests`; null: of the file `test`, the first part */
  size_t first, n;
} cz_test_part;

/* T, D and the test set of a task. Everything is owned by it and does not change. */
typedef struct cz_examples {
  cz_arena *arena;
  cz_pattern_file *file;
  cz_prompts *prompts;
  cz_records *pool, *rest; /* of the files `train` and `unlabelled_file`; or null */
  cz_records **tests;      /* [n_parts] */
  cz_test_part *parts;     /* [n_parts] of the test set; none: there is none */
  size_t n_parts;
  cz_text_set t, d, test;
  cz_hash_set in_test, in_t;
  int64_t *of_label;     /* [C] texts of each label in T */
  int32_t classes;       /* C: labels, or the most candidates that a text has */
  int32_t most_in_t;     /* the most that a text of T has */
  int64_t answer_tokens; /* of all candidates of a text together, at most; 0: there are labels */
} cz_examples;

CZ_MUST cz_status cz_examples_bind(cz_examples_keys *keys, const cz_config_node *node);
size_t cz_examples_test_count(const cz_examples_keys *keys);
const char *cz_examples_test_name(const cz_examples_keys *keys, size_t part);
const char *cz_examples_test_path(const cz_examples_keys *keys, size_t part);
cz_text_set cz_examples_part(const cz_examples *e, size_t part);
CZ_MUST cz_status cz_examples_open_for(cz_examples **e, const cz_examples_keys *keys,
                                       const cz_tokenizer *tokenizer, uint64_t seed,
                                       cz_reader_kind reader);
bool cz_examples_t_in_d(const cz_examples_keys *keys);
CZ_MUST cz_status cz_text_set_create(cz_text_set *set, const cz_examples *e, const char *path,
                                     size_t room, bool labelled);
CZ_MUST cz_status cz_text_set_add(cz_text_set *set, const cz_record *record, uint64_t hash,
                                  int32_t label);
CZ_MUST cz_status cz_examples_count(size_t *n, const cz_examples_keys *keys, cz_pattern_file *file,
                                    const char *path);
CZ_MUST cz_status cz_examples_count_t(size_t *n, const cz_examples_keys *keys,
                                      cz_pattern_file *file, uint64_t seed);
CZ_MUST cz_status cz_examples_without_content(cz_text_set *set, const cz_examples *e,
                                              const char *const *contents);
void cz_examples_close(cz_examples **e);

#endif

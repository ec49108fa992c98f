/* Patterns made ready for one tokenizer, and applied to records.
 *
 * Once per file and tokenizer: texts of patterns and words of labels become ids, each word is
 * proved, and a pattern that leaves no room is refused (cz_prompts_create_for). Once per record:
 * the sources of all patterns are tokenised (cz_prompt_texts). Per record and pattern: what may be
 * cut is cut, and the post-processor puts its tokens around the segments (cz_prompt_apply).
 *
 * A tokenizer without a mask token, GPT-2's, makes prompts all the same: at the places of their
 * masks stands the id -1, where whoever asks a causal LM puts the words. */
#ifndef CZ_PROMPTS_PROMPT_H
#define CZ_PROMPTS_PROMPT_H

#include "prompts/records.h"
#include "text/tokenizer.h"

typedef struct cz_prompt_piece {
  cz_piece_kind kind;
  bool shortenable;
  const int32_t *ids; /* [n] of TEXT and MASK */
  size_t n;
  size_t source; /* of SOURCE */
} cz_prompt_piece;

/* GPT's tokens around texts (Radford et al. 2018, section 3.3): rows of the word table that the
 * tokenizer has already. */
typedef struct cz_prompt_frame {
  int32_t start, delimiter, extract;
} cz_prompt_frame;

typedef struct cz_prompt {
  const cz_pattern *pattern;
  const cz_prompt_piece *pieces; /* [pattern->n] */
  bool pair;                    /* there are two segments, unless the second is empty in a record */
  bool always_pair;             /* also where it is: texts of one record are read alike */
  const cz_prompt_frame *frame; /* tokens around the segments; null: the post-processor's alone */
  size_t special[2];            /* tokens that are put around one segment, and around two */
  size_t fixed;                 /* tokens with empty fields: texts, masks, special ones */
  size_t n_words;               /* W, the most that a label has; 0 of `plain` */
  const int32_t *words; /* ids [C, W, masks]; -1 behind a label's last word, and behind the last
                           token of a word that has fewer than there are masks */
  bool choices;         /* each record has answers of its own, as many as labels or any number of
                           candidates: there are no words, and W is 1 */
} cz_prompt;

/* Owns its prompts; borrows file and tokenizer. */
typedef struct cz_prompts {
  cz_arena *arena;
  const cz_pattern_file *file;
  const cz_tokenizer *tokenizer;
  size_t max_length;  /* tokens of an input, special ones included */
  bool leading_space; /* texts get a space in front, as words inside a text have */
  bool framed;        /* plain texts stand in the frame: */
  cz_prompt_frame frame;
  cz_prompt *items;         /* [file->n_patterns]; null where classifiers alone read */
  cz_prompt *plains;        /* [file->n_plains] */
  const int32_t *separator; /* [n_separator] ids of file->separator */
  size_t n_separator;
} cz_prompts;

/* Who reads. Answers to prompts are the labels' words, or any word. A causal model's classifier
 * reads its text's last token: where the tokenizer puts none around a text, the plain ones get a
 * frame. */
typedef enum cz_reader_kind {
  CZ_READS_PROMPTS,
  CZ_READS_ANY_WORD,
  CZ_READS_PLAIN,
  CZ_READS_FRAMED
} cz_reader_kind;

CZ_MUST cz_status cz_prompts_create_for(cz_prompts **prompts, const cz_pattern_file *file,
                                        const cz_tokenizer *tokenizer, int64_t max_length,
                                        cz_reader_kind reader);
bool cz_prompts_may_answer(const cz_prompts *prompts, int32_t id);
void cz_prompts_destroy(cz_prompts **prompts);

/* Sources of records, tokenised. Of a long text no more ids are kept than an input can hold. */
typedef struct cz_prompt_text {
  size_t begin, kept; /* place of its ids in the list of all */
  size_t n;           /* tokens that the text has */
  bool empty;         /* there is no text, not even a blank */
} cz_prompt_text;

/* Where a record stands in its file, for messages. */
typedef struct cz_prompt_place {
  const char *path;  /* of the file; borrowed, null: not known */
  int64_t row, line; /* as in cz_record */
} cz_prompt_place;

/* The candidates of a record, side by side in the list of all. */
typedef struct cz_prompt_candidates {
  size_t first, n;
} cz_prompt_candidates;

typedef struct cz_prompt_texts {
  const cz_prompts *prompts;
  const char *path; /* of the file that records come from which are added; borrowed, null: not
                       known */
  cz_tokenizer_scratch *scratch;
  cz_encoding encoding;
  cz_buf text;
  int32_t *ids;
  size_t n_ids, ids_cap;
  cz_prompt_text *items;   /* [n, sources of the file] */
  cz_prompt_place *places; /* [n] */
  size_t n, cap, places_cap;
  cz_prompt_text *candidates;  /* [n_candidates] of all records */
  cz_prompt_candidates *spans; /* [n] those of each; null: there are labels */
  size_t n_candidates, candidates_cap, spans_cap;
} cz_prompt_texts;

CZ_MUST cz_status cz_prompt_texts_create(cz_prompt_texts **texts, const cz_prompts *prompts);
CZ_MUST cz_status cz_prompt_texts_add(cz_prompt_texts *texts, const cz_record *record);
const char *cz__prompt_place_text(char out[512], const cz_prompt_place *place);
CZ_MUST cz_status cz_prompt_texts_word(cz_prompt_texts *texts, int32_t *id, const char *word);
void cz_prompt_texts_clear(cz_prompt_texts *texts);
void cz_prompt_texts_destroy(cz_prompt_texts **texts);

/* Labelled texts that stand in front of a prompt, under its pattern, with the first word of their
 * label in the mask's place. */
typedef struct cz_demonstrations {
  const cz_prompt_texts *texts;
  const int32_t *items;   /* [n] their numbers among the texts, in the order in which they stand */
  const int32_t *labels;  /* [n] */
  const uint64_t *hashes; /* [n] by which a text that is to be answered is known as one of them */
  size_t n;
} cz_demonstrations;

/* What a model reads. Zero-initialised is empty; reused from call to call. */
typedef struct cz_prompt_input {
  cz_encoding encoding;           /* ids and types, special tokens included */
  int32_t rows[CZ_PATTERN_MASKS]; /* places of the masks in it */
  size_t n_rows;
  size_t *cut;           /* [pieces of the pattern] tokens taken from each */
  size_t n_cut, cut_cap; /* tokens in all; capacity of `cut` */
  size_t shown, dropped; /* demonstrations in front; those that there was no room for */
  bool pair;             /* the post-processor was given two segments */
  int32_t *segment[2];
  size_t segment_cap[2];
  struct cz_prompt_part *parts; /* of the demonstrations, while they are made room for */
  size_t parts_cap;
} cz_prompt_input;

/* Masks behind those of a target that a text may have when a member is trained to generate it
 * (Schick and Schuetze 2021, "It's Not Just Size That Matters", on WSC). */
enum { CZ_PROMPT_SURPLUS = 3 };

CZ_MUST cz_status cz_prompt_apply(cz_prompt_input *out, const cz_prompts *prompts,
                                  const cz_prompt *prompt, const cz_prompt_texts *texts, size_t i);
CZ_MUST cz_status cz_prompt_apply_behind(cz_prompt_input *out, const cz_prompts *prompts,
                                         const cz_prompt *prompt, const cz_prompt_texts *texts,
                                         size_t i, const cz_demonstrations *demonstrations,
                                         const uint64_t *hash);
size_t cz_prompt_answer_count(const cz_prompt_texts *texts, size_t i);
CZ_MUST cz_status cz_prompt_answers(int32_t *out, const cz_prompts *prompts,
                                    const cz_prompt *prompt, const cz_prompt_texts *texts,
                                    size_t i);
size_t cz_prompt_answer_length(const int32_t *ids, size_t masks);
void cz_prompt_input_free(cz_prompt_input *input);

#endif

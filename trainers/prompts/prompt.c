#include "prompts/prompt.h"
#include "prompts/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A text that spells the mask's token would be tokenised as text, which nobody means. */
static cz_status check_text(const cz_prompts *p, const cz_pattern *pattern, const char *text) {
  size_t n = 0;
  const char *mask =
      cz_tokenizer_token(p->tokenizer, cz_tokenizer_get_facts(p->tokenizer)->mask, &n);
  if (!mask || !strstr(text, mask)) return CZ_OK;
  return cz_config_error(pattern->node, "'%s' in a pattern is text; the mask is written {mask}",
                         mask);
}

static cz_status keep_ids(cz_prompts *p, cz_prompt_piece *piece, const int32_t *ids, size_t n) {
  int32_t *copy;
  CZ_TRY(cz_arena_alloc(p->arena, &copy, n, sizeof *copy));
  if (n) memcpy(copy, ids, n * sizeof *copy);
  piece->ids = copy;
  piece->n = n;
  return CZ_OK;
}

static cz_status make_text(cz_prompts *p, cz_prompt_piece *piece, const char *text, cz_encoding *e,
                           cz_tokenizer_scratch *scratch) {
  cz_buf copy = {0};
  cz_status st = cz_buf_add(&copy, text, strlen(text));
  if (st == CZ_OK) st = cz__prompt_encode(p, e, &copy, scratch);
  if (st == CZ_OK) st = keep_ids(p, piece, e->ids, e->n);
  cz_buf_free(&copy);
  return st;
}

static cz_status make_mask(cz_prompts *p, cz_prompt_piece *piece, int32_t masks) {
  int32_t ids[CZ_PATTERN_MASKS];
  for (int32_t i = 0; i < masks; i++) ids[i] = cz_tokenizer_get_facts(p->tokenizer)->mask;
  return keep_ids(p, piece, ids, (size_t)masks);
}

static cz_status make_piece(cz_prompts *p, cz_prompt_piece *out, const cz_pattern *pattern,
                            const cz_pattern_piece *piece, cz_encoding *e,
                            cz_tokenizer_scratch *scratch) {
  *out = (cz_prompt_piece){
      .kind = piece->kind, .shortenable = piece->shortenable, .source = piece->source};
  if (piece->kind == CZ_PIECE_SOURCE) return CZ_OK;
  if (piece->kind == CZ_PIECE_MASK) return make_mask(p, out, piece->masks);
  CZ_TRY(check_text(p, pattern, piece->text));
  return make_text(p, out, piece->text, e, scratch);
}

/* Whether the second segment is there when all fields are empty. */
static bool keeps_second(const cz_prompt *prompt) {
  if (prompt->always_pair) return true;
  for (size_t i = prompt->pattern->second; i < prompt->pattern->n; i++)
    if (prompt->pieces[i].kind != CZ_PIECE_SOURCE) return true;
  return false;
}

static cz_status refuse_length(const cz_prompts *p, const cz_prompt *prompt) {
  const size_t special = prompt->special[keeps_second(prompt)],
               texts = prompt->fixed - special - (size_t)prompt->pattern->masks;
  return cz_config_error(prompt->pattern->node,
                         "the pattern has %zu tokens before any field is filled in (%zu of its "
                         "text, %d mask%s, %zu special ones), and max_length is %zu",
                         prompt->fixed, texts, prompt->pattern->masks,
                         prompt->pattern->masks == 1 ? "" : "s", special, p->max_length);
}

/* Around one segment a frame puts two tokens, around two three. Where a record has several PLAIN
 * texts, each is read as two segments, though one may be empty. */
static cz_status make_prompt(cz_prompts *p, cz_prompt *prompt, const cz_pattern *pattern,
                             bool plain, cz_encoding *e, cz_tokenizer_scratch *scratch) {
  cz_prompt_piece *pieces;
  const cz_prompt_frame *frame = plain && p->framed ? &p->frame : NULL;
  *prompt = (cz_prompt){.pattern = pattern, .pair = pattern->second < pattern->n, .frame = frame};
  prompt->always_pair = plain && prompt->pair && p->file->n_plains > 1;
  CZ_TRY(cz_arena_alloc(p->arena, &pieces, pattern->n, sizeof *pieces));
  prompt->pieces = pieces;
  for (int pair = 0; pair < 2; pair++)
    prompt->special[pair] = cz_tokenizer_added(p->tokenizer, pair) + (frame ? 2 + (size_t)pair : 0);
  for (size_t i = 0; i < pattern->n; i++) {
    CZ_TRY(make_piece(p, &pieces[i], pattern, &pattern->pieces[i], e, scratch));
    prompt->fixed += pieces[i].n;
  }
  prompt->fixed += prompt->special[keeps_second(prompt)];
  return prompt->fixed > p->max_length ? refuse_length(p, prompt) : CZ_OK;
}

static cz_status check(const cz_prompts *p, int64_t max_length, cz_reader_kind reader) {
  CZ_CHECK(!p->file->task || reader != CZ_READS_ANY_WORD);
  if (max_length < 1 || max_length > INT32_MAX)
    return CZ_FAIL(CZ_EUSAGE, "max_length is %lld, expected a number of tokens from 1 on",
                   (long long)max_length);
  if (p->file->task && reader != CZ_READS_PROMPTS)
    return CZ_FAIL(CZ_EUSAGE,
                   "%s: each record of task %s has %s, which a masked LM %s "
                   "under a prompt (strategies pet and tuning_free); %s",
                   p->file->path, p->file->task->name,
                   p->file->candidates ? "candidates of its own" : "a target",
                   p->file->candidates ? "scores" : "generates",
                   p->file->candidates ? "a classifier has labels, the same for all texts"
                                       : "a classifier would learn from right targets alone");
  if (p->file->n_labels == 0 && !p->file->task && reader != CZ_READS_ANY_WORD)
    return CZ_FAIL(CZ_EUSAGE, "%s: no labels are declared: add `labels: [...]`, or give them",
                   p->file->path);
  return CZ_OK;
}

static cz_status make_items(cz_prompts *p, cz_encoding *e, cz_tokenizer_scratch *scratch) {
  const cz_pattern_file *file = p->file;
  CZ_TRY(cz_arena_alloc(p->arena, &p->items, file->n_patterns, sizeof *p->items));
  for (size_t i = 0; i < file->n_patterns; i++) {
    CZ_TRY(make_prompt(p, &p->items[i], &file->patterns[i], false, e, scratch));
    CZ_TRY(cz__prompt_words(p, &p->items[i], e, scratch));
  }
  return CZ_OK;
}

static cz_status make_plains(cz_prompts *p, cz_encoding *e, cz_tokenizer_scratch *scratch) {
  const cz_pattern_file *file = p->file;
  CZ_TRY(cz_arena_alloc(p->arena, &p->plains, file->n_plains, sizeof *p->plains));
  for (size_t i = 0; i < file->n_plains; i++)
    CZ_TRY(make_prompt(p, &p->plains[i], &file->plains[i], true, e, scratch));
  return CZ_OK;
}

/* The first of IDS that is one; -1: none is. */
static int32_t first_of(const int32_t *ids, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (ids[i] >= 0) return ids[i];
  return -1;
}

/* The tokenizer's own tokens in these roles; GPT-2's has one for all, <|endoftext|>. */
static cz_status find_frame(cz_prompts *p) {
  const cz_tokenizer_facts *f = cz_tokenizer_get_facts(p->tokenizer);
  p->frame = (cz_prompt_frame){.start = first_of((int32_t[]){f->bos, f->eos}, 2),
                               .delimiter = first_of((int32_t[]){f->sep, f->eos, f->bos}, 3),
                               .extract = first_of((int32_t[]){f->cls, f->eos, f->bos}, 3)};
  if (p->frame.start >= 0 && p->frame.extract >= 0) return CZ_OK;
  return CZ_FAIL(CZ_EUSAGE,
                 "%s: a causal model's classifier reads the last token of start, text and extract, "
                 "and the tokenizer has no token for that: tokenizer_config.json names them as "
                 "bos_token, sep_token (between two texts) and cls_token, each by default "
                 "eos_token",
                 p->file->path);
}

static cz_status make_all(cz_prompts *p, cz_reader_kind reader, cz_encoding *e,
                          cz_tokenizer_scratch *scratch) {
  p->framed = reader == CZ_READS_FRAMED && p->file->input != CZ_INPUT_BARE &&
              !cz_tokenizer_added(p->tokenizer, false);
  cz_prompt_piece separator = {0};
  CZ_TRY(cz__prompt_needs_space(&p->leading_space, p->tokenizer, e, scratch));
  CZ_TRY(make_text(p, &separator, p->file->separator ? p->file->separator : "", e, scratch));
  p->separator = separator.ids;
  p->n_separator = separator.n;
  if (reader == CZ_READS_PROMPTS || reader == CZ_READS_ANY_WORD) CZ_TRY(make_items(p, e, scratch));
  if (p->framed) CZ_TRY(find_frame(p));
  return make_plains(p, e, scratch);
}

/** FILE's patterns for TOKENIZER and inputs of at most MAX_LENGTH tokens, as READER wants them;
 * file and tokenizer are borrowed. CZ_EUSAGE that points into the file: a word that is not what
 * words.c demands, a pattern that is too long even with empty fields, with the counts; or when
 * there is no token for a frame, or no label. A FILE with a task has no words to rank among any.
 * The caller destroys the prompts. */
cz_status cz_prompts_create_for(cz_prompts **prompts, const cz_pattern_file *file,
                                const cz_tokenizer *tokenizer, int64_t max_length,
                                cz_reader_kind reader) {
  cz_tokenizer_scratch *scratch = NULL;
  cz_encoding e = {0};
  cz_status st;
  CZ_TRY(cz_alloc(prompts, 1, sizeof **prompts));
  cz_prompts *p = *prompts;
  *p = (cz_prompts){.file = file, .tokenizer = tokenizer};
  CZ_GO(st, check(p, max_length, reader), done);
  p->max_length = (size_t)max_length;
  CZ_GO(st, cz_arena_create(&p->arena, "prompts"), done);
  CZ_GO(st, cz_tokenizer_scratch_create(&scratch, tokenizer), done);
  CZ_GO(st, make_all(p, reader, &e, scratch), done);
done:
  cz_encoding_free(&e);
  cz_tokenizer_scratch_destroy(&scratch);
  if (st != CZ_OK) cz_prompts_destroy(prompts);
  return st;
}

/** Frees the prompts, clears the pointer, accepts null. */
void cz_prompts_destroy(cz_prompts **prompts) {
  if (!*prompts) return;
  cz_arena_destroy(&(*prompts)->arena);
  free(*prompts);
  *prompts = NULL;
}

/** An empty list of tokenised records for PROMPTS, which is borrowed; of one thread. The caller
 * destroys it. */
cz_status cz_prompt_texts_create(cz_prompt_texts **texts, const cz_prompts *prompts) {
  CZ_TRY(cz_alloc(texts, 1, sizeof **texts));
  (*texts)->prompts = prompts;
  cz_status st = cz_tokenizer_scratch_create(&(*texts)->scratch, prompts->tokenizer);
  if (st != CZ_OK) cz_prompt_texts_destroy(texts);
  return st;
}

/* t->text, tokenised, as OUT. */
static cz_status add_text(cz_prompt_text *out, cz_prompt_texts *t) {
  const bool empty = t->text.len == 0;
  CZ_TRY(cz__prompt_encode(t->prompts, &t->encoding, &t->text, t->scratch));
  const cz_encoding *e = &t->encoding;
  size_t kept = e->n < t->prompts->max_length ? e->n : t->prompts->max_length;
  CZ_TRY(cz_grow(&t->ids, &t->ids_cap, t->n_ids + kept, sizeof *t->ids));
  if (kept) memcpy(t->ids + t->n_ids, e->ids, kept * sizeof *t->ids);
  *out = (cz_prompt_text){t->n_ids, kept, e->n, empty};
  t->n_ids += kept;
  return CZ_OK;
}

static cz_status add_source(cz_prompt_texts *t, const cz_pattern_source *source, size_t item,
                            const cz_record *record) {
  CZ_TRY(cz__prompt_source_text(&t->text, source, record->fields));
  return add_text(&t->items[item], t);
}

/* The candidates of RECORD, each as a piece of a pattern. */
static cz_status add_candidates(cz_prompt_texts *t, const cz_record *record) {
  const size_t first = t->n_candidates, n = record->n_candidates;
  CZ_TRY(cz_grow(&t->spans, &t->spans_cap, t->n + 1, sizeof *t->spans));
  CZ_TRY(cz_grow(&t->candidates, &t->candidates_cap, first + n, sizeof *t->candidates));
  for (size_t i = 0; i < n; i++) {
    const char *text = record->candidates[i];
    t->text.len = 0;
    CZ_TRY(cz_buf_add(&t->text, text, strlen(text)));
    CZ_TRY(add_text(&t->candidates[first + i], t));
  }
  t->spans[t->n] = (cz_prompt_candidates){first, n};
  t->n_candidates += n;
  return CZ_OK;
}

/** A record in words, FILE:LINE: row N, as far as that is known; into OUT,
 * which it returns. */
const char *cz__prompt_place_text(char out[512], const cz_prompt_place *place) {
  int n = 0;
  if (place->path && place->line)
    n = snprintf(out, 512, "%.400s:%lld: ", place->path, (long long)place->line);
  snprintf(out + n, 512 - (size_t)n, "row %lld", (long long)place->row);
  return out;
}

/** Tokenises RECORD's sources, each once for all patterns, and its candidates: record number
 * texts->n, before the call. CZ_EINVAL with the row when the tokenizer refuses its text. */
cz_status cz_prompt_texts_add(cz_prompt_texts *t, const cz_record *record) {
  const cz_pattern_file *file = t->prompts->file;
  const size_t first = t->n * file->n_sources;
  CZ_TRY(cz_grow(&t->items, &t->cap, first + file->n_sources, sizeof *t->items));
  const cz_prompt_place place = {.path = t->path, .row = record->row, .line = record->line};
  char text[512];
  CZ_TRY(cz_grow(&t->places, &t->places_cap, t->n + 1, sizeof *t->places));
  for (size_t i = 0; i < file->n_sources; i++) {
    cz_status st = add_source(t, &file->sources[i], first + i, record);
    if (st != CZ_OK) return CZ_NOTE(st, "tokenising %s", cz__prompt_place_text(text, &place));
  }
  if (file->candidates) {
    cz_status st = add_candidates(t, record);
    if (st != CZ_OK) return CZ_NOTE(st, "tokenising %s", cz__prompt_place_text(text, &place));
  }
  t->places[t->n++] = place;
  return CZ_OK;
}

/** *ID of WORD, tokenised as words of labels are; -1 where it is not one token that may answer. */
cz_status cz_prompt_texts_word(cz_prompt_texts *t, int32_t *id, const char *word) {
  t->text.len = 0;
  CZ_TRY(cz_buf_add(&t->text, word, strlen(word)));
  CZ_TRY(cz__prompt_encode(t->prompts, &t->encoding, &t->text, t->scratch));
  const bool one = t->encoding.n == 1 && cz_prompts_may_answer(t->prompts, t->encoding.ids[0]);
  *id = one ? t->encoding.ids[0] : -1;
  return CZ_OK;
}

/** Forgets all records; memory is kept. */
void cz_prompt_texts_clear(cz_prompt_texts *texts) {
  texts->n = texts->n_ids = texts->n_candidates = 0;
}

/** Frees the list, clears the pointer, accepts null. */
void cz_prompt_texts_destroy(cz_prompt_texts **texts) {
  if (!*texts) return;
  cz_tokenizer_scratch_destroy(&(*texts)->scratch);
  cz_encoding_free(&(*texts)->encoding);
  cz_buf_free(&(*texts)->text);
  free((*texts)->ids);
  free((*texts)->items);
  free((*texts)->places);
  free((*texts)->candidates);
  free((*texts)->spans);
  free(*texts);
  *texts = NULL;
}

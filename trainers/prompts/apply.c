/* A pattern filled in for a record, and cut to length (docs/pet.md 3.4). */
#include "prompts/prompt.h"

#include <stdlib.h>
#include <string.h>

/* One prompt on one record. */
typedef struct filling {
  const cz_prompts *prompts;
  const cz_prompt *prompt;
  const cz_prompt_texts *texts;
  const cz_prompt_text *sources; /* of the record */
  size_t record;
} filling;

/* Tokens of piece I, uncut. */
static size_t length_of(const filling *f, size_t i) {
  const cz_prompt_piece *piece = &f->prompt->pieces[i];
  return piece->kind == CZ_PIECE_SOURCE ? f->sources[piece->source].n : piece->n;
}

static size_t segment_of(const filling *f, size_t i) { return i >= f->prompt->pattern->second; }

/* Whether the record has a second segment: one whose fields all are empty is none, as the published
 * code has it. */
static bool has_second(const filling *f) {
  const cz_prompt *p = f->prompt;
  for (size_t i = p->pattern->second; i < p->pattern->n; i++)
    if (p->pieces[i].kind != CZ_PIECE_SOURCE || !f->sources[p->pieces[i].source].empty) return true;
  return false;
}

static cz_status refuse_length(const filling *f, size_t total, const size_t *shortenable) {
  size_t fields = 0;
  for (size_t i = 0; i < f->prompt->pattern->n; i++) {
    const cz_prompt_piece *p = &f->prompt->pieces[i];
    if (p->kind == CZ_PIECE_SOURCE && !p->shortenable) fields += f->sources[p->source].n;
  }
  return CZ_FAIL(CZ_EINVAL,
                 "row %lld leaves no room: the pattern '%s' has %zu tokens with it that may not be "
                 "cut, %zu of its fields, and max_length is %zu",
                 (long long)f->texts->rows[f->record], f->prompt->pattern->text,
                 total - shortenable[0] - shortenable[1], fields, f->prompts->max_length);
}

/* How many tokens each segment loses when EXCESS go one at a time, always from the segment that
 * can still lose more, the second when both can lose the same: first down to equal lengths, then
 * in turn, the second first. */
static void share(size_t loses[2], const size_t shortenable[2], size_t excess) {
  const size_t a = shortenable[0], b = shortenable[1], apart = a > b ? a - b : b - a;
  const size_t level = excess < apart ? excess : apart, rest = excess - level;
  loses[0] = (a > b ? level : 0) + rest / 2;
  loses[1] = (a > b ? 0 : level) + rest - rest / 2;
}

/* What each piece loses: the last piece of a segment that may be cut goes first, from its end. */
static cz_status cut(cz_prompt_input *out, const filling *f) {
  const size_t n = f->prompt->pattern->n;
  size_t total = f->prompt->special[out->pair], shortenable[2] = {0}, loses[2];
  CZ_TRY(cz_grow(&out->cut, &out->cut_cap, n, sizeof *out->cut));
  for (size_t i = 0; i < n; i++) {
    out->cut[i] = 0;
    total += length_of(f, i);
    if (f->prompt->pieces[i].shortenable) shortenable[segment_of(f, i)] += length_of(f, i);
  }
  const size_t maximum = f->prompts->max_length;
  out->n_cut = total > maximum ? total - maximum : 0;
  if (out->n_cut > shortenable[0] + shortenable[1]) return refuse_length(f, total, shortenable);
  share(loses, shortenable, out->n_cut);
  for (size_t i = n; i-- > 0;) {
    size_t *left = &loses[segment_of(f, i)];
    if (!f->prompt->pieces[i].shortenable) continue;
    out->cut[i] = *left < length_of(f, i) ? *left : length_of(f, i);
    *left -= out->cut[i];
  }
  return CZ_OK;
}

/* Appends piece I to its segment, N[k] tokens so far, and notes where masks stand in it. */
static cz_status append(cz_prompt_input *out, const filling *f, size_t i, size_t n[2]) {
  const cz_prompt_piece *piece = &f->prompt->pieces[i];
  const size_t k = segment_of(f, i), take = length_of(f, i) - out->cut[i];
  CZ_TRY(cz_grow(&out->segment[k], &out->segment_cap[k], n[k] + take, sizeof **out->segment));
  if (take) {
    const int32_t *ids = piece->kind == CZ_PIECE_SOURCE
                             ? f->texts->ids + f->sources[piece->source].begin
                             : piece->ids;
    memcpy(out->segment[k] + n[k], ids, take * sizeof *ids);
  }
  for (size_t j = 0; piece->kind == CZ_PIECE_MASK && j < take; j++)
    out->rows[out->n_rows++] = (int32_t)(n[k] + j);
  n[k] += take;
  return CZ_OK;
}

/* Rows count in their segment so far; from here in the whole input. */
static cz_status place_rows(cz_prompt_input *out, const filling *f) {
  const int32_t mask = cz_tokenizer_get_facts(f->prompts->tokenizer)->mask;
  size_t at = 0;
  while (at < f->prompt->pattern->n && f->prompt->pieces[at].kind != CZ_PIECE_MASK) at++;
  const int32_t begin = (int32_t)out->encoding.begin[segment_of(f, at)];
  for (size_t j = 0; j < out->n_rows; j++) {
    out->rows[j] += begin;
    CZ_CHECK((size_t)out->rows[j] < out->encoding.n && out->encoding.ids[out->rows[j]] == mask);
  }
  return CZ_OK;
}

/** Fills PROMPT, one of PROMPTS, with record number I of TEXTS. What is longer than max_length
 * loses tokens of its shortenable pieces as docs/pet.md 3.4 says; texts of the pattern, other
 * fields and masks are never cut. CZ_EINVAL with the row and both counts when that is not enough.
 * OUT owns what it holds. */
cz_status cz_prompt_apply(cz_prompt_input *out, const cz_prompts *prompts, const cz_prompt *prompt,
                          const cz_prompt_texts *texts, size_t i) {
  CZ_CHECK(texts->prompts == prompts && i < texts->n);
  const filling f = {.prompts = prompts,
                     .prompt = prompt,
                     .texts = texts,
                     .sources = texts->items + i * prompts->file->n_sources,
                     .record = i};
  size_t n[2] = {0};
  out->n_rows = 0;
  out->pair = has_second(&f);
  CZ_TRY(cut(out, &f));
  for (size_t k = 0; k < prompt->pattern->n; k++) CZ_TRY(append(out, &f, k, n));
  CZ_TRY(cz_tokenizer_assemble(prompts->tokenizer, &out->encoding, out->segment[0], n[0],
                               out->segment[1], n[1], out->pair));
  return place_rows(out, &f);
}

/** Frees what INPUT holds and empties it. */
void cz_prompt_input_free(cz_prompt_input *input) {
  cz_encoding_free(&input->encoding);
  free(input->cut);
  free(input->segment[0]);
  free(input->segment[1]);
  *input = (cz_prompt_input){0};
}

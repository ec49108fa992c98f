/* A pattern filled in for a record, and cut to length (docs/pet.md 3.4), with demonstrations in
 * front of it where it has some (3.5). */
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
  const int32_t *word; /* of a demonstration: what stands in the mask's place; or null */
  size_t word_length;
} filling;

/* Tokens of a filling. */
typedef struct extent {
  size_t fixed, shortenable[2]; /* of each segment */
} extent;

/* A demonstration that may stand in front. */
typedef struct cz_prompt_part {
  size_t number; /* among all */
  size_t fixed, shortenable;
} part;

static filling fill(const cz_prompts *prompts, const cz_prompt *prompt,
                    const cz_prompt_texts *texts, size_t i) {
  return (filling){.prompts = prompts,
                   .prompt = prompt,
                   .texts = texts,
                   .sources = texts->items + i * prompts->file->n_sources,
                   .record = i};
}

/* Tokens of piece I, uncut. */
static size_t length_of(const filling *f, size_t i) {
  const cz_prompt_piece *piece = &f->prompt->pieces[i];
  if (piece->kind == CZ_PIECE_MASK && f->word) return f->word_length;
  return piece->kind == CZ_PIECE_SOURCE ? f->sources[piece->source].n : piece->n;
}

static const int32_t *ids_of(const filling *f, size_t i) {
  const cz_prompt_piece *piece = &f->prompt->pieces[i];
  if (piece->kind == CZ_PIECE_MASK && f->word) return f->word;
  if (piece->kind != CZ_PIECE_SOURCE) return piece->ids;
  const cz_prompt_text *source = &f->sources[piece->source];
  return source->n ? f->texts->ids + source->begin : NULL; /* there may be no ids at all */
}

static size_t segment_of(const filling *f, size_t i) { return i >= f->prompt->pattern->second; }

static extent measure(const filling *f) {
  extent e = {0};
  for (size_t i = 0; i < f->prompt->pattern->n; i++)
    *(f->prompt->pieces[i].shortenable ? &e.shortenable[segment_of(f, i)] : &e.fixed) +=
        length_of(f, i);
  return e;
}

/* Whether the record has a second segment: one whose fields all are empty is none, as the published
 * code has it. */
static bool has_second(const filling *f) {
  const cz_prompt *p = f->prompt;
  if (p->always_pair) return true;
  for (size_t i = p->pattern->second; i < p->pattern->n; i++)
    if (p->pieces[i].kind != CZ_PIECE_SOURCE || !f->sources[p->pieces[i].source].empty) return true;
  return false;
}

static cz_status refuse_length(const filling *f, size_t fixed) {
  size_t fields = 0;
  char place[512];
  for (size_t i = 0; i < f->prompt->pattern->n; i++) {
    const cz_prompt_piece *p = &f->prompt->pieces[i];
    if (p->kind == CZ_PIECE_SOURCE && !p->shortenable) fields += f->sources[p->source].n;
  }
  return CZ_FAIL(CZ_EINVAL,
                 "%s leaves no room: the pattern '%s' has %zu tokens with it that may not be cut, "
                 "%zu of its fields, and max_length is %zu; a field with a star may be cut",
                 cz__prompt_place_text(place, &f->texts->places[f->record]),
                 f->prompt->pattern->text, fixed, fields, f->prompts->max_length);
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

/* What each piece loses when F, of extent E, loses EXCESS tokens, which it can: the last piece of a
 * segment that may be cut goes first, from its end. */
static cz_status cut(cz_prompt_input *out, const filling *f, const extent *e, size_t excess) {
  const size_t n = f->prompt->pattern->n;
  size_t loses[2];
  CZ_TRY(cz_grow(&out->cut, &out->cut_cap, n, sizeof *out->cut));
  share(loses, e->shortenable, excess);
  for (size_t i = n; i-- > 0;) {
    size_t *left = &loses[segment_of(f, i)];
    out->cut[i] = 0;
    if (!f->prompt->pieces[i].shortenable) continue;
    out->cut[i] = *left < length_of(f, i) ? *left : length_of(f, i);
    *left -= out->cut[i];
  }
  return CZ_OK;
}

/* Appends TAKE of IDS to segment K, N[k] tokens so far. */
static cz_status add_ids(cz_prompt_input *out, size_t k, size_t n[2], const int32_t *ids,
                         size_t take) {
  CZ_TRY(cz_grow(&out->segment[k], &out->segment_cap[k], n[k] + take, sizeof **out->segment));
  if (take) memcpy(out->segment[k] + n[k], ids, take * sizeof *ids);
  n[k] += take;
  return CZ_OK;
}

/* Appends piece I to its segment and notes where masks stand in it. */
static cz_status append(cz_prompt_input *out, const filling *f, size_t i, size_t n[2]) {
  const size_t k = segment_of(f, i), begin = n[k];
  CZ_TRY(add_ids(out, k, n, ids_of(f, i), length_of(f, i) - out->cut[i]));
  for (size_t j = begin; f->prompt->pieces[i].kind == CZ_PIECE_MASK && j < n[k]; j++)
    out->rows[out->n_rows++] = (int32_t)j;
  return CZ_OK;
}

/* A token of the prompt's frame behind segment K, N tokens so far; nothing without a frame. */
static cz_status append_token(cz_prompt_input *out, const filling *f, int32_t id, size_t k,
                              size_t n[2]) {
  return f->prompt->frame ? add_ids(out, k, n, &id, 1) : CZ_OK;
}

/* start a extract, or start a delimiter b extract; without a frame the segments alone. */
static cz_status append_all(cz_prompt_input *out, const filling *f, size_t n[2]) {
  static const cz_prompt_frame none = {-1, -1, -1};
  const cz_prompt *p = f->prompt;
  const cz_prompt_frame *frame = p->frame ? p->frame : &none;
  CZ_TRY(append_token(out, f, frame->start, 0, n));
  for (size_t k = 0; k < p->pattern->n; k++) CZ_TRY(append(out, f, k, n));
  if (out->pair) CZ_TRY(append_token(out, f, frame->delimiter, 0, n));
  return append_token(out, f, frame->extract, out->pair, n);
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

/* Demonstration NUMBER of D, with the first word of its label. */
static filling demonstration(const filling *f, const cz_demonstrations *d, size_t number) {
  const size_t masks = (size_t)f->prompt->pattern->masks;
  filling shown = fill(f->prompts, f->prompt, d->texts, (size_t)d->items[number]);
  shown.word = f->prompt->words + (size_t)d->labels[number] * f->prompt->n_words * masks;
  shown.word_length = cz_prompt_answer_length(shown.word, masks);
  return shown;
}

/* Which of D may be shown to a text with HASH, and how long they are; a text is not shown itself.
 * *N of them. */
static cz_status list_parts(cz_prompt_input *out, size_t *n, const filling *f,
                            const cz_demonstrations *d, const uint64_t *hash) {
  CZ_TRY(cz_grow(&out->parts, &out->parts_cap, d->n, sizeof *out->parts));
  *n = 0;
  for (size_t i = 0; i < d->n; i++) {
    const filling shown = demonstration(f, d, i);
    const extent e = measure(&shown);
    if (hash && d->hashes[i] == *hash) continue;
    out->parts[(*n)++] = (part){.number = i,
                                .fixed = e.fixed + f->prompts->n_separator,
                                .shortenable = e.shortenable[0] + e.shortenable[1]};
  }
  return CZ_OK;
}

/* Tokens of N parts that keep LEVEL of those that may be cut, or fewer where they have fewer. */
static size_t taken(const part *parts, size_t n, size_t level) {
  size_t sum = 0;
  for (size_t i = 0; i < n; i++)
    sum += parts[i].fixed + (parts[i].shortenable < level ? parts[i].shortenable : level);
  return sum;
}

/* The demonstrations that fit into ROOM tokens, and into segment 0: their fields are cut first, the
 * longest ones down to one length, and where that is not enough those in front are left out. */
static cz_status add_demonstrations(cz_prompt_input *out, const filling *f,
                                    const cz_demonstrations *d, const uint64_t *hash, size_t room,
                                    size_t n[2]) {
  size_t all = 0, first = 0, level = 0, above = room + 1;
  CZ_TRY(list_parts(out, &all, f, d, hash));
  while (first < all && taken(out->parts + first, all - first, 0) > room) first++;
  while (above - level > 1) {
    const size_t middle = level + (above - level) / 2;
    *(taken(out->parts + first, all - first, middle) > room ? &above : &level) = middle;
  }
  for (size_t i = first; i < all; i++) {
    const filling shown = demonstration(f, d, out->parts[i].number);
    const extent e = measure(&shown);
    const size_t long_by =
        out->parts[i].shortenable > level ? out->parts[i].shortenable - level : 0;
    CZ_TRY(cut(out, &shown, &e, long_by));
    for (size_t k = 0; k < f->prompt->pattern->n; k++)
      CZ_TRY(add_ids(out, 0, n, ids_of(&shown, k), length_of(&shown, k) - out->cut[k]));
    CZ_TRY(add_ids(out, 0, n, f->prompts->separator, f->prompts->n_separator));
  }
  out->shown = all - first;
  out->dropped = first;
  return CZ_OK;
}

/** Fills PROMPT, one of PROMPTS, with record number I of TEXTS. What is longer than max_length
 * loses tokens of its shortenable pieces as docs/pet.md 3.4 says; texts of the pattern, other
 * fields and masks are never cut. CZ_EINVAL with the row and both counts when that is not enough.
 * OUT owns what it holds. */
cz_status cz_prompt_apply(cz_prompt_input *out, const cz_prompts *prompts, const cz_prompt *prompt,
                          const cz_prompt_texts *texts, size_t i) {
  return cz_prompt_apply_behind(out, prompts, prompt, texts, i, NULL, NULL);
}

/** The same behind DEMONSTRATIONS (null: none), which take what room the record leaves (docs/pet.md
 * 3.5); the one that has the record's HASH (null: it has none) is left out. Not of `plain`. */
cz_status cz_prompt_apply_behind(cz_prompt_input *out, const cz_prompts *prompts,
                                 const cz_prompt *prompt, const cz_prompt_texts *texts, size_t i,
                                 const cz_demonstrations *demonstrations, const uint64_t *hash) {
  CZ_CHECK(texts->prompts == prompts && i < texts->n);
  const filling f = fill(prompts, prompt, texts, i);
  const extent e = measure(&f);
  size_t n[2] = {0};
  out->n_rows = out->shown = out->dropped = 0;
  out->pair = has_second(&f);
  const size_t fixed = prompt->special[out->pair] + e.fixed, maximum = prompts->max_length,
               total = fixed + e.shortenable[0] + e.shortenable[1];
  if (fixed > maximum) return refuse_length(&f, fixed);
  out->n_cut = total > maximum ? total - maximum : 0;
  if (demonstrations)
    CZ_TRY(add_demonstrations(out, &f, demonstrations, hash, maximum - (total - out->n_cut), n));
  CZ_TRY(cut(out, &f, &e, out->n_cut));
  CZ_TRY(append_all(out, &f, n));
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
  free(input->parts);
  *input = (cz_prompt_input){0};
}

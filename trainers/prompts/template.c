/* The grammar of a pattern (docs/pet.md 3.2):
 *
 *   {mask}  {mask:3}            one mask, three
 *   {a}  {a*}                   the field a; with a star its end may be cut
 *   {a*|strip_punctuation}      what is done to the text first; several, with bars between
 *   {a|inline}                  the field is part of the text around it, tokenised with it
 *   ||                          between the first and the second segment
 *   {{                          a brace
 *
 * All else is text. Blanks around a piece are dropped: a piece is tokenised by itself, with the
 * space in front that words inside a text have. */
#include "prompts/template.h"
#include "base/nearest.h"
#include "base/number.h"

#include <stdlib.h>
#include <string.h>

static const char blanks[] = " \t\n";

typedef struct reading {
  cz__template_room *room;
  cz_pattern *pattern;
  const char *at; /* what has not been read */
  size_t cap;     /* of pieces */
  cz_buf text;    /* the text under way */
  cz_pattern_part *parts;
  size_t n_parts, parts_cap; /* of the piece under way, without `text` */
  bool divided;
} reading;

/* A field between braces. */
typedef struct place_holder {
  size_t field;
  unsigned changes;
  bool shortenable, is_inline;
} place_holder;

#define REFUSE(r, ...) cz_config_error((r)->pattern->node, __VA_ARGS__)

static cz_status add_piece(reading *r, cz_pattern_piece piece) {
  CZ_TRY(cz_grow(&r->pattern->pieces, &r->cap, r->pattern->n + 1, sizeof *r->pattern->pieces));
  r->pattern->pieces[r->pattern->n++] = piece;
  return CZ_OK;
}

static bool same_part(const cz_pattern_part *a, const cz_pattern_part *b) {
  if (!a->text != !b->text) return false;
  return a->text ? !strcmp(a->text, b->text) : a->field == b->field && a->changes == b->changes;
}

/* The number of the source with these parts: sources are tokenised once for all patterns. */
static cz_status find_source(size_t *source, cz__template_room *room, const cz_pattern_part *parts,
                             size_t n) {
  for (*source = 0; *source < room->n_sources; ++*source) {
    const cz_pattern_source *s = &room->sources[*source];
    size_t same = 0;
    while (s->n == n && same < n && same_part(&s->parts[same], &parts[same])) same++;
    if (s->n == n && same == n) return CZ_OK;
  }
  cz_pattern_part *copy;
  CZ_TRY(cz_arena_alloc(room->arena, &copy, n, sizeof *copy));
  memcpy(copy, parts, n * sizeof *copy);
  CZ_TRY(cz_grow(&room->sources, &room->cap, room->n_sources + 1, sizeof *room->sources));
  room->sources[room->n_sources++] = (cz_pattern_source){copy, n};
  return CZ_OK;
}

/* Ends the text under way, without blanks where the piece begins or, with LAST, ends; it becomes a
 * part. Nothing is left of blanks alone. */
static cz_status end_text(reading *r, bool last) {
  const char *text = r->text.data ? r->text.data : "";
  char *copy;
  size_t n = r->text.len;
  while (last && n > 0 && strchr(blanks, text[n - 1])) n--;
  size_t skip = r->n_parts ? 0 : strspn(text, blanks);
  r->text.len = 0;
  if (skip >= n) return CZ_OK;
  CZ_TRY(cz_arena_alloc(r->room->arena, &copy, n - skip + 1, 1));
  memcpy(copy, text + skip, n - skip);
  CZ_TRY(cz_grow(&r->parts, &r->parts_cap, r->n_parts + 1, sizeof *r->parts));
  r->parts[r->n_parts++] = (cz_pattern_part){.text = copy};
  return CZ_OK;
}

/* Ends the piece under way: a text, or a text with fields inside it. */
static cz_status end_piece(reading *r) {
  CZ_TRY(end_text(r, true));
  const size_t n = r->n_parts;
  r->n_parts = 0;
  if (n == 0) return CZ_OK;
  if (n == 1 && r->parts[0].text)
    return add_piece(r, (cz_pattern_piece){.kind = CZ_PIECE_TEXT, .text = r->parts[0].text});
  cz_pattern_piece piece = {.kind = CZ_PIECE_SOURCE};
  CZ_TRY(find_source(&piece.source, r->room, r->parts, n));
  return add_piece(r, piece);
}

static cz_status add_mask(reading *r, const char *inside) {
  int64_t count = 1;
  if (r->pattern->masks)
    return REFUSE(r, "a second mask; several masks of one place are written {mask:2}");
  if (inside[4] && (inside[4] != ':' || cz_parse_int(inside + 5, &count) != CZ_OK || count < 1 ||
                    count > CZ_PATTERN_MASKS))
    return REFUSE(r, "'{%s}': expected {mask}, or {mask:N} with N from 1 to %d", inside,
                  CZ_PATTERN_MASKS);
  CZ_TRY(end_piece(r));
  r->pattern->masks = (int32_t)count;
  return add_piece(r, (cz_pattern_piece){.kind = CZ_PIECE_MASK, .masks = (int32_t)count});
}

static cz_status add_attribute(const reading *r, place_holder *p, const char *word) {
  static const char *const names[] = {"strip_punctuation", "lower_first", "inline"};
  size_t i;
  if (cz_find_name(&i, "attribute of a field", word, names, 3) != CZ_OK)
    return REFUSE(r, "%s", cz_error_message());
  if (i == 2)
    p->is_inline = true;
  else
    p->changes |= i == 0 ? CZ_STRIP_PUNCTUATION : CZ_LOWER_FIRST;
  return CZ_OK;
}

/* INSIDE, which is cut up: `a*|strip_punctuation`. */
static cz_status parse_field(const reading *r, place_holder *p, char *inside) {
  char *save, *attributes = strchr(inside, '|');
  if (attributes) *attributes++ = '\0';
  size_t n = strlen(inside);
  p->shortenable = n > 0 && inside[n - 1] == '*';
  if (p->shortenable) inside[n - 1] = '\0';
  for (p->field = 0; p->field < r->room->n_fields; p->field++)
    if (!strcmp(inside, r->room->fields[p->field])) break;
  if (p->field == r->room->n_fields)
    return REFUSE(r, "unknown field '%s'%s", inside,
                  cz_suggest(inside, r->room->fields, r->room->n_fields).text);
  if (attributes && (!*attributes || *attributes == '|' || strstr(attributes, "||") ||
                     attributes[strlen(attributes) - 1] == '|'))
    return REFUSE(r, "an attribute is missing behind '|'");
  for (char *word = attributes ? strtok_r(attributes, "|", &save) : NULL; word;
       word = strtok_r(NULL, "|", &save))
    CZ_TRY(add_attribute(r, p, word));
  if (p->is_inline && p->shortenable)
    return REFUSE(r, "'%s' is inline, so it cannot be shortened: leave out the star", inside);
  return CZ_OK;
}

static cz_status add_field(reading *r, char *inside) {
  place_holder p = {0};
  CZ_TRY(parse_field(r, &p, inside));
  const cz_pattern_part part = {.field = (int32_t)p.field, .changes = p.changes};
  if (p.is_inline) {
    CZ_TRY(end_text(r, false));
    CZ_TRY(cz_grow(&r->parts, &r->parts_cap, r->n_parts + 1, sizeof *r->parts));
    r->parts[r->n_parts++] = part;
    return CZ_OK;
  }
  cz_pattern_piece piece = {.kind = CZ_PIECE_SOURCE, .shortenable = p.shortenable};
  CZ_TRY(end_piece(r));
  CZ_TRY(find_source(&piece.source, r->room, &part, 1));
  return add_piece(r, piece);
}

/* What stands between braces. */
static cz_status read_braces(reading *r) {
  char inside[128];
  size_t n = strcspn(++r->at, "{}");
  if (r->at[n] != '}')
    return REFUSE(r, "'{%.*s' is never closed; a brace is written {{", (int)n, r->at);
  if (n >= sizeof inside) return REFUSE(r, "'{%.40s...' is no field and no mask", r->at);
  memcpy(inside, r->at, n);
  inside[n] = '\0';
  r->at += n + 1;
  if (!*inside) return REFUSE(r, "'{}' names no field; a brace is written {{");
  bool mask = !strncmp(inside, "mask", 4) && (!inside[4] || strchr(":*|", inside[4]));
  return mask ? add_mask(r, inside) : add_field(r, inside);
}

static cz_status divide(reading *r) {
  if (r->divided) return REFUSE(r, "'||' stands here twice; there are at most two segments");
  CZ_TRY(end_piece(r));
  if (r->pattern->n == 0) return REFUSE(r, "nothing stands before '||'");
  r->divided = true;
  r->pattern->second = r->pattern->n;
  r->at += 2;
  return CZ_OK;
}

static cz_status read_all(reading *r) {
  while (*r->at) {
    if (r->at[0] == '{' && r->at[1] != '{') {
      CZ_TRY(read_braces(r));
    } else if (r->at[0] == '|' && r->at[1] == '|') {
      CZ_TRY(divide(r));
    } else {
      CZ_TRY(cz_buf_add(&r->text, r->at, 1));
      r->at += r->at[0] == '{' ? 2 : 1;
    }
  }
  return end_piece(r);
}

static cz_status check(const reading *r, bool with_mask) {
  const cz_pattern *p = r->pattern;
  bool fields = false;
  for (size_t i = 0; i < p->n; i++) fields |= p->pieces[i].kind == CZ_PIECE_SOURCE;
  if (with_mask && !p->masks) return REFUSE(r, "there is no {mask} in the pattern");
  if (!with_mask && p->masks) return REFUSE(r, "there is a mask in what a classifier reads");
  if (!fields) return REFUSE(r, "the pattern holds no field, so it says the same of every text");
  return r->divided && p->second == p->n ? REFUSE(r, "nothing stands behind '||'") : CZ_OK;
}

/** Takes PATTERN's text apart: its pieces and `second` are set; they live in ROOM's arena, to
 * whose sources its fields are added. CZ_EUSAGE that points at the pattern's node. WITH_MASK:
 * one is demanded, else none is allowed. */
cz_status cz__template_parse_pattern(cz_pattern *pattern, cz__template_room *room, bool with_mask) {
  reading r = {.room = room, .pattern = pattern, .at = pattern->text};
  cz_pattern_piece *kept = NULL;
  cz_status st;
  CZ_GO(st, read_all(&r), done);
  if (!r.divided) pattern->second = pattern->n;
  CZ_GO(st, check(&r, with_mask), done);
  CZ_GO(st, cz_arena_alloc(room->arena, &kept, pattern->n, sizeof *kept), done);
  memcpy(kept, pattern->pieces, pattern->n * sizeof *kept);
done:
  free(pattern->pieces);
  pattern->pieces = kept;
  free(r.parts);
  cz_buf_free(&r.text);
  return st;
}

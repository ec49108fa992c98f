#include "text/post.h"

#include "base/utf8.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

/* Without a post-processor that lays texts out: the texts alone. */
static const cz__post_item bare[] = {{.text = 0}, {.text = 1, .type = 1}};
static const cz__layout bare_layouts[2] = {{bare, 1}, {bare, 2}};

static cz_status check_layout(const cz__layout *layout, const cz_json_place *at, int32_t size) {
  for (size_t i = 0; i < layout->n; i++)
    for (size_t j = 0; j < layout->items[i].n; j++)
      if (layout->items[i].ids[j] >= size)
        return cz_json_fail(at, NULL, "the special token's id %d is not one of the tokenizer's %d",
                            (int)layout->items[i].ids[j], (int)size);
  return CZ_OK;
}

/** Makes one of all post-processors PARTS of a file, in order. SIZE: ids that the tokenizer has.
 * CZ_EINVAL for an id beyond them, and for two processors that both add tokens: the library then
 * takes the first one's tokens for texts. */
cz_status cz__post_build(cz__post *post, cz_arena *arena, const cz__parts *parts,
                         const cz_json_place *at, int32_t size) {
  const cz__processor *adding = NULL;
  memcpy(post->layouts, bare_layouts, sizeof bare_layouts);
  CZ_TRY(cz_arena_alloc(arena, &post->trims, parts->len + 1, sizeof *post->trims));
  for (size_t i = 0; i < parts->len; i++) {
    const cz__processor *p = parts->data[i].data;
    if (p->trims)
      post->trims[post->n_trims++] =
          (cz__trim){p->add_prefix_space, {adding && adding->glued[0], adding && adding->glued[1]}};
    if (!p->layouts[0].items) continue;
    if (adding)
      return cz_json_fail(at, NULL, "two post-processors that add tokens; the second is %s",
                          parts->data[i].row->type);
    adding = p;
    memcpy(post->layouts, p->layouts, sizeof p->layouts);
  }
  for (int k = 0; k < 2; k++) CZ_TRY(check_layout(&post->layouts[k], at, size));
  return CZ_OK;
}

/** How many special tokens stand around one text or two. */
size_t cz__post_added(const cz__post *post, bool pair) {
  const cz__layout *layout = &post->layouts[pair];
  size_t n = 0;
  for (size_t i = 0; i < layout->n; i++)
    if (layout->items[i].ids) n += layout->items[i].n;
  return n;
}

/* U+0120 is how a byte-level token writes a space. */
static bool is_blank(uint32_t c) { return c == 0x120 || cz_unicode_is_space(c); }

/** The blanks at both ends of the string of a token. */
cz__blanks cz__blanks_of(const char *s, size_t n) {
  cz__blanks b = {0};
  for (size_t i = 0, k; i < n && is_blank(cz_utf8_next(s + i, &k)); i += k) b.left++;
  for (size_t end = n, k; end > 0; b.right++) {
    end = cz_utf8_back(s, end);
    if (!is_blank(cz_utf8_next(s + end, &k))) break;
  }
  return b;
}

/* Takes BLANKS off the ends of a span of TEXT, in characters. KEEP_ONE: a single one on the left
 * may have been put there. It is the token that says how many, not what the text has there. */
static void trim_span(cz_text_span *span, cz__blanks blanks, bool keep_one, const char *text,
                      size_t n) {
  if (keep_one && blanks.left == 1) blanks.left = 0;
  for (size_t k = 0; blanks.left > 0 && span->begin < span->end; blanks.left--) {
    k = cz_utf8_length((unsigned char)text[span->begin]);
    span->begin = span->begin + k < span->end ? span->begin + (uint32_t)k : span->end;
  }
  size_t end = span->end;
  uint32_t left = blanks.right;
  for (; left > 0 && end > 0; left--) end = cz_utf8_back(text, end);
  if (left > 0) return; /* more blanks than there is text before its end */
  span->end = end > span->begin ? (uint32_t)end : span->begin;
}

/** Trims the offsets of the tokens S of N BYTES, which are the first text (0) or the second (1);
 * ADD_SPECIAL: special tokens will stand around them. */
void cz__post_trim(const cz__post *post, cz__segment *s, int text, const char *bytes, size_t n,
                   bool add_special) {
  for (size_t j = 0; j < post->n_trims; j++) {
    const cz__trim *trim = &post->trims[j];
    bool glued = add_special && trim->glued[text];
    for (size_t i = 0; i < s->n; i++) {
      if (s->blanks[i].left == 0 && s->blanks[i].right == 0) continue;
      bool first = s->offsets[i].begin == 0 || (i == 0 && !glued);
      trim_span(&s->offsets[i], s->blanks[i], first && trim->add_prefix_space, bytes, n);
    }
  }
}

static cz_status reserve(cz_encoding *e, size_t n) {
  CZ_TRY(cz_grow(&e->ids, &e->ids_cap, n, sizeof *e->ids));
  CZ_TRY(cz_grow(&e->offsets, &e->offsets_cap, n, sizeof *e->offsets));
  return cz_grow(&e->types, &e->types_cap, n, sizeof *e->types);
}

static cz_status put(cz_encoding *out, const int32_t *ids, const cz_text_span *offsets, size_t n,
                     int32_t type) {
  if (n == 0) return CZ_OK;
  CZ_TRY(reserve(out, out->n + n));
  memcpy(out->ids + out->n, ids, n * sizeof *ids);
  if (offsets) {
    memcpy(out->offsets + out->n, offsets, n * sizeof *offsets);
  } else {
    memset(out->offsets + out->n, 0, n * sizeof *offsets);
  }
  for (size_t i = 0; i < n; i++) out->types[out->n + i] = type;
  out->n += n;
  return CZ_OK;
}

static bool has_text(const cz__layout *layout, int text) {
  for (size_t i = 0; i < layout->n; i++)
    if (!layout->items[i].ids && layout->items[i].text == text) return true;
  return false;
}

/** Replaces OUT by TEXTS (one, with PAIR two) in their layout, with ADD_SPECIAL also its special
 * tokens. CZ_EINVAL when the layout of pairs leaves out one of the texts. */
cz_status cz__post_put(const cz__post *post, cz_encoding *out, const cz__segment *texts, bool pair,
                       bool add_special) {
  const cz__layout *layout = &post->layouts[pair];
  size_t begin[2] = {SIZE_MAX, SIZE_MAX};
  out->n = 0;
  for (int k = 0; pair && k < 2; k++)
    if (!has_text(layout, k))
      return CZ_FAIL(CZ_EINVAL,
                     "the tokenizer's post-processor has no place for the %s of two texts",
                     k ? "second" : "first");
  for (size_t i = 0; i < layout->n; i++) {
    const cz__post_item *item = &layout->items[i];
    const cz__segment *s = &texts[item->text];
    if (!item->ids) {
      if (begin[item->text] == SIZE_MAX) begin[item->text] = out->n;
      CZ_TRY(put(out, s->ids, s->offsets, s->n, item->type));
    } else if (add_special) {
      CZ_TRY(put(out, item->ids, NULL, item->n, item->type));
    }
  }
  for (int k = 0; k < 2; k++) out->begin[k] = begin[k] == SIZE_MAX ? out->n : begin[k];
  return CZ_OK;
}

/** Frees what an encoding holds and empties it. */
void cz_encoding_free(cz_encoding *e) {
  free(e->ids);
  free(e->offsets);
  free(e->types);
  *e = (cz_encoding){0};
}

/* Metaspace: spaces become a visible mark (U+2581) that belongs to the word behind them,
 * and back. */
#include "text/metaspace.h"

#include "base/utf8.h"

#include <string.h>

typedef enum scheme { ALWAYS, FIRST, NEVER } scheme;

typedef struct metaspace {
  char mark[4]; /* stands for a space */
  size_t mark_n;
  scheme scheme;
  bool split;
} metaspace;

/** Reads a Metaspace, as a pre-tokenizer or as a decoder. */
cz_status cz__metaspace_parse(void **data, cz_arena *arena, const json_t *o,
                              const cz_json_place *at) {
  static const char *const schemes[] = {"always", "first", "never"};
  metaspace *m;
  uint32_t mark;
  int choice = ALWAYS;
  bool prefix = true;
  CZ_TRY(cz_json_only(
      o, at, CZ__KEYS("replacement", "prepend_scheme", "split", "add_prefix_space", "str_rep")));
  CZ_TRY(cz_arena_alloc(arena, &m, 1, sizeof *m));
  CZ_TRY(cz__json_character(&mark, o, at, "replacement"));
  m->mark_n = cz_utf8_put(m->mark, mark);
  bool has_scheme = json_object_get(o, "prepend_scheme");
  if (has_scheme)
    CZ_TRY(cz_json_get_choice(&choice, o, at, "prepend_scheme", schemes,
                              sizeof schemes / sizeof *schemes));
  if (json_object_get(o, "add_prefix_space"))
    CZ_TRY(cz_json_get_bool(&prefix, o, at, "add_prefix_space"));
  if (!prefix && choice != NEVER)
    return cz_json_fail(at, NULL, "add_prefix_space is false and prepend_scheme is '%s'",
                        schemes[choice]);
  m->scheme = (scheme)choice;
  m->split = true; /* the format's default */
  if (json_object_get(o, "split")) CZ_TRY(cz_json_get_bool(&m->split, o, at, "split"));
  *data = m;
  return CZ_OK;
}

/* Copies the piece to the end of next_flat with spaces marked and the prefix that the
 * scheme asks for. */
static cz_status rewrite(const metaspace *m, cz__work *w, const cz__piece *p) {
  const char *s = w->flat.bytes;
  bool marked = s[p->begin] == ' ' ||
                (p->end - p->begin >= m->mark_n && memcmp(s + p->begin, m->mark, m->mark_n) == 0);
  if (!marked && (m->scheme == ALWAYS || (m->scheme == FIRST && p->origin == 0)))
    CZ_TRY(cz__aligned_fill(&w->next_flat, m->mark, m->mark_n, w->flat.spans[p->begin]));
  for (size_t at = p->begin; at < p->end;) {
    const char *space = memchr(s + at, ' ', p->end - at);
    size_t end = space ? (size_t)(space - s) : p->end;
    CZ_TRY(cz__aligned_copy(&w->next_flat, &w->flat, at, end));
    if (space) CZ_TRY(cz__aligned_fill(&w->next_flat, m->mark, m->mark_n, w->flat.spans[end]));
    at = end + (space != NULL);
  }
  return CZ_OK;
}

/* Cuts [begin, end of next_flat) before each mark. */
static cz_status cut_before_marks(const metaspace *m, cz__work *w, size_t begin) {
  const char *s = w->next_flat.bytes;
  size_t end = w->next_flat.len;
  while (begin < end) {
    size_t next = end;
    if (m->split && end - begin > m->mark_n) {
      const char *mark = cz__find_bytes(s + begin + 1, end - begin - 1, m->mark, m->mark_n);
      if (mark) next = (size_t)(mark - s);
    }
    CZ_TRY(cz__pieces_add(&w->next_pieces,
                          (cz__piece){begin, next, w->next_flat.spans[begin].begin, -1}));
    begin = next;
  }
  return CZ_OK;
}

/** The pre-tokenizer: marks spaces, prefixes pieces, cuts them before each mark. */
cz_status cz__metaspace_split(const void *data, cz__work *w) {
  const metaspace *m = data;
  w->next_pieces.len = 0;
  w->next_flat.len = 0;
  for (size_t i = 0; i < w->pieces.len; i++) {
    cz__piece p = w->pieces.data[i];
    size_t begin = w->next_flat.len;
    if (p.token < 0) {
      CZ_TRY(rewrite(m, w, &p));
      CZ_TRY(cut_before_marks(m, w, begin));
      if (!m->split) w->next_pieces.data[w->next_pieces.len - 1].origin = p.origin;
    } else {
      CZ_TRY(cz__aligned_copy(&w->next_flat, &w->flat, p.begin, p.end));
      CZ_TRY(
          cz__pieces_add(&w->next_pieces, (cz__piece){begin, w->next_flat.len, p.origin, p.token}));
    }
  }
  cz__aligned_swap(&w->flat, &w->next_flat);
  cz__work_swap_pieces(w);
  return CZ_OK;
}

static cz_status unmark(const void *data, cz__work *w, const char *s, size_t n, size_t index) {
  const metaspace *m = data;
  for (size_t at = 0; at < n;) {
    const char *mark = cz__find_bytes(s + at, n - at, m->mark, m->mark_n);
    size_t end = mark ? (size_t)(mark - s) : n;
    CZ_TRY(cz_buf_add(&w->next_words.bytes, s + at, end - at));
    if (mark && (index > 0 || m->scheme == NEVER)) CZ_TRY(cz_buf_add(&w->next_words.bytes, " ", 1));
    at = mark ? end + m->mark_n : n;
  }
  return cz__words_end(&w->next_words);
}

/** The decoder: marks become spaces; those of the first word vanish when a prefix was
 * added. */
cz_status cz__metaspace_decode(const void *data, cz__work *w) {
  return cz__words_each(w, unmark, data);
}

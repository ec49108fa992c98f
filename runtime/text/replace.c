#include "text/replace.h"

#include "text/pattern.h"

typedef struct replacement {
  cz__pattern pattern;
  char *content;
  size_t content_n;
} replacement;

/** Frees the compiled expression; accepts null. */
void cz__replace_release(void *data) {
  if (data) cz__pattern_release(&((replacement *)data)->pattern);
}

/** Reads {"pattern": ..., "content": ...}. */
cz_status cz__replace_parse(void **data, cz_arena *arena, const json_t *o,
                            const cz_json_place *at) {
  replacement *r;
  const char *s;
  CZ_TRY(cz_json_only(o, at, CZ__KEYS("pattern", "content")));
  CZ_TRY(cz_arena_alloc(arena, &r, 1, sizeof *r));
  CZ_TRY(cz_json_get_bytes(&s, &r->content_n, o, at, "content"));
  CZ_TRY(cz__copy_bytes(&r->content, arena, s, r->content_n));
  *data = r;
  return cz__pattern_parse(&r->pattern, arena, o, at);
}

/** The normalizer: what replaces a match stands for the last byte of the match. */
cz_status cz__replace_normalize(const void *data, cz__work *w) {
  const replacement *r = data;
  const cz__matches *m = &w->matches;
  CZ_TRY(cz__pattern_find(&r->pattern, &w->matches, w->text.bytes, w->text.len, w));
  if (m->len == 0 || (m->len == 1 && !m->data[0].hit)) return CZ_OK;
  w->spare.len = 0;
  for (size_t i = 0; i < m->len; i++) {
    cz__match x = m->data[i];
    if (!x.hit) {
      CZ_TRY(cz__aligned_copy(&w->spare, &w->text, x.begin, x.end));
      continue;
    }
    CZ_TRY(cz__work_room(w, w->spare.len + r->content_n));
    cz_text_span span = x.end > 0 ? w->text.spans[x.end - 1] : (cz_text_span){w->origin, w->origin};
    CZ_TRY(cz__aligned_fill(&w->spare, r->content, r->content_n, span));
  }
  cz__aligned_swap(&w->text, &w->spare);
  return CZ_OK;
}

static cz_status replace_in(const void *data, cz__work *w, const char *s, size_t n, size_t index) {
  const replacement *r = data;
  CZ_TRY(cz__pattern_find(&r->pattern, &w->matches, s, n, w));
  for (size_t i = 0; i < w->matches.len; i++) {
    cz__match x = w->matches.data[i];
    CZ_TRY(cz__work_room(w, w->next_words.bytes.len + r->content_n));
    CZ_TRY(x.hit ? cz_buf_add(&w->next_words.bytes, r->content, r->content_n)
                 : cz_buf_add(&w->next_words.bytes, s + x.begin, x.end - x.begin));
  }
  return cz__words_end(&w->next_words);
}

/** The decoder: rewrites each word by itself. */
cz_status cz__replace_decode(const void *data, cz__work *w) {
  return cz__words_each(w, replace_in, data);
}

#include "text/added.h"

#include "base/utf8.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

static cz_status parse_token(cz__added_token *t, int64_t *id, cz_arena *arena, const json_t *o,
                             const cz_json_place *at) {
  const char *s;
  CZ_TRY(cz_json_only(
      o, at,
      CZ__KEYS("id", "content", "single_word", "lstrip", "rstrip", "normalized", "special")));
  CZ_TRY(cz__json_count(id, o, at, "id"));
  CZ_TRY(cz_json_get_bytes(&s, &t->content_n, o, at, "content"));
  if (t->content_n == 0) return cz_json_fail(at, "content", "an added token can't be empty");
  CZ_TRY(cz__copy_bytes(&t->content, arena, s, t->content_n));
  CZ_TRY(cz_json_get_bool(&t->single_word, o, at, "single_word"));
  CZ_TRY(cz_json_get_bool(&t->lstrip, o, at, "lstrip"));
  CZ_TRY(cz_json_get_bool(&t->rstrip, o, at, "rstrip"));
  CZ_TRY(cz_json_get_bool(&t->normalized, o, at, "normalized"));
  return cz_json_get_bool(&t->special, o, at, "special");
}

static cz_status normalise(cz__added_token *t, cz_arena *arena, const cz__parts *normalizers,
                           cz__work *w, const cz_json_place *at) {
  t->normal = t->content;
  t->normal_n = t->content_n;
  if (!t->normalized || normalizers->len == 0) return CZ_OK;
  w->origin = 0;
  CZ_TRY(cz__aligned_set(&w->text, t->content, t->content_n, 0));
  CZ_TRY(cz__parts_run(normalizers, w));
  t->normal_n = w->text.len;
  if (t->normal_n == 0)
    return cz_json_fail(at, NULL, "nothing is left of '%s' once normalised", t->content);
  return cz__copy_bytes(&t->normal, arena, w->text.bytes, w->text.len);
}

/* A token that the model knows keeps its id; the others count up behind the model. The
 * file must agree. */
static cz_status give_id(cz__added *a, cz__added_token *t, int64_t written, const cz__model *model,
                         const cz_json_place *at) {
  t->id = model->row->id(model->data, t->content, t->content_n);
  if (t->id < 0) t->id = a->size++;
  if (t->id == written) return CZ_OK;
  return cz_json_fail(at, NULL,
                      "'%s' has id %lld, but the library that reads this format gives it %d",
                      t->content, (long long)written, (int)t->id);
}

static cz_status build_set(cz__added_set *set, const cz__added *a, bool normalized,
                           cz__trie_key *keys) {
  size_t n = 0;
  for (size_t i = 0; i < a->n; i++) {
    const cz__added_token *t = &a->tokens[i];
    if (t->normalized != normalized) continue;
    keys[n++] = (cz__trie_key){t->normal, t->normal_n, (int32_t)i};
    set->starts[(unsigned char)t->normal[0]] = set->any = true;
  }
  return cz__trie_build(&set->trie, keys, n);
}

static cz_status index_tokens(cz__added *a, cz_arena *arena, const cz_json_place *at) {
  cz__trie_key *keys;
  CZ_TRY(cz_alloc(&keys, a->n, sizeof *keys));
  for (size_t i = 0; i < a->n; i++)
    keys[i] = (cz__trie_key){a->tokens[i].content, a->tokens[i].content_n, (int32_t)i};
  cz_status st;
  CZ_GO(st, cz__trie_build(&a->contents, keys, a->n), done);
  CZ_GO(st, build_set(&a->raw, a, false, keys), done);
  CZ_GO(st, build_set(&a->normal, a, true, keys), done);
  CZ_GO(st, cz_arena_alloc(arena, &a->by_id, (size_t)a->size, sizeof *a->by_id), done);
  CZ_GO(st, cz_arena_alloc(arena, &a->special, (size_t)a->size, sizeof *a->special), done);
  for (int32_t i = 0; i < a->size; i++) a->by_id[i] = -1;
  for (size_t i = 0; i < a->n && st == CZ_OK; i++) {
    const cz__added_token *t = &a->tokens[i];
    const cz__added_set *set = t->normalized ? &a->normal : &a->raw;
    a->by_id[t->id] = (int32_t)i;
    a->special[t->id] = t->special;
    bool twice = cz__trie_find(&a->contents, t->content, t->content_n) != (int32_t)i ||
                 cz__trie_find(&set->trie, t->normal, t->normal_n) != (int32_t)i;
    if (twice)
      st = cz_json_fail(at, NULL,
                        "'%s' is listed twice, or another token looks like it once normalised",
                        t->content);
  }
done:
  free(keys);
  return st;
}

/** Reads the list `added_tokens` and gives out the ids behind the model's. Release with
 * cz__added_release, also after a failure. */
cz_status cz__added_parse(cz__added *a, cz_arena *arena, const json_t *json,
                          const cz_json_place *at, const cz__model *model,
                          const cz__parts *normalizers) {
  if (!json_is_array(json)) return cz_json_fail(at, NULL, "expected a list");
  size_t n = json_array_size(json);
  if (n > INT32_MAX / 2) return cz_json_fail(at, NULL, "%zu tokens are too many", n);
  a->size = model->size;
  CZ_TRY(cz_arena_alloc(arena, &a->tokens, n, sizeof *a->tokens));
  cz__work w = {0};
  cz_status st = CZ_OK;
  for (; a->n < n; a->n++) {
    cz_json_place item = cz_json_place_item(at, a->n);
    cz__added_token *t = &a->tokens[a->n];
    int64_t written;
    CZ_GO(st, parse_token(t, &written, arena, json_array_get(json, a->n), &item), done);
    CZ_GO(st, give_id(a, t, written, model, &item), done);
    CZ_GO(st, normalise(t, arena, normalizers, &w, &item), done);
  }
  CZ_GO(st, index_tokens(a, arena, at), done);
done:
  cz__work_free(&w);
  return st;
}

static bool inside_word(const char *s, size_t n, size_t begin, size_t end) {
  size_t k;
  if (begin > 0 && cz_unicode_is_word(cz_utf8_next(s + cz_utf8_back(s, begin), &k))) return true;
  return end < n && cz_unicode_is_word(cz_utf8_next(s + end, &k));
}

static size_t strip_left(const char *s, size_t begin, size_t floor) {
  size_t k;
  while (begin > floor) {
    size_t at = cz_utf8_back(s, begin);
    if (!cz_unicode_is_space(cz_utf8_next(s + at, &k))) break;
    begin = at;
  }
  return begin;
}

static size_t strip_right(const char *s, size_t end, size_t n) {
  for (size_t k; end < n && cz_unicode_is_space(cz_utf8_next(s + end, &k));) end += k;
  return end;
}

/* The next token in the text from scan->at, leftmost, of those the longest. */
static bool find_token(cz__added_scan *scan, cz__stretch *out) {
  while (scan->set->any && scan->at < scan->n) {
    size_t begin = scan->at, length = 0;
    if (!scan->set->starts[(unsigned char)scan->text[begin]]) {
      scan->at++;
      continue;
    }
    int32_t i = cz__trie_longest(&scan->set->trie, 0, scan->text + begin, scan->n - begin, &length);
    scan->at += i < 0 ? 1 : length;
    if (i < 0) continue;
    const cz__added_token *t = &scan->added->tokens[i];
    if (scan->text_only && t->special) continue;
    *out = (cz__stretch){begin, begin + length, i};
    if (t->single_word && inside_word(scan->text, scan->n, out->begin, out->end)) continue;
    if (t->lstrip)
      out->begin = scan->done < out->begin ? strip_left(scan->text, out->begin, scan->done)
                                           : scan->done; /* no space is taken twice */
    if (t->rstrip) out->end = strip_right(scan->text, out->end, scan->n);
    return true;
  }
  return false;
}

/* A token that takes spaces on its left ends before the place where the token before it,
 * which takes those on its right, has ended: the library's own slice fails there. */
static cz_status refuse_crossed(const cz__added_scan *scan) {
  const cz__added_token *t = &scan->added->tokens[scan->held.token];
  return CZ_FAIL(
      CZ_EINVAL,
      "the added token '%s' at byte %zu of the text lies in blanks that the token before "
      "it takes (rstrip, lstrip)",
      t->content, scan->held.end - t->normal_n);
}

/** The next stretch of the text, in order; *MORE is false at its end. A token whose blanks the
 * token before it has taken, and which is nothing else, has no stretch, as in the library.
 * CZ_EINVAL when two tokens want the same blanks and one of them ends before it begins. */
cz_status cz__added_next(cz__added_scan *scan, cz__stretch *out, bool *more) {
  *more = true;
  if (scan->holds) {
    scan->holds = false;
    *out = scan->held;
    return CZ_OK;
  }
  size_t from = scan->done;
  bool found = find_token(scan, &scan->held);
  while (found && scan->held.begin == scan->held.end && scan->held.begin == from)
    found = find_token(scan, &scan->held);
  if (found && scan->held.begin > scan->held.end) return refuse_crossed(scan);
  size_t to = found ? scan->held.begin : scan->n;
  if (found) scan->done = scan->held.end;
  if (from < to) {
    *out = (cz__stretch){from, to, -1};
    scan->holds = found;
    if (!found) scan->done = scan->n;
    return CZ_OK;
  }
  *out = scan->held;
  *more = found;
  return CZ_OK;
}

/** Frees the tries. */
void cz__added_release(cz__added *a) {
  cz__trie_free(&a->contents);
  cz__trie_free(&a->raw.trie);
  cz__trie_free(&a->normal.trie);
}

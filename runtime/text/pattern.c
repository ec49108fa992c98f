#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pattern.h"

#include "base/utf8.h"

#include <pcre2.h>
#include <string.h>

/* \s and \w as members of a class, as Oniguruma (which the Hugging Face library runs) has
 * them: PCRE2's \s counts U+180E too, its \w is narrower. Outside of a class Oniguruma's
 * \w has six more. */
#define WORD                                                                                       \
  "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}" \
  "\\x{1f170}-\\x{1f189}"
#define MORE "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"
#define SPACES                                                                                     \
  "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{"  \
  "205f}\\x{3000}"

/* Rewrites what the two engines read differently and refuses what has no counterpart. */
static cz_status translate(cz_buf *out, const char *s, size_t n, const cz_json_place *at) {
  bool in_class = false;
  for (size_t i = 0; i < n; i++) {
    if (s[i] != '\\') {
      if (s[i] == '[' && in_class)
        return cz_json_fail(at, NULL, "nested classes are not supported: %s", s);
      in_class = s[i] == '[' || (in_class && s[i] != ']');
      if (s[i] == '(' && !in_class && i + 1 < n && s[i + 1] == '*')
        return cz_json_fail(at, NULL, "verbs such as (*FAIL) are not supported: %s", s);
      if (s[i] == '(' && i + 2 < n && s[i + 1] == '?' && !strchr(":=!<>", s[i + 2]))
        return cz_json_fail(at, NULL, "the option group '(?%c' is not supported: %s", s[i + 2], s);
      CZ_TRY(cz_buf_add(out, s + i, 1));
      continue;
    }
    char c = '\0';
    if (i + 1 < n) c = s[++i];
    if (c == '\0' || strchr("bBCghHRXKGZzAQENOyY", c) || (in_class && (c == 'S' || c == 'W')))
      return cz_json_fail(at, NULL, "the escape '\\%c' is not supported here: %s", c ? c : ' ', s);
    if (c == 's' || c == 'w') {
      CZ_TRY(in_class ? cz_buf_addf(out, "%s", c == 's' ? SPACES : WORD)
                      : cz_buf_addf(out, "[%s]", c == 's' ? SPACES : WORD MORE));
    } else if (c == 'S' || c == 'W') {
      CZ_TRY(cz_buf_addf(out, "[^%s]", c == 'S' ? SPACES : WORD MORE));
    } else {
      CZ_TRY(cz_buf_add(out, (char[2]){'\\', c}, 2));
    }
  }
  return CZ_OK;
}

static cz_status compile(cz__pattern *p, const char *s, size_t n, const cz_json_place *at) {
  if (memchr(s, '\0', n)) return cz_json_fail(at, NULL, "a NUL in a regular expression");
  cz_buf text = {0};
  cz_status st;
  CZ_GO(st, translate(&text, s, n, at), done);
  int error;
  PCRE2_SIZE offset;
  p->regex = pcre2_compile((PCRE2_SPTR)text.data, text.len,
                           PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NO_UTF_CHECK |
                               PCRE2_NEVER_BACKSLASH_C,
                           &error, &offset, NULL);
  if (!p->regex) {
    PCRE2_UCHAR why[128];
    pcre2_get_error_message(error, why, sizeof why);
    st = cz_json_fail(at, NULL, "regular expression '%s': %s at byte %zu", s, (char *)why,
                      (size_t)offset);
  } else {
    (void)pcre2_jit_compile(
        p->regex, PCRE2_JIT_COMPLETE); /* only faster: without it the same matches are found */
  }
done:
  cz_buf_free(&text);
  return st;
}

/** Reads the field `pattern` of O, {"String": s} or {"Regex": r}. A pattern is in
 * Oniguruma's Ruby syntax; constructs that PCRE2 reads differently are refused. Release
 * with cz__pattern_release. */
cz_status cz__pattern_parse(cz__pattern *p, cz_arena *arena, const json_t *o,
                            const cz_json_place *at) {
  cz_json_place here = cz_json_place_key(at, "pattern");
  const json_t *pattern = json_object_get(o, "pattern");
  CZ_TRY(cz_json_only(pattern, &here, CZ__KEYS("String", "Regex")));
  if (json_object_size(pattern) != 1)
    return cz_json_fail(&here, NULL, "expected one of String and Regex");
  bool regex = json_object_get(pattern, "Regex");
  const char *s;
  size_t n;
  CZ_TRY(cz_json_get_bytes(&s, &n, pattern, &here, regex ? "Regex" : "String"));
  if (n == 0) return cz_json_fail(&here, NULL, "an empty pattern matches everywhere");
  if (regex) {
    CZ_TRY(cz_arena_strdup(arena, &p->source, s));
    return compile(p, s, n, &here);
  }
  p->literal_n = n;
  return cz__copy_bytes(&p->literal, arena, s, n);
}

static cz_status find_literal(const cz__pattern *p, cz__matches *out, const char *s, size_t n) {
  size_t last = 0;
  for (const char *hit;
       last < n && (hit = cz__find_bytes(s + last, n - last, p->literal, p->literal_n));
       last = (size_t)(hit - s) + p->literal_n) {
    size_t at = (size_t)(hit - s);
    if (at > last) CZ_TRY(cz__matches_add(out, last, at, false));
    CZ_TRY(cz__matches_add(out, at, at + p->literal_n, true));
  }
  return last < n ? cz__matches_add(out, last, n, false) : CZ_OK;
}

/* Room for one match, and limits: 10 million steps, as PCRE2 has by default, and 64 MiB
 * instead of its 20 GB. */
static cz_status prepare(cz__work *w) {
  if (w->regex_context) return CZ_OK;
  if (!w->regex_space) w->regex_space = pcre2_match_data_create(1, NULL);
  if (!w->regex_space || !(w->regex_context = pcre2_match_context_create(NULL)))
    return CZ_FAIL(CZ_ENOMEM, "no memory for a regular expression");
  pcre2_set_match_limit(w->regex_context, 10 * 1000 * 1000);
  pcre2_set_heap_limit(w->regex_context, 64 << 10);
  return CZ_OK;
}

static cz_status refuse_steps(const cz__pattern *p, int error, size_t n) {
  PCRE2_UCHAR why[128];
  pcre2_get_error_message(error, why, sizeof why);
  return CZ_FAIL(CZ_EINVAL,
                 "the tokenizer's regular expression '%.200s' does not come to an end on a text of "
                 "%zu bytes (PCRE2: %s); a shorter text, or a pattern without repetitions inside "
                 "repetitions, would",
                 p->source, n, (char *)why);
}

static cz_status find_regex(const cz__pattern *p, cz__matches *out, const char *s, size_t n,
                            cz__work *w) {
  CZ_TRY(prepare(w));
  const PCRE2_SIZE *hit = pcre2_get_ovector_pointer(w->regex_space);
  size_t last = 0, at = 0, last_hit = SIZE_MAX;
  while (at <= n) {
    int found = pcre2_match(p->regex, (PCRE2_SPTR)s, n, at, PCRE2_NO_UTF_CHECK, w->regex_space,
                            w->regex_context);
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0) return refuse_steps(p, found, n);
    if (hit[0] == hit[1] && hit[1] == last_hit) { /* nothing right after a match is no match */
      at = at < n ? at + cz_utf8_length((unsigned char)s[at]) : n + 1;
      continue;
    }
    if (hit[0] > last) CZ_TRY(cz__matches_add(out, last, hit[0], false));
    CZ_TRY(cz__matches_add(out, hit[0], hit[1], true));
    last = at = last_hit = hit[1];
  }
  return last < n ? cz__matches_add(out, last, n, false) : CZ_OK;
}

/** Covers S with matches and what lies between them; OUT is emptied first. An empty text
 * has no match. */
cz_status cz__pattern_find(const cz__pattern *p, cz__matches *out, const char *s, size_t n,
                           cz__work *w) {
  out->len = 0;
  if (n == 0) return CZ_OK;
  return p->literal ? find_literal(p, out, s, n) : find_regex(p, out, s, n, w);
}

/** Frees the compiled expression. */
void cz__pattern_release(cz__pattern *p) { pcre2_code_free(p->regex); }

/** Covers S with one match for each character of the class and the runs between them; OUT
 * is emptied first. */
cz_status cz__class_find(cz_unicode_class is, cz__matches *out, const char *s, size_t n) {
  out->len = 0;
  size_t last = 0;
  for (size_t i = 0, k; i < n; i += k) {
    if (!is(cz_utf8_next(s + i, &k))) continue;
    if (i > last) CZ_TRY(cz__matches_add(out, last, i, false));
    CZ_TRY(cz__matches_add(out, i, i + k, true));
    last = i + k;
  }
  return last < n ? cz__matches_add(out, last, n, false) : CZ_OK;
}

static void merge_backwards(cz__matches *m) {
  size_t kept = m->len;
  bool previous = false;
  for (size_t i = m->len; i-- > 0;) {
    cz__match x = m->data[i];
    if (x.hit && !previous && kept < m->len) {
      m->data[kept].begin = x.begin;
    } else {
      m->data[--kept] = (cz__match){x.begin, x.end, false};
    }
    previous = x.hit;
  }
  memmove(m->data, m->data + kept, (m->len - kept) * sizeof *m->data);
  m->len -= kept;
}

/** Applies what a splitter does with its delimiters: afterwards `hit` marks what is to be
 * dropped. */
void cz__matches_merge(cz__matches *m, cz__behavior behavior) {
  if (behavior == CZ__REMOVED) return;
  if (behavior == CZ__MERGED_WITH_NEXT) {
    merge_backwards(m);
    return;
  }
  size_t kept = 0;
  bool previous = false;
  for (size_t i = 0; i < m->len; i++) {
    cz__match x = m->data[i];
    bool join = behavior == CZ__CONTIGUOUS
                    ? x.hit == previous
                    : behavior == CZ__MERGED_WITH_PREVIOUS && x.hit && !previous;
    if (join && kept > 0) {
      m->data[kept - 1].end = x.end;
    } else {
      m->data[kept++] = (cz__match){x.begin, x.end, false};
    }
    previous = x.hit;
  }
  m->len = kept;
}

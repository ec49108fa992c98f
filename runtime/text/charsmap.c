/* The map is a Darts-clone double array over the bytes of what is replaced, and a heap of
 * NUL-terminated replacements.
 *
 * SentencePiece replaces the longest prefix at each byte. The Hugging Face library
 * differs, and it is what trained models meet: a grapheme cluster shorter than six bytes
 * is looked up whole, and any prefix of it that the map knows replaces the WHOLE cluster;
 * otherwise each character is looked up alone. */
#include "text/charsmap.h"

#include "base/utf8.h"

#include <string.h>
#include <utf8proc.h>

typedef struct charsmap {
  uint32_t *units;
  size_t n_units;
  char *heap; /* replacements, with a NUL behind the last */
  size_t heap_n;
  bool plain[128]; /* ASCII characters that stand for themselves */
} charsmap;

enum { NOT_FOUND = -1 };

static uint32_t unit_offset(uint32_t u) { return (u >> 10) << ((u & 0x200u) >> 6); }

/* Heap offset of the replacement of the shortest prefix of S that the map knows, or
 * NOT_FOUND. */
static int64_t look_up(const charsmap *m, const char *s, size_t n) {
  uint32_t at = unit_offset(m->units[0]);
  for (size_t i = 0; i < n && s[i]; i++) {
    at ^= (unsigned char)s[i];
    if (at >= m->n_units || (m->units[at] & 0x800000ffu) != (unsigned char)s[i]) return NOT_FOUND;
    bool leaf = m->units[at] >> 8 & 1;
    at ^= unit_offset(m->units[at]);
    if (leaf && at < m->n_units) return m->units[at] & 0x7fffffffu;
  }
  return NOT_FOUND;
}

/* Adds the characters of NEW in place of OLD_COUNT characters: all in place of one each,
 * then the difference is settled at the end, on whatever was added last (so a deletion
 * goes to the character before; at the very start of the text it goes nowhere, and
 * offsets slip as they do in the library). */
static cz_status replace(cz__changes *changes, size_t old_count, const char *new, size_t n) {
  size_t new_count = 0;
  for (size_t i = 0, k; i < n; i += k, new_count++)
    CZ_TRY(cz__changes_add(changes, cz_utf8_next(new + i, &k), 0));
  for (size_t i = 0; new_count > old_count && i < new_count - old_count; i++)
    changes->data[changes->len - 1 - i].change = 1;
  if (new_count < old_count && changes->len > 0)
    changes->data[changes->len - 1].change -= (int32_t)(old_count - new_count);
  return CZ_OK;
}

/* Looks S (COUNT characters) up; *FOUND tells whether it was replaced. */
static cz_status try_replace(const charsmap *m, cz__changes *changes, bool *found, const char *s,
                             size_t n, size_t count) {
  int64_t at = look_up(m, s, n);
  *found = at != NOT_FOUND;
  if (!*found) return CZ_OK;
  if ((size_t)at > m->heap_n || ((unsigned char)m->heap[at] & 0xc0) == 0x80)
    return CZ_FAIL(
        CZ_EINVAL,
        "the tokenizer's precompiled_charsmap points outside of its replacements (%lld of %zu)",
        (long long)at, m->heap_n);
  return replace(changes, count, m->heap + at, strlen(m->heap + at));
}

static cz_status add_cluster(const charsmap *m, cz__work *w, const char *s, size_t n, size_t count,
                             bool *modified) {
  enum { WHOLE_BELOW = 6 };
  bool found = false;
  if (n < WHOLE_BELOW) CZ_TRY(try_replace(m, &w->changes, &found, s, n, count));
  *modified |= found;
  if (found) return CZ_OK;
  for (size_t i = 0, k; i < n; i += k) {
    uint32_t c = cz_utf8_next(s + i, &k);
    CZ_TRY(try_replace(m, &w->changes, &found, s + i, k, 1));
    *modified |= found;
    if (!found) CZ_TRY(cz__changes_add(&w->changes, c, 0));
  }
  return CZ_OK;
}

/* The end of the grapheme cluster that begins at BEGIN, and how many characters it
 * has. */
static size_t cluster_end(const char *s, size_t begin, size_t n, size_t *count) {
  size_t k;
  utf8proc_int32_t state = 0, previous = (utf8proc_int32_t)cz_utf8_next(s + begin, &k);
  size_t at = begin + k;
  for (*count = 1; at < n; at += k, ++*count) {
    if ((unsigned char)s[at] < 0x80 && s[at] != '\n')
      break; /* no ASCII character but the one after a CR continues a cluster */
    utf8proc_int32_t c = (utf8proc_int32_t)cz_utf8_next(s + at, &k);
    if (utf8proc_grapheme_break_stateful(previous, c, &state)) break;
    previous = c;
  }
  return at;
}

/** Normalises w->text. */
cz_status cz__charsmap_run(const void *data, cz__work *w) {
  const charsmap *m = data;
  const char *s = w->text.bytes;
  size_t n = w->text.len, at = 0;
  while (at < n && (unsigned char)s[at] < 0x80 && m->plain[(unsigned char)s[at]]) at++;
  if (at == n) return CZ_OK; /* the common case: plain ASCII */
  if (at > 0) at--;          /* the character before may begin the cluster */
  w->changes.len = 0;
  for (size_t i = 0; i < at; i++) CZ_TRY(cz__changes_add(&w->changes, (unsigned char)s[i], 0));
  bool modified = false;
  for (size_t end; at < n; at = end) {
    size_t count;
    CZ_TRY(cz__work_room(w, w->changes.len));
    end = cluster_end(s, at, n, &count);
    if (count == 1 && (unsigned char)s[at] < 0x80 && m->plain[(unsigned char)s[at]]) {
      CZ_TRY(cz__changes_add(&w->changes, (unsigned char)s[at], 0));
    } else {
      CZ_TRY(add_cluster(m, w, s + at, end - at, count, &modified));
    }
  }
  return modified ? cz__aligned_transform(&w->text, &w->spare, &w->changes, 0, w->origin) : CZ_OK;
}

static int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes into OUT, which has room for 3 bytes a group of 4; *OUT_N bytes. */
static bool base64_decode(unsigned char *out, size_t *out_n, const char *s, size_t n) {
  *out_n = 0;
  if (n % 4) return false;
  for (size_t i = 0; i < n; i += 4) {
    size_t pad =
        i + 4 < n ? 0 : (size_t)(s[i + 3] == '=') + (size_t)(s[i + 3] == '=' && s[i + 2] == '=');
    uint32_t v = 0;
    for (size_t j = 0; j < 4; j++) {
      int d = j >= 4 - pad ? 0 : base64_digit(s[i + j]);
      if (d < 0) return false;
      v = v << 6 | (uint32_t)d;
    }
    for (size_t j = 0; j < 3 - pad; j++) out[(*out_n)++] = (unsigned char)(v >> (16 - 8 * j));
  }
  return true;
}

/** Appends N BYTES in base64, as such a map stands in a tokenizer.json. */
cz_status cz__base64_encode(cz_buf *out, const char *bytes, size_t n) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < n; i += 3) {
    size_t left = n - i < 3 ? n - i : 3;
    uint32_t v = 0;
    for (size_t j = 0; j < left; j++) v |= (uint32_t)(unsigned char)bytes[i + j] << (16 - 8 * j);
    char group[4] = {'=', '=', '=', '='};
    for (size_t j = 0; j <= left; j++) group[j] = digits[v >> (18 - 6 * j) & 63];
    CZ_TRY(cz_buf_add(out, group, sizeof group));
  }
  return CZ_OK;
}

static uint32_t little_endian(const unsigned char *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static cz_status unpack(charsmap *m, cz_arena *arena, const unsigned char *raw, size_t n,
                        const cz_json_place *at) {
  size_t trie_bytes = n >= 4 ? little_endian(raw) : 0;
  if (n < 4 || trie_bytes < 4 || trie_bytes % 4 || trie_bytes > n - 4)
    return cz_json_fail(at, "precompiled_charsmap", "a trie of %zu bytes in a map of %zu",
                        trie_bytes, n);
  m->n_units = trie_bytes / 4;
  CZ_TRY(cz_arena_alloc(arena, &m->units, m->n_units, sizeof *m->units));
  for (size_t i = 0; i < m->n_units; i++) m->units[i] = little_endian(raw + 4 + 4 * i);
  m->heap_n = n - 4 - trie_bytes;
  CZ_TRY(cz__copy_bytes(&m->heap, arena, (const char *)raw + 4 + trie_bytes, m->heap_n));
  if (cz_utf8_check(m->heap, m->heap_n) != m->heap_n)
    return cz_json_fail(at, "precompiled_charsmap", "the replacements are not UTF-8");
  for (int c = 0; c < 128; c++)
    m->plain[c] = look_up(m, (char[1]){(char)c}, 1) == NOT_FOUND && c != '\r';
  return CZ_OK;
}

/** Reads {"precompiled_charsmap": base64}. */
cz_status cz__charsmap_parse(void **data, cz_arena *arena, const json_t *o,
                             const cz_json_place *at) {
  const char *text;
  size_t n, raw_n;
  CZ_TRY(cz_json_only(o, at, CZ__KEYS("precompiled_charsmap")));
  CZ_TRY(cz_json_get_bytes(&text, &n, o, at, "precompiled_charsmap"));
  charsmap *m;
  unsigned char *raw;
  CZ_TRY(cz_arena_alloc(arena, &m, 1, sizeof *m));
  CZ_TRY(cz_arena_alloc(arena, &raw, n / 4 * 3 + 3, 1));
  if (!base64_decode(raw, &raw_n, text, n))
    return cz_json_fail(at, "precompiled_charsmap", "not base64");
  *data = m;
  return unpack(m, arena, raw, raw_n, at);
}

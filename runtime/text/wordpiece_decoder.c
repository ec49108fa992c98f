/* The WordPiece decoder: pieces that continue a word are glued to it, others get a space before
 * them; `cleanup` then takes that space from punctuation and English contractions. */
#include "text/bert.h"

#include <string.h>

typedef struct decoder {
  char *prefix;
  size_t prefix_n;
  bool cleanup;
} decoder;

/** Reads the decoder. */
cz_status cz__wordpiece_decoder_parse(void **data, cz_arena *arena, const json_t *o,
                                      const cz_json_place *at) {
  decoder *d;
  const char *prefix;
  CZ_TRY(cz_json_only(o, at, CZ__KEYS("prefix", "cleanup")));
  CZ_TRY(cz_arena_alloc(arena, &d, 1, sizeof *d));
  CZ_TRY(cz_json_get_bytes(&prefix, &d->prefix_n, o, at, "prefix"));
  CZ_TRY(cz_json_get_bool(&d->cleanup, o, at, "cleanup"));
  *data = d;
  return cz__copy_bytes(&d->prefix, arena, prefix, d->prefix_n);
}

/* Replaces FROM by TO, which is no longer, in the last bytes of OUT, from BEGIN on. */
static void replace(cz_buf *out, size_t begin, const char *from, const char *to) {
  size_t from_n = strlen(from), to_n = strlen(to), kept = begin;
  const char *end = out->data + out->len;
  for (const char *at = out->data + begin; at < end;) {
    if ((size_t)(end - at) < from_n || memcmp(at, from, from_n) != 0) {
      out->data[kept++] = *at++;
      continue;
    }
    memcpy(out->data + kept, to, to_n);
    kept += to_n;
    at += from_n;
  }
  out->len = kept;
}

static void clean(cz_buf *out, size_t begin) {
  static const char *const rules[][2] = {{" .", "."},     {" ?", "?"},           {" !", "!"},
                                         {" ,", ","},     {" ' ", "'"},          {" n't", "n't"},
                                         {" 'm", "'m"},   {" do not", " don't"}, {" 's", "'s"},
                                         {" 've", "'ve"}, {" 're", "'re"}};
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
    replace(out, begin, rules[i][0], rules[i][1]);
}

static cz_status decode_word(const void *data, cz__work *w, const char *s, size_t n, size_t index) {
  const decoder *d = data;
  cz_buf *out = &w->next_words.bytes;
  size_t begin = out->len;
  if (index > 0 && n >= d->prefix_n && memcmp(s, d->prefix, d->prefix_n) == 0) {
    s += d->prefix_n;
    n -= d->prefix_n;
  } else if (index > 0) {
    CZ_TRY(cz_buf_add(out, " ", 1));
  }
  CZ_TRY(cz_buf_add(out, s, n));
  if (d->cleanup) clean(out, begin);
  return cz__words_end(&w->next_words);
}

/** The decoder. */
cz_status cz__wordpiece_decoder_run(const void *data, cz__work *w) {
  return cz__words_each(w, decode_word, data);
}

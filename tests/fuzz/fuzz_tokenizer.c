/* tokenizer.json, then the text that stands in it under "text", or a text of all that is
 * hard: encoded and decoded. */
#include "fuzz/fuzz.h"
#include "text/tokenizer.h"

#include <stdlib.h>

static const char text[] = "A  b <mask>  The man's \xC2\xBD e\xCC\x81 <extra_id_0> "
                           "\xE6\x97\xA5\xF0\x9F\x98\x80 AA 12\t\n";

static void check(const cz_tokenizer *t, const cz_encoding *e, size_t n) {
  for (size_t i = 0; i < e->n; i++)
    if (e->ids[i] < 0 || e->ids[i] >= cz_tokenizer_get_facts(t)->size || e->types[i] < 0 ||
        e->offsets[i].begin > e->offsets[i].end || e->offsets[i].end > n)
      abort();
}

/* The text and its end as a pair, with each choice of options. */
static void use_pair(const cz_tokenizer *t, cz_encoding *e, cz_tokenizer_scratch *scratch) {
  enum { CUT = 20 };
  for (int k = 0; k < 16; k++) {
    cz_encode_options o = {
        .add_special = k & 1, .text_only = k & 2, .truncate = k & 4, .characters = k & 8};
    if (cz_tokenizer_encode_pair(t, e, text, sizeof text - 1, text + CUT, sizeof text - 1 - CUT, o,
                                 scratch) == CZ_OK)
      check(t, e, sizeof text - 1);
  }
}

static void use(const cz_tokenizer *t) {
  const cz_encode_options special = {.add_special = true};
  cz_tokenizer_scratch *scratch;
  cz_encoding e = {0}, whole = {0};
  cz_buf out = {0};
  if (cz_tokenizer_scratch_create(&scratch, t) != CZ_OK) abort();
  (void)!cz_tokenizer_encode(t, &e, "", 0, special, scratch); /* before there is any work space */
  (void)!cz_tokenizer_decode(t, &out, e.ids, e.n, false);
  out.len = 0;
  if (cz_tokenizer_encode(t, &e, text, sizeof text - 1, special, scratch) == CZ_OK) {
    check(t, &e, sizeof text - 1);
    (void)!cz_tokenizer_decode(t, &out, e.ids, e.n, false);
    if (cz_tokenizer_assemble(t, &whole, e.ids, e.n, e.ids, e.n, true) == CZ_OK) {
      if (whole.n < cz_tokenizer_added(t, true)) abort();
      check(t, &whole, 0);
    }
  }
  use_pair(t, &e, scratch);
  cz_buf_free(&out);
  cz_encoding_free(&e);
  cz_encoding_free(&whole);
  cz_tokenizer_scratch_destroy(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  cz_tokenizer *t;
  if (cz_tokenizer_parse(&t, (const char *)data, size, "tokenizer.json") == CZ_OK) use(t);
  cz_tokenizer_destroy(&t);
  return 0;
}

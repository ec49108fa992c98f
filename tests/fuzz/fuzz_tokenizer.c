/* tokenizer.json, then the text that stands in it under "text", or a text of all that is
 * hard: encoded and decoded. */
#include "fuzz/fuzz.h"
#include "text/tokenizer.h"

#include <stdlib.h>

static const char text[] = "A  b <mask>  The man's \xC2\xBD e\xCC\x81 <extra_id_0> "
                           "\xE6\x97\xA5\xF0\x9F\x98\x80 AA 12\t\n";

static void use(const cz_tokenizer *t) {
  const cz_encode_options special = {.add_special = true};
  cz_tokenizer_scratch *scratch;
  cz_encoding e = {0};
  cz_buf out = {0};
  if (cz_tokenizer_scratch_create(&scratch, t) != CZ_OK) abort();
  (void)!cz_tokenizer_encode(t, &e, "", 0, special, scratch); /* before there is any work space */
  (void)!cz_tokenizer_decode(t, &out, e.ids, e.n, false);
  out.len = 0;
  if (cz_tokenizer_encode(t, &e, text, sizeof text - 1, special, scratch) == CZ_OK) {
    for (size_t i = 0; i < e.n; i++)
      if (e.ids[i] < 0 || e.ids[i] >= cz_tokenizer_get_facts(t)->size ||
          e.offsets[i].begin > e.offsets[i].end || e.offsets[i].end >= sizeof text)
        abort();
    (void)!cz_tokenizer_decode(t, &out, e.ids, e.n, false);
  }
  cz_buf_free(&out);
  cz_encoding_free(&e);
  cz_tokenizer_scratch_destroy(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  cz_tokenizer *t;
  if (cz_tokenizer_parse(&t, (const char *)data, size, "tokenizer.json") == CZ_OK) use(t);
  cz_tokenizer_destroy(&t);
  return 0;
}

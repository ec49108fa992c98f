/* A SentencePiece model: every piece lies inside the bytes that were given, and its text can be
 * used. */
#include "fuzz/fuzz.h"
#include "base/utf8.h"
#include "text/sentencepiece.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  cz__sp_model m;
  const char *bytes = (const char *)data, *end = bytes + size;
  if (cz__sp_parse(&m, bytes, size, "spiece.model") == CZ_OK) {
    for (size_t i = 0; i < m.n; i++) {
      const cz__sp_piece *p = &m.pieces[i];
      if (p->text < bytes || p->n > (size_t)(end - p->text)) abort();
      if (cz_utf8_check(p->text, p->n) != p->n || p->type < 1 || p->type > 6) abort();
    }
    if (m.map && (m.map < bytes || m.map_n > (size_t)(end - m.map))) abort();
  }
  cz__sp_free(&m);
  return 0;
}

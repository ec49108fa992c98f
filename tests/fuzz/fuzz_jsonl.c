/* A value a line. */
#include "fuzz/fuzz.h"
#include "json/json.h"

#include <stdlib.h>

static cz_status take(void *context, const json_t *value, const cz_json_place *at) {
  const char *text;
  int64_t *line = context;
  if (at->line <= *line) abort();
  *line = at->line;
  return json_is_object(value) ? cz_json_get_text(&text, value, at, "text") : CZ_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int64_t line = 0;
  (void)!cz_json_lines(fuzz_file(data, size), take, &line);
  return 0;
}

/* A pattern file, read, made ready for a tokenizer, and filled in, its prompts and what classifiers
 * read. The tokenizer is one of the
 * fixtures'; the texts are the file itself. */
#include "fuzz/fuzz.h"
#include "prompts/prompt.h"

#include <stdlib.h>
#include <string.h>

enum { LENGTH = 48 };

static cz_tokenizer *tokenizer(void) {
  static cz_tokenizer *t;
  if (!t && cz_tokenizer_open(&t, CZ_SOURCE_DIR "/tests/fixtures/prompts/xlmr.json") != CZ_OK)
    abort();
  return t;
}

static void check(const cz_prompts *p, const cz_prompt *prompt, const cz_prompt_input *in) {
  const int32_t mask = cz_tokenizer_get_facts(p->tokenizer)->mask;
  size_t masks = 0;
  for (size_t i = 0; i < in->encoding.n; i++) masks += in->encoding.ids[i] == mask;
  if (in->encoding.n > LENGTH || masks != (size_t)prompt->pattern->masks || masks != in->n_rows)
    abort();
}

static void fill(const cz_prompts *p, const char *text) {
  cz_prompt_texts *texts;
  cz_prompt_input in = {0};
  const char *fields[CZ_PATTERN_FIELDS];
  for (size_t i = 0; i < CZ_PATTERN_FIELDS; i++) fields[i] = i % 2 ? "the good" : text;
  if (cz_prompt_texts_create(&texts, p) != CZ_OK) abort();
  const cz_record record = {
      .fields = fields, .label = -1, .candidates = fields, .n_candidates = p->file->task ? 3 : 0};
  if (cz_prompt_texts_add(texts, &record) == CZ_OK)
    for (size_t i = 0; i < p->file->n_patterns + p->file->n_plains; i++) {
      const cz_prompt *prompt =
          i < p->file->n_patterns ? &p->items[i] : &p->plains[i - p->file->n_patterns];
      if (cz_prompt_apply(&in, p, prompt, texts, 0) == CZ_OK) check(p, prompt, &in);
    }
  cz_prompt_input_free(&in);
  cz_prompt_texts_destroy(&texts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  cz_pattern_file *file = NULL;
  cz_prompts *prompts = NULL;
  char *text = calloc(size + 1, 1);
  if (!text) abort();
  if (size) memcpy(text, data, size);
  if (cz_patterns_parse(&file, "file.yaml", text, size, NULL) == CZ_OK &&
      cz_prompts_create_for(&prompts, file, tokenizer(), LENGTH, CZ_READS_PROMPTS) == CZ_OK)
    fill(prompts, text);
  cz_prompts_destroy(&prompts);
  cz_patterns_close(&file);
  free(text);
  return 0;
}

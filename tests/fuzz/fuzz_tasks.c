/* A task's file. The first line names the task and gives words for its keys, as in
 * `csv header=true`; the rest is the file. What is read has all that training and scoring
 * look at. */
#include "config/config.h"
#include "fuzz/fuzz.h"
#include "tasks/task.h"

#include <stdlib.h>
#include <string.h>

enum { WORDS = 8 };

static void check(const cz_task_set *set) {
  for (size_t i = 0; i < set->n; i++) {
    const cz_task_record *r = &set->records[i];
    if (!r->inputs || !r->targets || !r->source) abort();
    if (r->n_answers < (r->unknown ? 0 : 1) || r->label < -1) abort();
    if (set->n_labels && r->label >= set->n_labels) abort();
    for (int32_t k = 0; k < r->n_answers; k++)
      if (!r->answers[k]) abort();
    for (int32_t k = 0; k < r->n_fields; k++)
      if (!r->fields[k].name || !r->fields[k].text) abort();
    if (i && r->group < r[-1].group) abort();
  }
}

static void load(char *line, const uint8_t *data, size_t size) {
  const char *words[WORDS];
  size_t n = 0;
  const cz_task_row *row;
  cz_config *keys = NULL;
  cz_task_config config = {0};
  cz_task_set *set = NULL;
  for (char *word = strtok(line, " "); word && n < WORDS; word = strtok(NULL, " "))
    words[n++] = word;
  if (!n || cz_task_find(&row, words[0]) != CZ_OK) return;
  if (cz_config_from_words(&keys, words + 1, n - 1) == CZ_OK &&
      cz_config_bind(cz_config_root(keys), &row->section, &config, NULL) == CZ_OK &&
      cz_task_load(&set, row, &config, fuzz_file(data, size), CZ_TASK_EVALUATE) == CZ_OK)
    check(set);
  cz_task_set_destroy(&set);
  cz_config_destroy(&keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char line[256];
  const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
  size_t n = end ? (size_t)(end - data) : 0;
  if (!end || n >= sizeof line || memchr(data, '\0', n)) return 0;
  memcpy(line, data, n);
  line[n] = '\0';
  load(line, end + 1, size - n - 1);
  return 0;
}

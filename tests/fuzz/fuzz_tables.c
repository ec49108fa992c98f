/* Data files by column names: the first byte chooses CSV, TSV or JSON lines, and what labels are;
 * the rest is the file. Wrong records are passed over; what is read has its fields. */
#include "fuzz/fuzz.h"
#include "base/status.h"
#include "tasks/readers/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check(const cz_table_record *r, int64_t number, cz_table_labels labels) {
  bool text = false;
  for (size_t i = 0; i < 2; i++) {
    if (!r->fields[i]) abort();
    text |= *r->fields[i] != '\0';
  }
  if (!text || r->number != number || !*r->place) abort();
  if (labels == CZ_LABELS_NEEDED && !r->label) abort();
  if (labels == CZ_LABELS_NONE && r->label) abort();
}

static void read_all(const char *path, cz_table_labels labels, bool headless, int backslashes) {
  static const char *const columns[] = {"text", "more"}, *const header[] = {"label", "more",
                                                                            "text"};
  const cz_table_layout layout = {.columns = columns,
                                  .n_columns = 2,
                                  .label = "label",
                                  .labels = labels,
                                  .header = headless ? header : NULL,
                                  .n_header = headless ? 3 : 0,
                                  .backslashes = (cz_backslashes)backslashes};
  cz_table *t;
  cz_table_record r;
  bool more = true;
  if (cz_table_open(&t, path, &layout) != CZ_OK) return;
  for (int64_t number = 0; more; number++)
    if (cz_table_next(t, &r, &more) == CZ_OK && more) check(&r, number, labels);
  cz_table_close(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const endings[] = {"csv", "tsv", "jsonl"};
  char path[128];
  if (size < 1) return 0;
  snprintf(path, sizeof path, "/tmp/fuzz_tables-%ld.%s", (long)getpid(), endings[data[0] % 3]);
  unlink(path);
  if (symlink(fuzz_file(data + 1, size - 1), path)) abort(); /* readers go by the name's end */
  read_all(path, (cz_table_labels)(data[0] / 3 % 3), data[0] / 9 % 2, data[0] / 18 % 3);
  unlink(path);
  return 0;
}

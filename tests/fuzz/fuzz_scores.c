/* A member's logits.h5 with edits: refused, or every score and number is what was stored. */
#include "base/fs.h"
#include "few_shot/scores_file.h"
#include "fuzz/edited.h"

#include <unistd.h>

enum { T = 3, D = 40, TEST = 7, CLASSES = 3 };

static char folder[] = "/tmp/cloze-fuzz-XXXXXX", path[64];
static uint64_t hashes[D];
static int32_t classes[T] = {2, 0, 1};
static const char *const labels[CLASSES] = {"sports", "science", "business"};
static cz_pattern_file patterns = {.labels = (const char *const *)labels, .n_labels = CLASSES};
static const cz_examples examples = {.file = &patterns,
                                     .classes = CLASSES,
                                     .t = {.hashes = hashes, .labels = classes, .n = T},
                                     .d = {.hashes = hashes, .n = D},
                                     .test = {.hashes = hashes, .n = TEST}};
static cz_member_scores stored;

static void fill(float *x, size_t n) {
  for (size_t i = 0; i < n * CLASSES; i++) x[i] = (float)i / 8;
}

static void clean(void) {
  unlink(path);
  rmdir(folder);
}

static void make(cz_buf *good) {
  for (int i = 0; i < D; i++) hashes[i] = (uint64_t)i * 0x9e3779b97f4a7c15;
  if (!mkdtemp(folder) || cz_fs_join(path, sizeof path, folder, CZ_SCORES_FILE) != CZ_OK ||
      cz_member_scores_create(&stored, &examples) != CZ_OK || atexit(clean))
    abort();
  fill(stored.t, T);
  fill(stored.d, D);
  fill(stored.test, TEST);
  stored.before_training = 0.25; /* of the others some are not taken */
  stored.steps = 120, stored.trained_tokens = 5000, stored.scored_tokens = 70000;
  if (cz_member_scores_write(&stored, &examples, folder) != CZ_OK ||
      cz_fs_read(path, good) != CZ_OK)
    abort();
}

static bool same(const float *a, const float *b, size_t n) {
  return a && !memcmp(a, b, n * CLASSES * sizeof *a);
}

/* What was stored, each number of it. */
static bool whole(const cz_member_scores *s) {
  return same(s->t, stored.t, T) && same(s->d, stored.d, D) && same(s->test, stored.test, TEST) &&
         !memcmp(&s->before_training, &stored.before_training, 6 * sizeof(double));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static cz_buf good;
  cz_member_scores s;
  if (!good.len) make(&good);
  const char *file = edited_file(&good, data, size);
  unlink(path);
  if (symlink(file, path)) abort();
  const cz_status st = cz_member_scores_read(&s, &examples, folder);
  if (st == CZ_OK ? !whole(&s) : !edits_of(size)) abort();
  cz_member_scores_free(&s);
  return 0;
}

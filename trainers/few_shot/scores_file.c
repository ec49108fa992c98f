#include "few_shot/scores_file.h"
#include "base/fs.h"
#include "base/hash.h"
#include "few_shot/candidates.h"
#include "tensor/h5_array.h"

#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const char data_hash[] = "data";

/* The sets under their names in the file. */
typedef struct part {
  const char *name;
  const cz_text_set *set;
  float **scores;
} part;

/* The numbers under theirs. */
static const struct number {
  const char *name;
  size_t at;
} numbers[] = {{"before_training", offsetof(cz_member_scores, before_training)},
               {"held_out_before", offsetof(cz_member_scores, held_out_before)},
               {"held_out_after", offsetof(cz_member_scores, held_out_after)},
               {"steps", offsetof(cz_member_scores, steps)},
               {"trained_tokens", offsetof(cz_member_scores, trained_tokens)},
               {"scored_tokens", offsetof(cz_member_scores, scored_tokens)}};

enum { PARTS = 3, NUMBERS = sizeof numbers / sizeof *numbers };

static double *number_of(const cz_member_scores *s, int i) {
  return (double *)((char *)s + numbers[i].at);
}

static void parts_of(part parts[PARTS], const cz_member_scores *s, const cz_examples *e) {
  cz_member_scores *x = (cz_member_scores *)s;
  parts[0] = (part){"labelled", &e->t, &x->t};
  parts[1] = (part){"unlabelled", &e->d, &x->d};
  parts[2] = (part){"test", &e->test, &x->test};
}

/** A hash of the texts of SET, in their order. */
uint64_t cz_hash_texts(const cz_text_set *set) {
  return set->n ? cz_hash64(set->hashes, set->n * sizeof *set->hashes, 0) : 0;
}

/** A hash of everything that a score and its place depend on: the texts of the three sets in their
 * order, with their candidates, T's labels, and the names of all in theirs. */
uint64_t cz_examples_hash(const cz_examples *e) {
  const cz_text_set *const sets[] = {&e->t, &e->d, &e->test};
  uint64_t hash = (uint64_t)e->classes;
  for (size_t c = 0; c < e->file->n_labels; c++)
    hash = cz_hash64(e->file->labels[c], strlen(e->file->labels[c]) + 1, hash);
  for (int i = 0; i < PARTS; i++) {
    const uint64_t of_set = cz_hash_texts(sets[i]);
    hash = cz_hash64(&of_set, sizeof of_set, hash);
    if (e->file->candidates) hash = cz_candidates_hash(sets[i], hash);
  }
  for (size_t i = 0; i < e->t.n; i++) hash = cz_hash64(&e->t.labels[i], sizeof *e->t.labels, hash);
  return hash;
}

/** Room for the scores of all sets of E. The caller frees it, also after a failure. */
cz_status cz_member_scores_create(cz_member_scores *s, const cz_examples *e) {
  part parts[PARTS];
  *s = (cz_member_scores){.before_training = NAN, .held_out_before = NAN, .held_out_after = NAN};
  parts_of(parts, s, e);
  for (int i = 0; i < PARTS; i++)
    if (parts[i].set->n)
      CZ_TRY(cz_alloc(parts[i].scores, parts[i].set->n * (size_t)e->classes, sizeof(float)));
  return CZ_OK;
}

/** Writes the scores of all sets of E to logits.h5 in FOLDER: all of them or no file. */
cz_status cz_member_scores_write(const cz_member_scores *s, const cz_examples *e,
                                 const char *folder) {
  char path[4096];
  part parts[PARTS];
  cz_h5_file f;
  cz_status st;
  parts_of(parts, s, e);
  CZ_TRY(cz_fs_join(path, sizeof path, folder, CZ_SCORES_FILE));
  CZ_TRY(cz_h5_create(&f, path));
  CZ_GO(st, cz_h5_write_number(&f, f.id, data_hash, cz_examples_hash(e)), done);
  for (int i = 0; i < NUMBERS; i++)
    CZ_GO(st, cz_h5_write_real(&f, f.id, numbers[i].name, *number_of(s, i)), done);
  for (int i = 0; i < PARTS; i++)
    if (parts[i].set->n)
      CZ_GO(st,
            cz_h5_put_matrix(&f, parts[i].name, *parts[i].scores, (int64_t)parts[i].set->n,
                             e->classes),
            done);
  st = cz_h5_commit(&f);
done:
  cz_h5_discard(&f);
  return st;
}

static cz_status read_parts(cz_member_scores *s, const cz_examples *e, hid_t file, uint64_t bytes,
                            const char *path) {
  part parts[PARTS];
  uint64_t hash;
  parts_of(parts, s, e);
  CZ_TRY(cz_h5_read_number(file, path, data_hash, &hash));
  if (hash != cz_examples_hash(e))
    return CZ_FAIL(CZ_ECORRUPT,
                   "%s: scores of other texts (%016" PRIx64 ", these are %016" PRIx64
                   "): a data file or a key of `examples` has changed since",
                   path, hash, cz_examples_hash(e));
  for (int i = 0; i < NUMBERS; i++)
    CZ_TRY(cz_h5_read_real(file, path, numbers[i].name, number_of(s, i)));
  for (int i = 0; i < PARTS; i++)
    if (parts[i].set->n)
      CZ_TRY(cz_h5_get_matrix(parts[i].scores, file, bytes, path, parts[i].name,
                              (int64_t)parts[i].set->n, e->classes));
  return CZ_OK;
}

/** Reads logits.h5 of FOLDER, which must be of the texts of E: CZ_ECORRUPT for others and for a
 * damaged file. The caller frees the scores, also after a failure. */
cz_status cz_member_scores_read(cz_member_scores *s, const cz_examples *e, const char *folder) {
  char path[4096];
  hid_t file;
  uint64_t bytes;
  *s = (cz_member_scores){0};
  CZ_TRY(cz_fs_join(path, sizeof path, folder, CZ_SCORES_FILE));
  CZ_TRY(cz_h5_open(&file, &bytes, path));
  cz_status st = read_parts(s, e, file, bytes, path);
  H5Fclose(file);
  return st;
}

/** Frees the scores and empties S. */
void cz_member_scores_free(cz_member_scores *s) {
  free(s->t);
  free(s->d);
  free(s->test);
  *s = (cz_member_scores){0};
}

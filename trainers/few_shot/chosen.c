#include "few_shot/chosen.h"
#include "few_shot/generation.h"

#include <stdlib.h>
#include <string.h>

/* A stage as it has left its members, and the scores of all together. */
typedef struct choosing {
  const cz_examples *e;
  cz_generation members;
  cz_member_scores all;
  cz_member_plan *plans;
  const char **fields; /* [D, n_fields] */
  double *mean;        /* [D, C] */
} choosing;

static cz_status read_stage(choosing *c, const char *folder) {
  const cz_examples *e = c->e;
  const size_t F = e->file->n_fields, scores = e->d.n * (size_t)e->classes;
  int32_t generation;
  size_t n;
  CZ_TRY(cz_generation_noted(folder, &generation, &c->plans, &n));
  CZ_TRY(cz_generation_read(&c->members, e, folder, c->plans, n));
  CZ_TRY(cz_member_scores_read(&c->all, e, folder));
  CZ_TRY(cz_alloc(&c->fields, e->d.n * F, sizeof *c->fields));
  CZ_TRY(cz_alloc(&c->mean, scores, sizeof *c->mean));
  for (size_t i = 0; i < e->d.n; i++)
    memcpy(c->fields + i * F, e->d.records[i]->fields, F * sizeof *c->fields);
  for (size_t i = 0; i < scores; i++) c->mean[i] = c->all.d[i];
  return CZ_OK;
}

static void free_stage(choosing *c) {
  free(c->fields);
  free(c->mean);
  free(c->plans);
  cz_member_scores_free(&c->all);
  cz_generation_free(&c->members);
}

/** ORDER [D], of which *N are filled: the texts of D in the order in which to label them, by what
 * the members of the stage in FOLDER say of them (cz_label_next). What T has is labelled already
 * and left out, where D has it. E is what that stage drew: CZ_ECORRUPT for scores of other texts;
 * CZ_EUSAGE when FOLDER is not that of a stage with members. */
cz_status cz_label_order(cz_next *order, size_t *n, const cz_examples *e, const char *folder) {
  choosing c = {.e = e};
  size_t all = 0;
  *n = 0;
  cz_status st;
  CZ_GO(st, read_stage(&c, folder), done);
  const cz_ensemble ensemble = cz_generation_on(&c.members, &e->d);
  st = cz_label_next(order, &all, e->d.n, &ensemble, c.mean, c.fields, e->file->n_fields, 1);
  for (size_t i = 0; i < all && st == CZ_OK; i++)
    if (!cz_hash_set_has(&e->in_t, e->d.hashes[order[i].row])) order[(*n)++] = order[i];
done:
  free_stage(&c);
  return st;
}

/* T of E, and behind it the N texts of D that ORDER begins with. */
static cz_status make_t(cz_text_set *t, const cz_examples *e, const cz_next *order, size_t n) {
  CZ_TRY(cz_text_set_create(t, e, e->t.n ? e->t.path : e->d.path, e->t.n + n, true));
  for (size_t i = 0; i < e->t.n; i++)
    CZ_TRY(cz_text_set_add(t, e->t.records[i], e->t.hashes[i], e->t.labels[i]));
  t->texts->path = e->d.path; /* in messages */
  for (size_t i = 0; i < n; i++) {
    const cz_record *record = e->d.records[order[i].row];
    if (record->label < 0)
      return CZ_FAIL(CZ_EINVAL,
                     "%s:%lld: this text is chosen for T and has no label; chosen texts have the "
                     "labels of the file that D comes from",
                     e->d.path, (long long)record->line);
    CZ_TRY(cz_text_set_add(t, record, e->d.hashes[order[i].row], record->label));
  }
  return CZ_OK;
}

/* D of E without what T has. */
static cz_status make_d(cz_text_set *d, const cz_examples *e) {
  CZ_TRY(cz_text_set_create(d, e, e->d.path, e->d.n, false));
  for (size_t i = 0; i < e->d.n; i++)
    if (!cz_hash_set_has(&e->in_t, e->d.hashes[i]))
      CZ_TRY(cz_text_set_add(d, e->d.records[i], e->d.hashes[i], -1));
  return CZ_OK;
}

static void replace(cz_text_set *set, const cz_text_set *by) {
  cz_prompt_texts_destroy(&set->texts);
  *set = *by;
}

static cz_status add_chosen(cz_examples *e, const cz_next *order, size_t n, bool stay) {
  cz_text_set t = {0}, d = {0};
  cz_status st = make_t(&t, e, order, n);
  if (st != CZ_OK) return cz_prompt_texts_destroy(&t.texts), st;
  for (size_t i = e->t.n; i < t.n; i++) e->of_label[t.labels[i]]++;
  replace(&e->t, &t);
  CZ_TRY(cz_hash_set_add_all(&e->in_t, e->t.hashes, e->t.n));
  if (stay) return CZ_OK;
  st = make_d(&d, e);
  if (st != CZ_OK) return cz_prompt_texts_destroy(&d.texts), st;
  replace(&e->d, &d);
  return CZ_OK;
}

/** Adds to T the first KEYS->chosen texts that the stage in the folder KEYS->chosen_by would have
 * labelled next, with the labels of their file; they leave D unless it has T's texts as well. E was
 * opened by KEYS. Does nothing where none are wanted. CZ_EUSAGE when D has fewer, CZ_EINVAL for one
 * without a label, others as cz_label_order. */
cz_status cz_examples_choose(cz_examples *e, const cz_examples_keys *keys) {
  cz_next *order;
  size_t n, wanted = (size_t)keys->chosen;
  if (!wanted) return CZ_OK;
  CZ_TRY(cz_alloc(&order, e->d.n + 1, sizeof *order));
  cz_status st = cz_label_order(order, &n, e, keys->chosen_by);
  if (st == CZ_OK && n < wanted)
    st = CZ_FAIL(CZ_EUSAGE,
                 "%zu texts are to be chosen, and of the %zu of D, %s, there are %zu that T does "
                 "not have and that are no near-duplicates of one another",
                 wanted, e->d.n, e->d.path ? e->d.path : "which has no file", n);
  if (st == CZ_OK) st = add_chosen(e, order, wanted, cz_examples_t_in_d(keys));
  free(order);
  return st;
}

/* Whether two files' mappings are the same, or neither is there. */
static bool same_tree(const cz_config_node *a, const cz_config_node *b) {
  uint64_t x = 0, y = 0;
  if (!a || !b) return a == b;
  if (cz_config_hash(&x, a) != CZ_OK || cz_config_hash(&y, b) != CZ_OK)
    return cz_error_clear(), false;
  return x == y;
}

/** The key by which the stage with the keys BY draws another T, D or test set than KEYS do without
 * what they choose; null: there is none. */
const char *cz_chosen_elsewhere(const cz_examples_keys *keys, const cz_examples_keys *by) {
  const struct {
    const char *name, *here, *there;
  } texts[] = {{"train", keys->train, by->train},
               {"unlabelled_file", keys->unlabelled_file, by->unlabelled_file},
               {"test", keys->test, by->test},
               {"columns", keys->columns, by->columns}};
  const struct {
    const char *name;
    int64_t here, there;
  } numbers[] = {{"labelled", keys->labelled, by->labelled},
                 {"chosen", 0, by->chosen},
                 {"draw", keys->draw, by->draw},
                 {"draw_seed", keys->draw_seed, by->draw_seed},
                 {"unlabelled", keys->unlabelled, by->unlabelled},
                 {"unlabelled_draw", keys->unlabelled_draw, by->unlabelled_draw},
                 {"test_examples", keys->tested, by->tested},
                 {"backslashes", keys->backslashes, by->backslashes}};
  if (!same_tree(keys->task_node, by->task_node)) return "task";
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    if (strcmp(texts[i].here, texts[i].there)) return texts[i].name;
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (numbers[i].here != numbers[i].there) return numbers[i].name;
  return same_tree(keys->tests, by->tests) ? NULL : "tests";
}

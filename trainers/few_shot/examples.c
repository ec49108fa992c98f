#include "few_shot/examples.h"
#include "base/log.h"
#include "few_shot/candidates.h"
#include "tasks/readers/fields.h"
#include "tasks/score.h"

#include <stdlib.h>
#include <string.h>

/* What opening works on. */
typedef struct opening {
  cz_examples *e;
  const cz_examples_keys *keys;
  uint64_t seed;  /* that T and D are drawn by */
  char **columns; /* [n_columns] of files without a line that names them; null: there is one */
  size_t n_columns;
  cz_pool *tested; /* [parts] rows of the test files, those that are not judged too */
} opening;

/* An official file of a task. */
static cz_status read_task_file(cz_records **records, const opening *o, const char *path,
                                cz_table_labels labels) {
  const cz_examples_keys *k = o->keys;
  const cz_task_row *named = o->e->file->task;
  cz_task_set *set = NULL;
  if (named)
    return cz_config_error(k->task_node,
                           "%s names task %s, whose files `train` and `test` are then: `task` is "
                           "for pattern files that name none",
                           o->e->file->path, named->name);
  CZ_TRY(cz_task_load(&set, k->task, &k->task_config, path, CZ_TASK_EVALUATE));
  cz_status st = labels == CZ_LABELS_NEEDED ? cz_task_answered(set) : CZ_OK;
  if (st == CZ_OK) st = cz_records_of_task(records, o->e->file, set);
  cz_task_set_destroy(&set);
  return st;
}

/* GROUP: the column of the groups, or empty. */
static cz_status read_file(cz_records **records, const opening *o, const char *path,
                           cz_table_labels labels, const char *group) {
  if (o->keys->task) return read_task_file(records, o, path, labels);
  const cz_table_layout how = {.labels = labels,
                               .group = *group ? group : NULL,
                               .header = (const char *const *)o->columns,
                               .n_header = o->n_columns,
                               .backslashes = (cz_backslashes)o->keys->backslashes};
  return cz_records_read_as(records, o->e->file, path, &how);
}

/* The rows of a file as drawing wants them. */
static cz_status pool_of(cz_pool *pool, cz_arena *arena, const cz_records *records, int32_t classes,
                         size_t n_fields) {
  uint64_t *hashes;
  int32_t *labels;
  CZ_TRY(cz_arena_alloc(arena, &hashes, records->n, sizeof *hashes));
  CZ_TRY(cz_arena_alloc(arena, &labels, records->n, sizeof *labels));
  for (size_t i = 0; i < records->n; i++) {
    CZ_TRY(cz_text_hash(&hashes[i], records->items[i].fields, n_fields));
    labels[i] = classes > 1 || records->items[i].label < 0 ? records->items[i].label : 0;
  }
  *pool = (cz_pool){.hashes = hashes, .labels = labels, .n = records->n, .classes = classes};
  return CZ_OK;
}

/* Classes as drawing knows them: texts with candidates are of one, and those that a model learns to
 * generate from. */
static int32_t classes_to_draw(const cz_examples *e) { return e->file->task ? 1 : e->classes; }

/* Makes SET of the rows of RECORDS, with their labels unless they are to be forgotten. */
static cz_status take(cz_text_set *set, const opening *o, const cz_records *records,
                      const cz_pool *pool, const int32_t *rows, size_t n, bool labels) {
  cz_examples *e = o->e;
  if (labels && e->file->candidates)
    return cz_candidates_take(set, e, records, pool->hashes, rows, n, o->seed);
  CZ_TRY(cz_text_set_create(set, e, records->path, n, labels));
  for (size_t i = 0; i < n; i++) {
    const cz_record *record = &records->items[rows[i]];
    CZ_TRY(cz_text_set_add(set, record, pool->hashes[rows[i]], labels ? record->label : -1));
  }
  return CZ_OK;
}

/* Scores are of a test file that has all its labels: says that there will be none, and why. */
static void say_unlabelled(const cz_examples *e, size_t part) {
  const cz_text_set t = cz_examples_part(e, part);
  const char *why = e->tests[part]->no_label;
  size_t n = 0;
  for (size_t i = 0; i < t.n; i++) n += t.labels[i] < 0;
  if (n && n < t.n)
    cz_warn("%s: %zu of %zu test texts have no label, so nothing is scored; label all of them or "
            "leave them out (the first: %s)",
            t.path, n, t.n, why);
  else if (n)
    cz_log_once("answers, no scores: %s", why);
}

/* Reads the test file number PART, and how many of its texts are judged. All of them are kept in
 * mind, since T and D, which are drawn later, leave them out. */
static cz_status read_test(opening *o, size_t part) {
  cz_examples *e = o->e;
  cz_pool *pool = &o->tested[part];
  CZ_TRY(read_file(&e->tests[part], o, cz_examples_test_path(o->keys, part), CZ_LABELS_IF_THERE,
                   o->keys->group_column));
  e->n_parts = part + 1;
  CZ_TRY(pool_of(pool, e->arena, e->tests[part], classes_to_draw(e), e->file->n_fields));
  e->parts[part] = (cz_test_part){.name = cz_examples_test_name(o->keys, part), .n = pool->n};
  if (o->keys->tested >= 0 && (size_t)o->keys->tested < pool->n)
    e->parts[part].n = (size_t)o->keys->tested;
  return cz_hash_set_add_all(&e->in_test, pool->hashes, pool->n);
}

/* Appends its rows to the test set, as they stand or some of them, spread evenly. A text that
 * stands there twice is judged twice, as whoever made the file wanted it. */
static cz_status add_test(opening *o, size_t part) {
  cz_examples *e = o->e;
  const cz_pool *pool = &o->tested[part];
  const size_t n = e->parts[part].n;
  e->parts[part].first = e->test.n;
  e->test.texts->path = e->tests[part]->path; /* in messages */
  for (size_t i = 0; i < n; i++) {
    const size_t row = i * pool->n / n;
    CZ_TRY(cz_text_set_add(&e->test, &e->tests[part]->items[row], pool->hashes[row],
                           e->tests[part]->items[row].label));
  }
  say_unlabelled(e, part);
  return CZ_OK;
}

static cz_status read_tests(opening *o) {
  const size_t n = cz_examples_test_count(o->keys);
  CZ_TRY(cz_arena_alloc(o->e->arena, &o->tested, n, sizeof *o->tested));
  CZ_TRY(cz_arena_alloc(o->e->arena, &o->e->tests, n, sizeof(cz_records *)));
  CZ_TRY(cz_arena_alloc(o->e->arena, &o->e->parts, n, sizeof *o->e->parts));
  for (size_t k = 0; k < n; k++) CZ_TRY(read_test(o, k));
  return CZ_OK;
}

/* The test set: the texts of its files one after another. */
static cz_status open_test(opening *o) {
  cz_examples *e = o->e;
  const size_t n = cz_examples_test_count(o->keys);
  size_t texts = 0;
  if (!n) return CZ_OK;
  CZ_TRY(read_tests(o));
  for (size_t k = 0; k < n; k++) texts += e->parts[k].n;
  CZ_TRY(cz_text_set_create(&e->test, e, e->tests[0]->path, texts, true));
  for (size_t k = 0; k < n; k++) CZ_TRY(add_test(o, k));
  return CZ_OK;
}

/** The texts of one part of the test set, a view without tokens but of the first; of examples
 * without a test set the empty set. */
cz_text_set cz_examples_part(const cz_examples *e, size_t part) {
  cz_text_set set = e->test;
  if (part >= e->n_parts) return set;
  const size_t first = e->parts[part].first;
  set.path = e->tests[part]->path;
  set.no_label = e->tests[part]->no_label;
  set.n = e->parts[part].n;
  set.records += first;
  set.hashes += first;
  set.labels += first;
  if (set.right) set.right += first * (size_t)e->classes;
  set.labelled = true;
  for (size_t i = 0; i < set.n; i++) set.labelled &= set.labels[i] >= 0;
  if (part) set.texts = NULL;
  return set;
}

static void warn_of_t(const cz_examples *e, const cz_drawn *drawn, int64_t wanted) {
  if (drawn->elsewhere)
    cz_warn("%s: %zu texts are also in the test set and are left out", e->t.path, drawn->elsewhere);
  if (drawn->repeated)
    cz_warn("%s: %zu texts stand there more than once and count once", e->t.path, drawn->repeated);
  if ((int64_t)drawn->n < wanted)
    cz_warn("%s: T has %zu texts instead of %lld, all that there are", e->t.path, drawn->n,
            (long long)wanted);
  if (drawn->below_labels)
    cz_warn("%s: T has fewer texts (%zu) than there are labels (%d)", e->t.path, e->t.n,
            (int)e->classes);
  for (int32_t c = 0; drawn->absent && e->t.n && c < e->classes; c++)
    if (!e->of_label[c])
      cz_warn("%s: T has no text of the label '%s'", e->t.path, e->file->labels[c]);
}

/* How many texts T is to have: of `-1` each that has a label and is not in the test set. */
static cz_status wanted_of_t(int64_t *wanted, const opening *o, const cz_pool *pool) {
  bool *candidates;
  cz_drawn counts = {0};
  *wanted = o->keys->labelled;
  if (*wanted >= 0) return CZ_OK;
  CZ_TRY(cz_arena_alloc(o->e->arena, &candidates, pool->n, sizeof *candidates));
  CZ_TRY(cz_draw_candidates(candidates, &counts, pool, &o->e->in_test));
  *wanted = 0;
  for (size_t i = 0; i < pool->n; i++) *wanted += candidates[i] && pool->labels[i] >= 0;
  return CZ_OK;
}

/* What the N texts of the file PATH stand in besides, so that none is left for the set NAME; ALSO:
 * T, or nothing. KEY: what asks for none of them. */
static cz_status none_left(const opening *o, const char *path, size_t n, const char *also,
                           const char *name, const char *key) {
  const cz_examples *e = o->e;
  return CZ_FAIL(CZ_EINVAL, "%s: all %zu texts stand in %s%s%s, so %s is empty; %s", path, n, also,
                 *also && e->n_parts ? " or in " : "",
                 e->n_parts == 1  ? e->tests[0]->path
                 : e->n_parts > 1 ? "the test files"
                                  : "",
                 name, key);
}

/* The rows of T, of which there were to be WANTED. */
static cz_status rows_of_t(cz_drawn *drawn, int64_t *wanted, const opening *o,
                           const cz_pool *pool) {
  CZ_TRY(wanted_of_t(wanted, o, pool));
  /* all of a file are drawn by no rule */
  cz_draw_kind kind = o->keys->labelled < 0 ? CZ_DRAW_RANDOM : (cz_draw_kind)o->keys->draw;
  CZ_TRY(cz_draw_labelled(drawn, o->e->arena, pool, &o->e->in_test, kind, *wanted, o->seed));
  if (o->keys->labelled && !drawn->n && drawn->elsewhere + drawn->repeated == pool->n)
    return none_left(o, o->keys->train, pool->n, "", "T",
                     "examples.labelled=0, cloze pet --zero-shot, does without");
  return CZ_OK;
}

static cz_status draw_t(opening *o, const cz_pool *pool) {
  cz_examples *e = o->e;
  cz_drawn drawn;
  int64_t wanted;
  CZ_TRY(rows_of_t(&drawn, &wanted, o, pool));
  CZ_TRY(take(&e->t, o, e->pool, pool, drawn.rows, drawn.n, true));
  for (size_t i = 0; i < e->t.n; i++) e->of_label[e->t.labels[i]]++;
  CZ_TRY(cz_hash_set_add_all(&e->in_t, e->t.hashes, e->t.n));
  if (wanted) warn_of_t(e, &drawn, wanted);
  return CZ_OK;
}

/** Whether D of KEYS has T's texts too, as the paper's rule draws them; all texts may be T, and D.
 */
bool cz_examples_t_in_d(const cz_examples_keys *keys) { return keys->draw == CZ_DRAW_PAPER; }

/* What may not be in D: the test set, and T where it is not inside D. */
static cz_status not_in_d(cz_hash_set *out, const opening *o) {
  for (size_t k = 0; k < o->e->n_parts; k++)
    CZ_TRY(cz_hash_set_add_all(out, o->tested[k].hashes, o->tested[k].n));
  if (cz_examples_t_in_d(o->keys)) return CZ_OK;
  return cz_hash_set_add_all(out, o->e->t.hashes, o->e->t.n);
}

static cz_status draw_d(opening *o, const cz_records *records, const cz_pool *pool) {
  cz_examples *e = o->e;
  cz_hash_set excluded = {0};
  cz_drawn drawn;
  cz_unlabelled_kind kind =
      o->keys->unlabelled < 0 ? CZ_UNLABELLED_ALL : (cz_unlabelled_kind)o->keys->unlabelled_draw;
  cz_status st = not_in_d(&excluded, o);
  if (st == CZ_OK)
    st = cz_draw_unlabelled(&drawn, e->arena, pool, &excluded, kind, o->keys->unlabelled, o->seed);
  cz_hash_set_free(&excluded);
  CZ_TRY(st);
  CZ_TRY(take(&e->d, o, records, pool, drawn.rows, drawn.n, false));
  if (records == e->rest && o->keys->unlabelled && !drawn.n &&
      drawn.elsewhere + drawn.repeated == pool->n)
    return none_left(o, e->d.path, pool->n, e->t.n && !cz_examples_t_in_d(o->keys) ? e->t.path : "",
                     "D", "examples.unlabelled=0 does without");
  if (records == e->rest && drawn.elsewhere)
    cz_warn("%s: %zu of %zu texts are also in T or in the test set and are left out of D",
            e->d.path, drawn.elsewhere, records->n);
  if (records == e->rest && drawn.repeated)
    cz_warn("%s: %zu of %zu texts stand there more than once and count once", e->d.path,
            drawn.repeated, records->n);
  if (o->keys->unlabelled > 0 && kind == CZ_UNLABELLED_RANDOM &&
      (int64_t)e->d.n < o->keys->unlabelled)
    cz_warn("%s: D has %zu texts instead of %lld, all that there are", e->d.path, e->d.n,
            (long long)o->keys->unlabelled);
  return CZ_OK;
}

/* T, and D from its own file or from what T leaves. */
static cz_status open_pools(opening *o) {
  cz_examples *e = o->e;
  cz_pool pool = {0}, rest;
  if (*o->keys->train) {
    CZ_TRY(read_file(&e->pool, o, o->keys->train, CZ_LABELS_NEEDED, ""));
    if (!e->file->generates) cz_records_warn_classes(e->pool, e->file);
    CZ_TRY(pool_of(&pool, e->arena, e->pool, classes_to_draw(e), e->file->n_fields));
    CZ_TRY(draw_t(o, &pool));
  }
  if (*o->keys->unlabelled_file) {
    CZ_TRY(read_file(&e->rest, o, o->keys->unlabelled_file, CZ_LABELS_IF_THERE, ""));
    CZ_TRY(pool_of(&rest, e->arena, e->rest, classes_to_draw(e), e->file->n_fields));
    return draw_d(o, e->rest, &rest);
  }
  return e->pool ? draw_d(o, e->pool, &pool) : CZ_OK;
}

static cz_status read_columns(opening *o) {
  return *o->keys->columns ? cz_words(&o->columns, &o->n_columns, o->e->arena, o->keys->columns)
                           : CZ_OK;
}

static cz_status open_all(opening *o, const cz_tokenizer *tokenizer, cz_reader_kind reader) {
  cz_examples *e = o->e;
  const cz_examples_keys *k = o->keys;
  CZ_TRY(cz_arena_create(&e->arena, "examples"));
  CZ_TRY(cz_patterns_open(&e->file, k->pattern, *k->labels ? k->labels : NULL));
  e->classes = (int32_t)e->file->n_labels;
  CZ_TRY(cz_prompts_create_for(&e->prompts, e->file, tokenizer, k->max_length, reader));
  CZ_TRY(cz_arena_alloc(e->arena, &e->of_label, (size_t)e->classes + 1, sizeof *e->of_label));
  CZ_TRY(read_columns(o));
  if (e->file->task && k->chosen)
    return CZ_FAIL(CZ_EUSAGE,
                   "chosen: %s has task: %s, whose records have %s; texts to label next are of "
                   "those with labels",
                   e->file->path, e->file->task->name,
                   e->file->candidates ? "candidates of their own" : "a target that is generated");
  CZ_TRY(open_test(o));
  CZ_TRY(open_pools(o));
  return e->file->candidates ? cz_candidates_measure(e) : CZ_OK;
}

static uint64_t seed_of(const cz_examples_keys *keys, uint64_t seed) {
  return keys->draw_seed ? (uint64_t)keys->draw_seed : seed;
}

/** Reads the files that KEYS name, draws T and D by their seed or else SEED, and tokenises what was
 * drawn with TOKENIZER, which is borrowed, for READER. A set without a file is empty. Warns of what
 * the draw could not keep. CZ_EINVAL with file and line for bad data, CZ_EUSAGE for a pattern file
 * that the tokenizer cannot serve. The caller closes the examples. */
cz_status cz_examples_open_for(cz_examples **e, const cz_examples_keys *keys,
                               const cz_tokenizer *tokenizer, uint64_t seed,
                               cz_reader_kind reader) {
  CZ_TRY(cz_alloc(e, 1, sizeof **e));
  opening o = {.e = *e, .keys = keys, .seed = seed_of(keys, seed)};
  cz_status st = open_all(&o, tokenizer, reader);
  if (st != CZ_OK) cz_examples_close(e);
  return st;
}

/** How many records the file PATH of KEYS has; FILE names its columns. Errors as
 * cz_examples_open_for. */
cz_status cz_examples_count(size_t *n, const cz_examples_keys *keys, cz_pattern_file *file,
                            const char *path) {
  cz_examples e = {.file = file};
  opening o = {.e = &e, .keys = keys};
  cz_records *records = NULL;
  cz_status st = cz_arena_create(&e.arena, "columns");
  if (st == CZ_OK) st = read_columns(&o);
  if (st == CZ_OK) st = read_file(&records, &o, path, CZ_LABELS_IF_THERE, "");
  *n = st == CZ_OK ? records->n : 0;
  cz_records_destroy(&records);
  cz_arena_destroy(&e.arena);
  return st;
}

static cz_status count_t(size_t *n, opening *o) {
  cz_examples *e = o->e;
  cz_pool pool;
  cz_drawn drawn;
  int64_t wanted;
  *n = 0;
  if (!*o->keys->train) return CZ_OK;
  CZ_TRY(cz_arena_create(&e->arena, "texts that T may have"));
  CZ_TRY(read_columns(o));
  CZ_TRY(read_tests(o));
  CZ_TRY(read_file(&e->pool, o, o->keys->train, CZ_LABELS_NEEDED, ""));
  CZ_TRY(pool_of(&pool, e->arena, e->pool, classes_to_draw(e), e->file->n_fields));
  CZ_TRY(rows_of_t(&drawn, &wanted, o, &pool));
  *n = drawn.n;
  return CZ_OK;
}

/** How many texts T of KEYS has, drawn as by cz_examples_open_for, without those that are chosen;
 * FILE names columns and labels. Errors the same. */
cz_status cz_examples_count_t(size_t *n, const cz_examples_keys *keys, cz_pattern_file *file,
                              uint64_t seed) {
  cz_examples *e;
  CZ_TRY(cz_alloc(&e, 1, sizeof *e));
  opening o = {.e = e, .keys = keys, .seed = seed_of(keys, seed)};
  e->file = file;
  e->classes = (int32_t)file->n_labels;
  cz_status st = count_t(n, &o);
  e->file = NULL; /* borrowed */
  cz_examples_close(&e);
  return st;
}

/** A set of tokenised texts, without records, each of CONTENTS (null-terminated) in every field in
 * turn. The caller destroys its texts. */
cz_status cz_examples_without_content(cz_text_set *set, const cz_examples *e,
                                      const char *const *contents) {
  const char *fields[CZ_PATTERN_FIELDS];
  *set = (cz_text_set){0};
  CZ_TRY(cz_prompt_texts_create(&set->texts, e->prompts));
  for (; *contents; contents++) {
    for (size_t i = 0; i < e->file->n_fields; i++) fields[i] = *contents;
    CZ_TRY(cz_prompt_texts_add(set->texts, &(cz_record){.fields = fields, .label = -1}));
    set->n++;
  }
  return CZ_OK;
}

/** Frees the examples, clears the pointer, accepts null. */
void cz_examples_close(cz_examples **e) {
  cz_examples *x = *e;
  if (!x) return;
  cz_prompt_texts_destroy(&x->t.texts);
  cz_prompt_texts_destroy(&x->d.texts);
  cz_prompt_texts_destroy(&x->test.texts);
  cz_records_destroy(&x->pool);
  cz_records_destroy(&x->rest);
  for (size_t k = 0; k < x->n_parts; k++) cz_records_destroy(&x->tests[k]);
  cz_hash_set_free(&x->in_test);
  cz_hash_set_free(&x->in_t);
  cz_prompts_destroy(&x->prompts);
  cz_patterns_close(&x->file);
  cz_arena_destroy(&x->arena);
  free(x);
  *e = NULL;
}

/* Texts that an ensemble chooses from D for T: the first of those that `cloze pet` would have
 * labelled next, with the labels of their file, the same whoever computes them, beside as many
 * drawn at random that begin with the same texts. */
#include "few_shot_test.h"

#include "few_shot/chosen.h"
#include "few_shot/scores_file.h"

#include <jansson.h>

enum { LABELLED = 6, CHOSEN = 5 };

/* Two rows, whose T begins alike; a seed is another draw of T. */
static const char experiment[] =
    "seeds: [3, 4]\n"
    "common:\n"
    "  init: %s/bert\n"
    "  examples: {pattern: %s/p.yaml, train: %s/train.tsv, unlabelled_file: %s/known.tsv, test: "
    "%s/test.tsv, max_length: 40}\n"
    "  batch: {examples: 6}\n"
    "  optimizer: {name: adamw, learning_rate: 0.01, schedule: transformers_linear}\n"
    "  train: {steps: 4, z_loss: 0}\n"
    "stages:\n"
    "  pet: {kind: classify, examples: {labelled: 6}, classify: {repetitions: 2}}\n"
    "  student: {kind: distill, examples: {labelled: 6}, distill: {from: $pet}}\n"
    "  chosen:\n"
    "    kind: classify\n"
    "    examples: {labelled: 6, chosen: 5, chosen_by: $pet}\n"
    "    classify: {repetitions: 1}\n"
    "  random: {kind: classify, examples: {labelled: 11}, classify: {repetitions: 1}}\n"
    "rows:\n"
    "  - {name: chosen, without: [student, random]}\n"
    "  - {name: random, without: [student, pet, chosen]}\n"
    "contrasts: [[chosen, random]]\n"
    "columns:\n"
    "  - name: accuracy\n"
    "    value: [chosen.ensemble.scores.accuracy, random.ensemble.scores.accuracy]\n"
    "    take: first\n";

static cz_tokenizer *tokenizer;

static int make(void **state) {
  if (make_few_shot(state)) return -1;
  const char *d = folder();
  make_texts("known.tsv", POOL_TEXTS, 2, true); /* the pool with its labels */
  write_format("ex.yaml", experiment, d, d, d, d, d);
  OK(cz_tokenizer_open(&tokenizer, under("bert")));
  return 0;
}

static int drop(void **state) {
  cz_tokenizer_destroy(&tokenizer);
  return drop_runs(state);
}

/* What the stages read: D from UNLABELED, or where that is empty from the training file. */
static cz_examples_keys keys_of(int64_t labelled, const char *unlabeled) {
  static char paths[4][600];
  const char *const names[] = {"p.yaml", "train.tsv", unlabeled, "test.tsv"};
  for (int i = 0; i < 4; i++)
    snprintf(paths[i], sizeof paths[i], "%s", *names[i] ? under(names[i]) : "");
  return (cz_examples_keys){.pattern = paths[0],
                            NO_OTHER_KEYS,
                            .train = paths[1],
                            .unlabelled_file = paths[2],
                            .test = paths[3],
                            .labelled = labelled,
                            .unlabelled = -1,
                            .tested = -1,
                            .draw = CZ_DRAW_BALANCED,
                            .max_length = 40};
}

static cz_examples *opened(const cz_examples_keys *keys, uint64_t seed) {
  cz_examples *e;
  OK(cz_examples_open_for(&e, keys, tokenizer, seed, CZ_READS_PROMPTS));
  return e;
}

/* The folder of STAGE of the run RUN. */
static const char *folder_of(const char *run, const char *stage, int seed) {
  static char out[700];
  char name[128];
  json_error_t why;
  json_t *plan, *s;
  size_t i;
  snprintf(name, sizeof name, "%s/plan.json", run);
  plan = json_load_file(under(name), 0, &why);
  if (!plan) fail_msg("%s: %s", name, why.text);
  *out = '\0';
  json_array_foreach(plan, i, s) {
    if (json_integer_value(json_object_get(s, "seed")) == seed &&
        !strcmp(json_string_value(json_object_get(s, "stage")), stage) &&
        json_is_string(json_object_get(s, "folder")))
      snprintf(out, sizeof out, "%s/%s/%s", folder(), run,
               json_string_value(json_object_get(s, "folder")));
  }
  json_decref(plan);
  if (!*out) fail_msg("%s has no stage %s of seed %d", name, stage, seed);
  return out;
}

static cz_next *order_of(size_t *n, const cz_examples *e, const char *stage) {
  cz_next *order = calloc(e->d.n, sizeof *order);
  assert_non_null(order);
  OK(cz_label_order(order, n, e, stage));
  return order;
}

/* NOW is BEFORE whose T has the first N of ORDER besides, which D has no more. */
static void has_chosen(const cz_examples *now, const cz_examples *before, const cz_next *order,
                       size_t n) {
  int64_t of_label[3] = {0};
  assert_int_equal(now->t.n, before->t.n + n);
  assert_int_equal(now->d.n, before->d.n - n);
  assert_true(now->t.labelled);
  for (size_t i = 0; i < now->t.n; i++) of_label[now->t.labels[i]]++;
  for (int c = 0; c < 3; c++) assert_int_equal(now->of_label[c], of_label[c]);
  for (size_t i = 0; i < before->t.n; i++) {
    assert_true(now->t.hashes[i] == before->t.hashes[i]);
    assert_int_equal(now->t.labels[i], before->t.labels[i]);
  }
  for (size_t i = 0; i < n; i++) {
    const cz_record *record = now->t.records[before->t.n + i];
    assert_int_equal(record->row, before->d.records[order[i].row]->row);
    assert_int_equal(now->t.labels[before->t.n + i], record->row % 3); /* as make_texts has it */
    assert_true(cz_hash_set_has(&now->in_t, now->t.hashes[before->t.n + i]));
  }
  for (size_t i = 0; i < now->d.n; i++) {
    assert_false(cz_hash_set_has(&now->in_t, now->d.hashes[i]));
    assert_int_equal(now->d.labels[i], -1);
  }
}

/* The stage's scores are of these texts and of no others. */
static void scored(const cz_examples *e, const char *stage) {
  cz_member_scores s;
  OK(cz_member_scores_read(&s, e, stage));
  cz_member_scores_free(&s);
}

static void first_of_ranking(void **state) {
  run_into(&(start){0}, "run @/ex.yaml", "one");
  uint64_t first = 0;
  for (int seed = 3; seed <= 4; seed++) {
    cz_examples_keys keys = keys_of(LABELLED, "known.tsv");
    cz_examples *e = opened(&keys, (uint64_t)seed), *now = opened(&keys, (uint64_t)seed);
    size_t n;
    cz_next *order = order_of(&n, e, folder_of("one", "pet", seed));
    keys.chosen = CHOSEN;
    keys.chosen_by = folder_of("one", "pet", seed);
    OK(cz_examples_choose(now, &keys));
    has_chosen(now, e, order, CHOSEN);
    scored(now, folder_of("one", "chosen", seed));
    /* what is drawn at random begins with the same texts */
    keys = keys_of(LABELLED + CHOSEN, "known.tsv");
    cz_examples *random = opened(&keys, (uint64_t)seed);
    scored(random, folder_of("one", "random", seed));
    for (size_t i = 0; i < e->t.n; i++) assert_true(cz_hash_set_has(&random->in_t, e->t.hashes[i]));
    assert_int_equal(random->t.n, now->t.n);
    assert_true(cz_hash_texts(&e->t) != first); /* each seed is another draw */
    first = cz_hash_texts(&e->t);
    free(order);
    cz_examples_close(&e);
    cz_examples_close(&now);
    cz_examples_close(&random);
  }
}

static void same_with_jobs(void **state) {
  run_into(&(start){0}, "run @/ex.yaml --jobs 2", "two");
  same_file("one/result.json", "two/result.json");
  expect(0, "report @/one", "chosen minus random      -  2 draws of T");
}

/* The order is that of cloze pet's label_next.jsonl. */
static void as_label_next(void **state) {
  run_into(&(start){0},
           "pet --model @/bert --pattern @/p.yaml --train @/train.tsv --unlabeled @/known.tsv "
           "--test @/test.tsv common.examples.max_length=40 common.examples.labelled=6 "
           "common.train.steps=4 stages.supervised.train.steps=4 stages.student.train.steps=4",
           "whole");
  const cz_examples_keys keys = keys_of(LABELLED, "known.tsv");
  cz_examples *e = opened(&keys, 1);
  size_t n, line = 0;
  cz_next *order = order_of(&n, e, folder_of("whole/run", "pet", 1));
  char *text = read_text(under("whole/label_next.jsonl"), NULL);
  for (char *at = strtok(text, "\n"); at; at = strtok(NULL, "\n"), line++) {
    json_t *o = json_loads(at, 0, NULL);
    assert_true(line < n);
    assert_int_equal(json_integer_value(json_object_get(o, "row")),
                     e->d.records[order[line].row]->row);
    json_decref(o);
  }
  assert_int_equal(line, n);
  assert_true(n > CHOSEN && order[0].votes > order[n - 1].votes);
  free(text);
  free(order);
  cz_examples_close(&e);
}

/* Where T is inside D what is chosen stays there, and what T has is not chosen. */
static void t_inside_d(void **state) {
  static const char words[] =
      "classify @/zero.yaml examples.draw=paper examples.labelled=50 examples.unlabelled_file=''";
  char more[900];
  run_into(&(start){0}, words, "paper");
  cz_examples_keys keys = keys_of(50, "");
  keys.draw = CZ_DRAW_PAPER;
  keys.chosen = CHOSEN;
  keys.chosen_by = under("paper");
  cz_examples *e = opened(&keys, 3), *now = opened(&keys, 3);
  assert_int_equal(e->d.n, TRAIN_TEXTS);
  OK(cz_examples_choose(now, &keys));
  assert_int_equal(now->t.n, 50 + CHOSEN);
  assert_int_equal(now->d.n, TRAIN_TEXTS);
  for (size_t i = 50; i < now->t.n; i++) assert_false(cz_hash_set_has(&e->in_t, now->t.hashes[i]));
  snprintf(more, sizeof more, "%s examples.chosen=5 examples.chosen_by=@/paper", words);
  run_into(&(start){0}, more, "paper5");
  scored(now, under("paper5"));
  cz_examples_close(&now);
  keys.chosen = 11; /* of the 10 that T does not have */
  FAILS(cz_examples_choose(e, &keys), CZ_EUSAGE, "11 texts are to be chosen, and of the 60 of D, ");
  cz_examples_close(&e);
}

/* Zero-shot prompts may choose the first texts of all. */
static void without_t(void **state) {
  cz_examples_keys keys = keys_of(0, "known.tsv");
  run_into(&(start){0},
           "classify @/zero.yaml examples.labelled=0 examples.unlabelled_file=@/known.tsv",
           "begun");
  run_into(&(start){0},
           "classify @/pet.yaml classify.repetitions=1 train.steps=4 examples.labelled=0 "
           "examples.unlabelled_file=@/known.tsv examples.chosen=9 examples.chosen_by=@/begun",
           "nine");
  keys.chosen = 9;
  keys.chosen_by = under("begun");
  cz_examples *e = opened(&keys, 3);
  OK(cz_examples_choose(e, &keys));
  assert_int_equal(e->t.n, 9);
  assert_string_equal(e->t.path, under("known.tsv"));
  scored(e, under("nine"));
  cz_examples_close(&e);
}

static void refused(int code, const char *words, const char *text) {
  char command[700];
  forget("out");
  snprintf(command, sizeof command, "%s --out @/out", words);
  expect(code, command, text);
  assert_false(cz_fs_exists(under("out/stages"))); /* before any stage has run */
}

#define RUN "run @/ex.yaml stages.chosen.examples."
static void before_anything_runs(void **state) {
  refused(2, RUN "chosen_by=$pett", "'$pett' is no stage before this one; did you mean $pet");
  refused(2, RUN "chosen_by=$zebra",
          "stages.chosen.examples.chosen_by: '$zebra' is no stage before this one");
  refused(2, RUN "chosen_by=$student rows.0.without=[random]",
          "'$student' is a stage of kind distill, which has no members that could disagree");
  refused(2, RUN "chosen=91", "examples.chosen: 91 texts of D, which has 90");
  refused(2, RUN "chosen_by=''",
          "ex.yaml:13:37: stages.chosen.examples.chosen: 5 texts are to be "
          "chosen; chosen_by is missing: by which stage?");
  refused(2, RUN "chosen=0", "'$pet' is to choose 0 texts; chosen is missing: how many?");
  refused(2, RUN "labelled=7",
          "ex.yaml:13:51: stages.chosen.examples.chosen_by: the stage pet has "
          "another examples.labelled: it must have this one's T");
  refused(2, "run @/ex.yaml stages.pet.examples.draw_seed=5", "has another examples.draw_seed");
  refused(1, "run @/ex.yaml common.examples.unlabelled_file=@/pool.tsv",
          "pool.tsv: its texts are to be chosen for T, and there are no labels: ");
  refused(2,
          "classify @/zero.yaml examples.unlabelled_file=@/known.tsv examples.chosen=3 "
          "examples.chosen_by=@/nowhere",
          "nowhere: this is not the folder of a stage with members (members.json is missing)");
}

/* Near-duplicates are one text to label, and a text without a label is no part of T. */
static void too_few(void **state) {
  FILE *f = fopen(under("near.tsv"), "w");
  assert_non_null(f);
  fprintf(f, "text\tlabel\n");
  for (int i = 0; i < 8; i++)
    fprintf(f, "%s great because of it and they was here all the time%s\tsports\n",
            i % 2 ? "a man" : "who", i / 2 % 4 ? i / 2 % 4 == 1 ? " it" : " too" : "");
  fprintf(f, "one more question\t\n");
  assert_int_equal(fclose(f), 0);
  run_into(&(start){0},
           "classify @/zero.yaml examples.labelled=6 examples.unlabelled_file=@/near.tsv", "near");
  cz_examples_keys keys = keys_of(LABELLED, "near.tsv");
  keys.chosen_by = under("near");
  cz_examples *e = opened(&keys, 3);
  keys.chosen = 4;
  FAILS(cz_examples_choose(e, &keys), CZ_EUSAGE, "no near-duplicates of one another");
  keys.chosen = 3;
  FAILS(cz_examples_choose(e, &keys), CZ_EINVAL,
        "near.tsv:10: this text is chosen for T and has no label");
  assert_int_equal(e->t.n, LABELLED); /* nothing was changed */
  cz_examples_close(&e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(first_of_ranking), cmocka_unit_test(same_with_jobs),
      cmocka_unit_test(as_label_next),    cmocka_unit_test(t_inside_d),
      cmocka_unit_test(without_t),        cmocka_unit_test(before_anything_runs),
      cmocka_unit_test(too_few)};
  return cmocka_run_group_tests(tests, make, drop);
}

/* What can be wrong with the data and the settings of the few-shot stages: each is refused with its
 * place, the value and what would be right, or said and survived. */
#include "few_shot_test.h"

#include <signal.h>

#define ONE " classify.repetitions=1 train.steps=4"

static void run(const char *words, const char *text) {
  char command[700];
  forget("out");
  snprintf(command, sizeof command, "%s --out @/out", words);
  expect(0, command, text);
}

static void refused(int code, const char *words, const char *text) {
  char command[700];
  forget("out");
  snprintf(command, sizeof command, "%s --out @/out", words);
  expect(code, command, text);
  assert_false(cz_fs_exists(under("out/result.json")));
}

/* Lines FIRST to LAST of the file FROM, from 0, behind what is in TO. */
static void take_lines(const char *to, const char *from, int first, int last) {
  char *text = read_text(under(from), NULL);
  FILE *f = fopen(under(to), "a");
  int line = 0;
  assert_non_null(f);
  for (char *at = strtok(text, "\n"); at; at = strtok(NULL, "\n"), line++)
    if (line >= first && line <= last) fprintf(f, "%s\n", at);
  assert_int_equal(fclose(f), 0);
  free(text);
}

static void labelled_texts(void **state) {
  refused(2, "classify @/pet.yaml examples.labelled=0",
          "examples: T is empty, and strategy pet trains on it; strategy tuning_free wants no "
          "labelled text");
  refused(2, "classify @/ft.yaml examples.labelled=0", "strategy finetune trains on it");
  run("classify @/zero.yaml examples.labelled=0", "T 0 texts");
  run("classify @/pet.yaml examples.labelled=2" ONE,
      "train.tsv: T has no text of the label 'business'\n");
  run("classify @/pet.yaml examples.labelled=2" ONE,
      "train.tsv: T has fewer texts (2) than there are labels (3)\n");
  take_lines("some.tsv", "train.tsv", 0, 8);
  take_lines("some.tsv", "test.tsv", 4, 5);
  run("classify @/pet.yaml examples.train=@/some.tsv examples.labelled=-1" ONE,
      "some.tsv: 2 texts are also in the test set and are left out\n");
  run("classify @/pet.yaml examples.train=@/some.tsv examples.labelled=-1" ONE, "T 8 texts");
  run("classify @/pet.yaml examples.labelled=600" ONE,
      "T has 60 texts instead of 600, all that there are\n");
}

/* Texts of the test set without a label: said, with how many and the first, and answered. */
static void unlabelled_tests(void **state) {
  size_t n = 0;
  take_lines("part.tsv", "test.tsv", 0, 4);
  FILE *f = fopen(under("part.tsv"), "a");
  assert_non_null(f);
  fprintf(f, "who is it\t\n");
  assert_int_equal(fclose(f), 0);
  run("classify @/zero.yaml examples.test=@/part.tsv",
      "part.tsv: 1 of 5 test texts have no label, so nothing is scored; label all of them or leave "
      "them out (the first: ");
  if (!strstr(said(), "part.tsv:6: the label (column 'label') is empty")) fail_msg("%s", said());
  char *text = read_text(under("out/predictions.ensemble.jsonl"), NULL);
  assert_non_null(strstr(text, "\"target\": \"sports\", \"output\": "));
  assert_non_null(strstr(text, "{\"input\": \"who is it\", \"target\": null, \"output\": \""));
  free(text);
  text = metrics_of("out");
  assert_non_null(strstr(text, "\"accuracy\": null"));
  free(text);
  run("classify @/zero.yaml examples.test=@/pool.tsv examples.unlabelled_file=@/test.tsv",
      "pool.tsv has no column 'label'\n");
  text = read_text(under("out/predictions.ensemble.jsonl"), NULL);
  for (const char *at = text; (at = strchr(at, '\n')); at++) n++;
  assert_int_equal(n, POOL_TEXTS);
  free(text);
}

/* What T and the test set have is not in D; where that leaves nothing there is no D. */
static void shared_texts(void **state) {
  refused(
      1,
      "classify @/zero.yaml examples.unlabelled_file=@/test.tsv classify.calibrate=unlabeled_mean",
      "test.tsv, so D is empty; examples.unlabelled=0 does without");
  take_lines("most.tsv", "test.tsv", 0, 30);
  FILE *f = fopen(under("most.tsv"), "a");
  assert_non_null(f);
  fprintf(f, "who is it then\tsports\nwho was it then\tsports\n");
  assert_int_equal(fclose(f), 0);
  run("classify @/zero.yaml examples.unlabelled_file=@/most.tsv",
      "most.tsv: 30 of 32 texts are also in T or in the test set and are left out of D\n");
}

/* Texts that do not fit are told with their place, before a member is made. */
static void no_room(void **state) {
  write_format("fixed.yaml",
               "fields: {a: text}\nlabels: [sports, science, business]\nwords: {sports: sports, "
               "science: science, business: news}\npatterns: ['{mask} : {a}', '{a*} {mask}']\n");
  refused(1, "classify @/pet.yaml examples.pattern=@/fixed.yaml examples.max_length=10", ".tsv:");
  static const char message[] = " leaves no room: the pattern '{mask} : {a}' has ";
  if (!strstr(said(), message) || !strstr(said(), "and max_length is 10; a field with a star may"))
    fail_msg("%s", said());
  assert_false(cz_fs_exists(under("out/members")));
  run("classify @/zero.yaml classify.patterns=1 examples.pattern=@/fixed.yaml "
      "examples.max_length=10",
      "classify: done");
}

/* The ratio of T's labels adds none of a label that T lacks. */
static void absent_label(void **state) {
  forget("two");
  run_into(&(start){0}, "classify @/pet.yaml examples.labelled=2" ONE, "two");
  run("classify @/ipet.yaml examples.labelled=2 classify.from=@/two" ONE,
      "generation 1: T lacks 1 labels, and keeping its ratio adds no text of them; "
      "classify.balance=even adds as many of each\n");
}

/* T is as large as its file and its rule of drawing make it, whatever the keys ask for. */
static void size_of_t(void **state) {
  static const char words[] = "classify @/ipet.yaml classify.from=@/of_t examples.train=@/ten.tsv ";
  char command[400];
  take_lines("ten.tsv", "train.tsv", 0, 6);
  take_lines("ten.tsv", "train.tsv", 1, 2); /* once more */
  take_lines("ten.tsv", "test.tsv", 4, 5);  /* not drawn */
  forget("of_t");
  run_into(&(start){0}, "classify @/pet.yaml examples.train=@/ten.tsv examples.labelled=-1" ONE,
           "of_t");
  snprintf(command, sizeof command, "%sexamples.labelled=2000 classify.target=7" ONE, words);
  run(command, "T 6 texts");
  snprintf(command, sizeof command, "%sexamples.labelled=-1 classify.target=7" ONE, words);
  run(command, "T 6 texts");
  snprintf(command, sizeof command, "%sexamples.labelled=2000 classify.target=6" ONE, words);
  refused(2, command, "T has 6 texts and the sets of generations grow to 6");
  assert_false(cz_fs_exists(under("out"))); /* before anything was read */
  for (int line = 0; line < 9; line++)      /* the header, and of the three labels 2, 3 and 0 */
    if (line != 3 && line != 6 && line != 7) take_lines("uneven.tsv", "train.tsv", line, line);
  refused(2,
          "classify @/ipet.yaml classify.from=@/of_t examples.train=@/uneven.tsv "
          "examples.labelled=5 classify.target=3" ONE,
          "T has 4 texts and the sets of generations grow to 3");
}

/* Sets grow until one has `target` texts; of a T that has them nothing can be learned. */
static void generations_grow(void **state) {
  refused(
      2, "classify @/ipet.yaml classify.target=12",
      "target: T has 12 texts and the sets of generations grow to 12, so there is nothing to add");
  assert_false(cz_fs_exists(under("out"))); /* before anything was read */
  refused(2, "classify @/ipet.yaml examples.labelled=-1 classify.target=60", "T has 60 texts and ");
  assert_false(cz_fs_exists(under("out")));
  forget("one");
  run_into(&(start){0}, "classify @/ipet.yaml classify.scale=50 classify.target=20" ONE, "one");
  run("classify @/ipet.yaml classify.scale=50 classify.target=20 classify.from=@/one" ONE,
      "generation 2, member 0: 196 texts of the label 'sports' were wanted, ");
}

static void unlabelled_texts(void **state) {
  write_text("empty.tsv", "text\n");
  refused(1, "classify @/pet.yaml examples.unlabelled_file=@/empty.tsv",
          "empty.tsv: there is no record in it");
  refused(2, "distill @/st.yaml examples.unlabelled=0",
          "examples: D is empty: a student learns from unlabelled texts alone");
  refused(2, "classify @/zero.yaml examples.unlabelled=0 classify.calibrate=unlabeled_mean",
          "calibrate: unlabeled_mean wants unlabelled texts, and D is empty");
  take_lines("five.tsv", "pool.tsv", 0, 5);
  run("classify @/zero.yaml examples.unlabelled_file=@/five.tsv classify.calibrate=unlabeled_mean",
      "classify: calibrated on 5 unlabelled texts; the mean of fewer than 20 is noise\n");
  FILE *f = fopen(under("same.tsv"), "w");
  assert_non_null(f);
  fprintf(f, "text\n");
  for (int i = 0; i < 1000; i++) fprintf(f, "the same man\n");
  assert_int_equal(fclose(f), 0);
  run("classify @/pet.yaml examples.unlabelled_file=@/same.tsv" ONE,
      "same.tsv: 999 of 1000 texts stand there more than once and count once\n");
  assert_non_null(strstr(said(), "D 1, "));
  forget("same");
  run_into(&(start){0}, "classify @/pet.yaml examples.unlabelled_file=@/same.tsv" ONE, "same");
  run("classify @/ipet.yaml examples.unlabelled_file=@/same.tsv classify.from=@/same" ONE,
      "generation 1, member 0: ");
  assert_non_null(strstr(said(), "D 1, "));
  run("classify @/ipet.yaml classify.scale=50 classify.target=100000" ONE, " less\n");
}

static void labels_of_file(void **state) {
  static const char rest[] = "patterns: ['{mask} : {a*}']\n";
  write_format("more.yaml",
               "fields: {a: text}\nlabels: [sports, science, business, world]\nwords: {sports: "
               "sports, science: science, business: news, world: one}\n%s",
               rest);
  run("classify @/zero.yaml examples.pattern=@/more.yaml", "more.yaml:2:37: labels.3: ");
  write_format("less.yaml",
               "fields: {a: text}\nlabels: [sports, science]\nwords: {sports: sports, science: "
               "science}\n%s",
               rest);
  refused(1, "classify @/zero.yaml examples.pattern=@/less.yaml",
          "test.tsv:4: the label 'business' is not declared in ");
  write_format("masks.yaml", "fields: {a: text}\nlabels: [sports, science, business]\nwords: "
                             "{sports: [sports, good], science: science, business: news}\n"
                             "patterns: ['{mask:2} : {a*}']\n");
  refused(2, "classify @/pet.yaml examples.pattern=@/masks.yaml",
          "masks.yaml:3:26: words.sports.1: the label 'sports' has 2 words: under a pattern with 2 "
          "masks, as here, strategy pet trains on one answer a label; tuning_free scores several");
  refused(2,
          "pet --model @/bert --pattern @/masks.yaml --train @/train.tsv --unlabeled @/pool.tsv "
          "--test @/test.tsv common.examples.max_length=40",
          "words.sports.1: the label 'sports' has 2 words");
  assert_false(cz_fs_exists(under("out"))); /* before any stage has run */
}

/* Where no pattern is right on any text of T the members count alike, as is said; the published
 * code stops. */
static void no_weight(void **state) {
  static const char *const labels[] = {"sports", "science", "business"};
  int said_so = 0;
  for (int i = 0; i < 3; i++) { /* the untrained model favours one label, whichever that is */
    write_format("alone.tsv", "text\tlabel\nthe man was\t%s\nit is\t%s\nwho\t%s\n", labels[i],
                 labels[i], labels[i]);
    forget("out");
    static const char words[] =
        "classify @/zero.yaml classify.patterns=0 examples.train=@/alone.tsv examples.labelled=-1 "
        "--out @/out";
    assert_int_equal(cloze(&(start){0}, words), 0);
    if (!strstr(said(), "no pattern was right on any text of T; members count alike\n")) continue;
    said_so++;
    char code[400];
    snprintf(code, sizeof code, "%s classify.fidelity=code", words);
    forget("out");
    assert_int_equal(cloze(&(start){0}, code), 1);
  }
  assert_true(said_so > 0);
}

static void settings(void **state) {
  refused(2, "classify @/pet.yaml train.steps=0", "train.steps: 0 is not between 1 and ");
  refused(2, "classify @/pet.yaml --jobs 0",
          "--jobs: '0' is not a number of processes from 1 to 64");
  refused(2, "classify @/pet.yaml train.precision=fp16", "cpu does not compute in fp16");
  refused(2, "classify @/pet.yaml examples.max_length=65",
          "examples.max_length: 65 tokens are more than the 64 positions that ");
  refused(2, "classify @/pet.yaml examples.max_length=5",
          "p.yaml:6:6: patterns.1: the pattern has 7 tokens before any field is filled in");
  refused(2, "classify @/pet.yaml classify.patterns=2",
          "patterns: '2' is not one of the 2 patterns");
  refused(2, "classify @/pet.yaml classify.lm=0.2", "lm_examples 12: of batch.examples 6 ");
  refused(2, "classify @/ft.yaml classify.lm=0.2 classify.lm_examples=3",
          "lm: the masked-LM loss belongs to strategy pet");
  refused(2, "classify @/ft.yaml classify.from=@/pet",
          "from: generations are those of strategy pet");
}

static void models(void **state) {
  make_model("body", "bert", false);
  make_model("gpt", "gpt2", false);
  refused(2, "classify @/pet.yaml init=@/body",
          "body has no masked-LM head, which tokens at a mask are scored by; `cloze pretrain` with "
          "objective masked_lm and init: ");
  refused(2, "classify @/pet.yaml init=@/gpt",
          "init: family gpt2 has no masked_lm head, which this stage wants of ");
  run("classify @/ft.yaml init=@/gpt" ONE, "classify: done");
  refused(2, "classify @/pet.yaml init=@/nowhere", "nowhere: No such file or directory");
  refused(2,
          "pet --model @/nowhere --pattern @/p.yaml --train @/train.tsv --unlabeled @/pool.tsv "
          "--test @/test.tsv",
          "nowhere is not there: a model's folder has config.json, model.safetensors and ");
}

/* CONFIG.json of the model NAME with another text in place of what stands there. */
static void change_config(const char *name, const char *was, const char *is) {
  char path[100];
  snprintf(path, sizeof path, "%s/config.json", name);
  char *text = read_text(under(path), NULL), *at = strstr(text, was);
  if (!at) fail_msg("no %s in %s:\n%s", was, path, text);
  *at = '\0';
  write_format(path, "%s%s%s", text, is, at + strlen(was));
  free(text);
}

/* Parts of a model's folder that do not belong together, or not to the task. */
static void parts_of_models(void **state) {
  make_model("small", "bert", true);
  change_config("small", "\"vocab_size\": 400", "\"vocab_size\": 4");
  refused(1, "classify @/pet.yaml init=@/small", "small: the tokenizer has ");
  assert_non_null(strstr(said(), " ids, but the model's embedding has only 4 rows (vocab_size)\n"));
  make_model("typeless", "roberta", true); /* with the tokenizer of a model that has two */
  refused(2, "classify @/pet.yaml init=@/typeless",
          "p.yaml:6:6: patterns.1: the second segment's tokens are of type 1, and ");
  assert_non_null(strstr(said(), "typeless has 1 type (type_vocab_size)"));
  run("classify @/zero.yaml init=@/typeless classify.patterns=0", "classify: done");
  forget("student");
  run_into(&(start){0}, "distill @/st.yaml distill.repetitions=1 train.steps=2", "student");
  write_format("two.yaml", "fields: {a: text}\nlabels: [sports, science]\nwords: {sports: sports, "
                           "science: science}\npatterns: ['{mask} : {a*}']\n");
  write_text("two.tsv", "text\tlabel\nthe man\tsports\nthe question\tscience\n");
  refused(1,
          "classify @/ft.yaml init=@/student/model examples.pattern=@/two.yaml "
          "examples.train=@/two.tsv examples.test=@/two.tsv examples.labelled=-1" ONE,
          "so T is empty");
  refused(2,
          "classify @/ft.yaml init=@/student/model examples.pattern=@/two.yaml "
          "examples.train=@/two.tsv examples.test=@/pool.tsv examples.unlabelled=0 "
          "examples.labelled=-1" ONE,
          "student/model has a classifier of 3 classes, and ");
  assert_non_null(strstr(said(), "two.yaml has 2 labels; begin with a model that has none"));
}

static void other_stages(void **state) {
  refused(2, "distill @/st.yaml distill.from=@/nowhere",
          "nowhere is not the folder of a finished classify stage (logits.h5 is missing)");
  refused(2, "classify @/ipet.yaml classify.from=@/bert",
          "bert: this is not the folder of a stage with members (members.json is missing)");
  refused(1, "classify @/ipet.yaml examples.labelled=9", "logits.h5: scores of other texts (");
  refused(1, "distill @/st.yaml examples.labelled=9",
          "a data file or a key of `examples` has changed since");
  forget("one");
  run_into(&(start){0}, "classify @/pet.yaml classify.patterns=0" ONE, "one");
  refused(1, "classify @/ipet.yaml classify.patterns=0 classify.from=@/one" ONE,
          "the ensemble has 1 in all: more patterns or repetitions make more");
  /* of three others a share that rounds to none is one teacher, but under `code` */
  run("classify @/ipet.yaml classify.share=0.01" ONE, "classify: done");
  refused(1, "classify @/ipet.yaml classify.share=0.01 classify.fidelity=code" ONE,
          "other members rounds to none");
}

/* A disk that is full when scores are written: the file is named, nothing is left that could be
 * taken for scores, and with room the run goes on. */
static void full_disk(void **state) {
  static const char words[] = "classify @/zero.yaml --out @/out";
  forget("out");
  assert_int_equal(cloze(&(start){.file_limit = 3000}, words), 1);
  if (!strstr(said(), "logits.h5")) fail_msg("it said:\n%s", said());
  assert_false(cz_fs_exists(under("out/members/p0-r0/logits.h5")));
  assert_int_equal(cloze(&(start){0}, words), 0);
  run_into(&(start){0}, "classify @/zero.yaml", "whole");
  same_file("whole/logits.h5", "out/logits.h5");
}

/* Kills a run of WORDS in out as soon as FILE is there, which is long before its end. */
static void kill_at(const char *words, const char *file) {
  char command[700], path[200];
  forget("out");
  snprintf(command, sizeof command, "%s --out @/out", words);
  snprintf(path, sizeof path, "out/%s", file);
  const pid_t pid = launch(&(start){0}, command);
  wait_for_file(pid, under(path));
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(wait_for(pid), 128 + SIGKILL);
  assert_false(cz_fs_exists(under("out/result.json")));
}

/* Asked for OTHER in that folder, the run is refused with both values of a KEY, and members stay.
 */
static void not_mixed(const char *other, const char *key, const char *was, const char *is) {
  char command[700], line[200];
  snprintf(command, sizeof command, "%s --out @/out", other);
  snprintf(line, sizeof line, "  %s: %s there, %s now\n", key, was, is);
  expect(2, command, "out: this folder holds another run:\n");
  if (!strstr(said(), line)) fail_msg("no '%s' in:\n%s", line, said());
}

/* What a killed run has left of its members is not put together with members of another. */
static void other_settings(void **state) {
  static const char pet[] = "classify @/pet.yaml train.steps=400",
                    other[] = "classify @/pet.yaml train.steps=400 optimizer.learning_rate=1e-5";
  kill_at(pet, "members/p0-r0/logits.h5");
  copy_file(under("before"), under("out/members/p0-r0/logits.h5"));
  not_mixed(other, "optimizer.learning_rate", "0.01", "1e-05");
  not_mixed("classify @/pet.yaml train.steps=10", "train.steps", "400", "10");
  same_file("before", "out/members/p0-r0/logits.h5");
  expect(0, "classify @/pet.yaml train.steps=400 --out @/out", "classify: done");
  run_into(&(start){0}, pet, "undisturbed");
  same_file("undisturbed/logits.h5", "out/logits.h5");
  kill_at("classify @/pet.yaml train.steps=100000", "members/p0-r0/checkpoint.h5");
  not_mixed(pet, "train.steps", "100000", "400");
  kill_at("distill @/st.yaml train.steps=400", "members/plain-r0/logits.h5");
  not_mixed("distill @/st.yaml train.steps=400 distill.temperature=1", "distill.temperature",
            "nothing", "1");
}

/* A run is told other settings of its stage: it says so, and is what a new one is. */
static void other_settings_of_run(void **state) {
  const char *d = folder();
  write_format("run.yaml",
               "title: killed\nseeds: [1]\ncommon:\n  init: %s/bert\n  examples: {pattern: "
               "%s/p.yaml, train: %s/train.tsv, unlabelled_file: %s/pool.tsv, test: %s/test.tsv, "
               "labelled: 12, max_length: 40}\n  batch: {examples: 6}\n  optimizer: {name: adamw, "
               "learning_rate: 0.01}\n  train: {steps: 400, checkpoint_steps: 5}\nstages:\n"
               "  zero: {kind: classify, classify: {strategy: tuning_free}}\n"
               "  pet: {kind: classify, classify: {strategy: pet, repetitions: 2}}\n"
               "rows: [{name: all}]\ncolumns: [{name: accuracy, value: pet.ensemble.accuracy}]\n",
               d, d, d, d, d);
  forget("out");
  const pid_t pid = launch(&(start){0}, "run @/run.yaml --out @/out");
  wait_until_said(pid, "p0 r1: ");
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(wait_for(pid), 128 + SIGKILL);
  static const char words[] = "run @/run.yaml stages.pet.train.steps=10";
  expect(0, "run @/run.yaml stages.pet.train.steps=10 --out @/out",
         "1 of its 2 stages no longer belong to it");
  run_into(&(start){0}, words, "undisturbed_run");
  same_file("undisturbed_run/result.json", "out/result.json");
}

static int make_pet(void **state) {
  if (make_few_shot(state)) return -1;
  run_into(&(start){0}, "classify @/pet.yaml train.steps=4", "pet");
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(labelled_texts),
                                     cmocka_unit_test(absent_label),
                                     cmocka_unit_test(unlabelled_tests),
                                     cmocka_unit_test(shared_texts),
                                     cmocka_unit_test(no_room),
                                     cmocka_unit_test(parts_of_models),
                                     cmocka_unit_test(unlabelled_texts),
                                     cmocka_unit_test(labels_of_file),
                                     cmocka_unit_test(no_weight),
                                     cmocka_unit_test(settings),
                                     cmocka_unit_test(models),
                                     cmocka_unit_test(other_stages),
                                     cmocka_unit_test(full_disk),
                                     cmocka_unit_test(other_settings),
                                     cmocka_unit_test(other_settings_of_run),
                                     cmocka_unit_test(generations_grow),
                                     cmocka_unit_test(size_of_t)};
  return cmocka_run_group_tests(tests, make_pet, drop_runs);
}

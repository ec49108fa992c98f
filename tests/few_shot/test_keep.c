/* What members leave on the disk (keep), that what is kept is the model whose scores are there,
 * whoever was killed, and that each member begins from the same pretrained bits. */
#include "few_shot_test.h"

#include "checkpoint/safetensors.h"
#include "ensemble/ensemble.h"
#include "few_shot/claims.h"
#include "nn/hf.h"

#include <glob.h>
#include <signal.h>

enum { MEMBERS = 4, C = 3 };

/* Two patterns, each twice, of too few steps for all of them to be right everywhere. */
#define PET "classify @/pet.yaml seed=1 optimizer.learning_rate=0.003 train.steps=20 "

static const cz_member_plan plans[MEMBERS] = {{.pattern = 0, .repetition = 0},
                                              {.pattern = 0, .repetition = 1},
                                              {.pattern = 1, .repetition = 0},
                                              {.pattern = 1, .repetition = 1}};

static cz_tokenizer *tokenizer;
static cz_examples *examples;
static cz_device *device;
static cz_comm *comm;

static int open_all(void **state) {
  if (make_few_shot(state)) return -1;
  static char paths[4][600];
  static const char *const names[] = {"p.yaml", "train.tsv", "pool.tsv", "test.tsv"};
  for (int i = 0; i < 4; i++) snprintf(paths[i], sizeof paths[i], "%s", under(names[i]));
  const cz_examples_keys keys = {.pattern = paths[0],
                                 NO_OTHER_KEYS,
                                 .train = paths[1],
                                 .unlabelled_file = paths[2],
                                 .test = paths[3],
                                 .draw = CZ_DRAW_BALANCED,
                                 .labelled = 12,
                                 .unlabelled = -1,
                                 .tested = -1,
                                 .max_length = 40};
  OK(cz_tokenizer_open(&tokenizer, under("bert")));
  OK(cz_examples_open_for(&examples, &keys, tokenizer, 1, CZ_READS_PROMPTS));
  OK(cz_device_open(&device, "cpu"));
  OK(cz_comm_open(&comm, "self"));
  return 0;
}

static int close_all(void **state) {
  cz_comm_close(&comm);
  cz_device_close(&device);
  cz_examples_close(&examples);
  cz_tokenizer_destroy(&tokenizer);
  return drop_runs(state);
}

/* How many files of the members of RUN are called NAME, which may have stars. */
static size_t left(const char *run, const char *name) {
  glob_t found;
  char pattern[700];
  snprintf(pattern, sizeof pattern, "%s/members/*/%s", under(run), name);
  if (glob(pattern, 0, NULL, &found)) return 0;
  const size_t n = found.gl_pathc;
  globfree(&found);
  return n;
}

static cz_members *members_of(const char *model, bool classifier) {
  cz_members *m;
  const cz_members_options o = {.examples = examples,
                                .tokenizer = tokenizer,
                                .init = model,
                                .device = device,
                                .comm = comm,
                                .job = {.seed = 3},
                                .classifier = classifier,
                                .temperature = 1,
                                .score_tokens = 4096};
  OK(cz_members_open(&m, &o));
  return m;
}

static void model_of(char out[700], const char *run, size_t i) {
  char folder[600];
  snprintf(folder, sizeof folder, "%s", under(run));
  OK(cz_member_model_folder(out, 700, folder, &plans[i]));
}

static void scores_of(cz_member_scores *s, const char *run, size_t i) {
  char folder[600], member[700];
  snprintf(folder, sizeof folder, "%s", under(run));
  OK(cz_member_folder(member, sizeof member, folder, &plans[i]));
  OK(cz_member_scores_read(s, examples, member));
}

/* The model of member I, opened anew, scores as the member did. */
static void scores_alike(const char *run, size_t i) {
  float again[POOL_TEXTS * C];
  char model[700];
  cz_member_scores s;
  model_of(model, run, i);
  cz_members *m = members_of(model, false);
  scores_of(&s, run, i);
  OK(cz_members_score(m, again, plans[i].pattern, &examples->d));
  assert_memory_equal(again, s.d, sizeof again);
  OK(cz_members_score(m, again, plans[i].pattern, &examples->test));
  assert_memory_equal(again, s.test, TEST_TEXTS * C * sizeof *again);
  cz_member_scores_free(&s);
  cz_members_close(&m);
}

static void logits_alone(void **state) {
  run_into(&(start){0}, PET, "logits");
  assert_int_equal(left("logits", "logits.h5"), MEMBERS);
  assert_int_equal(left("logits", "model*") + left("logits", "checkpoint*"), 0);
}

static void all_models(void **state) {
  run_into(&(start){0}, PET "classify.keep=all", "all");
  assert_int_equal(left("all", "model/model.safetensors"), MEMBERS);
  assert_int_equal(left("all", "model/tokenizer.json"), MEMBERS);
  assert_int_equal(left("all", "checkpoint*"), 0);
  for (size_t i = 0; i < MEMBERS; i++) scores_alike("all", i);
  same_file("all/logits.h5", "logits/logits.h5"); /* what is kept changes no score */
}

/* The first of those that are right on most texts of T, counted here. */
static size_t best_of(const char *run) {
  int most = -1;
  size_t best = 0;
  for (size_t i = 0; i < MEMBERS; i++) {
    cz_member_scores s;
    int right = 0;
    scores_of(&s, run, i);
    for (size_t k = 0; k < examples->t.n; k++) {
      int32_t says = 0;
      for (int32_t c = 1; c < C; c++)
        if (s.t[k * C + (size_t)c] > s.t[k * C + (size_t)says]) says = c;
      right += says == examples->t.labels[k];
    }
    print_message("member %zu: %d of %zu texts of T\n", i, right, examples->t.n);
    if (right > most) most = right, best = i;
    cz_member_scores_free(&s);
  }
  return best;
}

/* RUN has the model of BEST alone, and it is the one that `all` has kept of that member. */
static void has_best(const char *run, size_t best) {
  char a[700], b[700];
  assert_int_equal(left(run, "model"), 1);
  assert_int_equal(left(run, "model/tokenizer.json"), 1);
  assert_int_equal(left(run, "logits.h5"), MEMBERS);
  const char *const member[] = {"p0-r0", "p0-r1", "p1-r0", "p1-r1"};
  snprintf(a, sizeof a, "all/members/%s/model/model.safetensors", member[best]);
  snprintf(b, sizeof b, "%s/members/%s/model/model.safetensors", run, member[best]);
  same_file(a, b);
}

static void best_model(void **state) {
  const size_t best = best_of("all");
  assert_true(best > 0); /* else any member that came first would do */
  run_into(&(start){0}, PET "classify.keep=best", "best");
  has_best("best", best);
  run_into(&(start){0}, PET "classify.keep=best --jobs 2", "best2");
  has_best("best2", best);
  /* equal members: the first */
  run_into(&(start){0},
           PET "classify.keep=best train.freeze=bert.*,cls.predictions.t* "
               "optimizer.learning_rate=0 classify.patterns=1",
           "equal");
  assert_int_equal(left("equal", "model"), 1);
  assert_true(cz_fs_exists(under("equal/members/p1-r0/model/config.json")));
}

/* Killed when the model of a member is there and its scores are not, or are, or when two members
 * are: the next run leaves what an undisturbed one does. */
static void killed(void **state) {
  static const char *const at[] = {"p0-r0/model/model.safetensors", "p0-r0/logits.h5",
                                   "p0-r1/model/config.json", "p1-r0/logits.h5"};
  const size_t best = best_of("all");
  for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
    char file[128];
    forget("killed");
    snprintf(file, sizeof file, "killed/members/%s", at[i]);
    const pid_t pid = launch(&(start){0}, PET "classify.keep=best --out @/killed");
    wait_for_file(pid, under(file));
    kill(pid, SIGKILL);
    (void)wait_for(pid);
    run_into(&(start){0}, PET "classify.keep=best", "killed");
    has_best("killed", best);
    assert_int_equal(left("killed", "checkpoint*"), 0);
  }
}

/* Of classifiers what is kept answers by itself. */
static void classifiers(void **state) {
  run_into(&(start){0}, "classify @/ft.yaml classify.keep=all train.steps=8", "ft");
  assert_int_equal(left("ft", "model/cloze_task.json"), 2);
  expect(0, "predict --model @/ft/members/plain-r1/model --input @/test.tsv --out @/p.jsonl", "");
  run_into(&(start){0}, PET, "pet");
  run_into(&(start){0}, "distill @/st.yaml seed=1 distill.keep=all train.steps=8", "st");
  assert_int_equal(left("st", "model/cloze_task.json"), 1); /* the first is the stage's model */
  assert_true(cz_fs_exists(under("st/members/plain-r1/model/model.safetensors")));
}

/* cloze pet, with a key of a stage; texts are as long as the model, of 64 positions, can read. */
static void of_command(void **state) {
  glob_t found;
  expect(0,
         "pet --model @/bert --pattern @/p.yaml --train @/train.tsv --unlabeled @/pool.tsv --test "
         "@/test.tsv --out @/command common.train.steps=3 "
         "stages.supervised.train.steps=3 "
         "stages.student.train.steps=3 stages.pet.classify.keep=best",
         "");
  assert_int_equal(glob(under("command/run/stages/classify-*/members/*/model"), 0, NULL, &found),
                   0);
  assert_int_equal(found.gl_pathc, 1);
  globfree(&found);
}

static void refused(void **state) {
  expect(2, "classify @/zero.yaml classify.keep=all --out @/none",
         "keep: strategy tuning_free trains no model that could be kept");
  run_into(&(start){0}, "classify @/zero.yaml examples.labelled=0", "untrained");
  char words[700];
  snprintf(words, sizeof words,
           "classify @/ipet.yaml examples.labelled=0 classify.from=%s classify.keep=best --out "
           "@/none",
           under("untrained"));
  expect(2, words, "keep: T is empty");
}

/* Every tensor of FOLDER that the model has holds the bits of the file. */
static void same_as_file(const cz_model *m, const char *folder, const char *part) {
  cz_safetensors *s;
  int n = 0;
  OK(cz_safetensors_open_model(&s, folder));
  for (size_t i = 0; i < cz_safetensors_count(s); i++) {
    const cz_safetensors_info *t = cz_safetensors_at(s, i);
    const cz_param *q = cz_params_find(m->params, t->name);
    const void *bytes;
    if (!q || !strstr(t->name, part)) continue;
    OK(cz_safetensors_map(s, &bytes, t));
    if (memcmp(q->value, bytes, t->bytes)) fail_msg("%s is not the file's", t->name);
    n++;
  }
  assert_true(n > 1);
  cz_safetensors_close(&s);
}

/* A folder with a pooler and no classifier. */
static void make_pooled(void) {
  const cz_family *f;
  cz_model *m;
  OK(cz_family_find(&f, "bert"));
  cz_model_config c = f->defaults;
  c.family = f;
  c.vocab_size = 400, c.d_model = 16, c.d_kv = 8, c.n_heads = 2, c.d_ff = 32,
  c.n_layers = c.n_decoder_layers = 1;
  c.n_positions = 64, c.heads = CZ_HEAD_BIT(CZ_HEAD_NEXT_SENTENCE);
  OK(cz_model_create(&m, &c, device));
  OK(cz_params_init(m->params, 6));
  OK(cz_hf_save(m, under("pooled")));
  cz_model_destroy(&m);
}

static size_t as_large; /* blocks taken of the device that are as large as WANTED */
static size_t wanted;
static cz_status (*take)(cz_device *d, void **out, size_t bytes);

static cz_status counted(cz_device *d, void **out, size_t bytes) {
  as_large += bytes == wanted;
  return take(d, out, bytes);
}

/* A process has the pretrained values once, in the model: members begin from the mapped file. */
static void held_once(void **state) {
  const cz_member_plan plan = {.pattern = 0};
  char folder[700];
  snprintf(folder, sizeof folder, "%s", under("bert"));
  cz_members *m = members_of(folder, false);
  wanted = cz_params_bytes(cz_members_model(m)->params);
  cz_members_close(&m);
  take = device->alloc;
  device->alloc = counted;
  m = members_of(folder, false);
  for (int i = 0; i < 2; i++) OK(cz_members_run(m, &plan, under("once")));
  assert_int_equal(as_large, 1);
  cz_members_close(&m);
  device->alloc = take;
}

/* Whatever the member before has left, the next one begins with the folder's bits, its pooler's
 * among them as in Hugging Face; what the folder lacks is drawn by who the member is. */
static void begins_anew(void **state) {
  float *head[3], before;
  make_pooled();
  char folder[700];
  snprintf(folder, sizeof folder, "%s", under("pooled"));
  cz_members *m = members_of(folder, true);
  const cz_model *model = cz_members_model(m);
  const cz_param *classifier = cz_params_find(model->params, "classifier.weight");
  const size_t n = (size_t)classifier->count * sizeof(float);
  for (int i = 0; i < 3; i++) {
    const cz_member_plan plan = {.pattern = -1, .repetition = i % 2};
    memset(model->params->values, 0x3f, cz_params_bytes(model->params));
    before = *(float *)classifier->value;
    OK(cz_members_run(m, &plan, under("anew")));
    same_as_file(model, folder, "bert.encoder.");
    same_as_file(model, folder, "bert.pooler.");
    assert_true(*(float *)classifier->value != before);
    assert_non_null(head[i] = malloc(n));
    memcpy(head[i], classifier->value, n);
  }
  assert_memory_equal(head[0], head[2], n);
  assert_memory_not_equal(head[0], head[1], n);
  for (int i = 0; i < 3; i++) free(head[i]);
  cz_members_close(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(logits_alone), cmocka_unit_test(all_models),  cmocka_unit_test(best_model),
      cmocka_unit_test(killed),       cmocka_unit_test(classifiers), cmocka_unit_test(of_command),
      cmocka_unit_test(refused),      cmocka_unit_test(held_once),   cmocka_unit_test(begins_anew)};
  return cmocka_run_group_tests(tests, open_all, close_all);
}

/* The few-shot room by its library: scores do not depend on what is scored beside a text, prompts
 * keep their mask where the head reads, sets share no text, and files of scores are whole or
 * refused. */
#include "few_shot_test.h"

#include "device/random.h"
#include "few_shot/held_out_texts.h"
#include "few_shot/member.h"
#include "nn/hf.h"
#include "objectives/vocabulary.h"

#include <math.h>

/* Everything that the tests work on. */
static cz_tokenizer *tokenizer;
static cz_examples *examples;
static cz_device *device;
static cz_comm *comm;
static cz_members *members;

static cz_examples_keys keys_of(void) {
  static char paths[4][600];
  static const char *const names[] = {"p.yaml", "train.tsv", "pool.tsv", "test.tsv"};
  for (int i = 0; i < 4; i++) snprintf(paths[i], sizeof paths[i], "%s", under(names[i]));
  return (cz_examples_keys){.pattern = paths[0],
                            NO_OTHER_KEYS,
                            .train = paths[1],
                            .unlabelled_file = paths[2],
                            .test = paths[3],
                            .labelled = 12,
                            .unlabelled = -1,
                            .tested = -1,
                            .max_length = 40};
}

static cz_members *members_with(int64_t score_tokens) {
  cz_members *m;
  const cz_members_options o = {.examples = examples,
                                .tokenizer = tokenizer,
                                .init = under("bert"),
                                .device = device,
                                .comm = comm,
                                .job = {.seed = 3},
                                .temperature = 1,
                                .score_tokens = score_tokens};
  OK(cz_members_open(&m, &o));
  return m;
}

static int open_all(void **state) {
  if (make_few_shot(state)) return -1;
  const cz_examples_keys keys = keys_of();
  OK(cz_tokenizer_open(&tokenizer, under("bert")));
  OK(cz_examples_open_for(&examples, &keys, tokenizer, 3, CZ_READS_PROMPTS));
  OK(cz_device_open(&device, "cpu"));
  OK(cz_comm_open(&comm, "self"));
  members = members_with(4096);
  return 0;
}

static int close_all(void **state) {
  cz_members_close(&members);
  cz_comm_close(&comm);
  cz_device_close(&device);
  cz_examples_close(&examples);
  cz_tokenizer_destroy(&tokenizer);
  return drop_runs(state);
}

/* The same bits, whether texts are scored in one run, in runs of one or two, or by another net. */
static void scores_alone(void **state) {
  enum { C = 3 };
  float all[POOL_TEXTS * C], small[POOL_TEXTS * C];
  cz_members *tight = members_with(40);
  for (int32_t pattern = 0; pattern < 2; pattern++) {
    OK(cz_members_score(members, all, pattern, &examples->d));
    OK(cz_members_score(tight, small, pattern, &examples->d));
    for (int i = 0; i < POOL_TEXTS * C; i++)
      if (fabsf(all[i] - small[i]) > 2e-6f * (1 + fabsf(all[i])))
        fail_msg("pattern %d, score %d: %.9g together, %.9g alone", pattern, i, all[i], small[i]);
    OK(cz_members_score(members, small, pattern, &examples->d));
    assert_memory_equal(all, small, sizeof all);
    bool differ = false; /* between texts */
    for (int i = C; i < POOL_TEXTS * C; i++) differ |= all[i] != all[i % C];
    assert_true(differ);
  }
  cz_members_close(&tight);
}

/* Text i of a set in any order has the scores of text i. */
static void scores_in_any_order(void **state) {
  enum { C = 3 };
  const cz_model *model = cz_members_model(members);
  float straight[POOL_TEXTS * C], mixed[POOL_TEXTS * C];
  int32_t order[POOL_TEXTS];
  cz_stream s;
  cz_preparer p = {.prompts = examples->prompts,
                   .prompt = &examples->prompts->items[1],
                   .config = &model->config};
  cz_prepared a = {0}, b = {0};
  cz_scorer *scorer;
  const cz_prompt *prompt = p.prompt;
  const cz_scorer_options o = {.head = CZ_NET_LABEL_WORDS,
                               .classes = C,
                               .words = (int64_t)prompt->n_words,
                               .max_length = 40,
                               .batch_tokens = 100};
  cz_stream_init(&s, test_seed(), "orders", 0, 0);
  for (int i = 0; i < POOL_TEXTS; i++) order[i] = i;
  cz_stream_shuffle(&s, order, POOL_TEXTS);
  OK(cz_prepare_set(&p, &a, &examples->d));
  for (int i = 0; i < POOL_TEXTS; i++)
    OK(cz_prepare_text(&p, &b, &examples->d, (size_t)order[i], NULL));
  OK(cz_scorer_create(&scorer, (cz_model *)model, &o));
  OK(cz_scorer_words(scorer, prompt->words));
  OK(cz_scorer_run(scorer, straight, &a));
  OK(cz_scorer_run(scorer, mixed, &b));
  for (int i = 0; i < POOL_TEXTS; i++)
    for (int c = 0; c < C; c++) {
      const float x = straight[order[i] * C + c], y = mixed[i * C + c];
      if (fabsf(x - y) > 2e-6f * (1 + fabsf(x)))
        fail_msg("text %d, class %d: %.9g and %.9g", order[i], c, x, y);
    }
  cz_scorer_destroy(&scorer);
  cz_prepared_free(&a);
  cz_prepared_free(&b);
  cz_preparer_free(&p);
}

/* The row that the head reads is the mask's. */
static void rows_of_masks(void **state) {
  const cz_model *model = cz_members_model(members);
  const int32_t mask = cz_tokenizer_get_facts(tokenizer)->mask;
  for (size_t k = 0; k < 2; k++) {
    cz_preparer p = {.prompts = examples->prompts,
                     .prompt = &examples->prompts->items[k],
                     .config = &model->config};
    cz_prepared out = {0};
    for (size_t i = 0; i < examples->test.n; i++) {
      OK(cz_prepare_text(&p, &out, &examples->test, i,
                         &(cz_wanted){.label = examples->test.labels[i]}));
      assert_int_equal(p.example.rows.len, 1);
      assert_int_equal(p.example.inputs.data[p.example.rows.data[0]], mask);
      assert_true(p.example.inputs.len <= 40);
      assert_int_equal(p.example.klass, examples->test.labels[i]);
    }
    assert_int_equal(out.count, examples->test.n);
    cz_prepared_free(&out);
    cz_preparer_free(&p);
  }
}

/* What is held out is held out of the same texts under the same masks, however often it is asked.
 */
static void held_out_twice(void **state) {
  cz_held_out_texts *h;
  cz_vocabulary v;
  double a, b, one;
  cz_model *model = (cz_model *)cz_members_model(members);
  cz_vocabulary_of(&v, tokenizer);
  OK(cz_held_out_texts_open(&h, model, examples, &v, 20, 200));
  OK(cz_held_out_texts_loss(&a, h));
  OK(cz_held_out_texts_loss(&b, h));
  assert_true(a == b && a > 1 && a < 20);
  cz_held_out_texts_close(&h);
  OK(cz_held_out_texts_open(&h, model, examples, &v, 20, 40)); /* texts one by one */
  OK(cz_held_out_texts_loss(&one, h));
  assert_true(fabs(a - one) < 1e-5 * a);
  cz_held_out_texts_close(&h);
}

/* T, D and the test set share no text, whatever the draw. */
static void sets_share_nothing(void **state) {
  char *train = read_text(under("train.tsv"), NULL), *test = read_text(under("test.tsv"), NULL);
  write_format("all.tsv", "%s%s", train, strchr(test, '\n') + 1); /* the test set inside */
  for (int draw = 0; draw < 12; draw++) {
    cz_examples *e;
    cz_examples_keys k = keys_of();
    char all[600];
    snprintf(all, sizeof all, "%s", under("all.tsv"));
    k.train = all;
    k.unlabelled_file = "";
    k.draw = draw % 2 ? CZ_DRAW_RANDOM : CZ_DRAW_BALANCED;
    k.unlabelled = draw % 3 ? 20 : -1;
    k.labelled = 3 + draw;
    OK(cz_examples_open_for(&e, &k, tokenizer, test_seed() + (uint64_t)draw, CZ_READS_PROMPTS));
    assert_int_equal(e->t.n, 3 + draw);
    assert_true(e->d.n > 0 && e->test.n == TEST_TEXTS);
    const cz_text_set *sets[] = {&e->t, &e->d, &e->test};
    for (int a = 0; a < 3; a++)
      for (int b = a + 1; b < 3; b++)
        for (size_t i = 0; i < sets[a]->n; i++)
          for (size_t j = 0; j < sets[b]->n; j++)
            assert_true(sets[a]->hashes[i] != sets[b]->hashes[j]);
    for (size_t i = 0; i < e->d.n; i++) assert_int_equal(e->d.labels[i], -1);
    cz_examples_close(&e);
  }
  free(train);
  free(test);
}

/* Scores come back bit by bit; a file that was cut or changed anywhere is refused, or says the
 * same; it never crashes. */
static void scores_file(void **state) {
  const size_t n = examples->d.n * 3;
  cz_member_scores a, b;
  cz_stream s;
  size_t bytes;
  int refused = 0;
  cz_stream_init(&s, test_seed(), "scores and damage", 0, 0);
  OK(cz_member_scores_create(&a, examples));
  for (size_t i = 0; i < n; i++) a.d[i] = (float)(10 * cz_stream_uniform(&s) - 5);
  a.before_training = 0.25;
  assert_int_equal(cz_fs_make_dirs(under("scores")), CZ_OK);
  OK(cz_member_scores_write(&a, examples, under("scores")));
  OK(cz_member_scores_read(&b, examples, under("scores")));
  assert_memory_equal(a.d, b.d, n * sizeof *a.d);
  assert_true(b.before_training == 0.25 && isnan(b.held_out_after));
  cz_member_scores_free(&b);
  char *whole = read_text(under("scores/logits.h5"), &bytes);
  for (int i = 0; i < 400; i++) {
    char *bad = malloc(bytes);
    memcpy(bad, whole, bytes);
    size_t kept = bytes;
    if (i % 4 == 0) kept = (size_t)cz_stream_below(&s, bytes);
    for (int k = 0; k <= i % 3; k++)
      bad[cz_stream_below(&s, bytes)] ^= (char)(1 << cz_stream_below(&s, 8));
    write_bytes("scores/logits.h5", bad, kept);
    cz_status st = cz_member_scores_read(&b, examples, under("scores"));
    if (st == CZ_OK) assert_memory_equal(a.d, b.d, n * sizeof *a.d);
    refused += st != CZ_OK;
    cz_error_clear();
    cz_member_scores_free(&b);
    free(bad);
  }
  assert_true(refused > 100);
  write_bytes("scores/logits.h5", whole, bytes);
  /* other texts, and the same in another order of labels, are not these */
  cz_examples_keys k = keys_of();
  cz_examples *other;
  k.labelled = 9;
  OK(cz_examples_open_for(&other, &k, tokenizer, 3, CZ_READS_PROMPTS));
  FAILS(cz_member_scores_read(&b, other, under("scores")), CZ_ECORRUPT, "scores of other texts");
  cz_member_scores_free(&b);
  cz_examples_close(&other);
  cz_member_scores_free(&a);
  free(whole);
}

/* A calibrated start takes each label's offset from all of its words, so the label's score, their
 * mean, is less by just that; and the next member starts from the pretrained biases again. */
static void calibrated_start(void **state) {
  enum { C = 3 };
  static const double offsets[C] = {1.5, -0.75, 4};
  static const bool calibrated[] = {false, true, false};
  cz_member_scores r[3];
  for (int i = 0; i < 3; i++) {
    const cz_member_plan plan = {
        .pattern = 1, .offsets = offsets, .calibrated_start = calibrated[i]};
    OK(cz_members_run(members, &plan, under("start")));
    OK(cz_member_scores_read(&r[i], examples, under("start")));
  }
  for (size_t i = 0; i < examples->d.n * C; i++) {
    const double wanted = r[0].d[i] - offsets[i % C];
    if (fabs(r[1].d[i] - wanted) > 1e-5 * (1 + fabs(wanted)))
      fail_msg("score %zu: %.9g, expected %.9g", i, r[1].d[i], wanted);
    assert_true(r[2].d[i] == r[0].d[i]);
  }
  for (int i = 0; i < 3; i++) cz_member_scores_free(&r[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(scores_alone),       cmocka_unit_test(scores_in_any_order),
      cmocka_unit_test(rows_of_masks),      cmocka_unit_test(held_out_twice),
      cmocka_unit_test(sets_share_nothing), cmocka_unit_test(scores_file),
      cmocka_unit_test(calibrated_start)};
  return cmocka_run_group_tests(tests, open_all, close_all);
}

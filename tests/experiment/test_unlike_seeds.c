/* Rows with unlike numbers of seeds: what is compared is of the seeds that both, or all, have, and
 * so is the noise of the examples. PET has two seeds at 1 and at 10, vectors three everywhere;
 * `own` draws a T that no value of the axis sets. */
#include "experiment/report/contrasts.h"
#include "few_shot_run.h"

#include <math.h>
#include <stdio.h>

static const char unlike[] =
    "data: nothing\nseeds: [1, 2, 3]\nbaseline: PET\n"
    "common: {init: $data/m, examples: {pattern: $data/p.yaml, train: $data/t.csv, test: "
    "$data/u.csv}}\n"
    "stages:\n"
    "  score: {kind: classify, classify: {strategy: pet}, batch: {examples: 2}, optimizer: "
    "{learning_rate: 1}, train: {steps: 3}}\n"
    "  score_vectors: {kind: classify, classify: {strategy: sentence_encoder}}\n"
    "  score_own: {kind: classify, classify: {strategy: sentence_encoder}, examples: {labelled: "
    "9}}\n"
    "rows: [{name: PET, only: [score], seeds: {1: 2, 10: 2}}, {name: vectors, only: "
    "[score_vectors]}, {name: own, only: [score_own]}]\n"
    "axis: {name: texts, set: common.examples.labelled, values: [1, 10, 50]}\n"
    "contrasts: [[PET, vectors]]\n"
    "columns: [{name: one, take: first, value: [score.tsv.scores.accuracy, "
    "score_vectors.tsv.scores.accuracy, score_own.tsv.scores.accuracy]}]\n";

enum { PET_10 = 1, VECTORS_1 = 3, VECTORS_10, AT_10 = 1 };

/* Puts TEXT in the place of what SEED of ROW left as FILE. */
static void replace(size_t row, size_t seed, const char *file, const char *text) {
  cz_plan plan;
  char at[256];
  OK(open_with(&plan, unlike, NULL));
  OK(cz_plan_folder(at, sizeof at, "", cz_plan_at(&plan, seed, row, row >= VECTORS_1)));
  write_stage(at, file, text);
  cz_plan_close(&plan);
}

/* Two examples, one SPREAD above the accuracy and one below it; those of a program likewise, where
 * it gets something. Half of that each is the part of a mean: the standard error of the examples is
 * sqrt(2 / 1 x 2 (spread / 2)^2), the spread. */
static void write_examples(size_t row, size_t seed, double spread, double program,
                           double program_spread) {
  const double accuracy = scores[row][seed];
  char text[1024], with_it[256] = "";
  cz_buf lines = {0};
  for (int i = 0; i < 2; i++) {
    const int side = i ? -1 : 1;
    if (!isnan(program))
      snprintf(with_it, sizeof with_it, ", \"baselines\": {\"copy\": {\"accuracy\": [%.17g]}}",
               program + side * program_spread);
    OK(cz_buf_addf(&lines, "{\"input\": \"%d\", \"scores\": {\"accuracy\": [%.17g]}%s}\n", i,
                   accuracy + side * spread, with_it));
  }
  replace(row, seed, "predictions.tsv.jsonl", lines.data);
  cz_buf_free(&lines);
  if (!isnan(program))
    snprintf(with_it, sizeof with_it,
             ", \"baseline\": {\"accuracy\": %g}, \"baseline_kind\": \"copy\"", program);
  snprintf(text, sizeof text,
           "{\"metrics\": {\"tsv\": {\"scores\": {\"accuracy\": %g}%s}}, \"measured\": {}}",
           accuracy, isnan(program) ? "" : with_it);
  replace(row, seed, "result.json", text);
}

static void same_difference(const cz_interval *d, double p, double mean, double error) {
  assert_int_equal(d->n, 2);
  assert_near(d->mean, mean);
  assert_near(d->examples.error, error);
  assert_false(isnan(p));
}

/* At 10: spreads of PET are 1 and 0, of vectors 3, 1 and 8, and of the program beside vectors,
 * which has none under the third seed, 0.5 and 1.5. What the examples add to a mean of differences
 * over the two seeds: to vectors less PET |(3 - 1) + (1 - 0)| / 2, to vectors less its program
 * |(3 - 0.5) + (1 - 1.5)| / 2, to PET less its own, which has no spread, (1 + 0) / 2. */
static void test_examples_of_shared_seeds(void **state) {
  cz_results r;
  cz_comparison t;
  write_few_shot_run(unlike);
  write_examples(PET_10, 0, 1, 5, 0);
  write_examples(PET_10, 1, 0, 5, 0);
  write_examples(VECTORS_10, 0, 3, 5, 0.5);
  write_examples(VECTORS_10, 1, 1, 6, 1.5);
  write_examples(VECTORS_10, 2, 8, NAN, NAN);
  OK(cz_results_open(&r, folder()));
  OK(cz_compare_open(&t, &r));
  assert_int_equal(r.done, r.total);
  const cz_cell *vectors = cz_compare_at(&t, 0, VECTORS_10), *pet = cz_compare_at(&t, 0, PET_10);
  assert_int_equal(vectors->ours.n, 3);
  assert_int_equal(pet->ours.n, 2);
  assert_near(vectors->ours.examples.error, 4);
  same_difference(&vectors->difference, vectors->p, 1.5, 1.5);
  const cz_pair_cell *pair = cz_contrasts_at(&t, 0, AT_10);
  same_difference(&pair->difference, pair->p, -1.5, 1.5);
  const cz_interval *const leads[] = {&vectors->lead, &vectors->best_lead};
  for (int i = 0; i < 2; i++) same_difference(leads[i], cz_stats_p(leads[i]), 9.75, 1);
  assert_true(vectors->verdict != CZ_VERDICT_UNKNOWN);
  same_difference(&pet->lead, cz_stats_p(&pet->lead), 8.75, 0.5);
  cz_compare_close(&t);
  cz_results_close(&r);
}

static void report(cz_buf *out) {
  cz_results r;
  OK(cz_results_open(&r, folder()));
  assert_int_equal(r.done, r.total);
  out->len = 0;
  OK(cz_report_text(out, &r, false));
  cz_results_close(&r);
}

/* The row `own`, which would be next at 1, has no place there. Of the first two seeds PET has 11
 * and 13.75 and vectors 11 and 15.25 at 1 and 10; of all three vectors have 13 and 16. */
static void test_means_of_shared_seeds(void **state) {
  static const char undefined[] =
      "{\"metrics\": {\"tsv\": {\"scores\": {\"accuracy\": null}}}, \"measured\": {}}";
  cz_buf out = {0};
  write_few_shot_run(unlike);
  report(&out);
  assert_says(&out, "one: highest mean at 1 texts, over the 2 seeds that all have, PET, vectors "
                    "level (11.00); at 10, over the 2 seeds that all have, vectors (15.25), then "
                    "PET (13.75); at 50 vectors (31.17), then PET (14.00); means decide this, not "
                    "intervals.\n");
  assert_says(&out, "logistic regression (row vectors, 11.00) is level with PET (11.00) by 0.00 ± "
                    "12.71 over the 2 seeds that both have, within the noise");
  assert_says(&out,
              "logistic regression (row vectors, 15.25) beats PET (13.75) by 1.50 ± 0.00 over "
              "the 2 seeds that both have, beyond the noise");
  assert_says(&out, "logistic regression (row vectors, 31.17) beats PET (14.00) by 17.17 ± 3.13, "
                    "beyond the noise");
  /* one seed of both; then none, of which nothing is said */
  replace(VECTORS_1, 0, "result.json", undefined);
  report(&out);
  assert_says(&out,
              "one: highest mean at 1 texts, over the 1 seed that all have, PET (12.00), then "
              "vectors (11.00); at 10, over");
  replace(VECTORS_1, 1, "result.json", undefined);
  report(&out);
  assert_says(&out, "one: highest mean at 10 texts, over the 2 seeds that all have, vectors");
  cz_buf_free(&out);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, drop_folder)

int main(void) {
  const struct CMUnitTest tests[] = {TEST(test_examples_of_shared_seeds),
                                     TEST(test_means_of_shared_seeds)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/* `cloze bench step --task pet`: that it computes what a member of PET does and nothing else, and
 * what it refuses. */
#include "numbers.h"
#include "program.h"
#include "training/flops.h"

/* Tokens of the 16 texts, as the manual lists them. */
static const int pet_lengths[] = {20, 25, 29, 34, 38, 43, 47, 52, 56, 61, 65, 70, 74, 79, 84, 88};

/* Products of a forward pass over the texts, in GFLOP: the blocks over their tokens and no other,
 * the last one but for its keys and values over a row of each, as the head's transform and five
 * label words. */
static double pet_gflop(const cz_model_config *c) {
  const double D = (double)c->d_model;
  double flop = 16 * (2 * D * D + 2 * D * 5);
  for (int i = 0; i < 16; i++)
    flop +=
        cz_flops_forward(c, &(cz_step_shape){.segments = 1, .inputs = pet_lengths[i], .read = 1});
  return 1e-9 * flop;
}

static json_t *bench_pet(const char *model, const char *dtype, bool score) {
  json_error_t why;
  outcome o = cloze("bench", "step", "--model", model, "--task", "pet", "--device", "cpu",
                    "--dtype", dtype, "--steps", "1", "--json", score ? "--score" : NULL);
  EXPECT(0, o);
  json_t *j = json_loads(o.out, 0, &why);
  if (!j) fail_msg("%s in: %s", why.text, o.out);
  return j;
}

static void check_pet(const char *model, const char *dtype, bool score) {
  json_t *j = bench_pet(model, dtype, score), *ops = json_object_get(j, "by_op"), *x;
  const double times = score ? 32 : 1, seconds = number(j, "step_seconds");
  const char *op;
  double spent = 0, wanted;
  cz_model_config c;
  assert_int_equal(cz_model_config_named(&c, model), CZ_OK);
  wanted = pet_gflop(&c) * (score ? 32 : 3);
  assert_string_equal(json_string_value(json_object_get(j, "model")), model);
  assert_string_equal(json_string_value(json_object_get(j, "task")), "pet");
  assert_string_equal(json_string_value(json_object_get(j, "dtype")), dtype);
  assert_true(number(j, "texts") == 16 * times && number(j, "tokens") == 865 * times);
  assert_true(number(j, "share") > 0 && number(j, "peak_rss_bytes") > 1e6);
  assert_like("tokens_per_s", number(j, "tokens_per_s"), 865 * times / seconds);
  assert_like("the products", number(j, "gflop_per_step"), wanted);
  json_object_foreach(ops, op, x) {
    spent += number(x, "seconds");
    if (score) assert_true(number(x, "backward_seconds") == 0);
  }
  assert_like("the ops' seconds", spent, seconds);
  assert_true(!json_object_get(ops, "optimizer") == score);
  assert_true(!json_object_get(ops, "dropout") == score);
  assert_non_null(json_object_get(ops, "label_words"));
  assert_null(json_object_get(ops, "cross_entropy"));
  json_decref(j);
}

/* A member's step and scores: 865 tokens and not one of padding, 16 rows for the head; the same
 * products whatever the family and the precision. */
static void test_bench_pet(void **state) {
  int tokens = 0;
  char words[128] = "";
  for (int i = 0; i < 16; i++) tokens += pet_lengths[i];
  assert_int_equal(tokens, 865);
  for (int i = 0; i < 16; i++)
    snprintf(words + strlen(words), sizeof words - strlen(words), "%s%d",
             !i        ? ""
             : i == 15 ? " and "
                       : ", ",
             pet_lengths[i]);
  outcome manual = cloze("bench", "step", "--help");
  EXPECT(0, manual);
  if (!strstr(manual.out, words)) fail_msg("the manual does not say '%s'", words);
  check_pet("roberta-nano", "f32", false);
  check_pet("roberta-nano", "bf16", false);
  check_pet("roberta-nano", "f32", true);
  check_pet("bert-nano", "bf16", true);
  outcome o = cloze("bench", "step", "--model", "roberta-nano", "--task", "pet", "--unwaited",
                    "--recompute", "--steps", "2");
  EXPECT(0, o);
  o = cloze("bench", "step", "--model", "roberta-nano", "--task", "pet", "--score", "--steps", "1");
  EXPECT(0, o);
  assert_non_null(strstr(o.out, "for 512 texts"));
}

static void test_bench_pet_refuses(void **state) {
  REFUSED(2, "no task is called 'pte'; did you mean 'pet'?",
          cloze("bench", "step", "--task", "pte"));
  REFUSED(2, "no model is called 'roberta-bse'; did you mean 'roberta-base'?",
          cloze("bench", "step", "--task", "pet", "--model", "roberta-bse"));
  REFUSED(2, "t5-nano has no masked-LM head, which label words are scored by; roberta-base",
          cloze("bench", "step", "--task", "pet", "--model", "t5-nano"));
  REFUSED(2, "no precision is called 'f64'; known are f32, bf16, fp16",
          cloze("bench", "step", "--task", "pet", "--dtype", "f64"));
  REFUSED(2, "cpu does not compute in fp16, it does in f32 and bf16",
          cloze("bench", "step", "--task", "pet", "--dtype", "fp16", "--model", "roberta-nano"));
  REFUSED(2, "--inputs '4': --task pet has texts of its own, 16 of 865 tokens",
          cloze("bench", "step", "--task", "pet", "--inputs", "4"));
  REFUSED(2, "--score: the texts are those of a task; --task pet",
          cloze("bench", "step", "--score"));
  REFUSED(2, "--unwaited is of a step that trains, and --score trains nothing",
          cloze("bench", "step", "--task", "pet", "--score", "--unwaited"));
  REFUSED(2, "--steps: '0' is not between 1 and 1000",
          cloze("bench", "step", "--task", "pet", "--steps", "0"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_bench_pet),
                                     cmocka_unit_test(test_bench_pet_refuses)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}

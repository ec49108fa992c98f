/* What `cloze bench` and `cloze show --cost` say of speed and cost: that the keys are
 * there, and that the numbers fit the formulas and each other. */
#include "numbers.h"
#include "program.h"
#include "commands/bench/bench.h"
#include "training/flops.h"
#include "training/optimizer.h"

#include <math.h>

/* A step by every optimizer that a run may name, all of which the manual lists. */
static void test_bench_optimizers(void **state) {
  for (int i = 0; i < CZ_OPTIMIZERS; i++) {
    outcome o = cloze("bench", "step", "--model", "t5-nano", "--segments", "1", "--inputs", "8",
                      "--targets", "4", "--steps", "1", "--optimizer", cz_optimizer_names[i]);
    EXPECT(0, o);
  }
  outcome manual = cloze("bench", "--help");
  EXPECT(0, manual);
  for (int i = 0; i < CZ_OPTIMIZERS; i++)
    if (!strstr(manual.out, cz_optimizer_names[i])) fail_msg("%s: no help", cz_optimizer_names[i]);
  REFUSED(2, "no optimizer is called 'sgd'", cloze("bench", "step", "--optimizer", "sgd"));
  outcome o = cloze("bench", "step", "--model", "t5-nano", "--segments", "1", "--inputs", "8",
                    "--targets", "8", "--steps", "1", "--precision", "bf16");
  EXPECT(0, o);
  assert_non_null(strstr(o.out, "t5-nano in bf16 on cpu ("));
}

/* A tokenizer's speed on a text of one's own and on the generated one, which is always the same. */
static void test_bench_tokenize(void **state) {
  const char *tokenizer = CZ_SOURCE_DIR "/tests/fixtures/text/gpt2.json";
  const char *text = write_text("bench.txt", "the man\nis the house\n");
  outcome o = cloze("bench", "tokenize", tokenizer, "--text", text, "--repeats", "3", "--json");
  EXPECT(0, o);
  json_t *j = json_loads(o.out, 0, NULL);
  assert_true(number(j, "bytes") == 21 && number(j, "lines") == 2 && number(j, "repeats") == 3);
  assert_true(number(j, "tokens") >= 5 && number(j, "mb_per_processor_s") > 0);
  assert_like("rate", number(j, "mb_per_s"), 21e-6 / number(j, "seconds"));
  json_decref(j);
  double tokens = 0;
  for (int i = 0; i < 2; i++) {
    o = cloze("bench", "tokenize", tokenizer, "--repeats", "1", "--json");
    EXPECT(0, o);
    j = json_loads(o.out, 0, NULL);
    assert_true(number(j, "bytes") > 8 << 20 && number(j, "bytes") < (8 << 20) + 4096);
    assert_true(i == 0 || number(j, "tokens") == tokens);
    tokens = number(j, "tokens");
    json_decref(j);
  }
  EXPECT(0, cloze("bench", "tokenize", tokenizer, "--text", text));
  REFUSED(2, "--repeats", cloze("bench", "tokenize", tokenizer, "--repeats", "0"));
  REFUSED(2, "wanted", cloze("bench", "tokenize"));
  REFUSED(1, "an empty text", cloze("bench", "tokenize", tokenizer, "--text", write_text("e", "")));
}

/* A machine whose speed doubles or halves between two steps, or in the middle of one: each step
 * does 0.93 of what the products around it do. The median of all steps over the median of all
 * rounds would give 1.24 where the change is in the middle of the sixth of eleven steps. */
static void test_bench_share(void **state) {
  enum { STEPS = 11 };
  const double gflop = 100, part = 0.93;
  for (int change = 0; change <= STEPS; change++)
    for (int direction = 0; direction < 2; direction++)
      for (int inside = 0; inside < 2; inside++) {
        double seconds[STEPS], ceilings[STEPS + 1], share, fast = direction ? 300 : 150,
                                                           slow = direction ? 150 : 300;
        for (int i = 0; i <= STEPS; i++) ceilings[i] = i <= change ? fast : slow;
        for (int i = 0; i < STEPS; i++) {
          double rate = i < change ? fast : slow;
          seconds[i] = gflop / part / rate;
          if (i == change) /* half of its work at each speed, or all at the later one */
            seconds[i] = inside ? 0.5 * gflop / part * (1 / fast + 1 / slow) : gflop / part / slow;
        }
        assert_int_equal(cz_bench_share(&share, seconds, ceilings, gflop, STEPS), CZ_OK);
        if (!(fabs(share - part) < 1e-12))
          fail_msg("speed %g, then %g after %d steps: a share of %.4f, not %.2f", fast, slow,
                   change, share, part);
      }
}

/* The keys that the first issue names, and that they fit together: FLOP as the formula
 * has them, ops that add up to the step. */
static void test_bench_step(void **state) {
  static const char *const texts[] = {"cpu",       "model", "device", "dtype",
                                      "precision", "path",  "isa",    "ceiling_by"};
  outcome o = cloze("bench", "step", "--model", "t5-nano", "--segments", "2", "--inputs", "24",
                    "--targets", "10", "--steps", "1", "--json");
  EXPECT(0, o);
  json_error_t why;
  json_t *j = json_loads(o.out, 0, &why), *x;
  if (!j) fail_msg("%s in: %s", why.text, o.out);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    assert_true(json_is_string(json_object_get(j, texts[i])));
  assert_true(number(j, "tokens") == 2 * (24 + 10) && number(j, "steps") == 1 &&
              number(j, "peak_rss_bytes") > 1e6);
  assert_true(number(j, "waited") >= 0 && number(j, "waited") < 1.05);
  double seconds = number(j, "step_seconds"), rate = number(j, "gflop_per_s"), spent = 0, gflop = 0,
         parts = 0;
  assert_like("tokens_per_s", number(j, "tokens_per_s"), 68 / seconds);
  assert_like("gflop_per_s", rate, number(j, "gflop_per_step") / seconds);
  assert_like("share", number(j, "share"), rate / number(j, "ceiling_gflop_per_s")); /* one step */
  const char *op;
  json_object_foreach(json_object_get(j, "by_op"), op, x) {
    spent += number(x, "seconds"), gflop += number(x, "gflop"), parts += number(x, "share_of_step");
    assert_true(number(x, "seconds") > -1e-6 * seconds && number(x, "gflop") >= 0);
    if (strcmp(op, "optimizer") && strcmp(op, "rest"))
      assert_like(op, number(x, "seconds"),
                  number(x, "forward_seconds") + number(x, "backward_seconds"));
  }
  assert_like("the ops' seconds", spent, seconds);
  assert_like("the ops' shares", parts, 1);
  assert_true(number(j, "init_seconds") > 0);
  assert_true(number(j, "start_seconds") > number(j, "init_seconds"));
  assert_like("the ops' FLOP", gflop, number(j, "gflop_per_step"));
  cz_model_config c;
  assert_int_equal(cz_model_config_named(&c, "t5-nano"), CZ_OK);
  double formula =
      1e-9 * cz_flops_step(&c, &(cz_step_shape){.segments = 2, .inputs = 24, .targets = 10});
  if (!(fabs(gflop - formula) <= 0.01 * formula))
    fail_msg("the graph counts %g GFLOP, the formula %g", gflop, formula);
  json_decref(j);
}

/* Without waits there is no share of the products, and the parts are of the device's time. */
static void test_bench_unwaited(void **state) {
  outcome o = cloze("bench", "step", "--model", "t5-nano", "--segments", "1", "--inputs", "8",
                    "--targets", "4", "--steps", "4", "--unwaited", "--json");
  EXPECT(0, o);
  json_t *j = json_loads(o.out, 0, NULL), *x;
  assert_non_null(j);
  assert_true(json_is_null(json_object_get(j, "share")));
  assert_true(json_is_null(json_object_get(j, "ceiling_by")));
  const json_t *times = json_object_get(j, "unwaited");
  double device = number(times, "device_seconds"), step = number(times, "step_seconds"), spent = 0;
  const char *op;
  assert_true(device > 0 && number(times, "host_seconds") > 0);
  assert_true(number(times, "waiting_step_seconds") > 0);
  assert_like("step_seconds", number(j, "step_seconds"), step);
  assert_like("tokens_per_s", number(j, "tokens_per_s"), 12 / step);
  if (fabs(number(times, "host_share") - fmax(0, 1 - device / step)) > 1e-4)
    fail_msg("the host's share is %g", number(times, "host_share"));
  json_object_foreach(json_object_get(j, "by_op"), op, x) spent += number(x, "seconds");
  assert_like("the ops' seconds", spent, device);
  json_decref(j);
}

/* What the ops and the optimizer do not account for: feeding, and the engine between kernels. A
 * process that is suspended there takes time that is nobody's, so one run of three may do. */
static void test_bench_accounts(void **state) {
  double rest = 1;
  for (int i = 0; i < 3 && rest > 0.02; i++) {
    outcome o =
        cloze("bench", "step", "--model", "t5-nano", "--segments", "8", "--inputs", "128",
              "--targets", "32", "--steps", "3", "--precision", i % 2 ? "f32" : "bf16", "--json");
    EXPECT(0, o);
    json_t *j = json_loads(o.out, 0, NULL);
    rest = number(json_object_get(json_object_get(j, "by_op"), "rest"), "share_of_step");
    json_decref(j);
  }
  if (!(rest <= 0.02)) fail_msg("%.3f of a step is no op's", rest);
}

static const char shapes[] =
    "{\"small\": ["
    "{\"op\": \"add\", \"rows\": 30, \"width\": 17},"
    "{\"op\": \"linear\", \"name\": \"wi\", \"rows\": 40, \"width\": 24, \"outputs\": 56, "
    "\"bias\": true},"
    "{\"op\": \"norm\", \"rows\": 21, \"width\": 40, \"residual\": true},"
    "{\"op\": \"norm\", \"rows\": 21, \"width\": 40, \"layer\": true},"
    "{\"op\": \"attention\", \"segments\": 2, \"queries\": 9, \"keys\": 12, \"heads\": 3, "
    "\"head_size\": 8, \"position_bias\": true},"
    "{\"op\": \"activation\", \"rows\": 11, \"width\": 24, \"gated\": true},"
    "{\"op\": \"dropout\", \"rows\": 11, \"width\": 24}], \"heads\": ["
    "{\"op\": \"embedding\", \"rows\": 50, \"vocabulary\": 90, \"width\": 16},"
    "{\"op\": \"gather\", \"rows\": 7, \"of\": 20, \"width\": 16},"
    "{\"op\": \"cross_entropy\", \"rows\": 12, \"vocabulary\": 64, \"width\": 16},"
    "{\"op\": \"label_words\", \"rows\": 30, \"masks\": 4, \"vocabulary\": 64, \"width\": 16, "
    "\"classes\": 3, \"words\": 2}]}";

/* Bytes and FLOPs of a pass by hand; the rates and shares that are shown fit them. */
static void check_kernel(const json_t *row, double bytes, double flop) {
  double seconds = number(row, "seconds");
  assert_true(seconds > 0 && number(row, "copy_gb_per_s") > 0);
  if (bytes > 0) assert_true(number(row, "bytes") == bytes);
  assert_like("gflop", number(row, "gflop"), 1e-9 * flop);
  assert_like("gb_per_s", number(row, "gb_per_s"), 1e-9 * number(row, "bytes") / seconds);
  assert_like("gflop_per_s", number(row, "gflop_per_s"), 1e-9 * flop / seconds);
  assert_like("share_of_copy", number(row, "share_of_copy"),
              number(row, "gb_per_s") / number(row, "copy_gb_per_s"));
}

static json_t *kernels(const char *precision, const char *op) {
  json_error_t why;
  outcome o = cloze("bench", "kernels", "--shapes", "shapes.json", "--repeats", "1", "--precision",
                    precision, "--json", op ? "--op" : NULL, op);
  EXPECT(0, o);
  json_t *j = json_loads(o.out, 0, &why);
  if (!j) fail_msg("%s in: %s", why.text, o.out);
  assert_string_equal(json_string_value(json_object_get(j, "precision")), precision);
  assert_true(strlen(json_string_value(json_object_get(j, "cpu"))) > 0 &&
              strlen(json_string_value(json_object_get(j, "isa"))) > 0 &&
              number(j, "threads") >= 1);
  return j;
}

static void test_bench_kernels(void **state) {
  write_text("shapes.json", shapes);
  json_t *all = kernels("f32", "add"), *rows = json_object_get(all, "kernels");
  assert_int_equal(json_array_size(rows), 2);
  check_kernel(json_array_get(rows, 0), 3 * 30 * 17 * 4, 0);
  check_kernel(json_array_get(rows, 1), 3 * 30 * 17 * 4, 0); /* one gradient comes, two leave */
  json_decref(all);
  all = kernels("bf16", "add"), rows = json_object_get(all, "kernels");
  check_kernel(json_array_get(rows, 0), 3 * 30 * 17 * 2, 0);
  json_decref(all);
  all = kernels("bf16", "linear"), rows = json_object_get(all, "kernels");
  assert_true(number(json_array_get(rows, 0), "share_of_products") > 0);
  json_decref(all);
  all = kernels("f32", NULL), rows = json_object_get(all, "kernels");
  const double x = 40 * 24, w = 56 * 24, y = 40 * 56, b = 56;
  check_kernel(json_array_get(rows, 2), 4 * (x + w + b + y), 2 * x * 56);
  check_kernel(json_array_get(rows, 3), 4 * (2 * x + 2 * w + y + b), 4 * x * 56);
  assert_true(number(json_array_get(rows, 2), "share_of_products") > 0);
  check_kernel(json_array_get(rows, 5), /* h, dy and dh; dx and dresidual; gain, rstd, dgain */
               4 * (5 * 21 * 40 + 40 + 21 + 40), 0);
  assert_int_equal(json_array_size(rows), 22);
  assert_string_equal(json_string_value(json_object_get(json_array_get(rows, 14), "set")), "heads");
  assert_true(number(json_array_get(rows, 14), "bytes") == 4 * (2 * 50 * 16 + 50));
  json_decref(all);
  write_text("clip.json", "{\"a\": [{\"op\": \"clip\"}]}");
  REFUSED(2, "there is no op 'lineal'; known are ",
          cloze("bench", "kernels", "--shapes", "shapes.json", "--op", "lineal"));
  REFUSED(2, "clip.json lists no sizes for op 'linear'",
          cloze("bench", "kernels", "--shapes", "clip.json", "--op", "linear"));
  REFUSED(2, "cpu does not compute in fp16, it does in f32 and bf16; --device cuda does",
          cloze("bench", "kernels", "--shapes", "clip.json", "--precision", "fp16"));
  write_text("shapes.json",
             "{\"a\": [{\"op\": \"add\", \"rows\": 3, \"width\": 2, \"heads\": 1}]}");
  REFUSED(1, "a[0].heads: this op has no such size",
          cloze("bench", "kernels", "--shapes", "shapes.json"));
  write_text("shapes.json", "{\"a\": [{\"op\": \"add\", \"rows\": 3}]}");
  REFUSED(1, "a[0].width", cloze("bench", "kernels", "--shapes", "shapes.json"));
  write_text("shapes.json", "{\"a\": [{\"op\": \"added\", \"rows\": 3}]}");
  REFUSED(1, "a[0].op", cloze("bench", "kernels", "--shapes", "shapes.json"));
  REFUSED(
      1, "clip in bf16: sumsq is bf16",
      cloze("bench", "kernels", "--shapes", "clip.json", "--precision", "bf16", "--op", "clip"));
  outcome o = cloze("bench", "kernels", "--shapes", "clip.json", "--precision", "bf16");
  EXPECT(0, o);
  assert_non_null(strstr(o.out, "clip in bf16: sumsq is bf16"));
  REFUSED(2, "--repeats: '0'", cloze("bench", "kernels", "--repeats", "0"));
}

/* Ops that touch some rows of an array, and those that want other ops' sizes; bytes by hand. */
static void test_bench_rows(void **state) {
  write_text("shapes.json",
             "{\"a\": [{\"op\": \"gather\", \"rows\": 7, \"of\": 20, \"width\": 16},"
             "{\"op\": \"cache_append\", \"rows\": 3, \"of\": 50, \"width\": 16},"
             "{\"op\": \"label_words\", \"rows\": 30, \"masks\": 4, \"vocabulary\": 64, "
             "\"width\": 16, \"classes\": 3, \"words\": 2},"
             "{\"op\": \"embedding\", \"rows\": 50, \"vocabulary\": 9, \"width\": 16},"
             "{\"op\": \"sumsq\", \"rows\": 5, \"width\": 7},"
             "{\"op\": \"cast\", \"rows\": 5, \"width\": 7}]}");
  json_t *all = kernels("f32", NULL), *rows = json_object_get(all, "kernels");
  assert_int_equal(json_array_size(rows), 10); /* two passes but of cache_append and sumsq */
  check_kernel(json_array_get(rows, 0), 4 * (7 * 16 + 7 + 7 * 16), 0);
  check_kernel(json_array_get(rows, 1), 4 * (7 * 16 + 7 + 20 * 16), 0);
  check_kernel(json_array_get(rows, 2), 4 * (3 * 16 + 3 + 3 * 16), 0);
  check_kernel(json_array_get(rows, 3), /* x, rows, table, words, targets, divisor; loss, scores */
               4 * (4 * 16 + 4 + 6 * 16 + 6 + 4 + 1 + 1 + 12), 2 * 4 * 3 * 16);
  check_kernel(json_array_get(rows, 5), 4 * (9 * 16 + 50 + 50 * 16), 0);
  check_kernel(json_array_get(rows, 7), 4 * (5 * 7 + 1), 0);
  check_kernel(json_array_get(rows, 8), 2 * 4 * 5 * 7, 0);
  json_decref(all);
  write_text("shapes.json",
             "{\"a\": [{\"op\": \"add\", \"rows\": 3, \"width\": 2, \"causal\": true}]}");
  REFUSED(1, "a[0].causal: this op has no such size",
          cloze("bench", "kernels", "--shapes", "shapes.json"));
  write_text("shapes.json", "{\"a\": [{\"op\": \"sumsq\"}]}");
  REFUSED(1, "a[0].rows", cloze("bench", "kernels", "--shapes", "shapes.json"));
}

/* Gradients of weights that are added to are read and written, of a table the rows that are named;
 * an optimizer's copy is written alone. */
static void test_bench_added(void **state) {
  write_text("shapes.json",
             "{\"a\": [{\"op\": \"label_words\", \"rows\": 30, \"masks\": 4, \"vocabulary\": 64, "
             "\"width\": 16, \"classes\": 3, \"words\": 2},"
             "{\"op\": \"label_words\", \"rows\": 30, \"masks\": 4, \"vocabulary\": 64, "
             "\"width\": 16, \"classes\": 3, \"words\": 2, \"added\": true},"
             "{\"op\": \"embedding\", \"rows\": 50, \"vocabulary\": 90, \"width\": 16, "
             "\"added\": true},"
             "{\"op\": \"linear\", \"rows\": 40, \"width\": 24, \"outputs\": 56, \"added\": true},"
             "{\"op\": \"linear\", \"rows\": 40, \"width\": 24, \"outputs\": 56, \"added\": false},"
             "{\"op\": \"adamw\", \"rows\": 5, \"width\": 7, \"scaled\": true},"
             "{\"op\": \"adafactor\", \"rows\": 5, \"width\": 7}]}");
  json_t *all = kernels("f32", NULL), *rows = json_object_get(all, "kernels");
  const double words = /* x, rows, table, words, targets, divisor; scores; dloss, dscores; dx */
      4 * 16 + 4 + 6 * 16 + 6 + 4 + 1 + 12 + 1 + 12 + 30 * 16;
  assert_int_equal(json_array_size(rows), 12);
  check_kernel(json_array_get(rows, 1), 4 * (words + 64 * 16), 4 * 4 * 3 * 16);
  check_kernel(json_array_get(rows, 3), 4 * (words + 2 * 6 * 16), 4 * 4 * 3 * 16);
  check_kernel(json_array_get(rows, 5), 4 * (50 + 50 * 16 + 2 * 50 * 16), 0);
  const double x = 40 * 24, w = 56 * 24, y = 40 * 56, both = 4 * x * 56;
  check_kernel(json_array_get(rows, 7), 4 * (2 * x + w + y + 2 * w), both);
  check_kernel(json_array_get(rows, 9), 4 * (2 * x + w + y + w), both);
  /* w, g and state are read, w, state and copy written; a row of parts, hyper */
  check_kernel(json_array_get(rows, 10), 4 * (35 * (4 + 4) + 6 + 6), 0);
  check_kernel(json_array_get(rows, 11), 4 * (35 * (2 + 2) + 2 * (5 + 7) + 6 + 6), 0);
  json_decref(all);
  all = kernels("bf16", "adamw"), rows = json_object_get(all, "kernels");
  check_kernel(json_array_get(rows, 0), 35 * 30 + 4 * (6 + 6), 0);
  json_decref(all);
  write_text("shapes.json",
             "{\"a\": [{\"op\": \"norm\", \"rows\": 3, \"width\": 2, \"added\": true}]}");
  REFUSED(1, "a[0].added: this op has no gradient of a weight to add to",
          cloze("bench", "kernels", "--shapes", "shapes.json"));
  write_text("shapes.json",
             "{\"a\": [{\"op\": \"adamw\", \"rows\": 3, \"width\": 2, \"added\": false}]}");
  REFUSED(1, "a[0].added: this op has no gradient of a weight to add to",
          cloze("bench", "kernels", "--shapes", "shapes.json"));
  write_text("shapes.json", "{\"a\": [{\"op\": \"embedding\", \"rows\": 3, \"vocabulary\": 2, "
                            "\"width\": 2, \"added\": 1}]}");
  REFUSED(1, "a[0].added", cloze("bench", "kernels", "--shapes", "shapes.json"));
}

/* The committed list is read and its keys are known; of its ops the smallest is timed here. */
static void test_bench_shapes(void **state) {
  outcome o = cloze("bench", "kernels", "--shapes", CZ_SOURCE_DIR "/experiments/bench/kernels.json",
                    "--repeats", "1", "--op", "gather");
  EXPECT(0, o);
  assert_non_null(strstr(o.out, "masks"));
}

/* A step under an objective, of one piece: the paper's lengths (t5.md 3.3: 512 and 114
 * for spans of 3), and FLOP as the formula has them. */
static void check_objective(const json_t *row, const cz_model_config *t5,
                            const cz_model_config *lm) {
  const char *name = json_string_value(json_object_get(row, "objective"));
  double n = number(row, "examples"), inputs = number(row, "mean_inputs"),
         targets = number(row, "mean_targets"), seconds = number(row, "step_seconds");
  assert_non_null(name);
  assert_true(n >= 1 && number(row, "raw_tokens") >= n && number(row, "peak_bytes") > 1e6);
  assert_like(name, number(row, "examples_per_s"), n / seconds);
  assert_like(name, number(row, "raw_tokens_per_s"), number(row, "raw_tokens") / seconds);
  cz_step_shape shape = {.segments = n, .inputs = inputs, .targets = targets};
  double formula = 1e-9 * cz_flops_step(inputs > 0 ? t5 : lm, &shape),
         made = number(row, "tokens_per_s") * seconds;
  if (!(fabs(number(row, "gflop") - formula) <= 0.03 * formula))
    fail_msg("%s: %g GFLOP, the formula has %g", name, number(row, "gflop"), formula);
  if (!(fabs(made - n * (inputs + targets)) <= 0.03 * made))
    fail_msg("%s: %g tokens in a step of %g x (%g + %g)", name, made, n, inputs, targets);
  if (!strcmp(name, "random_spans")) assert_true(inputs == 512 && targets == 114);
  if (!strcmp(name, "lm")) assert_true(inputs == 0 && targets == 512);
  if (!strcmp(name, "prefix_lm")) assert_true(fabs(inputs - targets) < 0.05 * targets);
  if (!strcmp(name, "bert_style") || !strcmp(name, "deshuffling")) assert_true(inputs == targets);
}

static void test_bench_objectives(void **state) {
  static const char *const names[] = {"prefix_lm",       "lm",          "bert_style",
                                      "deshuffling",     "mass",        "iid_replace_spans",
                                      "iid_drop_tokens", "random_spans"};
  cz_model_config t5, lm;
  json_error_t why;
  assert_int_equal(cz_model_config_named(&t5, "t5-nano"), CZ_OK);
  assert_int_equal(cz_model_config_named(&lm, "lm-nano"), CZ_OK);
  outcome o = cloze("bench", "objectives", "--model", "t5-nano", "--tokens", "1", "--json");
  EXPECT(0, o);
  json_t *rows = json_loads(o.out, 0, &why);
  if (!rows) fail_msg("%s in: %s", why.text, o.out);
  assert_int_equal(json_array_size(rows), 8);
  for (size_t i = 0; i < 8; i++) {
    size_t at = 0;
    while (at < 8 && strcmp(names[i], json_string_value(
                                          json_object_get(json_array_get(rows, at), "objective"))))
      at++;
    if (at == 8) fail_msg("%s is missing", names[i]);
    check_objective(json_array_get(rows, at), &t5, &lm);
  }
  json_decref(rows);
  REFUSED(2, "--model prefix-lm-nano is no encoder-decoder",
          cloze("bench", "objectives", "--model", "prefix-lm-nano"));
  REFUSED(2, "--tokens: '0' is not between 1 and 2^22",
          cloze("bench", "objectives", "--tokens", "0"));
}

static const char priced[] =
    "title: priced\n"
    "seeds: [1]\n"
    "common:\n"
    "  tokenizer: " SAMPLE "/tokenizer.json\n"
    "  model: {name: t5-nano}\n"
    "  optimizer: {learning_rate: 1}\n"
    "stages:\n"
    "  learn:\n"
    "    kind: finetune\n"
    "    batch: {input_tokens: 240, target_tokens: 1000, max_inputs: %d, max_targets: %d}\n"
    "    train: {steps: 50}\n"
    "    tasks: {mixing: %s, list: [{name: tsv, as: long, train: long.tsv}, {name: tsv, as: short, "
    "train: short.tsv}]}\n"
    "rows: [{name: only}]\n"
    "columns: [{name: loss, value: learn.loss}]\n";

/* The only stage's costs; the caller frees the text's tree. */
static json_t *price(json_t **root, int max_inputs, int max_targets, const char *mixing) {
  char text[2048];
  json_error_t why;
  snprintf(text, sizeof text, priced, max_inputs, max_targets, mixing);
  write_text("priced.yaml", text);
  outcome o = cloze("show", "priced.yaml", "--cost", "--gflops", "2", "--json");
  EXPECT(0, o);
  if (!(*root = json_loads(o.out, 0, &why))) fail_msg("%s in: %s", why.text, o.out);
  return json_array_get(
      json_object_get(json_array_get(json_object_get(*root, "rows"), 0), "stages"), 0);
}

/* Tokens of TEXT, the end-of-sequence token among them. */
static double length_of(const char *text) {
  outcome o = cloze_with(text, "tokenize", SAMPLE "/tokenizer.json", "--json");
  EXPECT(0, o);
  const char *at = o.out;
  json_t *line = json_line(&at);
  double n = (double)json_array_size(json_object_get(line, "ids"));
  json_decref(line);
  return n;
}

static void check_price(int max_inputs, int max_targets, const char *mixing, double inputs,
                        double targets) {
  json_t *root, *cost = price(&root, max_inputs, max_targets, mixing);
  cz_model_config c;
  assert_int_equal(cz_model_config_named(&c, "t5-nano"), CZ_OK);
  c.vocab_size = 4096; /* of the sample's tokenizer.json, sentinels included */
  double segments = 240 / inputs;
  cz_step_shape shape = {.segments = segments, .inputs = inputs, .targets = targets};
  assert_like("mean inputs", number(cost, "mean_inputs"), inputs);
  assert_like("mean targets", number(cost, "mean_targets"), targets);
  assert_like("examples", number(cost, "examples_per_step"), segments);
  assert_like("tokens", number(cost, "tokens"), 50 * segments * (inputs + targets));
  assert_like("flop", number(cost, "flop"), 50 * cz_flops_step(&c, &shape));
  assert_like("hours", number(cost, "hours"), number(cost, "flop") / 2e9 / 3600);
  json_decref(root);
}

/* A mixture of two tasks whose texts are very unlike, three of one to one of the other:
 * the mean length is that of what is drawn. */
static void test_cost_of_a_mixture(void **state) {
  static const char *const words[2] = {"a library of functions that read and write archives", "a"};
  double l[2] = {length_of(words[0]), length_of(words[1])};
  char text[1024];
  assert_true(l[0] > 3 * l[1]);
  snprintf(text, sizeof text, "%s\t%s\n%s\t%s\n%s\t%s\n", words[0], words[1], words[0], words[1],
           words[0], words[1]);
  write_text("long.tsv", text);
  snprintf(text, sizeof text, "%s\t%s\n", words[1], words[0]);
  write_text("short.tsv", text);
  check_price(100, 100, "proportional", 0.75 * l[0] + 0.25 * l[1], 0.75 * l[1] + 0.25 * l[0]);
  check_price(100, 100, "equal", 0.5 * (l[0] + l[1]), 0.5 * (l[0] + l[1]));
  int cap =
      (int)l[1] +
      2; /* cuts the long texts only, so the mean of what is cut is not the mean that is cut */
  check_price(cap, 100, "equal", 0.5 * (cap + l[1]), 0.5 * (l[0] + l[1]));
  check_price(100, cap, "proportional", 0.75 * l[0] + 0.25 * l[1], 0.75 * l[1] + 0.25 * cap);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bench_share),      cmocka_unit_test(test_bench_step),
      cmocka_unit_test(test_bench_optimizers), cmocka_unit_test(test_bench_accounts),
      cmocka_unit_test(test_bench_kernels),    cmocka_unit_test(test_bench_rows),
      cmocka_unit_test(test_bench_added),      cmocka_unit_test(test_bench_shapes),
      cmocka_unit_test(test_bench_objectives), cmocka_unit_test(test_bench_unwaited),
      cmocka_unit_test(test_bench_tokenize),   cmocka_unit_test(test_cost_of_a_mixture)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}

/* `cloze evaluate` with a model whose every answer is known, because its weights were
 * written by hand: it answers `was` to a text with `the`, `is` to one with `of`, `and`,
 * which is no label, to any other, and `a` when the text does not end as it should. What
 * is scored, beside which baseline, and on which rows. */
#include "train_test.h"

#include "device/random.h"
#include "nn/hf.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <math.h>

enum { ROWS = 60, TRAIN = 45, D = 8, MOST_WORDS = 6 /* that the stage reads */ };
enum { AT_START, AT_ANSWER, SEES_THE, SEES_OF, SEES_END, NOTHING }; /* what a channel says */
#define TOKENIZER CZ_SOURCE_DIR "/tests/fixtures/text/t5_a.json"

static const char *const answers[] = {"was", "is", "and"};

static int32_t id_of(const cz_tokenizer *t, const char *word) {
  char piece[32];
  snprintf(piece, sizeof piece, "\xe2\x96\x81%s", word);
  int32_t id = cz_tokenizer_id(t, piece, strlen(piece));
  assert_true(id > 1);
  return id;
}

static void set(cz_model *m, const char *name, int64_t row, int64_t column, double value) {
  const cz_param *p = cz_params_find(m->params, name);
  assert_non_null(p);
  ((float *)p->value)[row * p->dim[1] + column] = (float)value;
}

/* Embeddings say what a token is; cross-attention without preferences brings the mean of
 * the input's into the decoder; nothing else has weights. The output reads: at the start
 * the answer to what is seen, after an answer the end. */
static void fill(cz_model *m, const cz_tokenizer *t) {
  const cz_param *embedding = m->embedding;
  for (int64_t v = 0; v < embedding->dim[0]; v++) set(m, "shared.weight", v, NOTHING, 1);
  const struct {
    int32_t id;
    int channel;
  } means[] = {{(int32_t)m->config.start_id, AT_START},
               {id_of(t, "was"), AT_ANSWER},
               {id_of(t, "is"), AT_ANSWER},
               {id_of(t, "and"), AT_ANSWER},
               {(int32_t)m->config.eos_id, SEES_END},
               {id_of(t, "the"), SEES_THE},
               {id_of(t, "of"), SEES_OF}};
  for (size_t i = 0; i < sizeof means / sizeof *means; i++) {
    set(m, "shared.weight", means[i].id, NOTHING, 0);
    set(m, "shared.weight", means[i].id, means[i].channel, 1);
  }
  for (int c = SEES_THE; c <= SEES_END; c++) {
    set(m, "decoder.block.0.layer.1.EncDecAttention.v.weight", c, c, 1);
    set(m, "decoder.block.0.layer.1.EncDecAttention.o.weight", c, c, 1);
  }
  set(m, "lm_head.weight", id_of(t, "was"), SEES_THE, 9);
  set(m, "lm_head.weight", id_of(t, "is"), SEES_OF, 9);
  set(m, "lm_head.weight", id_of(t, "and"), AT_START, 0.5);
  set(m, "lm_head.weight", id_of(t, "a"), AT_START, 3);
  set(m, "lm_head.weight", id_of(t, "a"), SEES_END, -30);
  set(m, "lm_head.weight", m->config.eos_id, AT_ANSWER, 90);
  for (size_t i = 0; i < m->params->n; i++)
    if (m->params->list[i]->ndim == 1)
      for (int64_t k = 0; k < D; k++) ((float *)m->params->list[i]->value)[k] = 1;
}

/* Two answers to `the` that float32 tells apart and bfloat16 does not: between 8 and 16 its numbers
 * are 1/16 apart. Of equal ones the smaller id wins. */
static void blur(cz_model *m, const cz_tokenizer *t) {
  int32_t was = id_of(t, "was"), is = id_of(t, "is");
  set(m, "lm_head.weight", was < is ? was : is, SEES_THE, 9);
  set(m, "lm_head.weight", was < is ? is : was, SEES_THE, 9.02);
}

static void make_model(const char *name, bool blurred) {
  cz_tokenizer *t;
  cz_device *device;
  cz_model_config c;
  cz_model *m;
  OK(cz_tokenizer_open(&t, TOKENIZER));
  OK(cz_device_open(&device, "cpu"));
  OK(cz_model_config_named(&c, "t5-v1_1-nano"));
  c.vocab_size = (cz_tokenizer_get_facts(t)->size + 127) / 128 * 128;
  c.d_model = c.d_kv = D, c.n_heads = 1, c.d_ff = 4, c.n_layers = c.n_decoder_layers = 1;
  OK(cz_model_create(&m, &c, device));
  fill(m, t);
  if (blurred) blur(m, t);
  OK(cz_hf_save(m, under(name)));
  cz_model_destroy(&m);
  cz_device_close(&device);
  cz_tokenizer_destroy(&t);
}

/* One line of a file: what it asks, what the model answers to it, what the file wants;
 * both as places in `answers`. */
typedef struct row {
  char text[128];
  int answer, wanted;
} row;

/* A text of WORDS words, a mark at place AT (-1: none) and a number behind it, so that no
 * two are the same. */
static void write_words(row *r, cz_stream *s, int words, int at, const char *mark, int number) {
  static const char *const fillers[] = {"in", "to", "a", "no"};
  r->text[0] = '\0';
  for (int k = 0; k < words; k++)
    sprintf(r->text + strlen(r->text), "%s%s", k ? " " : "",
            k == at ? mark : fillers[cz_stream_below(s, 4)]);
  sprintf(r->text + strlen(r->text), " %d", number);
}

/* Rows of a file sorted by label: the first FIRST want `was`. Three in four texts have
 * the mark of their label, the others another's or none; it may be the last word that the
 * stage reads, or the first that it does not. */
static void make_rows(row *rows, int n, int first, uint32_t part) {
  static const char *const marks[] = {"the", "of"};
  cz_stream s;
  cz_stream_init(&s, test_seed(), "rows of the evaluation", part, 0);
  for (int i = 0; i < n; i++) {
    row *r = &rows[i];
    int words = 1 + (int)cz_stream_below(&s, MOST_WORDS),
        at = (int)cz_stream_below(&s, (uint64_t)words);
    r->wanted = i >= first;
    r->answer = cz_stream_below(&s, 4) ? r->wanted : (int)cz_stream_below(&s, 3);
    if (i % 10 == 0) words = MOST_WORDS, at = MOST_WORDS - 1, r->answer = r->wanted;
    if (i % 10 == 5) words = MOST_WORDS + 1, at = MOST_WORDS, r->answer = 2;
    bool marked = r->answer < 2 || i % 10 == 5;
    write_words(r, &s, words, marked ? at : -1, marks[r->answer < 2 ? r->answer : r->wanted], i);
  }
}

static void write_rows(const char *name, const row *rows, int n) {
  FILE *f = fopen(under(name), "w");
  assert_non_null(f);
  for (int i = 0; i < n; i++) fprintf(f, "%s\t%s\n", rows[i].text, answers[rows[i].wanted]);
  assert_int_equal(fclose(f), 0);
}

/* Most of the training rows want `is`, though not the first ones; most of dev and test
 * want `was`. */
static row train[TRAIN], dev[ROWS], test[ROWS];

static int make_all(void **state) {
  if (make_runs(state)) return -1;
  make_model("model", false);
  make_model("blurred", true);
  make_rows(train, TRAIN, 15, 0);
  make_rows(dev, ROWS, 39, 1);
  make_rows(test, ROWS, 48, 2);
  write_rows("a.train.tsv", train, TRAIN);
  write_rows("a.dev.tsv", dev, ROWS);
  write_rows("a.test.tsv", test, ROWS);
  write_format(
      "evaluate.yaml",
      "seed: 1\ntokenizer: " TOKENIZER "\ninit: %s/model\n"
      "model: {name: t5-v1_1-nano, d_model: 8, d_kv: 8, d_ff: 4, num_layers: 1, num_heads: 1}\n"
      "evaluate: {max_length: 5, max_inputs: 7, batch_tokens: 40}\n"
      "tasks:\n"
      "  list:\n"
      "    - {name: tsv, as: classes, train: %s/a.train.tsv, dev: %s/a.dev.tsv, test: "
      "%s/a.test.tsv, labels: 'was,is'}\n"
      "    - {name: tsv, as: words, train: %s/a.train.tsv, dev: %s/a.dev.tsv, test: %s/a.test.tsv, "
      "metrics: rouge1, baseline: copy}\n",
      folder(), folder(), folder(), folder(), folder(), folder(), folder());
  return 0;
}

static json_t *load(const char *path) {
  json_error_t why;
  json_t *j = json_load_file(path, 0, &why);
  if (!j) fail_msg("%s: %s", path, why.text);
  return j;
}

static double number(const json_t *task, const char *group, const char *name) {
  const json_t *v = json_object_get(json_object_get(task, group), name);
  if (!json_is_number(v)) fail_msg("no %s.%s", group, name);
  return json_number_value(v);
}

static const char *text(const json_t *line, const char *key) {
  return json_string_value(json_object_get(line, key));
}

/* Which row of the file each line of the predictions is, in the order of the file; every
 * line says what the model answers and the baseline writes. */
static int read_predictions(int *which, const char *label, const row *rows, int n,
                            const char *baseline) {
  char path[64], line[1024];
  int count = 0, at = 0;
  snprintf(path, sizeof path, "run/predictions.%s.jsonl", label);
  FILE *f = fopen(under(path), "r");
  assert_non_null(f);
  for (; fgets(line, sizeof line, f); count++, at++) {
    json_t *j = json_loads(line, 0, NULL);
    assert_true(count < n);
    while (at < n && (strcmp(text(j, "input"), rows[at].text) ||
                      strcmp(text(j, "target"), answers[rows[at].wanted])))
      at++;
    if (at == n)
      fail_msg("line %d of the predictions is no later row of the file: %s", count + 1, line);
    assert_string_equal(text(j, "output"), answers[rows[at].answer]);
    assert_string_equal(text(j, "baseline"), baseline ? baseline : rows[at].text);
    which[count] = at;
    json_decref(j);
  }
  fclose(f);
  return count;
}

/* The share of rows, in percent, that are right when each is answered by itself (ANSWER <
 * 0) or by ANSWER. */
static double right(const row *rows, const int *which, int n, int answer) {
  int count = 0;
  for (int i = 0; i < n; i++)
    count += (answer < 0 ? rows[which[i]].answer : answer) == rows[which[i]].wanted;
  return 100.0 * count / n;
}

static void near(const char *what, double got, double want) {
  if (!(fabs(got - want) < 1e-9)) fail_msg("%s is %.6f, should be %.6f", what, got, want);
}

/* The run's scores are those of the rows that its predictions name. ROUGE-1 of one word
 * is 100 or 0; no text has its answer in it. */
static int check_run(int *which, const row *rows) {
  json_t *result = load(under("run/result.json")), *metrics = json_object_get(result, "metrics");
  const json_t *classes = json_object_get(metrics, "classes"),
               *words = json_object_get(metrics, "words");
  int again[ROWS], n = read_predictions(which, "classes", rows, ROWS, "is");
  assert_int_equal(read_predictions(again, "words", rows, ROWS, NULL), n);
  assert_memory_equal(which, again, (size_t)n * sizeof *which);
  near("accuracy", number(classes, "scores", "accuracy"), right(rows, which, n, -1));
  near("its baseline", number(classes, "baseline", "accuracy"), right(rows, which, n, 1));
  near("rouge1", number(words, "scores", "rouge1"), right(rows, which, n, -1));
  near("its baseline", number(words, "baseline", "rouge1"), 0);
  assert_string_equal(text(classes, "baseline_kind"), "majority");
  assert_string_equal(text(words, "baseline_kind"), "copy");
  assert_int_equal(json_integer_value(json_object_get(classes, "examples")), n);
  assert_int_equal(json_integer_value(json_object_get(words, "examples")), n);
  assert_int_equal(json_object_size(metrics), 2);
  json_decref(result);
  return n;
}

#define EVALUATE "evaluate @/evaluate.yaml --out @/run "

static void whole_files(void **state) {
  int which[ROWS];
  expect(0, EVALUATE, "done, see");
  assert_int_equal(check_run(which, dev), ROWS);
  remove_tree("run");
  expect(0, EVALUATE "evaluate.split=test evaluate.beams=3", "done, see");
  assert_int_equal(check_run(which, test), ROWS);
  assert_true(right(dev, which, ROWS, 1) < 50 &&
              right(train, which, TRAIN, 1) >
                  50); /* majorities differ: the baseline's is that of training */
  remove_tree("run");
}

/* Fewer rows than the file has are taken from all of it: the k-th from its k-th part. */
static void spread_over_the_file(void **state) {
  static const int most[] = {1, 7, 20, 59, 60, 1000};
  for (size_t i = 0; i < sizeof most / sizeof *most; i++) {
    char words[128];
    int which[ROWS], n = most[i] < ROWS ? most[i] : ROWS;
    snprintf(words, sizeof words, EVALUATE "evaluate.max_examples=%d", most[i]);
    expect(0, words, "done, see");
    assert_int_equal(check_run(which, dev), n);
    for (int k = 0; k < n; k++)
      assert_true(which[k] * n >= k * ROWS - n && which[k] * n < (k + 1) * ROWS);
    remove_tree("run");
  }
}

/* The mean part of METRIC over the lines of a task's predictions, of the model or, with
 * PROGRAM, of a simple one. */
static double mean_part(const char *label, const char *program, const char *metric) {
  char path[64], line[4096];
  double sum = 0;
  int n = 0;
  snprintf(path, sizeof path, "run/predictions.%s.jsonl", label);
  FILE *f = fopen(under(path), "r");
  assert_non_null(f);
  for (; fgets(line, sizeof line, f); n++) {
    json_t *j = json_loads(line, 0, NULL);
    const json_t *scores = program ? json_object_get(json_object_get(j, "baselines"), program)
                                   : json_object_get(j, "scores");
    const json_t *parts = json_object_get(scores, metric);
    if (json_array_size(parts) != 1) fail_msg("no part of %s in %s", metric, line);
    sum += json_number_value(json_array_get(parts, 0));
    json_decref(j);
  }
  fclose(f);
  assert_true(n > 0);
  return sum / n;
}

/* Every simple program's score is in the metrics, and its records' parts in the predictions,
 * so that a report can pair it by example. No text has a label's word in it, so `keyword`
 * answers as the majority does; naive Bayes learns the marks. */
static void simple_programs(void **state) {
  expect(0, EVALUATE, "baselines: majority");
  json_t *result = load(under("run/result.json")), *metrics = json_object_get(result, "metrics");
  const json_t *classes = json_object_get(metrics, "classes"),
               *words = json_object_get(metrics, "words");
  near("parts of the scores", mean_part("classes", NULL, "accuracy"),
       number(classes, "scores", "accuracy"));
  near("parts of majority", mean_part("classes", "majority", "accuracy"),
       number(classes, "baseline", "accuracy"));
  near("keyword", number(classes, "keyword", "accuracy"), number(classes, "baseline", "accuracy"));
  near("parts of keyword", mean_part("classes", "keyword", "accuracy"),
       number(classes, "keyword", "accuracy"));
  near("parts of naive Bayes", mean_part("classes", "naive_bayes", "accuracy"),
       number(classes, "naive_bayes", "accuracy"));
  assert_true(number(classes, "naive_bayes", "accuracy") > number(classes, "baseline", "accuracy"));
  assert_null(json_object_get(words, "keyword")); /* free text has no labels */
  assert_null(json_object_get(words, "undefined"));
  json_decref(result);
  remove_tree("run");
}

/* An answer is one token and its end: with room for one token no output ends. */
static void cut_outputs(void **state) {
  for (int64_t length = 1; length <= 2; length++) {
    char words[128];
    snprintf(words, sizeof words, EVALUATE "evaluate.max_length=%d", (int)length);
    expect(0, words, "done, see");
    json_t *result = load(under("run/result.json"));
    const json_t *task = json_object_get(json_object_get(result, "metrics"), "classes");
    assert_int_equal(json_integer_value(json_object_get(task, "outputs_cut")),
                     length == 1 ? ROWS : 0);
    const char *warning =
        strstr(said(), "classes: 60 of 60 outputs were cut off at evaluate.max_length 1");
    assert_int_equal(warning != NULL, length == 1);
    json_decref(result);
    remove_tree("run");
  }
}

/* The model writes words where numbers are wanted: all of them count as -1, so there is no
 * correlation, and the result and the log say why. */
static void undefined_scores(void **state) {
  FILE *f = fopen(under("n.tsv"), "w");
  assert_non_null(f);
  fprintf(f, "sentence1\tsentence2\tscore\n");
  for (int i = 0; i < 20; i++) fprintf(f, "the %d\tof\t%d.5\n", i, i % 5);
  assert_int_equal(fclose(f), 0);
  write_format("numbers.yaml",
               "seed: 1\ntokenizer: " TOKENIZER "\ninit: %s/model\n"
               "model: {name: t5-v1_1-nano, d_model: 8, d_kv: 8, d_ff: 4, num_layers: 1, "
               "num_heads: 1}\nevaluate: {max_length: 5, max_inputs: 7, batch_tokens: 40}\n"
               "tasks: {list: [{name: stsb, as: numbers, train: %s/n.tsv, dev: %s/n.tsv}]}\n",
               folder(), folder(), folder());
  expect(0, "evaluate @/numbers.yaml --out @/run",
         "numbers: pearson is not defined: all predictions are equal");
  json_t *result = load(under("run/result.json"));
  const json_t *task = json_object_get(json_object_get(result, "metrics"), "numbers");
  const json_t *why = json_object_get(task, "undefined");
  assert_true(json_is_null(json_object_get(json_object_get(task, "scores"), "pearson")));
  assert_string_equal(text(why, "pearson"), "all predictions are equal");
  assert_string_equal(text(why, "spearman"), "all predictions are equal");
  json_decref(result);
  remove_tree("run");
}

/* Records of a source package carry its name into the predictions, so that a report draws
 * them together; without the column each stands for itself. */
static void origins(void **state) {
  for (int named = 0; named < 2; named++) {
    char line[1024];
    int n = 0;
    FILE *f = fopen(under("s.tsv"), "w");
    assert_non_null(f);
    for (int i = 0; i < 9; i++)
      fprintf(f, named ? "the %d\tgames\tsrc%d\n" : "the %d\tgames\n", i, i / 2);
    assert_int_equal(fclose(f), 0);
    write_format("sections.yaml",
                 "seed: 1\ntokenizer: " TOKENIZER "\ninit: %s/model\n"
                 "model: {name: t5-v1_1-nano, d_model: 8, d_kv: 8, d_ff: 4, num_layers: 1, "
                 "num_heads: 1}\nevaluate: {max_length: 5, max_inputs: 7, batch_tokens: 40}\n"
                 "tasks: {list: [{name: debian_section, train: %s/s.tsv, dev: %s/s.tsv}]}\n",
                 folder(), folder(), folder());
    expect(0, "evaluate @/sections.yaml --out @/run", "done, see");
    f = fopen(under("run/predictions.debian_section.jsonl"), "r");
    assert_non_null(f);
    for (; fgets(line, sizeof line, f); n++) {
      char want[16];
      snprintf(want, sizeof want, "src%d", n / 2);
      json_t *j = json_loads(line, 0, NULL);
      if (named)
        assert_string_equal(text(j, "group"), want);
      else
        assert_int_equal(json_integer_value(json_object_get(j, "group")), n);
      json_decref(j);
    }
    fclose(f);
    assert_int_equal(n, 9);
    remove_tree("run");
  }
}

static double accuracy_of(const char *words) {
  char text[256];
  snprintf(text, sizeof text, EVALUATE "init=@/blurred %s", words);
  expect(0, text, "done, see");
  json_t *result = load(under("run/result.json"));
  double x =
      number(json_object_get(json_object_get(result, "metrics"), "classes"), "scores", "accuracy");
  json_decref(result);
  remove_tree("run");
  return x;
}

/* Whether the model's matrices really are those of the precision that is asked for. */
static void by_precision(void **state) {
  double f32 = accuracy_of("evaluate.precision=f32"), bf16 = accuracy_of("evaluate.precision=bf16");
  print_message("accuracy %g in f32, %g in bf16\n", f32, bf16);
  assert_true(accuracy_of("") == f32 && bf16 != f32);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(whole_files),      cmocka_unit_test(spread_over_the_file),
      cmocka_unit_test(simple_programs),  cmocka_unit_test(cut_outputs),
      cmocka_unit_test(undefined_scores), cmocka_unit_test(origins),
      cmocka_unit_test(by_precision)};
  return cmocka_run_group_tests(tests, make_all, drop_runs);
}

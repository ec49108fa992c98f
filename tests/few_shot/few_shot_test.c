#include "few_shot_test.h"

#include "device/random.h"
#include "nn/hf.h"
#include "nn/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char patterns[] = "fields: {a: text}\n"
                               "labels: [sports, science, business]\n"
                               "words: {sports: sports, science: [science, tech], business: news}\n"
                               "patterns:\n"
                               "  - '{mask} : {a*}'\n"
                               "  - '{a*} || it was {mask} .'\n";

static const char common[] = "seed: 3\n"
                             "init: %s/bert\n"
                             "examples: {pattern: %s/p.yaml, train: %s/train.tsv, unlabelled_file: "
                             "%s/pool.tsv, test: %s/test.tsv, labelled: 12, max_length: 40}\n";

static const char training[] = "batch: {examples: 6}\n"
                               "optimizer: {name: adamw, learning_rate: 0.01, schedule: "
                               "transformers_linear, clip_norm: 1}\n"
                               "train: {steps: 30, z_loss: 0, checkpoint_steps: 5}\n";

/** Writes the folder NAME, a model of FAMILY with random weights and the tokenizer of the tests;
 * without MASKED_LM its body alone. */
void make_model(const char *name, const char *family, bool masked_lm) {
  make_model_with(name, family, masked_lm, 400, FEW_SHOT_TOKENIZER);
}

/** The same with a table of so many WORDS and the file TOKENIZER. */
void make_model_with(const char *name, const char *family, bool masked_lm, int64_t words,
                     const char *tokenizer) {
  const cz_family *f;
  cz_device *device;
  cz_model *m;
  char to[600];
  OK(cz_family_find(&f, family));
  cz_model_config c = f->defaults;
  c.family = f;
  c.vocab_size = words, c.d_model = 16, c.d_kv = 8, c.n_heads = 2, c.d_ff = 32;
  c.n_layers = c.n_decoder_layers = 1, c.n_positions = 64,
  c.init_factor = 10 * f->defaults.init_factor;
  c.eos_id = 3;
  if (f->classes) c.heads = masked_lm ? CZ_HEAD_BIT(CZ_HEAD_MASKED_LM) : 0;
  OK(cz_device_open(&device, "cpu"));
  OK(cz_model_create(&m, &c, device));
  OK(cz_params_init(m->params, 5));
  OK(cz_hf_save(m, under(name)));
  cz_model_destroy(&m);
  cz_device_close(&device);
  snprintf(to, sizeof to, "%s/tokenizer.json", under(name));
  copy_file(to, tokenizer);
}

/** Writes LINES texts of three labels in turn, each told by one of two words; no two texts of the
 * tests are the same. */
void make_texts(const char *name, int lines, uint32_t part, bool labels) {
  static const char *const label[] = {"sports", "science", "business"},
                           *const tell[][2] = {{"man", "great"},
                                               {"question", "because"},
                                               {"restaurant", "wrong"}},
                           *const words[] = {"the", "of", "and", "was", "is", "they", "it", "who"};
  FILE *f = fopen(under(name), "w");
  cz_stream s;
  assert_non_null(f);
  cz_stream_init(&s, 7, "texts of the test", part, 0);
  fprintf(f, labels ? "text\tlabel\n" : "text\n");
  for (int i = 0; i < lines; i++) {
    const int k = i % 3;
    fprintf(f, "%u%d %s", part, i, tell[k][cz_stream_below(&s, 2)]);
    for (int64_t n = (int64_t)cz_stream_below(&s, 8); n >= 0; n--)
      fprintf(f, " %s", words[cz_stream_below(&s, 8)]);
    if (labels) fprintf(f, "\t%s", label[k]);
    fprintf(f, "\n");
  }
  assert_int_equal(fclose(f), 0);
}

static void write_stages(void) {
  const char *d = folder();
  char all[2048];
  snprintf(all, sizeof all, common, d, d, d, d, d);
  write_format("zero.yaml", "%sclassify: {strategy: tuning_free}\n", all);
  write_format("pet.yaml", "%sclassify: {strategy: pet, repetitions: 2}\n%s", all, training);
  write_format("ft.yaml", "%sclassify: {strategy: finetune, repetitions: 2}\n%s", all, training);
  write_format("ipet.yaml", "%sclassify: {from: %s/pet, repetitions: 2, scale: 2}\n%s", all, d,
               training);
  write_format("st.yaml", "%sdistill: {from: %s/pet, repetitions: 2}\n%s", all, d, training);
}

/** Makes the folder, with the model `bert`, p.yaml, train.tsv, pool.tsv, test.tsv, and the
 * configurations zero.yaml, pet.yaml, ft.yaml, and ipet.yaml and st.yaml, which read the run `pet`.
 */
int make_few_shot(void **state) {
  test_seed();
  if (make_folder(state)) return -1;
  make_model("bert", "bert", true);
  write_text("p.yaml", patterns);
  make_texts("train.tsv", TRAIN_TEXTS, 1, true);
  make_texts("pool.tsv", POOL_TEXTS, 2, false);
  make_texts("test.tsv", TEST_TEXTS, 3, true);
  write_stages();
  return 0;
}

/** Removes the folder RUN where it is there. */
void forget(const char *run) {
  if (cz_fs_exists(under(run))) assert_int_equal(remove_tree(run), 0);
}

/* The `metrics` of result.json of RUN; the caller gives them back. */
json_t *run_metrics(const char *run) {
  char name[200];
  json_error_t why;
  snprintf(name, sizeof name, "%s/result.json", run);
  json_t *result = json_load_file(under(name), 0, &why);
  if (!result) fail_msg("%s: %s", name, why.text);
  json_t *m = json_incref(json_object_get(result, "metrics"));
  json_decref(result);
  assert_non_null(m);
  return m;
}

/* Number I of the list NAME of WANT. */
static double wanted(const json_t *want, const char *name, size_t i) {
  const json_t *x = json_array_get(json_object_get(want, name), i);
  if (!json_is_number(x)) fail_msg("%s[%zu] is no number", name, i);
  return json_number_value(x);
}

/** The losses and gradient norms of all updates that FOLDER, a member's, notes are those that
 * another program computed in float64: the lists `losses` and `norms` of WANT, within 1e-9. */
void same_updates(const char *folder, const json_t *want) {
  static const char *const keys[] = {"loss", "gradient_norm"}, *const lists[] = {"losses", "norms"};
  char name[300];
  json_error_t why;
  size_t n = 0;
  snprintf(name, sizeof name, "%s/metrics.jsonl", folder);
  char *text = read_text(under(name), NULL), *save;
  for (char *at = strtok_r(text, "\n", &save); at; at = strtok_r(NULL, "\n", &save), n++) {
    json_t *line = json_loads(at, 0, &why);
    if (!line) fail_msg("%s: %s", name, why.text);
    for (int k = 0; k < 2; k++) {
      const json_t *got = json_object_get(line, keys[k]);
      const double want_one = wanted(want, lists[k], n);
      if (!json_is_number(got) || !(fabs(json_number_value(got) - want_one) <= 1e-9))
        fail_msg("%s, %s of update %zu: %.17g, expected %.17g", folder, keys[k], n,
                 json_number_value(got), want_one);
    }
    json_decref(line);
  }
  assert_int_equal(n, json_array_size(json_object_get(want, "losses")));
  free(text);
}

/* `cloze pretrain`, `generate` and `graph`: a model of seventy thousand parameters is
 * made, made again, and writes. */
#include "program.h"

#include <hdf5.h>
#include <math.h>
#include <stdlib.h>

static const char recipe[] = "seed: 5\n"
                             "tokenizer: " SAMPLE "/tokenizer.json\n"
                             "corpus: corpus.h5\n"
                             "model: {name: t5-nano, d_model: 16, d_ff: 32, d_kv: 8, num_heads: 2, "
                             "num_layers: 1, dropout: 0.1}\n"
                             "objective: {name: random_spans, inputs_length: 64}\n"
                             "batch: {input_tokens: 256, target_tokens: 128}\n"
                             "optimizer: {name: adafactor, learning_rate: 0.01}\n"
                             "train: {steps: 3, log_steps: 1}\n";

static void make_model(const char *folder) {
  if (!cz_fs_exists(under("corpus.h5"))) {
    write_text("recipe.yaml", recipe);
    EXPECT(0, cloze("corpus", "--tokenizer", SAMPLE "/tokenizer.json", "--out", "corpus.h5",
                    SAMPLE "/pretrain.txt"));
  }
  EXPECT(0, cloze("pretrain", "recipe.yaml", "--out", folder));
}

static void read_whole(cz_buf *b, const char *name) {
  b->len = 0;
  if (cz_fs_read(under(name), b) != CZ_OK) fail_msg("%s", cz_error_message());
}

/* Two runs of one recipe give the same weights, byte for byte; a finished one is left
 * alone; another recipe is refused its folder. */
static void test_pretrain(void **state) {
  cz_buf a = {0}, b = {0};
  make_model("a");
  make_model("b");
  read_whole(&a, "a/model/model.safetensors");
  read_whole(&b, "b/model/model.safetensors");
  assert_int_equal(a.len, b.len);
  assert_memory_equal(a.data, b.data, a.len);
  EXPECT(0, cloze("pretrain", "recipe.yaml", "--out", "a"));
  outcome o = cloze("pretrain", "recipe.yaml", "--out", "a", "train.steps=4");
  assert_int_not_equal(o.code, 0);
  read_whole(&b, "a/model/model.safetensors");
  assert_memory_equal(a.data, b.data, a.len);
  cz_buf_free(&a);
  cz_buf_free(&b);
  REFUSED(2, "did you mean 'steps'",
          cloze("pretrain", "recipe.yaml", "--out", "c", "train.step=4"));
  REFUSED(2, "--out DIR is missing", cloze("pretrain", "recipe.yaml"));
}

/* One line of output for each line of input, in order; --json says what was read and how
 * it scored. */
static void test_generate(void **state) {
  make_model("m");
  outcome o = cloze_with("A small editor.\n\nA game for one player.\n", "generate", "m/model",
                         "--max-length", "5", "--json");
  EXPECT(0, o);
  const char *text = o.out;
  static const char *const inputs[] = {"A small editor.", "", "A game for one player."};
  for (int i = 0; i < 3; i++) {
    json_t *j = json_line(&text);
    assert_non_null(j);
    assert_string_equal(json_string_value(json_object_get(j, "input")), inputs[i]);
    assert_true(json_is_string(json_object_get(j, "output")));
    assert_true(json_array_size(json_object_get(j, "ids")) <= 5);
    assert_true(json_real_value(json_object_get(j, "score")) <= 0);
    json_decref(j);
  }
  assert_null(json_line(&text));
  o = cloze_with("A small editor.\nA game.\n", "generate", "m/model", "--beams", "3",
                 "--max-length", "5");
  EXPECT(0, o);
  o = cloze_with("A small editor.\rA game.\r\r\n", "generate", "m/model", "--max-length", "1",
                 "--json");
  EXPECT(0, o);
  const char *two = o.out;
  int n = 0, cut = 0;
  for (json_t *j; (j = json_line(&two)); n++) {
    cut += json_array_size(json_object_get(j, "ids")) == 1;
    json_decref(j);
  }
  char said[100];
  snprintf(said, sizeof said, "%d of 2 outputs were cut off after --max-length 1", cut);
  assert_int_equal(n, 2);
  assert_true(!!strstr(o.err, said) == (cut > 0));
  REFUSED(2, "do not belong together",
          cloze_with("A\n", "generate", FIXTURES "/t5/v1_0", "--tokenizer", T5_JSON));
}

static double held_out(const char *folder, const char *name) {
  char path[256];
  snprintf(path, sizeof path, "%s/result.json", folder);
  json_t *result = json_load_file(under(path), 0, NULL);
  const json_t *value = json_object_get(json_object_get(result, "metrics"), name);
  if (!json_is_number(value)) fail_msg("%s has no %s", path, name);
  double x = json_number_value(value);
  json_decref(result);
  return x;
}

/* Writes the text's ids as a batch of `cloze trace` whose every token is predicted from
 * those before it, and says how many. */
static size_t write_batch(const char *name, const char *text) {
  outcome o = cloze_with(text, "tokenize", SAMPLE "/tokenizer.json", "--json");
  const char *line = o.out;
  EXPECT(0, o);
  json_t *j = json_line(&line), *ids = json_object_get(j, "ids"), *inputs = json_deep_copy(ids),
         *labels = json_deep_copy(ids);
  size_t n = json_array_size(ids);
  json_array_insert_new(inputs, 0, json_integer(0)); /* the decoder begins with padding */
  json_array_insert_new(labels, 0, json_integer(-100));
  json_t *batch = json_pack("{s:o, s:o}", "input_ids", inputs, "labels", labels);
  char *written = json_dumps(batch, JSON_COMPACT);
  write_text(name, written);
  free(written);
  json_decref(batch);
  json_decref(j);
  return n;
}

/* The loss on held-out text is that of `cloze trace` on the same tokens, whatever
 * training adds to its own loss; it covers the whole corpus, and no more batches than
 * asked for. */
static void test_held_out(void **state) {
  static const char sentence[] = "A small editor of texts for the terminal.\n";
  double loss = NAN;
  write_text("held.txt", sentence);
  write_text("recipe.yaml", recipe);
  EXPECT(0, cloze("corpus", "--tokenizer", SAMPLE "/tokenizer.json", "--out", "corpus.h5",
                  SAMPLE "/pretrain.txt"));
  EXPECT(0,
         cloze("corpus", "--tokenizer", SAMPLE "/tokenizer.json", "--out", "held.h5", "held.txt"));
  EXPECT(0, cloze("pretrain", "recipe.yaml", "--out", "h", "model.name=lm-nano",
                  "objective={name: lm, inputs_length: 64}", "train.z_loss=0.5",
                  "train.label_smoothing=0.3", "held_out={corpus: held.h5}"));
  size_t n = write_batch("held.jsonl", sentence);
  EXPECT(0,
         cloze("trace", "h/model", "--batch", "held.jsonl", "--out", "held_trace.h5", "--no-grad"));
  hid_t file = H5Fopen(under("held_trace.h5"), H5F_ACC_RDONLY, H5P_DEFAULT),
        set = H5Dopen2(file, "loss", H5P_DEFAULT);
  assert_true(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, &loss) >= 0);
  H5Dclose(set);
  H5Fclose(file);
  assert_int_equal(held_out("h", "held_out_tokens"), n);
  assert_true(fabs(held_out("h", "held_out_loss") - loss) < 1e-5 * loss);
  assert_true(held_out("h", "held_out_perplexity") == exp(held_out("h", "held_out_loss")));
  EXPECT(0, cloze("pretrain", "recipe.yaml", "--out", "h1",
                  "held_out={corpus: corpus.h5, batches: 1}"));
  EXPECT(0, cloze("pretrain", "recipe.yaml", "--out", "h9",
                  "held_out={corpus: corpus.h5, batches: 9}"));
  double few = held_out("h1", "held_out_tokens"), more = held_out("h9", "held_out_tokens");
  if (!(few <= 128 && few > 40 && more > 8 * few && more < 10 * few))
    fail_msg("%g and %g tokens in 1 and 9 batches", few, more);
  EXPECT(0, cloze("pretrain", "recipe.yaml", "--out", "hs",
                  "held_out={corpus: corpus.h5, batches: 9}", "seed=6", "train.steps=1"));
  assert_true(held_out("hs", "held_out_tokens") ==
              more); /* another seed, the same text under the same noise */
  REFUSED(2, "held_out.corpus: there is no file nope.h5",
          cloze("pretrain", "recipe.yaml", "--out", "none", "held_out={corpus: nope.h5}"));
  REFUSED(
      2, "unknown key 'batchs'; did you mean 'batches'?",
      cloze("pretrain", "recipe.yaml", "--out", "none", "held_out={corpus: held.h5, batchs: 2}"));
}

/* Only targets are scored, also where a single stack was trained on its inputs: with a
 * rate of zero both runs score one model. */
static void test_held_out_prefix(void **state) {
  static const char *const words[] = {"train.loss_on_inputs=true", "train.loss_on_inputs=false"},
                           *const folders[] = {"p1", "p0"};
  write_text("recipe.yaml", recipe);
  EXPECT(0, cloze("corpus", "--tokenizer", SAMPLE "/tokenizer.json", "--out", "corpus.h5",
                  SAMPLE "/pretrain.txt"));
  for (int i = 0; i < 2; i++)
    EXPECT(0, cloze("pretrain", "recipe.yaml", "--out", folders[i], "model.name=prefix-lm-nano",
                    "objective={name: prefix_lm, inputs_length: 64}", "optimizer.learning_rate=0",
                    "held_out={corpus: corpus.h5, batches: 2}", words[i]));
  assert_true(held_out("p1", "last_loss") !=
              held_out("p0", "last_loss")); /* of the inputs too, and of targets alone */
  assert_true(held_out("p0", "held_out_tokens") > 0);
  assert_true(held_out("p1", "held_out_tokens") == held_out("p0", "held_out_tokens"));
  assert_true(held_out("p1", "held_out_loss") == held_out("p0", "held_out_loss"));
}

static void test_graph(void **state) {
  write_text("graph.yaml", recipe);
  outcome o = cloze("graph", "graph.yaml");
  EXPECT(0, o);
  assert_non_null(strstr(o.out, "encoder.block.0.self.attention"));
  assert_non_null(strstr(o.out, "backward"));
  o = cloze("graph", "graph.yaml", "--score");
  EXPECT(0, o);
  assert_null(strstr(o.out, "backward"));
  o = cloze("graph", "graph.yaml", "--json");
  EXPECT(0, o);
  json_t *j = json_loads(o.out, 0, NULL);
  assert_non_null(j);
  json_decref(j);
}

int run_model_tests(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pretrain), cmocka_unit_test(test_generate),
      cmocka_unit_test(test_held_out), cmocka_unit_test(test_held_out_prefix),
      cmocka_unit_test(test_graph)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}

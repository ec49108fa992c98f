/* `cloze pretrain`, `generate` and `graph`: a model of seventy thousand parameters is made, made again, and writes. */
#include "program.h"

static const char recipe[] = "seed: 5\n"
                             "tokenizer: " SAMPLE "/tokenizer.json\n"
                             "corpus: corpus.h5\n"
                             "model: {name: t5-nano, d_model: 16, d_ff: 32, d_kv: 8, num_heads: 2, num_layers: 1, dropout: 0.1}\n"
                             "objective: {name: random_spans, inputs_length: 64}\n"
                             "batch: {input_tokens: 256, target_tokens: 128}\n"
                             "optimizer: {name: adafactor, learning_rate: 0.01}\n"
                             "train: {steps: 3, log_steps: 1}\n";

static void make_model(const char *folder) {
  if (!cz_fs_exists(in_scratch("corpus.h5"))) {
    write_scratch("recipe.yaml", recipe);
    EXPECT(0, cloze("corpus", "--tokenizer", SAMPLE "/tokenizer.json", "--out", "corpus.h5", SAMPLE "/pretrain.txt"));
  }
  EXPECT(0, cloze("pretrain", "recipe.yaml", "--out", folder));
}

static void read_scratch(cz_buf *b, const char *name) {
  b->len = 0;
  if (cz_fs_read(in_scratch(name), b) != CZ_OK) fail_msg("%s", cz_error_message());
}

/* Two runs of one recipe give the same weights, byte for byte; a finished one is left alone; another recipe is refused its folder. */
static void test_pretrain(void **state) {
  cz_buf a = {0}, b = {0};
  make_model("a");
  make_model("b");
  read_scratch(&a, "a/model/model.safetensors");
  read_scratch(&b, "b/model/model.safetensors");
  assert_int_equal(a.len, b.len);
  assert_memory_equal(a.data, b.data, a.len);
  EXPECT(0, cloze("pretrain", "recipe.yaml", "--out", "a"));
  outcome o = cloze("pretrain", "recipe.yaml", "--out", "a", "train.steps=4");
  assert_int_not_equal(o.code, 0);
  read_scratch(&b, "a/model/model.safetensors");
  assert_memory_equal(a.data, b.data, a.len);
  cz_buf_free(&a);
  cz_buf_free(&b);
  REFUSED(2, "did you mean 'steps'", cloze("pretrain", "recipe.yaml", "--out", "c", "train.step=4"));
  REFUSED(2, "--out DIR is missing", cloze("pretrain", "recipe.yaml"));
}

/* One line of output for each line of input, in order; --json says what was read and how it scored. */
static void test_generate(void **state) {
  make_model("m");
  outcome o = cloze_with("A small editor.\n\nA game for one player.\n", "generate", "m/model", "--max-length", "5", "--json");
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
  o = cloze_with("A small editor.\nA game.\n", "generate", "m/model", "--beams", "3", "--max-length", "5");
  EXPECT(0, o);
  REFUSED(2, "do not belong together", cloze_with("A\n", "generate", FIXTURES "/t5/v1_0", "--tokenizer", T5_JSON));
}

static void test_graph(void **state) {
  write_scratch("graph.yaml", recipe);
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
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_pretrain), cmocka_unit_test(test_generate), cmocka_unit_test(test_graph)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}

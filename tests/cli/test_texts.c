/* `cloze tokenize`, `cloze objective` and `cloze corpus`: what they promise to people and
 * programs that read their output. */
#include "program.h"

/* N documents of LENGTH ids from 3 to 62, always the same ones. */
static void write_documents(const char *name, int n, int length) {
  FILE *f = fopen(under(name), "w");
  assert_non_null(f);
  uint32_t x = 12345;
  for (int i = 0; i < n; i++) {
    fputs("[", f);
    for (int k = 0; k < length; k++)
      fprintf(f, "%s%u", k ? ", " : "", 3 + (x = x * 1664525u + 1013904223u) % 60);
    fputs("]\n", f);
  }
  assert_int_equal(fclose(f), 0);
}

static void test_tokenize(void **state) {
  outcome o = cloze_with("the man\n\n  the \xc3\xbc\n", "tokenize", T5_JSON, "--json");
  EXPECT(0, o);
  static char encoded[4096];
  snprintf(encoded, sizeof encoded, "%s", o.out);
  const char *text = encoded;
  int lines = 0;
  for (json_t *j; (j = json_line(&text)); lines++) {
    const json_t *ids = json_object_get(j, "ids"), *offsets = json_object_get(j, "offsets");
    assert_int_equal(json_array_size(ids), json_array_size(offsets));
    assert_int_equal(json_integer_value(json_array_get(ids, json_array_size(ids) - 1)),
                     1); /* </s> */
    for (size_t i = 0; i < json_array_size(offsets); i++)
      assert_int_equal(json_array_size(json_array_get(offsets, i)), 2);
    json_decref(j);
  }
  assert_int_equal(lines, 3);
  o = cloze_with(encoded, "tokenize", T5_JSON, "--decode", "--skip-special");
  EXPECT(0, o);
  assert_memory_equal(o.out, "the man\n\nthe ", 13);
  REFUSED(1, "", cloze_with("[99999]\n", "tokenize", T5_JSON, "--decode"));
  REFUSED(1, "", cloze_with("[1, \n", "tokenize", T5_JSON, "--decode"));
}

static size_t size_of(const json_t *object, const char *key) {
  const json_t *list = json_object_get(object, key);
  assert_true(json_is_array(list));
  return json_array_size(list);
}

/* Three spans of noise in sixteen tokens and so on are tested with the objectives; here:
 * one line a document, the keys, the sums, the seed. */
static void test_objective_json(void **state) {
  static char first[1 << 16];
  write_documents("documents.jsonl", 5, 100);
  outcome o = cloze("objective", "random_spans", "noise_density=0.2", "--tokenizer", T5_JSON,
                    "--ids", "documents.jsonl", "--seed", "3", "--json");
  EXPECT(0, o);
  snprintf(first, sizeof first, "%s", o.out);
  const char *text = first;
  int lines = 0;
  for (json_t *j; (j = json_line(&text)); lines++) {
    size_t inputs = size_of(j, "inputs"), targets = size_of(j, "targets");
    assert_int_equal(json_object_size(j), 2);
    /* 20 of 100 are noise in round(20 / 3) = 7 spans; each side has its 7 sentinels and
     * EOS, and the document's EOS is noise or not. */
    assert_in_range(inputs + targets, 100 + 2 * 7 + 2, 100 + 2 * 7 + 3);
    json_decref(j);
  }
  assert_int_equal(lines, 5);
  o = cloze("objective", "random_spans", "noise_density=0.2", "--tokenizer", T5_JSON, "--ids",
            "documents.jsonl", "--seed", "3", "--json");
  assert_string_equal(o.out, first);
  o = cloze("objective", "random_spans", "noise_density=0.2", "--tokenizer", T5_JSON, "--ids",
            "documents.jsonl", "--seed", "4", "--json");
  assert_string_not_equal(o.out, first);
}

static void test_every_objective(void **state) {
  static const char *const names[] = {"prefix_lm",       "lm",          "bert_style",
                                      "deshuffling",     "mass",        "iid_replace_spans",
                                      "iid_drop_tokens", "random_spans"};
  write_documents("documents.jsonl", 2, 40);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    outcome o =
        cloze("objective", names[i], "--tokenizer", T5_JSON, "--ids", "documents.jsonl", "--json");
    EXPECT(0, o);
    const char *text = o.out;
    for (int line = 0; line < 2; line++) {
      json_t *j = json_line(&text);
      assert_non_null(j);
      assert_true(size_of(j, "targets") > 0);
      assert_int_equal(size_of(j, "inputs") > 0, strcmp(names[i], "lm") != 0);
      json_decref(j);
    }
    EXPECT(0, cloze("objective", names[i], "--tokenizer", T5_JSON, "--ids", "documents.jsonl"));
    EXPECT(0, cloze("objective", names[i], "--keys"));
  }
  REFUSED(2, "did you mean 'noise_density'",
          cloze("objective", "random_spans", "noise_densty=0.2", "--tokenizer", T5_JSON, "--ids",
                "documents.jsonl"));
  REFUSED(2, "noise_density",
          cloze("objective", "random_spans", "noise_density=1.5", "--tokenizer", T5_JSON, "--ids",
                "documents.jsonl"));
  REFUSED(2, "give either", cloze("objective", "random_spans", "--tokenizer", T5_JSON));
}

static void test_corpus(void **state) {
  outcome o = cloze("corpus", "--tokenizer", T5_JSON, "--documents", "line", "--out", "lines.h5",
                    "--json", SAMPLE "/section.dev.tsv");
  EXPECT(0, o);
  const char *text = o.out;
  json_t *j = json_line(&text);
  assert_int_equal(json_integer_value(json_object_get(j, "documents")),
                   205); /* as the sample's MANIFEST.json says */
  json_decref(j);
  assert_true(cz_fs_exists(under("lines.h5")));
  REFUSED(2, "--tokenizer and --out", cloze("corpus", SAMPLE "/section.dev.tsv"));
}

int run_text_tests(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tokenize), cmocka_unit_test(test_objective_json),
      cmocka_unit_test(test_every_objective), cmocka_unit_test(test_corpus)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}

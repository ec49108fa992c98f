/* `cloze import`, `export` and `inspect`: directories in and out, whole or not at all, and what
 * they hold. */
#include "program.h"
#include "checkpoint/safetensors.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static cz_safetensors *open_weights(const char *name) {
  cz_safetensors *s;
  OK(cz_safetensors_open_model(&s, under(name)));
  return s;
}

/* The tensors of A and B have the same names, and numbers that differ by RELATIVE at most. */
static void same_weights(const char *a, const char *b, double relative) {
  cz_safetensors *x = open_weights(a), *y = open_weights(b);
  assert_true(cz_safetensors_count(x) > 0);
  assert_int_equal(cz_safetensors_count(x), cz_safetensors_count(y));
  for (size_t i = 0; i < cz_safetensors_count(x); i++) {
    const cz_safetensors_info *t = cz_safetensors_at(x, i);
    double *p = calloc(t->elements + 1, sizeof *p), *q = calloc(t->elements + 1, sizeof *q);
    OK(cz_safetensors_read_f64(x, p, t->name, t->dims, t->rank));
    OK(cz_safetensors_read_f64(y, q, t->name, t->dims, t->rank));
    for (uint64_t k = 0; k < t->elements; k++)
      if (!(fabs(p[k] - q[k]) <= relative * fabs(p[k])))
        fail_msg("%s[%llu]: %.17g in %s, %.17g in %s", t->name, (unsigned long long)k, p[k], a,
                 q[k], b);
    free(p);
    free(q);
  }
  cz_safetensors_close(&x);
  cz_safetensors_close(&y);
}

static void copy_file(const char *from, const char *to) {
  cz_buf bytes = {0};
  OK(cz_fs_read(from, &bytes));
  write_bytes(to, bytes.data, bytes.len);
  cz_buf_free(&bytes);
}

/* A model's folder NAME with a tokenizer. */
static void make_source(const char *name) {
  static const char *const files[] = {"config.json", "model.safetensors", "generation_config.json"};
  char from[512], to[512];
  for (int i = 0; i < 3; i++) {
    snprintf(from, sizeof from, FIXTURES "/t5/v1_0/%s", files[i]);
    snprintf(to, sizeof to, "%s/%s", name, files[i]);
    copy_file(from, to);
  }
}

static json_t *config_of(const char *name) {
  char path[512];
  snprintf(path, sizeof path, "%s/config.json", name);
  json_t *root = json_load_file(under(path), 0, NULL);
  assert_non_null(root);
  return root;
}

/* Nothing of NAME is there, nor what is written beside it. */
static void nothing_left(const char *name) {
  char beside[64];
  snprintf(beside, sizeof beside, ".%s.cloze-new", name);
  assert_false(cz_fs_exists(under(name)));
  assert_false(cz_fs_exists(under(beside)));
}

static void test_import(void **state) {
  make_source("src");
  outcome o = cloze("import", "src", "--out", "in");
  EXPECT(0, o);
  if (!strstr(o.err, "no tokenizer beside the weights")) fail_msg("%s", o.err);
  same_weights("src", "in", 0);
  json_t *config = config_of("in");
  assert_string_equal(json_string_value(json_object_get(config, "model_type")), "t5");
  json_decref(config);
  REFUSED(2, "in: this folder is not empty, and nothing in it is written over",
          cloze("import", "src", "--out", "in"));
  REFUSED(2, "src: this folder is not empty", cloze("import", "src", "--out", "src"));
  EXPECT(0, cloze("import", "in", "--out", "again/and/again/")); /* folders above are made */
  same_weights("src", "again/and/again", 0);
  assert_int_equal(mkdir(under("empty"), 0755), 0);
  EXPECT(0, cloze("import", "in", "--out", "empty"));
  same_weights("src", "empty", 0);
}

/* `inspect` says of FOLDER's tokenizer that it is WordPiece, of which file, with seven ids and the
 * mask at 4. */
static void expect_tokenizer(const char *folder, const char *file) {
  const char *name, *kind;
  int ids, mask;
  outcome o = cloze("inspect", folder, "--json");
  EXPECT(0, o);
  json_t *found = json_loads(o.out, 0, NULL);
  assert_int_equal(json_unpack(found, "{s:{s:s, s:s, s:i, s:{s:{s:i}}}}", "tokenizer", "file",
                               &name, "kind", &kind, "ids", &ids, "special", "mask", "id", &mask),
                   0);
  assert_string_equal(name, file);
  assert_string_equal(kind, "WordPiece");
  assert_int_equal(ids, 7);
  assert_int_equal(mask, 4);
  json_decref(found);
}

/* The tokenizer comes along, and is one that the model's embedding has rows for. */
static void test_import_tokenizer(void **state) {
  make_source("with");
  write_text("with/tokenizer.json", "{\"version\": \"1.0\", \"added_tokens\": [], \"model\": "
                                    "{\"type\": \"WordLevel\", \"unk_token\": \"x\", "
                                    "\"vocab\": {\"x\": 0, \"y\": 1}}}");
  EXPECT(0, cloze("import", "with", "--out", "out"));
  assert_true(cz_fs_exists(under("out/tokenizer.json")));
  assert_true(cz_fs_exists(under("out/tokenizer_config.json")));
  assert_int_equal(unlink(under("with/tokenizer.json")), 0); /* made of an older form */
  write_text("with/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\n##s\n");
  REFUSED(1, "to make one for t5 there must be spiece.model",
          cloze("import", "with", "--out", "made"));
  nothing_left("made");
  write_text("with/tokenizer_config.json", "{\"tokenizer_class\": \"BertTokenizer\"}");
  EXPECT(0, cloze("import", "with", "--out", "made"));
  assert_true(cz_fs_exists(under("made/vocab.txt")));
  EXPECT(0, cloze_with("hellos\n", "tokenize", "made", "--json"));
  expect_tokenizer("with", "vocab.txt");
  expect_tokenizer("made", "tokenizer.json");
  write_text("with/vocab.txt", "[PAD]\nhello\nhello\n");
  REFUSED(1, "with/vocab.txt:", cloze("import", "with", "--out", "twice"));
  nothing_left("twice");
  copy_file(T5_JSON, "with/tokenizer.json");
  REFUSED(1, "ids, but the model's embedding has only 64 rows",
          cloze("import", "with", "--out", "large"));
  nothing_left("large");
  write_text("with/tokenizer.json", "{\"model\": {\"type\": \"none\"}}");
  REFUSED(1, "cloze: with/tokenizer.json: ", cloze("import", "with", "--out", "broken"));
  nothing_left("broken");
}

static void test_export(void **state) {
  static const struct {
    const char *name, *dtype;
    cz_safetensors_type type;
    double relative; /* half a unit in the last place */
  } rows[] = {{"f32", "float32", CZ_SAFETENSORS_F32, 0x1p-24},
              {"f16", "float16", CZ_SAFETENSORS_F16, 0x1p-11},
              {"bf16", "bfloat16", CZ_SAFETENSORS_BF16, 0x1p-8}};
  make_source("stage/model");
  write_text("stage/model/cloze_task.json", "{}");
  write_text("stage/model/pytorch_model.bin", "PK");
  for (int i = 0; i < 3; i++) {
    EXPECT(0, cloze("export", "stage", "--out", rows[i].name, "--dtype", rows[i].name));
    same_weights("stage/model", rows[i].name, rows[i].relative);
    cz_safetensors *s = open_weights(rows[i].name);
    for (size_t k = 0; k < cz_safetensors_count(s); k++)
      assert_int_equal(cz_safetensors_at(s, k)->type, rows[i].type);
    cz_safetensors_close(&s);
    json_t *config = config_of(rows[i].name);
    assert_string_equal(json_string_value(json_object_get(config, "dtype")), rows[i].dtype);
    json_decref(config);
    char path[64];
    snprintf(path, sizeof path, "%s/cloze_task.json", rows[i].name);
    assert_true(cz_fs_exists(under(path)));
    snprintf(path, sizeof path, "%s/pytorch_model.bin", rows[i].name);
    assert_false(cz_fs_exists(under(path)));
  }
  REFUSED(2, "--dtype f64: there are f32, f16 and bf16",
          cloze("export", "stage", "--out", "f64", "--dtype", "f64"));
}

/* Which model is meant: the folder's own, a stage's, the only one of a run. */
static void test_export_which(void **state) {
  make_source("run/stages/pretrain-1/model");
  EXPECT(0, cloze("export", "run", "--out", "one"));
  EXPECT(0, cloze("export", "run/stages/pretrain-1", "--out", "two"));
  EXPECT(0, cloze("export", "run/stages/pretrain-1/model", "--out", "three"));
  same_weights("one", "two", 0);
  same_weights("one", "three", 0);
  make_source("run/stages/tune-2/model");
  REFUSED(2,
          "run: 2 stages of this run left a model; name one:\n  run/stages/pretrain-1\n  "
          "run/stages/tune-2",
          cloze("export", "run", "--out", "four"));
  nothing_left("four");
  REFUSED(2, "nowhere: no such folder", cloze("export", "nowhere", "--out", "four"));
  REFUSED(2, "run/stages: no model here", cloze("export", "run/stages", "--out", "four"));
  REFUSED(2, "export: --out DIR is missing", cloze("export", "run"));
}

/* What can't be written leaves nothing behind. */
static void test_export_refused(void **state) {
  double x[4] = {1, 2, 70000, 4};
  const int64_t dims[2] = {2, 2};
  cz_safetensors_item item = {"w", CZ_SAFETENSORS_F32, CZ_SAFETENSORS_F64, 2, dims, x};
  make_source("large_number");
  OK(cz_safetensors_write(under("large_number/model.safetensors"), &item, 1));
  REFUSED(1, "70000, element 2 of tensor 'w' ([2, 2]), is too large for the type asked for",
          cloze("export", "large_number", "--out", "x", "--dtype", "f16"));
  nothing_left("x");
  make_source("pickle");
  assert_int_equal(unlink(under("pickle/model.safetensors")), 0);
  write_text("pickle/pytorch_model.bin", "PK");
  REFUSED(1, "scripts/convert_pickle.py", cloze("export", "pickle", "--out", "x"));
  REFUSED(1, "scripts/convert_pickle.py", cloze("import", "pickle", "--out", "x"));
  nothing_left("x");
  write_text("x", "a file");
  REFUSED(2, "x: there is a file of this name", cloze("export", "large_number", "--out", "x"));
  assert_int_equal(unlink(under("x")), 0);
}

/* A killed process leaves the folder beside; the next one takes it over, unless its owner is
 * still at work. */
static void test_killed_and_busy(void **state) {
  make_source("good");
  write_text(".late.cloze-new/model.safetensors", "half of it");
  write_text(".late.cloze-new/left.txt", "of the killed one");
  int fd = open(under(".late.cloze-new"), O_RDONLY | O_DIRECTORY);
  assert_true(fd >= 0);
  assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
  REFUSED(1, "late: another process is writing this folder",
          cloze("import", "good", "--out", "late"));
  assert_true(cz_fs_exists(under(".late.cloze-new/left.txt")));
  close(fd);
  EXPECT(0, cloze("import", "good", "--out", "late"));
  same_weights("good", "late", 0);
  assert_false(cz_fs_exists(under("late/left.txt")));
  assert_false(cz_fs_exists(under(".late.cloze-new")));
}

static const char *const families[] = {
    "bert_mlm",         "bert_nsp",   "bert_class",     "roberta_mlm", "roberta_class",
    "xlmr_mlm",         "xlmr_class", "distilbert_mlm", "gpt2_lm",     "distilbert_class",
    "gpt2_lm_by_layer", "gpt2_class", "albert_mlm",     "albert_class"};

/* Tensors of every family keep their names and numbers. */
static void test_import_families(void **state) {
  for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
    char from[512], to[64];
    snprintf(from, sizeof from, FIXTURES "/families/%s", families[i]);
    snprintf(to, sizeof to, "families/%s", families[i]);
    EXPECT(0, cloze("import", from, "--out", to));
    same_weights(from, to, 0);
    EXPECT(0, cloze("import", to, "--out", "twice"));
    same_weights(from, "twice", 0);
    assert_int_equal(remove_tree("twice"), 0);
  }
}

/* What other programs write of one model is imported as the same bytes. */
static void test_import_variants(void **state) {
  static const struct {
    const char *name, *like;
  } variants[] = {{"old_names", "bert_mlm"},   {"module", "bert_mlm"},
                  {"module_bare", "bert_mlm"}, {"position_ids", "bert_mlm"},
                  {"sharded", "bert_mlm"},     {"float16", "bert_mlm"},
                  {"bfloat16", "bert_mlm"},    {"gpt2_published", "gpt2_lm"}};
  for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
    char from[512], to[64], plain[512], path[128];
    cz_buf a = {0}, b = {0};
    snprintf(from, sizeof from, FIXTURES "/families/variants/%s", variants[i].name);
    snprintf(plain, sizeof plain, FIXTURES "/families/%s", variants[i].like);
    snprintf(to, sizeof to, "variants/%s", variants[i].name);
    EXPECT(0, cloze("import", from, "--out", to));
    EXPECT(0, cloze("import", plain, "--out", "plain"));
    snprintf(path, sizeof path, "%s/model.safetensors", to);
    OK(cz_fs_read(under(path), &a));
    OK(cz_fs_read(under("plain/model.safetensors"), &b));
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    cz_buf_free(&a);
    cz_buf_free(&b);
    assert_int_equal(remove_tree("plain"), 0);
  }
  EXPECT(0, cloze("import", FIXTURES "/families/variants/float64", "--out", "wide"));
  cz_safetensors *s = open_weights("wide"); /* stays float64 */
  assert_int_equal(cz_safetensors_at(s, 0)->type, CZ_SAFETENSORS_F64);
  cz_safetensors_close(&s);
  outcome o = cloze("import", FIXTURES "/families/variants/headless", "--out", "headless");
  EXPECT(0, o); /* what is left out is said */
  if (!strstr(o.out, "not written, since nothing reads them: pooler.dense.bias pooler.dense.weig"))
    fail_msg("%s", o.out);
}

static json_t *inspected(const char *folder) {
  outcome o = cloze("inspect", folder, "--json");
  EXPECT(0, o);
  json_t *found = json_loads(o.out, 0, NULL);
  assert_non_null(found);
  EXPECT(0, cloze("inspect", folder));
  return found;
}

/* Parameters are those that Hugging Face saved, each counted once. */
static void test_inspect_families(void **state) {
  for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
    char folder[512];
    cz_safetensors *s;
    int64_t elements = 0;
    snprintf(folder, sizeof folder, FIXTURES "/families/%s", families[i]);
    json_t *found = inspected(folder);
    OK(cz_safetensors_open_model(&s, folder));
    for (size_t k = 0; k < cz_safetensors_count(s); k++)
      elements += (int64_t)cz_safetensors_at(s, k)->elements;
    assert_int_equal(json_integer_value(json_object_get(found, "parameters")), elements);
    assert_int_equal(json_array_size(json_object_get(found, "ignored")), 0);
    assert_true(json_is_null(json_object_get(found, "tokenizer")));
    cz_safetensors_close(&s);
    json_decref(found);
  }
}

static void expect_head(const json_t *found, const char *head, const char *what) {
  const char *text = json_string_value(json_object_get(json_object_get(found, "heads"), head));
  if (!text || strcmp(text, what)) fail_msg("%s: %s, not %s", head, text ? text : "?", what);
}

/* Heads that are there, would be drawn, or are not asked for; aliases; what nothing reads. */
static void test_inspect_heads(void **state) {
  json_t *found = inspected(FIXTURES "/families/variants/old_names");
  expect_head(found, "masked_lm", "present");
  expect_head(found, "next_sentence", "present");
  expect_head(found, "classification", "absent");
  assert_int_equal(json_array_size(json_object_get(found, "ignored")), 5);
  assert_int_equal(json_array_size(json_object_get(found, "aliases")), 1);
  json_decref(found);
  found = inspected(FIXTURES "/families/variants/headless");
  expect_head(found, "masked_lm", "absent");
  json_decref(found);
  copy_file(FIXTURES "/families/variants/headless/model.safetensors", "new/model.safetensors");
  copy_file(FIXTURES "/families/bert_mlm/config.json", "new/config.json");
  found = inspected("new"); /* the class has a head that the weights lack */
  expect_head(found, "masked_lm", "drawn");
  json_decref(found);
  found = inspected(FIXTURES "/families/gpt2_lm");
  expect_head(found, "causal_lm", "present");
  expect_head(found, "classification", "absent");
  json_decref(found);
  REFUSED(2, "is no model's folder", cloze("inspect", "."));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_import),           cmocka_unit_test(test_import_tokenizer),
      cmocka_unit_test(test_export),           cmocka_unit_test(test_export_which),
      cmocka_unit_test(test_export_refused),   cmocka_unit_test(test_killed_and_busy),
      cmocka_unit_test(test_import_families),  cmocka_unit_test(test_import_variants),
      cmocka_unit_test(test_inspect_families), cmocka_unit_test(test_inspect_heads)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}

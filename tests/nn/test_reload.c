/* Weights that are put into a model again (cz_hf_weights): the same bits as opening it, whatever
 * was there before; heads that the folder lacks by the seed alone; the mapped path and the one that
 * converts agree. */
#include "common/common.h"
#include "base/fs.h"
#include "checkpoint/safetensors.h"
#include "nn/hf.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAMILIES CZ_SOURCE_DIR "/tests/fixtures/families/"

static const char *const devices[] = {"ref", "cpu"};

static void *values_of(const cz_model *m) {
  void *copy = calloc(1, cz_params_bytes(m->params));
  assert_non_null(copy);
  OK(m->device->read(m->device, copy, m->params->values, cz_params_bytes(m->params)));
  return copy;
}

/* Every parameter, not the room between them, which nothing reads. */
static void spoil(const cz_model *m) {
  for (size_t i = 0; i < m->params->n; i++) {
    const cz_param *p = m->params->list[i];
    const size_t n = (size_t)p->count * cz_dtype_bytes(m->device->real);
    void *nan = malloc(n);
    memset(nan, 0xff, n);
    OK(m->device->write(m->device, p->value, nan, n));
    free(nan);
  }
}

static bool same(const cz_model *m, const void *values) {
  void *now = values_of(m);
  bool equal = !memcmp(now, values, cz_params_bytes(m->params));
  free(now);
  return equal;
}

static void test_same_bits(void **state) {
  static const char *const folders[] = {"bert_mlm",         "gpt2_lm",
                                        "albert_mlm",       "variants/sharded",
                                        "variants/float16", "variants/old_names"};
  for (size_t f = 0; f < sizeof folders / sizeof *folders; f++)
    for (size_t d = 0; d < 2; d++) {
      char path[512];
      cz_device *device;
      cz_model *m;
      cz_hf_weights *w;
      snprintf(path, sizeof path, FAMILIES "%s", folders[f]);
      OK(cz_device_open(&device, devices[d]));
      OK(cz_hf_open(&m, path, device));
      void *first = values_of(m);
      OK(cz_hf_weights_open(&w, m, path));
      for (int again = 0; again < 2; again++) {
        spoil(m);
        assert_false(same(m, first));
        OK(cz_hf_weights_load(w, m, 7));
        assert_true(same(m, first));
      }
      cz_hf_weights_close(&w);
      cz_hf_weights_close(&w);
      cz_model_destroy(&m);
      cz_device_close(&device);
      free(first);
    }
}

/* Bytes of mapped files among this process's memory. */
static int64_t of_files(void) {
  char line[256];
  int64_t kilobytes = -1;
  FILE *f = fopen("/proc/self/status", "r");
  assert_non_null(f);
  while (fgets(line, sizeof line, f))
    if (!strncmp(line, "RssFile:", 8)) kilobytes = strtoll(line + 8, NULL, 10);
  fclose(f);
  assert_true(kilobytes > 0);
  return kilobytes * 1024;
}

/* Between two loads the file's pages are the page cache's alone, and come again. */
static void test_pages_given_back(void **state) {
  cz_device *device;
  cz_model_config c;
  cz_model *m;
  cz_hf_weights *w;
  OK(cz_device_open(&device, "cpu"));
  OK(cz_model_config_named(&c, "bert-nano"));
  c.vocab_size = 100000;
  OK(cz_model_create(&m, &c, device));
  OK(cz_params_init(m->params, 3));
  OK(cz_hf_save(m, under("large")));
  void *first = values_of(m);
  const int64_t bytes = (int64_t)cz_params_bytes(m->params), before = of_files();
  assert_true(bytes > 8 << 20);
  OK(cz_hf_weights_open(&w, m, under("large")));
  for (int again = 0; again < 2; again++) {
    spoil(m);
    OK(cz_hf_weights_load(w, m, 7));
    assert_true(same(m, first));
    if (of_files() - before > bytes / 4)
      fail_msg("%lld bytes of files more than before, of %lld", (long long)(of_files() - before),
               (long long)bytes);
  }
  cz_hf_weights_close(&w);
  cz_model_destroy(&m);
  cz_device_close(&device);
  free(first);
}

/* A head that the folder lacks: the seed decides, the body stays. */
static void test_drawn_heads(void **state) {
  const cz_hf_options five = {.heads = CZ_HEAD_BIT(CZ_HEAD_CLASSIFICATION),
                              .n_labels = 4,
                              .seed = 5},
                      six = {
                          .heads = CZ_HEAD_BIT(CZ_HEAD_CLASSIFICATION), .n_labels = 4, .seed = 6};
  cz_device *device;
  cz_model *m, *other;
  cz_hf_weights *w;
  OK(cz_device_open(&device, "cpu"));
  OK(cz_hf_open_with(&m, FAMILIES "bert_mlm", device, &five));
  OK(cz_hf_open_with(&other, FAMILIES "bert_mlm", device, &six));
  void *with_five = values_of(m), *with_six = values_of(other);
  OK(cz_hf_weights_open(&w, m, FAMILIES "bert_mlm"));
  OK(cz_hf_weights_load(w, m, 6));
  assert_false(same(m, with_five));
  assert_true(same(m, with_six));
  OK(cz_hf_weights_load(w, m, 5));
  assert_true(same(m, with_five));
  cz_hf_weights_close(&w);
  cz_model_destroy(&m);
  cz_model_destroy(&other);
  cz_device_close(&device);
  free(with_five);
  free(with_six);
}

/* On cpu float32 comes from the mapping, float16 and float64 are converted: the same numbers. */
static void test_ways_agree(void **state) {
  static const char *const others[] = {"variants/float64", "variants/float16", "variants/bfloat16"};
  cz_device *device;
  cz_model *m;
  OK(cz_device_open(&device, "cpu"));
  OK(cz_hf_open(&m, FAMILIES "bert_mlm", device));
  void *plain = values_of(m);
  cz_model_destroy(&m);
  for (int i = 0; i < 3; i++) {
    char path[512];
    snprintf(path, sizeof path, FAMILIES "%s", others[i]);
    OK(cz_hf_open(&m, path, device));
    assert_true(same(m, plain));
    cz_model_destroy(&m);
  }
  cz_device_close(&device);
  free(plain);
}

/* One number of a float32 file that is not finite, wherever it is, is named. */
static void test_not_finite(void **state) {
  static const struct {
    int64_t element;
    float value;
    const char *message;
  } rows[] = {{0, NAN, "in tensor bert.embeddings.word_embeddings.weight at [0, 0] is not finite"},
              {25, INFINITY, "inf in tensor bert.embeddings.word_embeddings.weight at [2, 5]"},
              {639, -INFINITY, "-inf in tensor bert.embeddings.word_embeddings.weight at [63, 9]"}};
  const char name[] = "bert.embeddings.word_embeddings.weight";
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    cz_safetensors *s;
    cz_safetensors_item items[64];
    float *spoilt = NULL;
    const void *data;
    cz_device *device;
    cz_model *m;
    OK(cz_safetensors_open_model(&s, FAMILIES "bert_mlm"));
    const size_t n = cz_safetensors_count(s);
    for (size_t i = 0; i < n; i++) {
      const cz_safetensors_info *t = cz_safetensors_at(s, i);
      OK(cz_safetensors_map(s, &data, t));
      if (!strcmp(t->name, name)) {
        spoilt = malloc(t->bytes);
        memcpy(spoilt, data, t->bytes);
        spoilt[rows[r].element] = rows[r].value;
        data = spoilt;
      }
      items[i] = (cz_safetensors_item){t->name, t->type, t->type, t->rank, t->dims, data};
    }
    assert_non_null(spoilt);
    OK(cz_fs_make_dirs(under("bad")));
    OK(cz_safetensors_write_model(under("bad"), items, n, 0));
    OK(cz_fs_copy(FAMILIES "bert_mlm/config.json", under("bad/config.json")));
    OK(cz_device_open(&device, "cpu"));
    FAILS(cz_hf_open(&m, under("bad"), device), CZ_ENUMERIC, rows[r].message);
    cz_device_close(&device);
    cz_safetensors_close(&s);
    free(spoilt);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_same_bits), cmocka_unit_test(test_pages_given_back),
      cmocka_unit_test(test_drawn_heads), cmocka_unit_test(test_ways_agree),
      cmocka_unit_test(test_not_finite)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}

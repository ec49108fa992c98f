/* Weights that other programs wrote: the same numbers in every type, in shards, mapped and
 * copied (fixtures of scripts/make_family_fixtures.py). */
#include "checkpoint/safetensors.h"
#include "st_test.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#define FAMILIES CZ_SOURCE_DIR "/tests/fixtures/families/"

static double *numbers(cz_safetensors *s, const cz_safetensors_info *t) {
  double *x = calloc(t->elements + 1, sizeof *x);
  assert_non_null(x);
  OK(cz_safetensors_read_f64(s, x, t->name, t->dims, t->rank));
  return x;
}

/* Every tensor of A is in B with the same numbers. */
static void same_numbers(cz_safetensors *a, cz_safetensors *b) {
  assert_true(cz_safetensors_count(a) > 0);
  for (size_t i = 0; i < cz_safetensors_count(a); i++) {
    const cz_safetensors_info *t = cz_safetensors_at(a, i), *u = cz_safetensors_find(b, t->name);
    if (!u) fail_msg("no %s", t->name);
    double *x = numbers(a, t), *y = numbers(b, u);
    assert_int_equal(t->elements, u->elements);
    if (memcmp(x, y, t->elements * sizeof *x)) fail_msg("%s has other numbers", t->name);
    free(x);
    free(y);
  }
}

void test_library_types(void **state) {
  static const struct {
    const char *name;
    cz_safetensors_type type;
  } variants[] = {{"float16", CZ_SAFETENSORS_F16},
                  {"bfloat16", CZ_SAFETENSORS_BF16},
                  {"float64", CZ_SAFETENSORS_F64},
                  {"sharded", CZ_SAFETENSORS_F32},
                  {"position_ids", CZ_SAFETENSORS_F32}};
  cz_safetensors *plain, *other;
  OK(cz_safetensors_open_model(&plain, FAMILIES "bert_mlm"));
  for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
    char path[512];
    snprintf(path, sizeof path, FAMILIES "variants/%s", variants[i].name);
    OK(cz_safetensors_open_model(&other, path));
    assert_int_equal(cz_safetensors_find(other, "cls.predictions.bias")->type, variants[i].type);
    same_numbers(plain, other);
    cz_safetensors_close(&other);
  }
  cz_safetensors_close(&plain);
}

/* Mapped bytes are what reading yields, of whole files and of shards. */
void test_mapped(void **state) {
  const char *const folders[] = {FAMILIES "bert_mlm", FAMILIES "variants/sharded"};
  for (int f = 0; f < 2; f++) {
    cz_safetensors *s;
    const void *first = NULL, *again;
    OK(cz_safetensors_open_model(&s, folders[f]));
    for (size_t i = 0; i < cz_safetensors_count(s); i++) {
      const cz_safetensors_info *t = cz_safetensors_at(s, i);
      float *x = calloc(t->elements, sizeof *x);
      OK(cz_safetensors_read_f32(s, x, t->name, t->dims, t->rank));
      OK(cz_safetensors_map_f32(s, &again, t->name, t->dims, t->rank));
      assert_memory_equal(again, x, t->bytes);
      if (i == 0) first = again;
      free(x);
    }
    const cz_safetensors_info *t = cz_safetensors_at(s, 0);
    OK(cz_safetensors_map(s, &again, t)); /* mapped once, whoever asks */
    assert_ptr_equal(first, again);
    cz_safetensors_close(&s);
  }
}

/* A header of any length: the numbers may begin at any byte. */
void test_mapped_unaligned(void **state) {
  for (int spaces = 0; spaces < 4; spaces++) {
    const float want[2] = {1.5f, -3};
    const int64_t two = 2;
    const void *bytes;
    char header[128];
    int n =
        snprintf(header, sizeof header,
                 "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}%*s", spaces, "");
    uint64_t length = (uint64_t)n;
    cz_buf file = {0};
    cz_safetensors *s;
    float got[2];
    OK(cz_buf_add(&file, &length, sizeof length));
    OK(cz_buf_add(&file, header, (size_t)n));
    OK(cz_buf_add(&file, want, sizeof want));
    write_bytes(under("odd.safetensors"), file.data, file.len);
    OK(cz_safetensors_open(&s, under("odd.safetensors")));
    OK(cz_safetensors_map_f32(s, &bytes, "a", &two, 1));
    memcpy(got, bytes, sizeof got);
    assert_memory_equal(got, want, sizeof want);
    OK(cz_safetensors_copy_model(under(""), s, CZ_SAFETENSORS_F64, 0));
    cz_safetensors_close(&s);
    cz_buf_free(&file);
  }
}

void test_refused_mappings(void **state) {
  const int64_t five = 5, seven = 7, six[2] = {2, 3};
  const char *path = under("mapped.safetensors");
  const void *x;
  cz_buf whole = {0};
  cz_safetensors *s;
  slurp(&whole, CZ_SOURCE_DIR "/tests/fixtures/safetensors/library.safetensors");
  write_bytes(path, whole.data, whole.len);
  OK(cz_safetensors_open(&s, path));
  FAILS(cz_safetensors_map_f32(s, &x, "b.f64", &five, 1), CZ_EINVAL,
        "'b.f64' is F64; only F32 is mapped");
  FAILS(cz_safetensors_map_f32(s, &x, "d.f16", &seven, 1), CZ_EINVAL, "'d.f16' is F16");
  FAILS(cz_safetensors_map_f32(s, &x, "a.f32", six, 1), CZ_EINVAL, "expected [2]");
  FAILS(cz_safetensors_map_f32(s, &x, "nobody", six, 2), CZ_EINVAL, "no tensor 'nobody'");
  assert_int_equal(truncate(path, (off_t)whole.len - 1), 0);
  FAILS(cz_safetensors_map_f32(s, &x, "a.f32", six, 2), CZ_EIO, "bytes now, not");
  cz_safetensors_close(&s);
  cz_buf_free(&whole);
}

/* Every type to every other; bert_mlm's numbers are in all of them. */
void test_copied(void **state) {
  static const cz_safetensors_type types[] = {CZ_SAFETENSORS_F16, CZ_SAFETENSORS_BF16,
                                              CZ_SAFETENSORS_F32, CZ_SAFETENSORS_F64};
  static const char *const from[] = {"bert_mlm", "variants/float16", "variants/bfloat16",
                                     "variants/float64", "variants/position_ids"};
  cz_safetensors *plain, *s, *copy;
  OK(cz_safetensors_open_model(&plain, FAMILIES "bert_mlm"));
  for (size_t f = 0; f < sizeof from / sizeof *from; f++)
    for (size_t t = 0; t < 4; t++) {
      char path[512];
      snprintf(path, sizeof path, FAMILIES "%s", from[f]);
      fresh_folder(under("copy"));
      OK(cz_safetensors_open_model(&s, path));
      OK(cz_safetensors_copy_model(under("copy"), s, types[t], t % 2 ? 4000 : 0));
      OK(cz_safetensors_open_model(&copy, under("copy")));
      assert_int_equal(cz_safetensors_count(copy), cz_safetensors_count(s));
      assert_int_equal(cz_safetensors_find(copy, "cls.predictions.bias")->type, types[t]);
      same_numbers(plain, copy);
      const cz_safetensors_info *ids = cz_safetensors_find(copy, "bert.embeddings.position_ids");
      assert_int_equal(ids != NULL, f == 4);
      if (ids) {
        const void *bytes;
        int64_t third;
        OK(cz_safetensors_map(copy, &bytes, ids));
        memcpy(&third, (const char *)bytes + 16, sizeof third);
        assert_int_equal(ids->type, CZ_SAFETENSORS_I64);
        assert_int_equal(third, 2);
      }
      cz_safetensors_close(&copy);
      cz_safetensors_close(&s);
    }
  cz_safetensors_close(&plain);
}

/* What does not fit is refused before anything is written. */
void test_refused_copies(void **state) {
  static const struct {
    double x;
    cz_safetensors_type type;
    const char *message;                           /* null: it fits */
  } rows[] = {{65519.9, CZ_SAFETENSORS_F16, NULL}, /* rounds to 65504 */
              {65520, CZ_SAFETENSORS_F16,
               "65520, element 2 of tensor 'w' ([2, 2]), is too large for the type asked for"},
              {65520, CZ_SAFETENSORS_BF16, NULL},
              {1e300, CZ_SAFETENSORS_F32, "1e+300, element 2"},
              {1e300, CZ_SAFETENSORS_F64, NULL},
              {-INFINITY, CZ_SAFETENSORS_F64, "-inf, element 2 of tensor 'w' ([2, 2]), is not fin"},
              {NAN, CZ_SAFETENSORS_BF16, "nan, element 2"}};
  const int64_t dims[2] = {2, 2};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    double w[4] = {1, 2, rows[i].x, 4};
    cz_safetensors_item item = {"w", CZ_SAFETENSORS_F64, CZ_SAFETENSORS_F64, 2, dims, w};
    cz_safetensors *s;
    size_t entries;
    fresh_folder(under("full"));
    OK(cz_safetensors_write(under("w.safetensors"), &item, 1));
    OK(cz_safetensors_open(&s, under("w.safetensors")));
    if (rows[i].message)
      FAILS(cz_safetensors_copy_model(under("full"), s, rows[i].type, 0), CZ_ENUMERIC,
            rows[i].message);
    else
      OK(cz_safetensors_copy_model(under("full"), s, rows[i].type, 0));
    OK(cz_fs_count_entries(&entries, under("full")));
    assert_int_equal(entries, rows[i].message == NULL);
    cz_safetensors_close(&s);
  }
}

/* A folder that has pickles only. */
void test_only_pickles(void **state) {
  static const char *const names[] = {"pytorch_model.bin", "pytorch_model.bin.index.json"};
  for (int i = 0; i < 2; i++) {
    char path[64];
    cz_safetensors *s = NULL;
    fresh_folder(under("old"));
    snprintf(path, sizeof path, "old/%s", names[i]);
    write_bytes(under(path), "PK", 2);
    FAILS(cz_safetensors_open_model(&s, under("old")), CZ_EINVAL, "scripts/convert_pickle.py");
    assert_non_null(strstr(cz_error_message(), names[i]));
    assert_null(s);
  }
}

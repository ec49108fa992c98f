/* safetensors: the library's file, our own files, shards, and what the writer refuses.
 * Bad files are in st_bad.c, number formats in st_numbers.c, types, mappings and copies in
 * st_map.c. `test_safetensors write FOLDER` leaves files there for
 * scripts/make_safetensors_fixture.py check. */
#include "checkpoint/safetensors.h"
#include "st_test.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* The table of the script: element i holds (i - 3) / 8. */
static const int64_t shapes[][3] = {{2, 3}, {5}, {3, 1, 2}, {7}, {0, 4}, {0}, {4}};
static const struct {
  const char *name;
  cz_safetensors_type type;
  int rank;
} table[] = {{"a.f32", CZ_SAFETENSORS_F32, 2},   {"b.f64", CZ_SAFETENSORS_F64, 1},
             {"c.bf16", CZ_SAFETENSORS_BF16, 3}, {"d.f16", CZ_SAFETENSORS_F16, 1},
             {"empty", CZ_SAFETENSORS_F32, 2},   {"scalar", CZ_SAFETENSORS_F32, 0},
             {"ids", CZ_SAFETENSORS_I64, 1}};
enum { TABLE = sizeof table / sizeof *table };

static void check_library_values(cz_safetensors *s) {
  assert_int_equal(cz_safetensors_count(s), TABLE);
  for (int t = 0; t < TABLE; t++) {
    const cz_safetensors_info *info = cz_safetensors_find(s, table[t].name);
    assert_non_null(info);
    assert_int_equal(info->type, table[t].type);
    assert_int_equal(info->rank, table[t].rank);
    float f[8] = {0};
    double d[8] = {0};
    if (table[t].type == CZ_SAFETENSORS_I64) {
      FAILS(cz_safetensors_read_f32(s, f, "ids", shapes[t], 1), CZ_EINVAL, "'ids' is I64");
      continue;
    }
    OK(cz_safetensors_read_f32(s, f, table[t].name, shapes[t], table[t].rank));
    OK(cz_safetensors_read_f64(s, d, table[t].name, shapes[t], table[t].rank));
    for (uint64_t i = 0; i < info->elements; i++) {
      double x = ((double)i - 3) / 8;
      if (f[i] != (float)x || d[i] != x)
        fail_msg("%s[%d] is %g, %g", table[t].name, (int)i, (double)f[i], d[i]);
    }
  }
}

static void test_library_file(void **state) {
  cz_safetensors *s;
  OK(cz_safetensors_open(&s, CZ_SOURCE_DIR "/tests/fixtures/safetensors/library.safetensors"));
  check_library_values(s);
  for (size_t i = 1; i < cz_safetensors_count(s); i++)
    assert_true(strcmp(cz_safetensors_at(s, i - 1)->name, cz_safetensors_at(s, i)->name) < 0);
  assert_null(cz_safetensors_find(s, "a.f3"));
  float f[6];
  const int64_t wrong[2] = {3, 2};
  FAILS(cz_safetensors_read_f32(s, f, "a.f32", wrong, 2), CZ_EINVAL,
        "'a.f32' has shape [2, 3], expected [3, 2]");
  FAILS(cz_safetensors_read_f32(s, f, "a.f32", wrong, 0), CZ_EINVAL, "expected []");
  FAILS(cz_safetensors_read_f32(s, f, "nobody", wrong, 2), CZ_EINVAL, "no tensor 'nobody'");
  cz_safetensors_close(&s);
  cz_safetensors_close(&s);
}

/* The same tensors as items to write, given in an order that is not the file's. */
static void make_items(cz_safetensors_item items[TABLE], double numbers[8], int64_t ids[8],
                       float floats[8]) {
  for (int i = 0; i < 8; i++) {
    numbers[i] = (i - 3) / 8.0;
    floats[i] = (float)numbers[i];
    ids[i] = (int64_t)numbers[i];
  }
  for (int t = 0; t < TABLE; t++) {
    bool whole = table[t].type == CZ_SAFETENSORS_I64, wide = t % 2;
    items[t] = (cz_safetensors_item){.name = table[t].name,
                                     .type = table[t].type,
                                     .from = whole  ? CZ_SAFETENSORS_I64
                                             : wide ? CZ_SAFETENSORS_F64
                                                    : CZ_SAFETENSORS_F32,
                                     .rank = table[t].rank,
                                     .dims = shapes[t],
                                     .data = whole  ? (void *)ids
                                             : wide ? (void *)numbers
                                                    : (void *)floats};
  }
}

static void write_both(const char *folder) {
  cz_safetensors_item items[TABLE];
  double numbers[8];
  float floats[8];
  int64_t ids[8];
  char one[512], many[512];
  make_items(items, numbers, ids, floats);
  snprintf(one, sizeof one, "%s/one", folder);
  snprintf(many, sizeof many, "%s/many", folder);
  fresh_folder(one);
  fresh_folder(many);
  OK(cz_safetensors_write_model(one, items, TABLE, 0));
  OK(cz_safetensors_write_model(many, items, TABLE, 48));
}

static void test_written_file(void **state) {
  cz_safetensors *s;
  cz_buf ours = {0}, again = {0};
  write_both(folder());
  OK(cz_safetensors_open_model(&s, under("one")));
  check_library_values(s);
  cz_safetensors_close(&s);
  slurp(&ours, under("one/model.safetensors"));
  uint64_t n;
  memcpy(&n, ours.data, sizeof n);
  assert_int_equal(n % 8, 0);
  assert_ptr_equal(strstr(ours.data + 8,
                          "{\"__metadata__\":{\"format\":\"pt\"},\"ids\":{\"dtype\":\"I64\","
                          "\"shape\":[4],\"data_offsets\":[0,32]},\"b.f64\""),
                   ours.data + 8);
  const char *order[] = {"\"ids\"",    "\"b.f64\"",  "\"a.f32\"", "\"empty\"",
                         "\"scalar\"", "\"c.bf16\"", "\"d.f16\""},
             *at = ours.data + 8;
  for (int i = 0; i < TABLE; i++) {
    at = strstr(at, order[i]);
    assert_non_null(at);
  }
  cz_safetensors_item items[TABLE], turned[TABLE]; /* the order given does not matter */
  double numbers[8];
  float floats[8];
  int64_t ids[8];
  make_items(items, numbers, ids, floats);
  for (int t = 0; t < TABLE; t++) turned[t] = items[TABLE - 1 - t];
  OK(cz_safetensors_write(under("turned.safetensors"), turned, TABLE));
  slurp(&again, under("turned.safetensors"));
  assert_int_equal(again.len, ours.len);
  assert_memory_equal(again.data, ours.data, ours.len);
  OK(cz_safetensors_write(under("none.safetensors"), NULL, 0));
  OK(cz_safetensors_open(&s, under("none.safetensors")));
  assert_int_equal(cz_safetensors_count(s), 0);
  assert_null(cz_safetensors_find(s, "x"));
  cz_safetensors_close(&s);
  cz_buf_free(&ours);
  cz_buf_free(&again);
}

static void test_shards(void **state) {
  cz_safetensors *s = NULL;
  write_both(folder());
  OK(cz_safetensors_open_model(&s, under("many")));
  check_library_values(s);
  int other = 0; /* the tensors lie in several files */
  for (size_t i = 0; i < cz_safetensors_count(s); i++)
    other += cz_safetensors_at(s, i)->file != cz_safetensors_at(s, 0)->file;
  assert_true(other > 0);
  cz_safetensors_close(&s);
  cz_safetensors_item items[TABLE];
  double numbers[8];
  float floats[8];
  int64_t ids[8];
  make_items(items, numbers, ids, floats);
  OK(cz_safetensors_write_model(under("many"), items, 1,
                                0)); /* a later, smaller save is what a reader finds */
  assert_false(cz_fs_exists(under("many/model.safetensors.index.json")));
  OK(cz_safetensors_open_model(&s, under("many")));
  assert_int_equal(cz_safetensors_count(s), 1);
  cz_safetensors_close(&s);
  OK(cz_safetensors_write_model(under("many"), items, TABLE, 1));
  assert_false(cz_fs_exists(under("many/model.safetensors")));
  OK(cz_safetensors_open_model(&s, under("many")));
  check_library_values(s);
  cz_safetensors_close(&s);
  FAILS(cz_safetensors_open_model(&s, under("nowhere")), CZ_EIO, "neither model.safetensors nor");
}

static void test_refused_writes(void **state) {
  const int64_t one = 1, negative[2] = {3, -1}, huge[3] = {INT64_MAX, INT64_MAX, 2};
  float x = 1;
  cz_safetensors_item twice[2] = {{"x", CZ_SAFETENSORS_F32, CZ_SAFETENSORS_F32, 1, &one, &x},
                                  {"x", CZ_SAFETENSORS_BF16, CZ_SAFETENSORS_F32, 1, &one, &x}};
  const char *path = under("refused.safetensors");
  FAILS(cz_safetensors_write(path, twice, 2), CZ_EINVAL, "two tensors are called 'x'");
  FAILS(cz_safetensors_write_model(folder(), twice, 2, 4), CZ_EINVAL, "two tensors are called 'x'");
  twice[0].name = "__metadata__";
  FAILS(cz_safetensors_write(path, twice, 1), CZ_EINVAL, "__metadata__");
  twice[0].name = "bad \xff utf8";
  FAILS(cz_safetensors_write(path, twice, 1), CZ_EINVAL, "not UTF-8");
  cz_safetensors_item shape = {"x", CZ_SAFETENSORS_F32, CZ_SAFETENSORS_F32, 2, negative, &x};
  FAILS(cz_safetensors_write(path, &shape, 1), CZ_EINVAL, "[3, -1]");
  shape.dims = huge;
  shape.rank = 3;
  FAILS(cz_safetensors_write(path, &shape, 1), CZ_EINVAL, "too large");
  cz_safetensors_item whole = {"x", CZ_SAFETENSORS_I64, CZ_SAFETENSORS_F32, 1, &one, &x};
  FAILS(cz_safetensors_write(path, &whole, 1), CZ_EINVAL, "F32 can't be stored as I64");
  assert_false(cz_fs_exists(path));
  FAILS(cz_safetensors_write(under("no/such/folder.safetensors"), twice + 1, 1), CZ_EIO,
        "No such file");
}

static void test_full_disk(void **state) {
  enum { N = 100000 };
  const int64_t n = N, one = 1;
  float *x = calloc(N, sizeof *x), y = 5;
  cz_safetensors_item small = {"y", CZ_SAFETENSORS_F32, CZ_SAFETENSORS_F32, 1, &one, &y},
                      large = {"x", CZ_SAFETENSORS_F32, CZ_SAFETENSORS_F32, 1, &n, x};
  struct rlimit old, tight;
  OK(cz_safetensors_write(under("full.safetensors"), &small, 1));
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &old);
  tight = (struct rlimit){100000, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &tight);
  cz_status st = cz_safetensors_write(under("full.safetensors"), &large, 1);
  setrlimit(RLIMIT_FSIZE, &old);
  FAILS(st, CZ_EIO, "File too large");
  assert_false(cz_fs_exists(under("full.safetensors.tmp")));
  cz_safetensors *s;
  OK(cz_safetensors_open(&s, under("full.safetensors")));
  OK(cz_safetensors_read_f32(s, x, "y", &one, 1));
  assert_true(x[0] == 5);
  cz_safetensors_close(&s);
  free(x);
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "write") == 0) {
    write_both(argv[2]);
    return 0;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_library_file),     cmocka_unit_test(test_written_file),
      cmocka_unit_test(test_shards),           cmocka_unit_test(test_refused_writes),
      cmocka_unit_test(test_full_disk),        cmocka_unit_test(test_bad_headers),
      cmocka_unit_test(test_bad_sizes),        cmocka_unit_test(test_other_files),
      cmocka_unit_test(test_every_truncation), cmocka_unit_test(test_shrunk_later),
      cmocka_unit_test(test_bad_indices),      cmocka_unit_test(test_mutations),
      cmocka_unit_test(test_halves),           cmocka_unit_test(test_rounding),
      cmocka_unit_test(test_library_types),    cmocka_unit_test(test_mapped),
      cmocka_unit_test(test_mapped_unaligned), cmocka_unit_test(test_refused_mappings),
      cmocka_unit_test(test_copied),           cmocka_unit_test(test_refused_copies),
      cmocka_unit_test(test_only_pickles)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}

/* Checkpoints: what goes in comes out, what does not fit is said. Damage, kills and full
 * disks are in ck_faults.c. */
#include "ck_test.h"

#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *folder_named(const char *name) {
  const char *folder = under(name);
  fresh_folder(folder);
  return folder;
}

static void test_round_trip(void **state) {
  const char *folder = folder_named("round");
  cz_checkpoint *c = NULL;
  int64_t step;
  assert_false(cz_checkpoint_exists(folder));
  FAILS(cz_checkpoint_open(&c, folder), CZ_EIO, "no checkpoint is there");
  OK(save_state(folder, 12));
  assert_true(cz_checkpoint_exists(folder));
  OK(cz_checkpoint_open(&c, folder));
  OK(load_state(c, &step));
  assert_int_equal(step, 12);
  assert_non_null(strstr(cz_checkpoint_path(c), "round/checkpoint.h5"));
  const cz_checkpoint_entry *e = cz_checkpoint_find(c, "param/none");
  assert_true(e && e->type == CZ_CHECKPOINT_F32 && e->rank == 3 && e->dims[0] == 4 &&
              e->dims[1] == 0 && e->dims[2] == 2 && e->elements == 0);
  cz_checkpoint_close(&c);
  cz_checkpoint_close(&c);
  assert_false(cz_fs_exists(under("round/checkpoint.h5.tmp")));
}

static void test_equal_states_make_equal_files(void **state) {
  const char *folder = folder_named("equal");
  cz_buf first = {0}, second = {0};
  OK(save_state(folder, 3));
  sleep(1); /* the next second: no time is in them */
  OK(save_state(folder, 3));
  slurp(&first, under("equal/checkpoint.prev.h5"));
  slurp(&second, under("equal/checkpoint.h5"));
  assert_int_equal(first.len, second.len);
  assert_memory_equal(first.data, second.data, first.len);
  cz_buf_free(&first);
  cz_buf_free(&second);
}

/* What a save asks the disk for is what it takes, also when it is thousands of arrays of a few
 * bytes, as the biases and norms of a deep model are. */
static void test_space_of_small_entries(void **state) {
  static const uint64_t counts[] = {1, 100, 4000};
  for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
    const char *folder = folder_named("small");
    cz_checkpoint_writer *w;
    const int64_t dims[2] = {2, 3};
    const float x[6] = {1, 2, 3, 4, 5, 6};
    char name[160];
    cz_buf file = {0};
    OK(cz_checkpoint_begin(&w, folder, 1, cz_checkpoint_bytes(counts[k] * sizeof x, counts[k])));
    for (uint64_t i = 0; i < counts[k]; i++) {
      snprintf(
          name, sizeof name,
          "optimizer/decoder.block.%llu.layer.1.EncDecAttention.relative_attention_bias/%s%llu",
          (unsigned long long)i / 3, i % 3 ? "row" : "column", (unsigned long long)i % 3);
      OK(cz_checkpoint_put(w, name, CZ_CHECKPOINT_F32, x, dims, 2));
    }
    OK(cz_checkpoint_commit(&w));
    slurp(&file, under("small/checkpoint.h5"));
    uint64_t asked = cz_checkpoint_bytes(counts[k] * sizeof x, counts[k]);
    print_message("%llu small entries: %zu bytes, asked for %llu\n", (unsigned long long)counts[k],
                  file.len, (unsigned long long)asked);
    assert_true(file.len <= asked + (1 << 16));
    if (counts[k] > 1000) assert_true(file.len > asked / 4);
    cz_buf_free(&file);
  }
}

static void test_wrong_requests(void **state) {
  const char *folder = folder_named("wrong");
  cz_checkpoint *c;
  float x[4];
  int64_t n, two[2] = {2, 2}, three = 3;
  double real;
  OK(save_state(folder, 1));
  OK(cz_checkpoint_open(&c, folder));
  FAILS(cz_checkpoint_get(c, x, "order", CZ_CHECKPOINT_I32, two, 2), CZ_EINVAL,
        "'order' is i32 [3], expected i32 [2, 2]");
  FAILS(cz_checkpoint_get(c, x, "order", CZ_CHECKPOINT_F32, &three, 1), CZ_EINVAL,
        "'order' is i32 [3], expected f32 [3]");
  FAILS(cz_checkpoint_get(c, x, "param/encoder", CZ_CHECKPOINT_F32, two, 2), CZ_EINVAL,
        "no entry 'param/encoder'");
  FAILS(cz_checkpoint_get_int(c, &n, "loss"), CZ_EINVAL, "'loss' is f64 [1], expected i64 [1]");
  FAILS(cz_checkpoint_get_real(c, &real, "step"), CZ_EINVAL, "'step' is i64 [1], expected f64 [1]");
  FAILS(cz_checkpoint_get_int(c, &n, "steps"), CZ_EINVAL, "no entry 'steps'");
  FAILS(cz_checkpoint_check_config(c, 78), CZ_EINVAL,
        "hash 000000000000004d, this run's is 000000000000004e");
  OK(cz_checkpoint_check_config(c, 77));
  cz_checkpoint_close(&c);
}

static void test_wrong_puts(void **state) {
  static const struct {
    const char *name, *message;
    int64_t dims[2];
    int rank;
    cz_status code;
  } bad[] = {{"", "a name is not empty", {1}, 1, CZ_EINVAL},
             {"/x", "does not start with '/'", {1}, 1, CZ_EINVAL},
             {"x", "[-1]", {-1}, 1, CZ_EINVAL},
             {"x", "too large", {INT64_MAX, 2}, 2, CZ_EINVAL},
             {"x", "more than 8 extents", {1}, 9, CZ_EINVAL},
             {"cloze/format", "already exists", {1}, 1, CZ_EIO},
             {"cloze/format/x", "writing 'cloze/format/x'", {1}, 1, CZ_EIO}};
  const char *folder = folder_named("puts");
  const int64_t nine[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
  cz_checkpoint_writer *w = NULL;
  float x = 0;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    OK(cz_checkpoint_begin(&w, folder, 1, 0));
    FAILS(cz_checkpoint_put(w, bad[i].name, CZ_CHECKPOINT_F32, &x,
                            bad[i].rank == 9 ? nine : bad[i].dims, bad[i].rank),
          bad[i].code, bad[i].message);
    cz_checkpoint_discard(&w);
    assert_null(w);
  }
  assert_false(cz_checkpoint_exists(folder));
  assert_false(cz_fs_exists(under("puts/checkpoint.h5.tmp")));
  FAILS(cz_checkpoint_begin(&w, under("nowhere"), 1, 0), CZ_EIO, "nowhere");
}

/* Every data set that holds anything is under fletcher32: without it a flipped bit reads
 * as success. */
static herr_t check_filter(hid_t group, const char *name, const H5L_info_t *info, void *count) {
  hid_t object = H5Oopen(group, name, H5P_DEFAULT);
  if (H5Iget_type(object) == H5I_DATASET) {
    hid_t how = H5Dget_create_plist(object), space = H5Dget_space(object);
    if (H5Sget_simple_extent_npoints(space) > 0) {
      unsigned flags, config;
      size_t none = 0;
      assert_int_equal(H5Pget_layout(how), H5D_CHUNKED);
      assert_int_equal(H5Pget_nfilters(how), 1);
      assert_int_equal(H5Pget_filter2(how, 0, &flags, &none, NULL, 0, NULL, &config),
                       H5Z_FILTER_FLETCHER32);
      assert_false(flags & H5Z_FLAG_OPTIONAL);
      ++*(int *)count;
    }
    H5Sclose(space);
    H5Pclose(how);
  }
  H5Oclose(object);
  return 0;
}

static void test_every_set_is_checked(void **state) {
  const char *folder = folder_named("filters");
  int count = 0;
  OK(save_state(folder, 1));
  hid_t file = H5Fopen(under("filters/checkpoint.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
  assert_true(H5Lvisit(file, H5_INDEX_NAME, H5_ITER_NATIVE, check_filter, &count) >= 0);
  H5Fclose(file);
  assert_int_equal(count, 9);
}

/* An HDF5 file of somebody else's, and one from a later format. */
static void test_foreign_files(void **state) {
  const char *path = under("foreign.h5");
  const hsize_t one = 1;
  int64_t format = 1;
  cz_checkpoint *c = NULL;
  hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(file);
  FAILS(cz_checkpoint_open_file(&c, path), CZ_ECORRUPT,
        "not a checkpoint: it has no 'cloze/format'");
  file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  hid_t group = H5Gcreate2(file, "cloze", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
        space = H5Screate_simple(1, &one, NULL);
  hid_t how = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(how, 1, &one);
  H5Pset_fletcher32(how);
  hid_t set = H5Dcreate2(group, "format", H5T_STD_I64LE, space, H5P_DEFAULT, how, H5P_DEFAULT);
  H5Dwrite(set, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, &format);
  H5Dclose(set);
  H5Gclose(group);
  H5Fclose(file);
  FAILS(cz_checkpoint_open_file(&c, path), CZ_EINVAL,
        "checkpoint format 1, in which parameters lie as one block");
  file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  set = H5Dopen2(file, "cloze/format", H5P_DEFAULT);
  format = 3;
  H5Dwrite(set, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, &format);
  H5Dclose(set);
  H5Fclose(file);
  FAILS(cz_checkpoint_open_file(&c, path), CZ_EINVAL,
        "checkpoint format 3; this program reads format 2");
  file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  set = H5Dcreate2(file, "cloze/half", H5T_STD_I16BE, space, H5P_DEFAULT, how, H5P_DEFAULT);
  H5Dwrite(set, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, &format);
  H5Pclose(how);
  H5Dclose(set);
  H5Sclose(space);
  H5Fclose(file);
  FAILS(cz_checkpoint_open_file(&c, path), CZ_ECORRUPT, "'cloze/half' has a type");
  write_bytes(path, "not HDF5 at all", 15);
  FAILS(cz_checkpoint_open_file(&c, path), CZ_ECORRUPT, "foreign.h5");
  write_bytes(path, "", 0);
  FAILS(cz_checkpoint_open_file(&c, path), CZ_ECORRUPT, "foreign.h5");
  FAILS(cz_checkpoint_open_file(&c, folder()), CZ_EINVAL, "is a folder, not a regular file");
  assert_null(c);
}

/* After good and failed saves and loads HDF5 holds no object of ours. */
static void test_handles(void **state) {
  const char *folder = folder_named("handles");
  int64_t step;
  cz_checkpoint *c = NULL;
  cz_checkpoint_writer *w = NULL;
  OK(save_state(folder, 1));
  OK(cz_checkpoint_open(&c, folder));
  OK(load_state(c, &step));
  FAILS(cz_checkpoint_get_int(c, &step, "loss"), CZ_EINVAL, "loss");
  assert_int_equal(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL), 1); /* the file, no data set */
  cz_checkpoint_close(&c);
  OK(cz_checkpoint_begin(&w, folder, 1, 0));
  FAILS(cz_checkpoint_put_int(w, "cloze/format", 1), CZ_EIO, "exists");
  assert_int_equal(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL), 1);
  cz_checkpoint_discard(&w);
  write_bytes(under("handles/bad.h5"), "not HDF5", 8);
  FAILS(cz_checkpoint_open_file(&c, under("handles/bad.h5")), CZ_ECORRUPT, "bad.h5");
  assert_int_equal(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
}

/* HDF5 1.10.8 loses a few hundred bytes for each damaged object header that it refuses.
 * Handles of ours are counted above. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libhdf5"; }

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
                                     cmocka_unit_test(test_equal_states_make_equal_files),
                                     cmocka_unit_test(test_space_of_small_entries),
                                     cmocka_unit_test(test_wrong_requests),
                                     cmocka_unit_test(test_wrong_puts),
                                     cmocka_unit_test(test_every_set_is_checked),
                                     cmocka_unit_test(test_foreign_files),
                                     cmocka_unit_test(test_handles),
                                     cmocka_unit_test(test_params),
                                     cmocka_unit_test(test_unseen_by_fletcher),
                                     cmocka_unit_test(test_made_up),
                                     cmocka_unit_test(test_fallback),
                                     cmocka_unit_test(test_truncations),
                                     cmocka_unit_test(test_bit_flips),
                                     cmocka_unit_test(test_full),
                                     cmocka_unit_test(test_small_disk),
                                     cmocka_unit_test(test_kill)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}

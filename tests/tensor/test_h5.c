/* HDF5 files from elsewhere: links and storage that point out of the file, promises that it
 * does not keep, filters, locks, permissions. Each file is well-formed HDF5. */
#include "common/common.h"
#include "tensor/h5_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 1000, CHUNK = 300 };

typedef struct maker {
  const char *message; /* null: the data set is good */
  void (*make)(hid_t file);
} maker;

static hid_t chunked(hsize_t chunk) {
  hid_t how = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(how, 1, &chunk);
  H5Pset_fletcher32(how);
  return how;
}

/* Data set NAME of N numbers with properties HOW, which it closes, written or not. */
static void add(hid_t file, const char *name, hsize_t n, hid_t how, bool write) {
  static const int32_t values[N];
  hid_t space = H5Screate_simple(1, &n, NULL),
        set = H5Dcreate2(file, name, H5T_STD_I32LE, space, H5P_DEFAULT, how, H5P_DEFAULT);
  assert_true(set >= 0);
  if (write)
    assert_true(H5Dwrite(set, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0);
  H5Dclose(set);
  H5Sclose(space);
  H5Pclose(how);
}

static void good(hid_t file) { add(file, "g/x", N, chunked(CHUNK), true); }
static void no_elements(hid_t file) { add(file, "g/x", 0, H5Pcreate(H5P_DATASET_CREATE), false); }
static void contiguous(hid_t file) { add(file, "g/x", N, H5Pcreate(H5P_DATASET_CREATE), true); }

static void soft_link(hid_t file) {
  add(file, "real", N, chunked(CHUNK), true);
  H5Lcreate_soft("/real", file, "g/x", H5P_DEFAULT, H5P_DEFAULT);
}

static void external_link(hid_t file) {
  hid_t other = H5Fcreate(under("other.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  add(other, "x", N, chunked(CHUNK), true);
  H5Fclose(other);
  H5Lcreate_external(under("other.h5"), "/x", file, "g/x", H5P_DEFAULT, H5P_DEFAULT);
}

static void external_group(hid_t file) {
  hid_t other = H5Fcreate(under("other.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  add(other, "x", N, chunked(CHUNK), true);
  H5Fclose(other);
  H5Ldelete(file, "g", H5P_DEFAULT);
  H5Lcreate_external(under("other.h5"), "/", file, "g", H5P_DEFAULT, H5P_DEFAULT);
}

static void external_storage(hid_t file) {
  hid_t how = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_external(how, "/etc/passwd", 0, 100);
  add(file, "g/x", 25, how, false);
}

static void virtual_set(hid_t file) {
  hsize_t n = N;
  hid_t how = H5Pcreate(H5P_DATASET_CREATE), space = H5Screate_simple(1, &n, NULL);
  assert_true(H5Pset_virtual(how, space, under("other.h5"), "/x", space) >= 0);
  H5Sclose(space);
  add(file, "g/x", N, how, false);
}

static void never_written(hid_t file) { add(file, "g/x", N, chunked(CHUNK), false); }
static void vast(hid_t file) { add(file, "g/x", 1ULL << 45, chunked(1 << 16), false); }
static void vast_chunks(hid_t file) { add(file, "g/x", 1ULL << 45, chunked(1 << 25), false); }

static void partly_written(hid_t file) {
  hsize_t n = N, begin = 0, count = CHUNK;
  static const int32_t values[CHUNK];
  add(file, "g/x", N, chunked(CHUNK), false);
  hid_t set = H5Dopen2(file, "g/x", H5P_DEFAULT), disk = H5Screate_simple(1, &n, NULL),
        memory = H5Screate_simple(1, &count, NULL);
  H5Sselect_hyperslab(disk, H5S_SELECT_SET, &begin, NULL, &count, NULL);
  assert_true(H5Dwrite(set, H5T_NATIVE_INT32, memory, disk, H5P_DEFAULT, values) >= 0);
  H5Sclose(memory);
  H5Sclose(disk);
  H5Dclose(set);
}

static void unchecked(hid_t file) {
  hsize_t chunk = CHUNK;
  hid_t how = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(how, 1, &chunk);
  add(file, "g/x", N, how, true);
}

static void shuffled(hid_t file) {
  hid_t how = chunked(CHUNK);
  H5Pset_shuffle(how);
  add(file, "g/x", N, how, true);
}

static void unknown_filter(hid_t file) {
  hsize_t chunk = CHUNK;
  hid_t how = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(how, 1, &chunk);
  H5Pset_filter(how, 333, H5Z_FLAG_OPTIONAL, 0, NULL);
  add(file, "g/x", N, how, true);
}

static void unchecked_edge(hid_t file) {
  hid_t how = chunked(CHUNK);
  H5Pset_chunk_opts(how, H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS);
  add(file, "g/x", N, how, true);
}

static void scalar(hid_t file) {
  hid_t space = H5Screate(H5S_SCALAR);
  hid_t set = H5Dcreate2(file, "g/x", H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  H5Dclose(set);
  H5Sclose(space);
}

static void a_group(hid_t file) {
  H5Gclose(H5Gcreate2(file, "g/x", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}

static void nothing(hid_t file) { (void)file; }

static const maker makers[] = {
    {NULL, good},
    {NULL, no_elements},
    {"'g/x' is not cut into chunks", contiguous},
    {"'g/x' is a soft link, which points elsewhere", soft_link},
    {"'g/x' is an external link, which points elsewhere", external_link},
    {"'g' is an external link, which points elsewhere", external_group},
    {"'g/x' keeps its elements in another file", external_storage},
    {"'g/x' keeps its elements in another file", virtual_set},
    {"'g/x' promises 1000 elements, the file holds fewer", never_written},
    {"'g/x' promises 1000 elements, the file holds fewer", partly_written},
    {"'g/x' promises 35184372088832 elements, the file holds fewer", vast},
    {"'g/x' promises 35184372088832 elements, the file holds fewer", vast_chunks},
    {"'g/x' carries no fletcher32 checksum", unchecked},
    {"'g/x' passes through a filter that is not fletcher32", shuffled},
    {"'g/x' passes through a filter that is not fletcher32", unknown_filter},
    {"'g/x' has chunks without a fletcher32 checksum", unchecked_edge},
    {"'g/x' has a shape that this program does not read", scalar},
    {"data set 'g/x': ", a_group},
    {"data set 'g/x' is missing", nothing},
};

static void test_kinds(void **state) {
  for (size_t i = 0; i < sizeof makers / sizeof *makers; i++) {
    const char *path = under("kinds.h5");
    uint64_t bytes = 0;
    cz_h5_set set;
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    H5Gclose(H5Gcreate2(file, "g", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    makers[i].make(file);
    H5Fclose(file);
    H5Pclose(access);
    OK(cz_h5_open(&file, &bytes, path));
    struct stat s;
    assert_true(stat(path, &s) == 0 && (uint64_t)s.st_size == bytes);
    if (makers[i].message)
      FAILS(cz_h5_open_set(&set, file, bytes, path, "g/x"), CZ_ECORRUPT, makers[i].message);
    else
      OK(cz_h5_open_set(&set, file, bytes, path, "g/x"));
    if (set.id >= 0) H5Dclose(set.id);
    H5Fclose(file);
  }
  assert_int_equal(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL), 0);
}

static void make_good(const char *path) {
  hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(file);
}

/* Another process holds a lock, or the mount has none: reading does not ask. */
static void test_locked(void **state) {
  const char *path = under("locked.h5");
  int ready[2], done[2];
  char byte = 0;
  hid_t file;
  uint64_t bytes;
  make_good(path);
  assert_true(pipe(ready) == 0 && pipe(done) == 0);
  pid_t child = fork();
  if (child == 0) {
    int fd = open(path, O_RDWR);
    bool held = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (write(ready[1], &held, 1) != 1 || read(done[0], &byte, 1) != 1) _exit(2);
    _exit(held ? 0 : 1);
  }
  assert_int_equal(read(ready[0], &byte, 1), 1);
  cz_status st = cz_h5_open(&file, &bytes, path);
  assert_int_equal(write(done[1], &byte, 1), 1);
  int status;
  waitpid(child, &status, 0);
  assert_int_equal(status, 0);
  OK(st);
  H5Fclose(file);
}

/* A missing permission, a missing file, and what is no file are called that. As root every
 * file may be read, so a child that is nobody tries. */
static void test_refused(void **state) {
  hid_t file;
  uint64_t bytes;
  const char *path = under("secret.h5");
  make_good(path);
  assert_true(chmod(folder(), 0755) == 0 && chmod(path, 0) == 0);
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    if (geteuid() == 0 && (setgid(65534) || setuid(65534))) _exit(3);
    cz_status st = cz_h5_open(&file, &bytes, path);
    bool said = strstr(cz_error_message(), "secret.h5: Permission denied") != NULL;
    if (!said) fprintf(stderr, "said: %s\n", cz_error_message());
    _exit(st == CZ_EIO && said ? 0 : 1);
  }
  int status;
  waitpid(child, &status, 0);
  assert_int_equal(status, 0);
  FAILS(cz_h5_open(&file, &bytes, under("none.h5")), CZ_EIO, "none.h5: No such file");
  FAILS(cz_h5_open(&file, &bytes, folder()), CZ_EINVAL, "is a folder, not a regular file");
  assert_int_equal(mkfifo(under("fifo.h5"), 0600), 0);
  FAILS(cz_h5_open(&file, &bytes, under("fifo.h5")), CZ_EINVAL, "is a FIFO, not a regular file");
  FAILS(cz_h5_open(&file, &bytes, write_text("text.h5", "no HDF5")), CZ_ECORRUPT,
        "text.h5: not a whole HDF5 file: ");
}

int main(void) {
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds), cmocka_unit_test(test_locked),
                                     cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}

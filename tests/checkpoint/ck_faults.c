/* What a checkpoint must survive: a kill at any instant of a save, flipped bits, lost
 * ends, a full disk, and saves on top of damage. */
#define _GNU_SOURCE /* unshare */
#include "ck_test.h"

#include "base/clock.h"
#include "base/log.h"

#include <hdf5.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void pause_us(uint64_t us) {
  struct timespec t = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
  nanosleep(&t, NULL);
}

static int64_t load_newest(const char *folder) {
  cz_checkpoint *c;
  int64_t step;
  OK(cz_checkpoint_open(&c, folder));
  OK(load_state(c, &step));
  cz_checkpoint_close(&c);
  return step;
}

/* Saves step after step from FIRST on and reports each that is committed, until it is
 * killed. */
static void save_until_killed(const char *folder, int64_t first, int report) {
  for (int64_t step = first;; step++) {
    if (save_state(folder, step) != CZ_OK) _exit(3);
    if (write(report, &step, sizeof step) != sizeof step) _exit(4);
  }
}

void test_kill(void **state) {
  const char *folder = under("kill");
  int64_t committed = 0, found;
  cz_stream r;
  cz_stream_init(&r, test_seed(), "kill", 0, 0);
  fresh_folder(folder);
  double began = cz_seconds();
  OK(save_state(folder, committed));
  uint64_t three_saves = (uint64_t)(3e6 * (cz_seconds() - began)) + 1; /* us */
  for (int round = 0; round < 20; round++) {
    int report[2], how;
    assert_int_equal(pipe(report), 0);
    pid_t child = fork();
    if (child == 0) save_until_killed(folder, committed + 1, report[1]);
    close(report[1]);
    assert_int_equal(read(report[0], &committed, sizeof committed),
                     sizeof committed); /* it saves now */
    pause_us(cz_stream_below(&r, three_saves));
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
    while (read(report[0], &found, sizeof found) == sizeof found) committed = found;
    close(report[0]);
    found = load_newest(folder);
    assert_in_range(found, committed, committed + 1); /* nothing that was committed is lost */
    committed = found;
  }
}

void test_bit_flips(void **state) {
  const char *path = under("flips/checkpoint.h5");
  cz_buf whole = {0};
  int harmless = 0;
  int64_t step;
  cz_stream r;
  cz_stream_init(&r, test_seed(), "flips", 0, 0);
  fresh_folder(under("flips"));
  OK(save_state(under("flips"), 5));
  slurp(&whole, path);
  for (int k = 0; k < 260; k++) {
    uint64_t range =
        k < 200 ? whole.len
        : k < 230
            ? 4096
            : 1; /* the last: the metadata in front; then runs of zeros at the end of the data */
    size_t at = cz_stream_below(&r, range), n = k < 230 ? 1 : 512;
    if (k >= 230) at = whole.len - 512 - cz_stream_below(&r, whole.len - 1024);
    char kept[512];
    memcpy(kept, whole.data + at, n);
    if (n == 1)
      whole.data[at] ^= (char)(1 << cz_stream_below(&r, 8));
    else
      memset(whole.data + at, 0, n);
    write_bytes(path, whole.data, whole.len);
    cz_checkpoint *c = NULL;
    cz_status st = cz_checkpoint_open_file(&c, path);
    if (st == CZ_OK) {
      OK(load_state(c, &step)); /* whatever can still be opened gives the true values */
      assert_int_equal(step, 5);
      harmless++;
    } else {
      assert_int_equal(st, CZ_ECORRUPT);
      assert_non_null(strstr(cz_error_message(), "flips/checkpoint.h5"));
    }
    cz_checkpoint_close(&c);
    memcpy(whole.data + at, kept, n);
  }
  assert_in_range(harmless, 0, 100); /* unused bytes exist, but most of the file is data */
  cz_buf_free(&whole);
}

/* Fletcher-32 is a sum modulo 65535, so it takes a 16-bit word 0000 for FFFF. Such changes
 * of words are found by the hash, and so are many of them. */
void test_unseen_by_fletcher(void **state) {
  enum { ZEROS = 50000 };
  static float zeros[ZEROS], back[ZEROS];
  static const char none[288];
  const char *path = under("words/checkpoint.h5");
  const int64_t n = ZEROS;
  cz_checkpoint_writer *w;
  cz_buf whole = {0};
  int found = 0;
  cz_stream r;
  cz_stream_init(&r, test_seed(), "words", 0, 0);
  for (int i = 0; i < ZEROS; i += 100) zeros[i] = 1; /* a sum of 0 alone is told from 65535 */
  fresh_folder(under("words"));
  OK(cz_checkpoint_begin(&w, under("words"), 1, 0));
  OK(cz_checkpoint_put(w, "zeros", CZ_CHECKPOINT_F32, zeros, &n, 1));
  OK(cz_checkpoint_commit(&w));
  slurp(&whole, path);
  for (int k = 0; k < 120; k++) {
    size_t size = k < 60 ? 2 : 288, /* bytes; 288: as a flash page was seen to lose */
        at = cz_stream_below(&r, (whole.len - size) / 2) * 2;
    char kept[288];
    memcpy(kept, whole.data + at, size);
    if (memcmp(kept, none, size) != 0) continue;
    memset(whole.data + at, 0xFF, size);
    write_bytes(path, whole.data, whole.len);
    cz_checkpoint *c = NULL;
    if (cz_checkpoint_open_file(&c, path) == CZ_OK) { /* a byte that stores nothing */
      OK(cz_checkpoint_get(c, back, "zeros", CZ_CHECKPOINT_F32, &n, 1));
      assert_memory_equal(back, zeros, sizeof zeros);
    } else {
      found += strstr(cz_error_message(), "'zeros': its elements were changed: hash ") != NULL;
    }
    cz_checkpoint_close(&c);
    memcpy(whole.data + at, kept, size);
  }
  assert_true(found > 30);
  cz_buf_free(&whole);
}

/* A file that was made to be read for ever, and entries that lie elsewhere (all kinds:
 * tests/tensor/test_h5.c). The good file is edited with HDF5 itself. */
void test_made_up(void **state) {
  const char *path = under("made/checkpoint.h5");
  const hsize_t vast = 1ULL << 45, chunk = 1 << 16;
  cz_checkpoint *c = NULL;
  fresh_folder(under("made"));
  OK(save_state(under("made"), 1));
  hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), how = H5Pcreate(H5P_DATASET_CREATE),
        space = H5Screate_simple(1, &vast, NULL);
  H5Pset_chunk(how, 1, &chunk);
  H5Pset_fletcher32(how);
  hid_t set = H5Dcreate2(file, "more", H5T_IEEE_F32LE, space, H5P_DEFAULT, how, H5P_DEFAULT);
  assert_true(set >= 0);
  H5Dclose(set);
  H5Sclose(space);
  H5Pclose(how);
  H5Fclose(file);
  FAILS(cz_checkpoint_open_file(&c, path), CZ_ECORRUPT,
        "'more' promises 35184372088832 elements, the file holds fewer");
  OK(save_state(under("made"), 1));
  file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
  H5Lcreate_soft("/loss", file, "again", H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(file);
  FAILS(cz_checkpoint_open_file(&c, path), CZ_ECORRUPT, "'again' is a soft link");
  OK(save_state(under("made"), 1));
  file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT); /* one entry under another one's name */
  H5Lmove(file, "step", file, "stop", H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(file);
  FAILS(cz_checkpoint_open_file(&c, path), CZ_ECORRUPT, "'stop': its elements were changed");
  assert_null(c);
}

void test_truncations(void **state) {
  const char *path = under("cut/checkpoint.h5");
  cz_buf whole = {0};
  cz_stream r;
  cz_stream_init(&r, test_seed(), "cut", 0, 0);
  fresh_folder(under("cut"));
  OK(save_state(under("cut"), 5));
  slurp(&whole, path);
  for (int k = 0; k < 40; k++) {
    cz_checkpoint *c = NULL;
    write_bytes(path, whole.data, k ? cz_stream_below(&r, whole.len) : whole.len - 1);
    FAILS(cz_checkpoint_open_file(&c, path), CZ_ECORRUPT, "cut/checkpoint.h5");
    assert_null(c);
  }
  cz_buf_free(&whole);
}

static void damage(const char *path) {
  cz_buf whole = {0};
  slurp(&whole, path);
  whole.data[whole.len / 2] ^= 4;
  write_bytes(path, whole.data, whole.len);
  cz_buf_free(&whole);
}

void test_fallback(void **state) {
  const char *folder = under("fall"), *newest = under("fall/checkpoint.h5"),
             *previous = under("fall/checkpoint.prev.h5");
  cz_checkpoint *c = NULL;
  cz_buf said = {0};
  fresh_folder(folder);
  OK(save_state(folder, 1));
  assert_false(cz_fs_exists(previous));
  OK(save_state(folder, 2));
  assert_int_equal(load_newest(folder), 2);
  damage(newest);
  OK(cz_log_open(under("fall.log")));
  cz_log_quiet(true);
  assert_int_equal(load_newest(folder), 1);
  cz_log_quiet(false);
  cz_log_close();
  slurp(&said, under("fall.log"));
  assert_non_null(strstr(said.data, "warning: "));
  assert_non_null(strstr(said.data, "Fletcher32"));
  assert_non_null(strstr(said.data, "going on from"));
  OK(save_state(folder, 3)); /* on top of the damage */
  assert_int_equal(load_newest(folder), 3);
  write_bytes(under("fall/checkpoint.h5.tmp"), "left by a kill", 14);
  write_bytes(under("fall/checkpoint.prev.h5.tmp"), "left by a kill", 14);
  OK(save_state(folder, 4));
  assert_false(cz_fs_exists(under("fall/checkpoint.h5.tmp")) ||
               cz_fs_exists(under("fall/checkpoint.prev.h5.tmp")));
  assert_int_equal(unlink(under("fall/checkpoint.h5")), 0);
  assert_int_equal(load_newest(folder), 3);
  damage(under("fall/checkpoint.prev.h5"));
  write_bytes(under("fall/checkpoint.h5"), "", 0);
  FAILS(cz_checkpoint_open(&c, under("fall")), CZ_ECORRUPT, "fall/checkpoint.h5: ");
  assert_non_null(strstr(cz_error_message(), "fall/checkpoint.prev.h5: "));
  assert_null(c);
  cz_buf_free(&said);
}

void test_full(void **state) {
  const char *folder = under("full");
  struct rlimit old, tight;
  cz_checkpoint_writer *w = NULL;
  fresh_folder(folder);
  OK(save_state(folder, 1));
  FAILS(cz_checkpoint_begin(&w, folder, 1, UINT64_MAX / 2), CZ_EIO, "MB free");
  FAILS(cz_checkpoint_begin(&w, folder, 1, UINT64_MAX), CZ_EIO, "MB free");
  assert_null(w);
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &old);
  for (rlim_t limit = 100; limit < 1200000; limit = limit * 5 / 2) {
    tight = (struct rlimit){limit, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight);
    cz_status st = save_state(folder, 2);
    char message[600];
    snprintf(message, sizeof message, "%s", cz_error_message());
    setrlimit(RLIMIT_FSIZE, &old);
    if (st != CZ_EIO || !strstr(message, "File too large") ||
        !strstr(message, "full/checkpoint.h5: "))
      fail_msg("at %d: %s", (int)limit, message);
    assert_false(cz_fs_exists(under("full/checkpoint.h5.tmp")));
    assert_int_equal(load_newest(under("full")), 1);
  }
  OK(save_state(under("full"), 2));
  assert_int_equal(load_newest(under("full")), 2);
}

/* A real disk of 4 MB, in a mount namespace of this process. */
void test_small_disk(void **state) {
  const char *folder = under("tmpfs");
  const int64_t n = 400000;
  cz_checkpoint_writer *w = NULL;
  float *large = calloc((size_t)n, sizeof *large);
  fresh_folder(folder);
  if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
      mount("none", folder, "tmpfs", 0, "size=4m")) {
    free(large);
    print_message("mount is not allowed here\n");
    skip();
  }
  OK(save_state(folder, 1));
  write_bytes(under("tmpfs/filler"), large, 4 * (size_t)n);
  FAILS(save_state(folder, 2), CZ_EIO, "MB free"); /* said before anything is written */
  OK(cz_checkpoint_begin(&w, folder, 77, 0));      /* as if the disk had filled up since */
  FAILS(cz_checkpoint_put(w, "large", CZ_CHECKPOINT_F32, large, &n, 1), CZ_EIO,
        "No space left on device");
  cz_checkpoint_discard(&w);
  assert_false(cz_fs_exists(under("tmpfs/checkpoint.h5.tmp")));
  assert_int_equal(load_newest(folder), 1);
  assert_int_equal(unlink(under("tmpfs/filler")), 0);
  OK(save_state(folder, 2));
  assert_int_equal(load_newest(folder), 2);
  assert_int_equal(umount(folder), 0);
  free(large);
}

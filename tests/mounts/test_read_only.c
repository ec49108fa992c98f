/* A corpus and a checkpoint are read where nothing can be written: in a folder without the
 * permission, and with the argument `mount` on a read-only tmpfs in a namespace of this
 * process. HDF5 wants a lock, or a file of its own beside the one that it opens, only when it
 * is told so. Exit code 77: mounts are not allowed here. */
#define _GNU_SOURCE
#include "checkpoint/checkpoint.h"
#include "common/common.h"
#include "data/reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DOCUMENTS = 50, WORDS = 40, STEP = 12, SKIPPED = 77 };

static const float weights[6] = {1, -2, 3.5f, 0, 5e-20f, 7};

/* In under("files"): corpus.h5 and checkpoint.h5. */
static void write_files(void) {
  const int64_t dims[] = {2, 3};
  cz_corpus_writer *corpus;
  cz_checkpoint_writer *checkpoint;
  int32_t ids[WORDS];
  OK(cz_corpus_create(&corpus, under("files/corpus.h5"),
                      (cz_corpus_vocabulary){.hash = 7, .size = 10000}));
  for (int32_t d = 0; d < DOCUMENTS; d++) {
    for (int32_t i = 0; i < WORDS; i++) ids[i] = d * WORDS + i;
    OK(cz_corpus_add(corpus, &(cz_ids){.data = ids, .len = WORDS}));
  }
  OK(cz_corpus_commit(&corpus, NULL));
  OK(cz_checkpoint_begin(&checkpoint, under("files"), 77, 0));
  OK(cz_checkpoint_put(checkpoint, "parameters/w", CZ_CHECKPOINT_F32, weights, dims, 2));
  OK(cz_checkpoint_put_int(checkpoint, "step", STEP));
  OK(cz_checkpoint_commit(&checkpoint));
}

static int count_files(void) {
  int n = 0;
  DIR *d = opendir(under("files"));
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
  closedir(d);
  return n;
}

/* Nothing can be written here, or the test would show nothing. */
static void assert_refused(int wanted) {
  int fd = open(under("files/new"), O_WRONLY | O_CREAT, 0644);
  if (fd >= 0 || errno != wanted)
    fail_msg("a file could be made, or another reason than %s: %s", strerror(wanted),
             strerror(errno));
  assert_true(open(under("files/corpus.h5"), O_RDWR) < 0 && errno == wanted);
}

static void read_corpus(void) {
  cz_reader *r;
  cz_ids ids = {0};
  OK(cz_reader_open(&r, under("files/corpus.h5"), NULL));
  OK(cz_reader_verify(r));
  assert_int_equal(cz_reader_about(r)->documents, DOCUMENTS);
  for (int64_t d = 0; d < DOCUMENTS; d++) OK(cz_reader_append(r, &ids, d, 0, WORDS));
  for (int64_t i = 0; i < DOCUMENTS * WORDS; i++) assert_int_equal(ids.data[i], i);
  free(ids.data);
  cz_reader_close(&r);
}

static void read_checkpoint(void) {
  const int64_t dims[] = {2, 3};
  cz_checkpoint *c;
  int64_t step;
  float found[6];
  OK(cz_checkpoint_open(&c, under("files")));
  OK(cz_checkpoint_check_config(c, 77));
  OK(cz_checkpoint_get_int(c, &step, "step"));
  OK(cz_checkpoint_get(c, found, "parameters/w", CZ_CHECKPOINT_F32, dims, 2));
  assert_int_equal(step, STEP);
  assert_memory_equal(found, weights, sizeof found);
  cz_checkpoint_close(&c);
}

static void read_all(int wanted) {
  assert_refused(wanted);
  read_corpus();
  read_checkpoint();
  assert_int_equal(count_files(), 2);
}

/* Root may write everywhere, so somebody else reads: where there is somebody else, who reaches the
 * folder. */
static bool become_reader(void) {
  if (geteuid() == 0 && (setgid(65534) || setuid(65534))) return false;
  return access(under("files/corpus.h5"), R_OK) == 0;
}

static void read_only_folder(void **state) {
  int status;
  assert_int_equal(mkdir(under("files"), 0755), 0);
  write_files();
  assert_int_equal(chmod(folder(), 0755), 0);
  assert_int_equal(chmod(under("files/corpus.h5"), 0444), 0);
  assert_int_equal(chmod(under("files/checkpoint.h5"), 0444), 0);
  assert_int_equal(chmod(under("files"), 0555), 0);
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    if (!become_reader()) _exit(SKIPPED);
    read_all(EACCES);
    _exit(0);
  }
  waitpid(child, &status, 0);
  assert_int_equal(chmod(under("files"), 0755), 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
    print_message("no other user, or none who reaches %s\n", folder());
    skip();
  }
  assert_int_equal(status, 0);
}

static void write_line(const char *path, const char *text) {
  int fd = open(path, O_WRONLY);
  if (fd >= 0 && write(fd, text, strlen(text)) < 0) perror(path);
  if (fd >= 0) close(fd);
}

/* A mount namespace; for a user who is not root within a user namespace, where he is. */
static bool enter_namespace(void) {
  char map[64];
  if (geteuid() == 0) return !unshare(CLONE_NEWNS);
  const int uid = (int)geteuid(), gid = (int)getegid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS)) return false;
  snprintf(map, sizeof map, "0 %d 1", uid);
  write_line("/proc/self/uid_map", map);
  write_line("/proc/self/setgroups", "deny");
  snprintf(map, sizeof map, "0 %d 1", gid);
  write_line("/proc/self/gid_map", map);
  return true;
}

/* Where a tmpfs may be mounted, it is there, at under("files"), and no other process sees it. */
static bool mount_tmpfs(void) {
  assert_int_equal(mkdir(under("files"), 0755), 0);
  if (enter_namespace() && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
      !mount("none", under("files"), "tmpfs", 0, "size=16m"))
    return true;
  printf("skipped: no tmpfs can be mounted here: %s\n", strerror(errno));
  return false;
}

static void test_mount(void **state) {
  write_files();
  assert_int_equal(mount("none", under("files"), "tmpfs", MS_REMOUNT | MS_RDONLY, NULL), 0);
  read_all(EROFS);
  assert_int_equal(umount(under("files")), 0);
}

int main(int argc, char **argv) {
  const struct CMUnitTest folders[] = {
      cmocka_unit_test_setup_teardown(read_only_folder, make_folder, drop_folder)};
  const struct CMUnitTest mounts[] = {cmocka_unit_test(test_mount)};
  if (argc < 2) return cmocka_run_group_tests(folders, NULL, NULL);
  if (strcmp(argv[1], "mount") || make_folder(NULL)) return 2;
  int failed = mount_tmpfs() ? cmocka_run_group_tests(mounts, NULL, NULL) : SKIPPED;
  drop_folder(NULL);
  return failed;
}

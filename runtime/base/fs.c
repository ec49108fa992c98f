#include "base/fs.h"
#include "base/log.h"
#include "base/stop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* CZ_EINVAL for what is no regular file, of the state S. */
static cz_status expect_regular(const struct stat *s, const char *path) {
  if (S_ISREG(s->st_mode)) return CZ_OK;
  return CZ_FAIL(CZ_EINVAL, "%s: is %s, not a regular file", path,
                 S_ISDIR(s->st_mode)    ? "a folder"
                 : S_ISFIFO(s->st_mode) ? "a FIFO"
                 : S_ISSOCK(s->st_mode) ? "a socket"
                                        : "a device");
}

/* What a repository holds in place of a large file that was not fetched. */
static cz_status expect_fetched(int file, const char *path) {
  static const char pointer[] = "version https://git-lfs.github.com/";
  char head[sizeof pointer - 1];
  if (pread(file, head, sizeof head, 0) != (ssize_t)sizeof head ||
      memcmp(head, pointer, sizeof head))
    return CZ_OK;
  return CZ_FAIL(CZ_EINVAL,
                 "%s: a Git LFS pointer, not the file itself: fetch it with `git lfs pull`", path);
}

/** Opens the existing file PATH for reading and gives its size in BYTES unless that is
 * null. CZ_EIO with the system's reason (missing, no permission); CZ_EINVAL for a folder, a
 * FIFO, a socket or a device, which are refused before anything waits for them, and for the
 * pointer that Git LFS leaves in place of a file. The caller closes *FD. */
cz_status cz_fs_open_regular(int *fd, uint64_t *bytes, const char *path) {
  struct stat s;
  *fd = -1;
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO without a writer blocks */
  if (file < 0) return CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno));
  cz_status st = CZ_OK;
  if (fstat(file, &s))
    st = CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno));
  else
    st = expect_regular(&s, path);
  if (st == CZ_OK) st = expect_fetched(file, path);
  if (st != CZ_OK) {
    close(file);
    return st;
  }
  if (bytes) *bytes = (uint64_t)s.st_size;
  *fd = file;
  return CZ_OK;
}

/** Opens the existing file PATH as a stream for reading, under the same rules. The caller
 * closes *FILE. */
cz_status cz_fs_open_stream(FILE **file, const char *path) {
  int fd;
  *file = NULL;
  CZ_TRY(cz_fs_open_regular(&fd, NULL, path));
  if ((*file = fdopen(fd, "rb"))) return CZ_OK;
  cz_status st = CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno));
  close(fd);
  return st;
}

/** Opens PATH for appending, created when missing. CZ_EIO with the system's reason; CZ_EINVAL for
 * what is no regular file: a FIFO without a reader would block for ever. The caller closes *FD. */
cz_status cz_fs_open_append(int *fd, const char *path) {
  struct stat s;
  *fd = -1;
  if (stat(path, &s) == 0) CZ_TRY(expect_regular(&s, path));
  int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644);
  if (file < 0) return CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno));
  *fd = file;
  return CZ_OK;
}

/** Appends the whole file at PATH to OUT. CZ_EIO with the system's reason when it can't
 * be read; CZ_EINVAL when it is no regular file, or larger than MAX_READ, since what is
 * read at once is text that somebody wrote. CZ_EINTERRUPT when a stop is requested; a file below
 * CZ_FS_SMALL is still read, since it may be needed to end in order. */
cz_status cz_fs_read(const char *path, cz_buf *out) {
  static const uint64_t MAX_READ = 8ULL << 30;
  uint64_t bytes;
  int fd;
  CZ_TRY(cz_fs_open_regular(&fd, &bytes, path));
  cz_status st = CZ_OK;
  char chunk[1 << 16];
  if (bytes > MAX_READ)
    st = CZ_FAIL(CZ_EINVAL, "%s: %llu bytes are too many to read at once (%llu)", path,
                 (unsigned long long)bytes, (unsigned long long)MAX_READ);
  while (st == CZ_OK) {
    ssize_t n = read(fd, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) st = CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno));
    if (bytes > CZ_FS_SMALL && (st = cz_stop_check(path)) != CZ_OK) break;
    if (n <= 0 || (st = cz_buf_add(out, chunk, (size_t)n)) != CZ_OK) break;
  }
  close(fd);
  return st;
}

/** Writes all N bytes to the open file FD; PATH is for the message. CZ_EIO with the
 * system's reason (disk full, limit). */
cz_status cz_fs_write_fd(int fd, const char *path, const char *bytes, size_t n) {
  while (n) {
    ssize_t k = write(fd, bytes, n);
    if (k < 0 && errno == EINTR) continue;
    if (k < 0) return CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno));
    bytes += k;
    n -= (size_t)k;
  }
  return CZ_OK;
}

static cz_status sync_path(const char *path, int flags) {
  int fd = open(path, flags | O_CLOEXEC);
  if (fd < 0) return CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno));
  int bad = fsync(fd), why = errno;
  close(fd);
  return bad && why != EINVAL ? CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(why)) : CZ_OK;
}

/** Makes the finished file TEMPORARY durable and renames it to PATH, in the same folder:
 * after this call PATH is whole, even across a power cut. */
cz_status cz_fs_commit(const char *temporary, const char *path) {
  CZ_TRY(sync_path(temporary, O_RDONLY));
  if (rename(temporary, path))
    return CZ_FAIL(CZ_EIO, "%s -> %s: %s", temporary, path, strerror(errno));
  char folder[4096];
  snprintf(folder, sizeof folder, "%s", path);
  char *slash = strrchr(folder, '/');
  if (slash == folder) slash++;
  if (slash) *slash = '\0';
  return sync_path(slash ? folder : ".", O_RDONLY | O_DIRECTORY);
}

/** The name beside PATH under which a file is written before it is moved to PATH, into
 * OUT of N bytes. CZ_EINVAL when it does not fit. */
cz_status cz_fs_aside(char *out, size_t n, const char *path) {
  int k = snprintf(out, n, "%s.tmp", path);
  return k < 0 || (size_t)k >= n ? CZ_FAIL(CZ_EINVAL, "path too long: %s", path) : CZ_OK;
}

/* Whether flock failed with ERROR because the file system keeps no locks, as some network and
 * FUSE mounts do: work goes on there without. */
static bool keeps_no_locks(int error) {
  return error == ENOLCK || error == EOPNOTSUPP || error == ENOSYS;
}

/** Opens TEMPORARY, the name beside PATH (cz_fs_aside), empty and for this process alone
 * until *FD, -1 on failure, is closed. What a killed process left there is used again.
 * CZ_EBUSY when another process is writing, as far as the file system keeps locks. CZ_EINVAL when
 * PATH is no regular file: renaming would replace a FIFO or a device by a file. */
cz_status cz_fs_open_aside(int *fd, const char *temporary, const char *path) {
  struct stat held, there;
  *fd = -1;
  if (stat(path, &there) == 0) CZ_TRY(expect_regular(&there, path));
  if (stat(temporary, &there) == 0) CZ_TRY(expect_regular(&there, temporary));
  int file = open(temporary, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) return CZ_FAIL(CZ_EIO, "%s: %s", temporary, strerror(errno));
  cz_status st = CZ_OK;
  int refused = flock(file, LOCK_EX | LOCK_NB) ? errno : 0;
  if (keeps_no_locks(refused)) refused = 0;
  if (refused && refused != EWOULDBLOCK)
    st = CZ_FAIL(CZ_EIO, "%s: can't be locked: %s", temporary, strerror(refused));
  else if (refused || fstat(file, &held) || stat(temporary, &there) || held.st_ino != there.st_ino)
    st = CZ_FAIL(CZ_EBUSY, "%s: another process is writing this file",
                 path); /* or has just renamed what was opened */
  else if (ftruncate(file, 0))
    st = CZ_FAIL(CZ_EIO, "%s: %s", temporary, strerror(errno));
  if (st == CZ_OK)
    *fd = file;
  else
    close(file);
  return st;
}

/** Writes N bytes beside PATH, syncs and renames: a reader sees the old file or the new
 * one, never a part. CZ_EBUSY when another process does so. */
cz_status cz_fs_write_atomic(const char *path, const void *bytes, size_t n) {
  char temporary[4096];
  int fd;
  CZ_TRY(cz_fs_aside(temporary, sizeof temporary, path));
  CZ_TRY(cz_fs_open_aside(&fd, temporary, path));
  cz_status st = cz_fs_write_fd(fd, temporary, bytes, n);
  if (st == CZ_OK) st = cz_fs_commit(temporary, path);
  if (st != CZ_OK) unlink(temporary);
  if (close(fd) && st == CZ_OK) st = CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno));
  return st;
}

/** Copies the file FROM, of text, to TO under the rules of cz_fs_read and cz_fs_write_atomic. */
cz_status cz_fs_copy(const char *from, const char *to) {
  cz_buf text = {0};
  cz_status st = cz_fs_read(from, &text);
  if (st == CZ_OK) st = cz_fs_write_atomic(to, text.data, text.len);
  cz_buf_free(&text);
  return st;
}

/** Creates the folder PATH and those above it; existing ones are fine. */
cz_status cz_fs_make_dirs(const char *path) {
  char p[4096];
  if (snprintf(p, sizeof p, "%s", path) >= (int)sizeof p)
    return CZ_FAIL(CZ_EINVAL, "path too long: %s", path);
  for (char *s = p + 1;; s++) {
    if (*s != '/' && *s != '\0') continue;
    char keep = *s;
    *s = '\0';
    if (mkdir(p, 0777) && errno != EEXIST) return CZ_FAIL(CZ_EIO, "%s: %s", p, strerror(errno));
    *s = keep;
    if (!keep) break;
  }
  return cz_fs_is_dir(path) ? CZ_OK : CZ_FAIL(CZ_EIO, "%s: exists and is not a folder", path);
}

/** How many entries the folder PATH has; 0 when it is none. CZ_EIO when it can't be
 * read. */
cz_status cz_fs_count_entries(size_t *n, const char *path) {
  *n = 0;
  DIR *folder = opendir(path);
  if (!folder)
    return errno == ENOENT || errno == ENOTDIR ? CZ_OK
                                               : CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno));
  errno = 0; /* readdir says by it alone that it failed */
  for (const struct dirent *e; (e = readdir(folder));)
    *n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
  int failed = errno;
  closedir(folder);
  return failed ? CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(failed)) : CZ_OK;
}

/* Who has the lock, for the message of those who don't get it; a full disk is no reason
 * not to work. */
static void sign_lock(int fd) {
  char host[256] = "", when[32], text[512];
  time_t now = time(NULL);
  struct tm t;
  if (gethostname(host, sizeof host - 1)) return;
  strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", localtime_r(&now, &t));
  int n = snprintf(text, sizeof text, "process %ld on %s, which began at %s\n", (long)getpid(),
                   host, when);
  if (ftruncate(fd, 0) || write(fd, text, (size_t)n) != n) errno = 0;
}

static cz_status refuse_lock(int fd, const char *path) {
  char text[512];
  ssize_t n = read(fd, text, sizeof text - 1);
  text[n > 0 ? n : 0] = '\0';
  text[strcspn(text, "\n")] = '\0';
  return CZ_FAIL(CZ_EBUSY, "%s: another process holds this lock%s%s", path, *text ? ": " : "",
                 text);
}

/** Takes an exclusive lock on the file PATH (created when missing) and keeps it in
 * *HANDLE until cz_fs_unlock or the end of the process, however it ends. CZ_EBUSY when
 * another process holds it, with that process's number, machine and start. On a file system that
 * keeps no locks it warns and goes on: the user sees to it that only one process works there. */
cz_status cz_fs_lock(const char *path, int *handle) {
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno));
  int refused = flock(fd, LOCK_EX | LOCK_NB) ? errno : 0;
  if (keeps_no_locks(refused))
    cz_warn(
        "%s: this file system keeps no locks (%s), so a second process in this folder would not "
        "be noticed",
        path, strerror(refused));
  else if (refused) {
    cz_status st = refused == EWOULDBLOCK ? refuse_lock(fd, path)
                                          : CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(refused));
    close(fd);
    return st;
  }
  sign_lock(fd);
  *handle = fd;
  return CZ_OK;
}

/** Gives the lock back; accepts -1. */
void cz_fs_unlock(int *handle) {
  if (*handle >= 0) close(*handle);
  *handle = -1;
}

/** Bytes that this process may still write on the file system that holds PATH. */
cz_status cz_fs_free_bytes(const char *path, uint64_t *bytes) {
  struct statvfs s;
  if (statvfs(path, &s)) return CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno));
  *bytes = (uint64_t)s.f_bavail * s.f_frsize;
  return CZ_OK;
}

/** CZ_EIO, naming PATH and both numbers of bytes, when the file system that holds PATH has less
 * than BYTES free for WHAT. */
cz_status cz_fs_need_bytes(const char *path, uint64_t bytes, const char *what) {
  uint64_t free_bytes;
  CZ_TRY(cz_fs_free_bytes(path, &free_bytes));
  if (free_bytes >= bytes) return CZ_OK;
  return CZ_FAIL(
      CZ_EIO, "%s: %s needs %.1f MB (%llu bytes) but the disk has only %.1f MB free (%llu bytes)",
      path, what, (double)bytes / 1e6, (unsigned long long)bytes, (double)free_bytes / 1e6,
      (unsigned long long)free_bytes);
}

/** FOLDER/NAME into OUT of N bytes; NAME alone when it is absolute. CZ_EINVAL when it
 * does not fit. */
cz_status cz_fs_join(char *out, size_t n, const char *folder, const char *name) {
  int k = name[0] == '/' || !folder[0] ? snprintf(out, n, "%s", name)
                                       : snprintf(out, n, "%s/%s", folder, name);
  return k < 0 || (size_t)k >= n ? CZ_FAIL(CZ_EINVAL, "path too long: %s/%s", folder, name) : CZ_OK;
}

/** True when PATH names anything. */
bool cz_fs_exists(const char *path) {
  struct stat s;
  return stat(path, &s) == 0;
}

/** True when PATH names a folder. */
bool cz_fs_is_dir(const char *path) {
  struct stat s;
  return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

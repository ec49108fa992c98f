#include "base/new_folder.h"
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* PATH without slashes at its end, and a name beside it that nobody would give a folder, since
 * what is in it may be removed. */
static cz_status set_paths(cz_new_folder *f, const char *path) {
  size_t n = strlen(path);
  while (n > 1 && path[n - 1] == '/') n--;
  if (n == 0) return CZ_FAIL(CZ_EUSAGE, "the folder to write has no name");
  if (n + 16 > sizeof f->path) return CZ_FAIL(CZ_EINVAL, "path too long: %s", path);
  memcpy(f->path, path, n);
  f->path[n] = '\0';
  const char *slash = strrchr(f->path, '/'), *name = slash ? slash + 1 : f->path;
  snprintf(f->aside, sizeof f->aside, "%.*s.%s.cloze-new", (int)(name - f->path), f->path, name);
  return CZ_OK;
}

static cz_status refuse_used(const char *path) {
  size_t entries;
  struct stat s;
  if (lstat(path, &s)) return CZ_OK;
  if (!S_ISDIR(s.st_mode))
    return CZ_FAIL(CZ_EUSAGE, "%s: there is a file of this name, and it is not written over", path);
  CZ_TRY(cz_fs_count_entries(&entries, path));
  return entries ? CZ_FAIL(CZ_EUSAGE,
                           "%s: this folder is not empty, and nothing in it is written over: name "
                           "a new one",
                           path)
                 : CZ_OK;
}

static cz_status make_parents(const char *path) {
  char parent[4096];
  snprintf(parent, sizeof parent, "%s", path);
  char *slash = strrchr(parent, '/');
  if (!slash || slash == parent) return CZ_OK;
  *slash = '\0';
  return cz_fs_make_dirs(parent);
}

/* The lock is on the folder itself, so that none has to be removed later. */
static cz_status lock_aside(cz_new_folder *f) {
  struct stat held, there;
  if (mkdir(f->aside, 0755) && errno != EEXIST)
    return CZ_FAIL(CZ_EIO, "%s: %s", f->aside, strerror(errno));
  f->handle = open(f->aside, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (f->handle < 0) return CZ_FAIL(CZ_EIO, "%s: %s", f->aside, strerror(errno));
  bool refused = flock(f->handle, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
  if (refused || fstat(f->handle, &held) || stat(f->aside, &there) || held.st_ino != there.st_ino)
    return CZ_FAIL(CZ_EBUSY, "%s: another process is writing this folder", f->path);
  return CZ_OK;
}

/* Removes the files in FOLDER, perhaps at the same time as others; false, with errno, when one
 * stays. */
static bool empty(const char *folder) {
  int why = 0;
  DIR *d = opendir(folder);
  if (!d) return false;
  for (const struct dirent *e; (e = readdir(d));)
    if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && unlinkat(dirfd(d), e->d_name, 0) &&
        errno != ENOENT)
      why = errno;
  closedir(d);
  errno = why;
  return why == 0;
}

/** Begins the folder PATH: files are to be written below f->aside. The folders above are made.
 * CZ_EUSAGE when there is a file or a folder with anything in it at PATH, CZ_EBUSY when another
 * process is writing it. Discard F in any case. */
cz_status cz_new_folder_open(cz_new_folder *f, const char *path) {
  f->handle = -1;
  CZ_TRY(set_paths(f, path));
  CZ_TRY(refuse_used(f->path));
  CZ_TRY(make_parents(f->path));
  cz_status st = lock_aside(f);
  if (st == CZ_OK && empty(f->aside)) return CZ_OK;
  if (st == CZ_OK) st = CZ_FAIL(CZ_EIO, "%s: can't be emptied: %s", f->aside, strerror(errno));
  if (f->handle >= 0) close(f->handle); /* another's: not to be removed */
  f->handle = -1;
  return st;
}

/** Gives the folder its name, durably. CZ_EIO with the system's reason, as when somebody has put
 * something there meanwhile. */
cz_status cz_new_folder_commit(cz_new_folder *f) {
  CZ_CHECK(f->handle >= 0);
  CZ_TRY(cz_fs_commit(f->aside, f->path));
  close(f->handle);
  f->handle = -1;
  return CZ_OK;
}

/** Ends F: removes the files that were not committed. Accepts one that was, or that did not
 * open. */
void cz_new_folder_discard(cz_new_folder *f) {
  if (f->handle < 0) return;
  if (empty(f->aside)) rmdir(f->aside);
  close(f->handle);
  f->handle = -1;
}

/** Removes the folder PATH with its files; nothing when it is not there. Several processes may do
 * so at once. CZ_EIO, with the system's reason, when a file stays, as one of a folder below does.
 */
cz_status cz_folder_remove(const char *path) {
  if ((empty(path) && rmdir(path) == 0) || errno == ENOENT) return CZ_OK;
  return CZ_FAIL(CZ_EIO, "%s: can't be removed: %s", path, strerror(errno));
}

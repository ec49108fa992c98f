/* Files: whole reads, writes that are seen complete or not at all, folders, locks. */
#ifndef CZ_BASE_FS_H
#define CZ_BASE_FS_H

#include "base/mem.h"

#include <stdbool.h>
#include <stdio.h>

enum { CZ_FS_SMALL = 4 << 20 }; /* bytes that are read in a moment */

/* Reading. Only regular files are opened: a FIFO or a device named by mistake would
 * block, or never end. What a user's text files hold is read whole; large data have
 * readers of their own (tensor/h5_file.h, checkpoint/safetensors.h). */
CZ_MUST cz_status cz_fs_read(const char *path, cz_buf *out);
CZ_MUST cz_status cz_fs_open_regular(int *fd, uint64_t *bytes, const char *path);
CZ_MUST cz_status cz_fs_open_stream(FILE **file, const char *path);
/* Writing. Nobody ever sees half of a file: bytes go into a name beside the path, are
 * synced, and take the path by a rename, which is atomic within one file system; hence a
 * name beside it. write_atomic does all of it; large files are written through
 * open_aside, write_fd and commit. After a kill at most the name beside remains, and the
 * next writer overwrites it. */
CZ_MUST cz_status cz_fs_open_append(int *fd, const char *path);
CZ_MUST cz_status cz_fs_write_atomic(const char *path, const void *bytes, size_t n);
CZ_MUST cz_status cz_fs_copy(const char *from, const char *to);
CZ_MUST cz_status cz_fs_aside(char *out, size_t n, const char *path);
CZ_MUST cz_status cz_fs_open_aside(int *fd, const char *temporary, const char *path);
CZ_MUST cz_status cz_fs_write_fd(int fd, const char *path, const char *bytes, size_t n);
CZ_MUST cz_status cz_fs_commit(const char *temporary, const char *path);
/* Folders. */
CZ_MUST cz_status cz_fs_make_dirs(const char *path);
CZ_MUST cz_status cz_fs_count_entries(size_t *n, const char *path);
/* One process at a time. The lock belongs to the open file and ends with the process,
 * even when it is killed: no stale lock has to be removed by hand. */
CZ_MUST cz_status cz_fs_lock(const char *path, int *handle);
void cz_fs_unlock(int *handle);
/* Asking before acting: room, names, what is there. The answer may be old when it
 * arrives. */
CZ_MUST cz_status cz_fs_free_bytes(const char *path, uint64_t *bytes);
CZ_MUST cz_status cz_fs_need_bytes(const char *path, uint64_t bytes, const char *what);
CZ_MUST cz_status cz_fs_join(char *out, size_t n, const char *folder, const char *name);
bool cz_fs_exists(const char *path);
bool cz_fs_is_dir(const char *path);

#endif

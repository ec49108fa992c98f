/* Files: whole reads, writes that are seen complete or not at all, folders, locks. */
#ifndef CZ_BASE_FS_H
#define CZ_BASE_FS_H

#include "base/mem.h"

#include <stdbool.h>
#include <stdio.h>

CZ_MUST cz_status cz_fs_read(const char *path, cz_buf *out);
CZ_MUST cz_status cz_fs_open_regular(int *fd, uint64_t *bytes, const char *path);
CZ_MUST cz_status cz_fs_open_stream(FILE **file, const char *path);
CZ_MUST cz_status cz_fs_write_atomic(const char *path, const void *bytes, size_t n);
CZ_MUST cz_status cz_fs_aside(char *out, size_t n, const char *path);
CZ_MUST cz_status cz_fs_open_aside(int *fd, const char *temporary, const char *path);
CZ_MUST cz_status cz_fs_write_fd(int fd, const char *path, const char *bytes, size_t n);
CZ_MUST cz_status cz_fs_commit(const char *temporary, const char *path);
CZ_MUST cz_status cz_fs_make_dirs(const char *path);
CZ_MUST cz_status cz_fs_count_entries(size_t *n, const char *path);
CZ_MUST cz_status cz_fs_lock(const char *path, int *handle);
void cz_fs_unlock(int *handle);
CZ_MUST cz_status cz_fs_free_bytes(const char *path, uint64_t *bytes);
CZ_MUST cz_status cz_fs_join(char *out, size_t n, const char *folder, const char *name);
bool cz_fs_exists(const char *path);
bool cz_fs_is_dir(const char *path);

#endif

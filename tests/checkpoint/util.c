#include "util.h"

#include <dirent.h>
#include <unistd.h>

void fresh_folder(const char *path) {
  OK(cz_fs_make_dirs(path));
  DIR *d = opendir(path);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));) {
    char file[1024];
    snprintf(file, sizeof file, "%s/%s", path, e->d_name);
    unlink(file); /* folders and the two dots refuse */
  }
  closedir(d);
}

void slurp(cz_buf *out, const char *path) {
  out->len = 0;
  OK(cz_fs_read(path, out));
}

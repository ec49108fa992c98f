#include "tensor/h5_file.h"
#include "base/fs.h"
#include "tensor/h5_driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/** Stops HDF5 from printing its errors in this thread; they reach the user inside ours. */
void cz_h5_quiet(void) { H5Eset_auto2(H5E_DEFAULT, NULL, NULL); }

typedef struct reasons {
  const char *inner, *outer;
} reasons;

static herr_t collect(unsigned n, const H5E_error2_t *e, void *context) {
  reasons *r = context;
  if (n == 0) r->inner = e->desc;
  r->outer = e->desc;
  return 0;
}

/** The innermost and outermost description of HDF5's last failure in this thread, into
 * OUT, which it returns. HDF5 forgets it at its next call. */
const char *cz_h5_why(char out[CZ_H5_TEXT]) {
  reasons r = {0};
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, collect, &r);
  if (!r.inner)
    snprintf(out, CZ_H5_TEXT, "HDF5 gave no reason");
  else if (strcmp(r.inner, r.outer) == 0)
    snprintf(out, CZ_H5_TEXT, "%s", r.inner);
  else
    snprintf(out, CZ_H5_TEXT, "%s; %s", r.inner, r.outer);
  return out;
}

/** Opens the file that will be at PATH once cz_h5_commit succeeds; what is at PATH stays
 * until then. CZ_EBUSY when another process is writing it. */
cz_status cz_h5_create(cz_h5_file *f, const char *path) {
  f->id = f->driver = f->held = -1;
  f->error = 0;
  snprintf(f->path, sizeof f->path, "%s", path);
  CZ_TRY(cz_fs_aside(f->temporary, sizeof f->temporary, path));
  cz_h5_quiet();
  CZ_TRY(cz_fs_open_aside(&f->held, f->temporary, path));
  f->id = cz__h5_driver_create(&f->driver, f->temporary,
                               &(cz__h5_target){.fd = f->held, .error = &f->error});
  cz_status st = cz_h5_check(f, f->id >= 0, "the file");
  if (st != CZ_OK) cz_h5_discard(f);
  return st;
}

/** CZ_EIO with the system's reason, or HDF5's when it has none, unless all was GOOD so
 * far. WHAT was being written. Call it before the next call to HDF5, which forgets its
 * reason. */
cz_status cz_h5_check(const cz_h5_file *f, bool good, const char *what) {
  char why[CZ_H5_TEXT];
  if (good && !f->error) return CZ_OK;
  return CZ_FAIL(CZ_EIO, "%s: can't write %s: %s", f->path, what,
                 f->error ? strerror(f->error) : cz_h5_why(why));
}

/* Ends HDF5's work on the file. */
static void finish(cz_h5_file *f) {
  if (f->id >= 0) H5Fclose(f->id);
  if (f->driver >= 0) H5FDunregister(f->driver);
  f->id = f->driver = -1;
}

/** Ends the writing; the whole file lies beside its path. Does nothing the second time. */
cz_status cz_h5_close(cz_h5_file *f) {
  if (f->id < 0) return CZ_OK;
  const bool good = H5Fclose(f->id) >= 0;
  f->id = -1;
  cz_status st = cz_h5_check(f, good, "the file");
  finish(f);
  return st;
}

/* Gives the lock back. */
static void release(cz_h5_file *f) {
  if (f->held >= 0) close(f->held);
  f->held = -1;
}

/** Closes the file, makes it durable and moves it to its path. After a failure call
 * cz_h5_discard. */
cz_status cz_h5_commit(cz_h5_file *f) {
  CZ_TRY(cz_h5_close(f));
  CZ_TRY(cz_fs_commit(f->temporary, f->path));
  release(f);
  return CZ_OK;
}

/** Gives up what was not committed and leaves nothing of it. Data sets of the file must
 * be closed. May be called after a commit or a failure. */
void cz_h5_discard(cz_h5_file *f) {
  if (!f->error) f->error = ECANCELED; /* write no more */
  finish(f);
  if (f->held >= 0) unlink(f->temporary); /* ours as long as it is held */
  release(f);
}

/** Creates the groups that the data set NAME, as in "a/b/c", lies in and that are
 * missing, without times. When that fails, so will creating the data set, with HDF5's
 * reason. */
void cz_h5_make_groups(cz_h5_file *f, const char *name) {
  char *above = strdup(name);
  hid_t links = H5Pcreate(H5P_LINK_CREATE), how = H5Pcreate(H5P_GROUP_CREATE);
  H5Pset_char_encoding(links, H5T_CSET_UTF8);
  H5Pset_obj_track_times(how, false);
  for (char *slash = above ? strchr(above, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    hid_t group = H5Lexists(f->id, above, H5P_DEFAULT) == 0
                      ? H5Gcreate2(f->id, above, links, how, H5P_DEFAULT)
                      : -1;
    if (group >= 0) H5Gclose(group);
    *slash = '/';
  }
  H5Pclose(how);
  H5Pclose(links);
  free(above);
}

#include "commands/outputs.h"
#include "base/args.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/** Refuses, with CZ_EUSAGE, to write OUT over INPUT or over a file of the model in FOLDER. */
cz_status cz_output_is_new(const char *out, const char *input, const char *folder) {
  static const char *const names[] = {"config.json", "model.safetensors",
                                      "model.safetensors.index.json", "tokenizer.json",
                                      "cloze_task.json"};
  char path[4096];
  const char *file = path;
  CZ_TRY(cz_args_out(out, &input, 1));
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    CZ_TRY(cz_fs_join(path, sizeof path, folder, names[i]));
    CZ_TRY(cz_args_out(out, &file, 1));
  }
  return CZ_OK;
}

/** Opens PATH, borrowed, to be written anew from its beginning, or with "-" standard output. It is
 * written in its place and not beside it, so that others can read what is there so far. A reader
 * that goes away is an error of the next flush from now on, and no signal. */
cz_status cz_line_output_open(cz_line_output *o, const char *path) {
  const bool standard = !strcmp(path, "-");
  signal(SIGPIPE, SIG_IGN);
  *o = (cz_line_output){.name = standard ? "standard output" : path, .fd = STDOUT_FILENO};
  if (standard) return CZ_OK;
  o->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  return o->fd < 0 ? CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno)) : CZ_OK;
}

/** Writes LINES and empties them. */
cz_status cz_line_output_flush(cz_line_output *o, cz_buf *lines) {
  if (lines->len) CZ_TRY(cz_fs_write_fd(o->fd, o->name, lines->data, lines->len));
  lines->len = 0;
  return CZ_OK;
}

/** Closes what was opened; CZ_EIO where the system only now says that it could not write. */
cz_status cz_line_output_close(cz_line_output *o) {
  const int fd = o->fd;
  o->fd = 0;
  if (fd <= STDOUT_FILENO || !close(fd)) return CZ_OK;
  return CZ_FAIL(CZ_EIO, "%s: %s", o->name, strerror(errno));
}

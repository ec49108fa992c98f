#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the child: the three streams, the folder, the program. Nothing here may return. */
static void become_program(const char *const *words) {
  char *argv[64] = {(char *)CZ_PROGRAM};
  int n = 0, in = open(under("stdin"), O_RDONLY),
      out = open(under("stdout"), O_WRONLY | O_CREAT | O_TRUNC, 0600),
      err = open(under("stderr"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  for (; words[n] && n < 62; n++) argv[n + 1] = (char *)words[n];
  if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0 || chdir(folder())) _exit(126);
  execv(CZ_PROGRAM, argv);
  _exit(127);
}

static const char *content(cz_buf *b, const char *name) {
  b->len = 0;
  if (cz_fs_read(under(name), b) != CZ_OK || cz_buf_add(b, "", 1) != CZ_OK)
    fail_msg("%s", cz_error_message());
  return b->data;
}

outcome run_program(const char *input, const char *const *words) {
  static cz_buf out, err;
  int status = 0;
  write_text("stdin", input);
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) become_program(words);
  assert_true(child > 0);
  while (waitpid(child, &status, 0) < 0) assert_int_equal(errno, EINTR);
  return (outcome){.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
                   .out = content(&out, "stdout"),
                   .err = content(&err, "stderr")};
}

void expect_code(outcome o, int code, const char *file, int line) {
  if (o.code != code)
    fail_msg("%s:%d: exit code %d, expected %d; it said: %s", file, line, o.code, code, o.err);
}

void expect_message(outcome o, int code, const char *text, const char *file, int line) {
  expect_code(o, code, file, line);
  if (!strstr(o.err, text)) fail_msg("%s:%d: '%s' is not in: %s", file, line, text, o.err);
}

json_t *json_line(const char **text) {
  json_error_t why;
  size_t n = strcspn(*text, "\n");
  if (!**text) return NULL;
  json_t *j = json_loadb(*text, n, 0, &why);
  if (!j) fail_msg("%s in: %.*s", why.text, (int)n, *text);
  *text += n + ((*text)[n] == '\n');
  return j;
}

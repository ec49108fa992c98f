/* What the program writes to a terminal: the test holds the other end of it. */
#define _GNU_SOURCE
#include "made_up.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* Runs WORDS with standard error and output on a terminal of COLUMNS and SETTING (`TERM=dumb`) in
 * the environment; what it wrote, until the next call. */
static const char *on_terminal(int columns, const char *setting, const char *const *words) {
  static char said[1 << 16];
  const char *argv[32] = {CZ_PROGRAM};
  size_t n = 0;
  int status, far, near = posix_openpt(O_RDWR | O_NOCTTY);
  struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
  assert_true(near >= 0 && grantpt(near) == 0 && unlockpt(near) == 0);
  far = open(ptsname(near), O_RDWR | O_NOCTTY);
  assert_true(far >= 0 && ioctl(far, TIOCSWINSZ, &size) == 0);
  for (int i = 0; words[i]; i++) argv[i + 1] = words[i];
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    unsetenv("NO_COLOR");
    setenv("TERM", "xterm", 1);
    if (putenv((char *)setting) || dup2(far, 1) < 0 || dup2(far, 2) < 0 || chdir(folder()))
      _exit(126);
    execv(CZ_PROGRAM, (char *const *)argv);
    _exit(127);
  }
  close(far);
  for (ssize_t k; n + 1 < sizeof said && (k = read(near, said + n, sizeof said - 1 - n)) > 0;)
    n += (size_t)k; /* ends with an error when the child has closed its end */
  said[n] = '\0';
  close(near);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  return said;
}

/* The longest stretch between carriage returns and line ends, escapes not counted. */
static size_t widest(const char *text) {
  size_t most = 0, width = 0;
  for (; *text; text++) {
    if (*text == '\r' || *text == '\n')
      width = 0;
    else if (*text == '\033')
      while (*text && *text != 'K' && *text != 'm') text++;
    else
      width += ((unsigned char)*text & 0xC0) != 0x80;
    most = width > most ? width : most;
  }
  return most;
}

static const char *train(int columns, const char *setting, const char *out) {
  const char *const words[] = {"finetune", "finetune.yaml", "--out", out, "train.steps=400", NULL};
  return on_terminal(columns, setting, words);
}

static size_t lines_with(const char *text, const char *word) {
  size_t n = 0;
  for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
    const char *at = strstr(line, word);
    n += at && at < line + strcspn(line, "\n");
  }
  return n;
}

/* Each redraw goes over the line before it: no line is as wide as the terminal. */
static void test_width(void **state) {
  static const int columns[] = {80, 60, 40};
  for (int i = 0; i < 3; i++) {
    char out[32];
    snprintf(out, sizeof out, "w%d", columns[i]);
    const char *said = train(columns[i], "A=b", out);
    const char *progress = strstr(said, "finetune: step ");
    if (!progress) fail_msg("no progress in: %s", said);
    assert_non_null(strstr(said, "\033[K"));
    size_t first = widest(progress);
    char line[256];
    snprintf(line, sizeof line, "%.*s", (int)strcspn(progress, "\r\n\033"), progress);
    if (strlen(line) >= (size_t)columns[i])
      fail_msg("%d columns, wide %zu: %s", columns[i], first, line);
    if (lines_with(said, "finetune: step ") != 1) fail_msg("more than one line: %s", said);
  }
}

static void test_no_escapes(void **state) {
  const char *said = train(80, "TERM=dumb", "dumb");
  if (strchr(said, '\033')) fail_msg("%s", said);
  assert_null(strstr(said, "\rfinetune: step")); /* no redraw at all */
  said = train(80, "NO_COLOR=1", "plain");
  if (strchr(said, '\033')) fail_msg("%s", said);
  assert_int_equal(lines_with(said, "finetune: step "), 1); /* redrawn */
  const char *const words[] = {"objective", "lm",       "--tokenizer", SAMPLE "/tokenizer.json",
                               "--text",    "test.tsv", NULL};
  assert_null(strchr(on_terminal(80, "NO_COLOR=1", words), '\033'));
}

/* Reads from the terminal NEAR until a line has ended, for at most a minute. */
static void read_answer(int near, char *out, size_t n) {
  size_t k = 0;
  while (k + 1 < n && (k == 0 || out[k - 1] != '\n')) {
    struct pollfd ready = {.fd = near, .events = POLLIN};
    if (poll(&ready, 1, 60000) != 1)
      fail_msg("no answer after a minute; so far: %.*s", (int)k, out);
    ssize_t got = read(near, out + k, 1);
    if (got != 1) fail_msg("the program has ended; so far: %.*s", (int)k, out);
    k += out[k] != '\r';
  }
  out[k] = '\0';
}

static void type(int near, const char *text) {
  assert_int_equal(write(near, text, strlen(text)), (ssize_t)strlen(text));
}

/* `generate` at a terminal answers a line before the next is typed, as it answers a file's lines,
 * and goes on after one that is no text. */
static void test_typed_lines(void **state) {
  static const char *const lines[] = {"fine day\n", "\n", "sad day and bad\n"};
  char answers[3][1024], all[4096] = "";
  int status, far, near = posix_openpt(O_RDWR | O_NOCTTY);
  struct termios how;
  assert_true(near >= 0 && grantpt(near) == 0 && unlockpt(near) == 0);
  far = open(ptsname(near), O_RDWR | O_NOCTTY);
  assert_true(far >= 0 && tcgetattr(far, &how) == 0);
  how.c_lflag &= ~(tcflag_t)ECHO;
  assert_int_equal(tcsetattr(far, TCSANOW, &how), 0);
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    int err = open(under("warnings"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (dup2(far, 0) < 0 || dup2(far, 1) < 0 || dup2(err, 2) < 0 || chdir(folder())) _exit(126);
    execl(CZ_PROGRAM, CZ_PROGRAM, "generate", "base/model", "--max-length", "6", NULL);
    _exit(127);
  }
  for (int i = 0; i < 3; i++) {
    type(near, lines[i]);
    read_answer(near, answers[i], sizeof answers[i]);
    strcat(all, answers[i]);
    if (i == 0) type(near, "caf\xe9\n");
  }
  type(near, "\004");
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  close(far);
  close(near);
  outcome o =
      cloze_with("fine day\n\nsad day and bad\n", "generate", "base/model", "--max-length", "6");
  EXPECT(0, o);
  assert_string_equal(all, o.out);
  shell("grep -q 'standard input:1:4: the byte 0xe9 does not belong in a UTF-8 text' warnings");
  shell("grep -q ' of 3 outputs were cut off after --max-length 6' warnings");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_width),
                                     cmocka_unit_test(test_no_escapes),
                                     cmocka_unit_test(test_typed_lines)};
  return cmocka_run_group_tests(tests, make_run_files, drop_folder);
}

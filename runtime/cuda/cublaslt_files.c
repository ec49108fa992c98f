/* Files of choices, one for each card and version of the library, one choice a line. Two folders
 * have some: that of committed ones, CZ_CUDA_ALGORITHMS or share/cloze/gpu beside the program's
 * folder, which win; and the user's cache, to which new choices are appended, each by one write
 * under a lock, so that several processes may do it at once. A line that is damaged or of something
 * else is warned of and passed over. */
#define _GNU_SOURCE /* flock */
#include "cuda/cublaslt.h"

#include "base/program.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE = 1024 };

/** Says FORMAT through TO, the program's log or warn. */
void cz_cuda_say(void (*to)(const char *text), const char *format, ...) {
  char text[CZ_CUDA_TEXT];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  to(text);
}

/* NVIDIA-H100-80GB-HBM3.cublaslt-130100.txt */
static void file_name(char *name, size_t n, const char *card) {
  snprintf(name, n, "%.100s.cublaslt-%zu.txt", card, cublasLtGetVersion());
  for (char *at = name; *at; at++)
    if (!isalnum((unsigned char)*at) && *at != '.') *at = '-';
}

static void read_line(cz_cuda *c, const char *path, int number, char *line) {
  cz_cuda_choice choice;
  char why[256];
  line[strcspn(line, "\n")] = 0;
  if (!*line || *line == '#') return;
  if (!cz_cuda_choice_parse(&choice, line, c->card.name, why, sizeof why))
    cz_cuda_say(cz_host->warn, "%s:%d: this line is passed over: %s: '%.80s'", path, number, why,
                line);
  else if (cz_cuda_choice_set(&c->products->choices, &choice) != CZ_OK)
    cz_cuda_say(cz_host->warn, "%s:%d: there is no memory for more algorithms of products", path,
                number);
}

static void read_file(cz_cuda *c, const char *path) {
  char line[LINE];
  FILE *f = fopen(path, "r");
  if (!f && errno != ENOENT && errno != ENOTDIR)
    cz_cuda_say(cz_host->warn, "%s: algorithms of products cannot be read: %s", path,
                strerror(errno));
  if (!f) return;
  for (int number = 1; fgets(line, sizeof line, f); number++) {
    if (!strchr(line, '\n')) /* too long for one of ours, or the file's end */
      for (int ch; (ch = getc(f)) != '\n' && ch != EOF;) continue;
    read_line(c, path, number, line);
  }
  if (ferror(f)) cz_cuda_say(cz_host->warn, "%s: reading failed: %s", path, strerror(errno));
  fclose(f);
}

/* share/cloze/gpu of where the program is installed; empty when the system does not say. */
static void committed_folder(char *folder, size_t n) {
  const char *given = getenv("CZ_CUDA_ALGORITHMS");
  char program[768];
  *folder = 0;
  if (given) {
    snprintf(folder, n, "%s", given);
    return;
  }
  cz_program_folder(program, sizeof program);
  if (*program) snprintf(folder, n, "%s/../share/cloze/gpu", program);
}

/* $XDG_CACHE_HOME/cloze, which is made; empty when there is no home. */
static void cache_folder(char *folder, size_t n) {
  const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  *folder = 0;
  if (cache && *cache == '/')
    snprintf(folder, n, "%s", cache);
  else if (home && *home == '/')
    snprintf(folder, n, "%s/.cache", home);
  else
    return;
  (void)mkdir(folder, 0777);
  const size_t used = strlen(folder);
  if (used < n) snprintf(folder + used, n - used, "/cloze");
  (void)mkdir(folder, 0777); /* what cannot be made shows when the file is written */
}

/** Reads the choices that were made before for this card and library. Nothing there is an error. */
cz_status cz_cuda_choices_open(cz_cuda *c) {
  cz_cuda_choices *all = &c->products->choices;
  char folder[800], name[192], path[1024];
  file_name(name, sizeof name, c->card.name);
  cache_folder(folder, sizeof folder);
  if (*folder) {
    snprintf(all->path, sizeof all->path, "%s/%s", folder, name);
    read_file(c, all->path);
  }
  committed_folder(folder, sizeof folder);
  if (!*folder) return CZ_OK;
  snprintf(path, sizeof path, "%s/%s", folder, name);
  read_file(c, path);
  return CZ_OK;
}

/* Appends TEXT, N bytes with a newline at both ends: the first is left out where the file ends with
 * one, which it does unless a write was cut off. */
static bool append(int file, const char *text, size_t n) {
  char last = '\n';
  const off_t end = lseek(file, 0, SEEK_END);
  if (end < 0 || (end > 0 && pread(file, &last, 1, end - 1) != 1)) return false;
  const size_t skip = last == '\n' ? 1 : 0;
  const ssize_t written = write(file, text + skip, n - skip);
  if (written == (ssize_t)(n - skip)) return true;
  const int why = written < 0 ? errno : ENOSPC;
  if (written > 0 && ftruncate(file, end) < 0) return false;
  errno = why;
  return false;
}

/** Appends CHOICE to the user's file. What fails is warned of once: the choice is then made again
 * by the next process. */
void cz_cuda_choices_keep(cz_cuda *c, const cz_cuda_choice *choice) {
  cz_cuda_choices *all = &c->products->choices;
  char line[LINE], text[LINE + 2];
  if (!*all->path) return;
  cz_cuda_choice_print(line, sizeof line, choice, c->card.name);
  snprintf(text, sizeof text, "\n%s\n", line);
  const int file = open(all->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  bool kept = file >= 0 && flock(file, LOCK_EX) == 0 && append(file, text, strlen(text));
  if (!kept) {
    cz_cuda_say(cz_host->warn,
                "%s: the algorithms of products cannot be kept, so that they are timed again next "
                "time: %s",
                all->path, strerror(errno));
    *all->path = 0;
  }
  if (file >= 0) close(file);
}

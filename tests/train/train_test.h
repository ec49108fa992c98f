/* What the tests of training share: a folder with made-up data and configurations, and
 * the `cloze` command run as a user runs it. */
#ifndef CZ_TESTS_TRAIN_TEST_H
#define CZ_TESTS_TRAIN_TEST_H

#include "common/common.h"
#include "base/fs.h"
#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

/* How `cloze` is started. Zero-initialised: one thread, no limits. */
typedef struct start {
  int threads, ranks;
  long file_limit;    /* most bytes of one file; 0: none */
  const char *runner; /* null: the command itself; else a program that is given the command */
} start;

int make_runs(void **state);
int drop_runs(void **state);
void write_format(const char *name, const char *format, ...) CZ_PRINTF(2, 3);
char *read_text(const char *path, size_t *n);
void copy_file(const char *to, const char *from);

pid_t launch(const start *how, const char *words);
int wait_for(pid_t pid);
void wait_until_said(pid_t pid, const char *text);
void wait_for_file(pid_t pid, const char *file);
void stop_midway(const char *word, const char *file);
int cloze(const start *how, const char *words);
const char *said(void);
void expect(int code, const char *words, const char *text);

char *metrics_of(const char *run);
void same_file(const char *a, const char *b);
void run_into(const start *how, const char *words, const char *out);
void same_run(const char *a, const char *b);

#endif

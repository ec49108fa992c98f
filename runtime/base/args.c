#include "base/args.h"
#include "base/nearest.h"

#include <string.h>
#include <sys/stat.h>

static cz_status unknown(const char *word, const cz_option *options, size_t n) {
  const char *names[64];
  size_t m = n < 64 ? n : 64;
  for (size_t i = 0; i < m; i++) names[i] = options[i].name;
  return CZ_FAIL(CZ_EUSAGE, "unknown option %s%s", word, cz_suggest(word, names, m).text);
}

static const cz_option *find(const char *word, size_t length, const cz_option *options, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (strlen(options[i].name) == length && !memcmp(word, options[i].name, length))
      return &options[i];
  return NULL;
}

/** Takes the options out of ARGV (`--name value` or `--name=value`) and leaves the
 * other words, argv[0] included, in order; `--` ends the options. CZ_EUSAGE for an
 * unknown option, with the nearest spelling, or a missing value. Values are borrowed
 * from ARGV. */
cz_status cz_args_parse(int *argc, char **argv, const cz_option *options, size_t n) {
  int kept = 1;
  bool words_only = false;
  for (int i = 1; i < *argc; i++) {
    char *word = argv[i], *equals = strchr(word, '=');
    if (words_only || strncmp(word, "--", 2)) {
      argv[kept++] = word;
      continue;
    }
    if (!word[2]) {
      words_only = true;
      continue;
    }
    const cz_option *o = find(word, equals ? (size_t)(equals - word) : strlen(word), options, n);
    if (!o) return unknown(word, options, n);
    if (o->flag) {
      if (equals) return CZ_FAIL(CZ_EUSAGE, "option %s takes no value", o->name);
      *o->flag = true;
    } else if (equals) {
      *o->value = equals + 1;
    } else {
      if (i + 1 == *argc) return CZ_FAIL(CZ_EUSAGE, "option %s wants a value", o->name);
      *o->value = argv[++i];
    }
  }
  *argc = kept;
  return CZ_OK;
}

/** Checks the number of words after the command's name; CZ_EUSAGE with the synopsis
 * otherwise. MAXIMUM -1: any number. */
cz_status cz_args_count(int argc, char **argv, int minimum, int maximum, const char *synopsis) {
  int n = argc - 1;
  size_t line = strcspn(synopsis, "\n");
  if (n < minimum)
    return CZ_FAIL(CZ_EUSAGE, "%s: %d more word%s wanted: %.*s", argv[0], minimum - n,
                   minimum - n > 1 ? "s" : "", (int)line, synopsis);
  if (maximum >= 0 && n > maximum)
    return CZ_FAIL(CZ_EUSAGE, "%s: unexpected word '%s': %.*s", argv[0], argv[1 + maximum],
                   (int)line, synopsis);
  return CZ_OK;
}

/** Refuses, with CZ_EUSAGE, to write OUT when it is one of the N files INPUTS, by
 * whatever name. Null entries are skipped. */
cz_status cz_args_out(const char *out, const char *const *inputs, size_t n) {
  struct stat to, from;
  if (stat(out, &to)) return CZ_OK;
  for (size_t i = 0; i < n; i++)
    if (inputs[i] && !stat(inputs[i], &from) && from.st_dev == to.st_dev &&
        from.st_ino == to.st_ino)
      return CZ_FAIL(CZ_EUSAGE, "--out is also an input: %s", inputs[i]);
  return CZ_OK;
}

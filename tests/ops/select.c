/* Ops, cases and checks that the environment selects. */
#include "select.h"
#include "common/common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DAY = 24 * 60 * 60 };

/** The whole number in an environment variable. */
long number_of(const char *variable, long otherwise) {
  const char *text = getenv(variable);
  return text && *text ? strtol(text, NULL, 10) : otherwise;
}

/** Whether CZ_TEST_SHARE has this case. Shares move on with the day, so that what checks one share
 * has had all cases in N days; runs of one day have each case once between them. */
bool in_share(int index) {
  const char *text = getenv("CZ_TEST_SHARE");
  unsigned k = 0, n = 1;
  if (!text || !*text) return true;
  if (sscanf(text, "%u/%u", &k, &n) != 2 || n == 0 || k >= n)
    fail_msg("CZ_TEST_SHARE is '%s', not K/N with K below N", text);
  return ((unsigned)index + (unsigned)(time(NULL) / DAY)) % n == k;
}

/** Whether the list in the environment names it, or there is none. */
bool selected(const char *variable, const char *name) {
  const char *list = getenv(variable);
  if (!list || !*list) return true;
  size_t n = strlen(name);
  for (const char *at = strstr(list, name); at; at = strstr(at + 1, name)) {
    bool begins = at == list || at[-1] == ',', ends = at[n] == ',' || at[n] == '\0';
    if (begins && ends) return true;
  }
  return false;
}

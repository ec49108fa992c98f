#include "base/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Optimal string alignment distance (insert, delete, replace, swap neighbours), letters
 * compared without case. Words over 63 bytes are far from all. */
static size_t distance(const char *a, const char *b) {
  size_t na = strlen(a), nb = strlen(b), d[3][64];
  if (na > 63 || nb > 63) return SIZE_MAX;
  for (size_t j = 0; j <= nb; j++) d[0][j] = j;
  for (size_t i = 1; i <= na; i++) {
    size_t *row = d[i % 3], *up = d[(i + 2) % 3], *up2 = d[(i + 1) % 3];
    row[0] = i;
    for (size_t j = 1; j <= nb; j++) {
      int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);
      size_t best = up[j - 1] + (ca != cb);
      if (up[j] + 1 < best) best = up[j] + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      bool swapped = i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
                     cb == tolower((unsigned char)a[i - 2]);
      if (swapped && up2[j - 2] + 1 < best) best = up2[j - 2] + 1;
      row[j] = best;
    }
  }
  return d[na % 3][nb];
}

/* Other names of number formats: `f16` is one letter from `fp16`, which it means, and from `bf16`.
 */
static const struct {
  const char *word, *name;
} formats[] = {{"f16", "fp16"},      {"float16", "fp16"}, {"half", "fp16"},
               {"bfloat16", "bf16"}, {"float32", "f32"},  {"fp32", "f32"}};

/* The one of NAMES that WORD, another name of a format, means; null when there is none. */
static const char *format_of(const char *word, const char *const *names, size_t count) {
  for (size_t k = 0; k < sizeof formats / sizeof *formats; k++)
    for (size_t i = 0; i < count && !distance(word, formats[k].word); i++)
      if (!strcmp(names[i], formats[k].name)) return names[i];
  return NULL;
}

/** The name closest in spelling to WORD, or null when none is near enough: a third of its
 * letters may be wrong, and one in any case; dashes before it are no letters. Of a number format
 * the one that WORD is another name of. Borrowed from NAMES. */
const char *cz_nearest(const char *word, const char *const *names, size_t count) {
  const char *format = format_of(word, names, count);
  if (format) return format;
  const char *best = NULL;
  size_t letters = strlen(word) - strspn(word, "-"),
         best_distance = letters < 6 ? 2 : letters / 3 + 1;
  for (size_t i = 0; i < count; i++) {
    size_t d = distance(word, names[i]);
    if (d < best_distance) {
      best_distance = d;
      best = names[i];
    }
  }
  return best;
}

/* As many of NAMES as fit, behind "; known are ". */
static void list_names(cz_suggestion *s, const char *const *names, size_t count) {
  size_t used = 0;
  for (size_t i = 0; i < count; i++) {
    int n = snprintf(s->text + used, sizeof s->text - used, "%s%s", i ? ", " : "; known are ",
                     names[i]);
    if (n < 0 || (size_t)n >= sizeof s->text - used - sizeof ", ...") {
      memcpy(s->text + used, ", ...", sizeof ", ...");
      return;
    }
    used += (size_t)n;
  }
}

/** What to say behind a WORD that is none of NAMES: "; did you mean 'NAME'?", or else
 * "; known are" and all of them, or nothing when there are none. */
cz_suggestion cz_suggest(const char *word, const char *const *names, size_t count) {
  cz_suggestion s = {""};
  const char *near = cz_nearest(word, names, count);
  int n = near ? snprintf(s.text, sizeof s.text, "; did you mean '%s'?", near) : 0;
  if (!near || (size_t)n >= sizeof s.text) {
    s.text[0] = '\0';
    list_names(&s, names, count);
  }
  return s;
}

/** Looks NAME up in NAMES and stores its index. CZ_EUSAGE "no WHAT is called 'NAME'" with
 * the nearest spelling, or all names, when it is none of them. */
cz_status cz_find_name(size_t *index, const char *what, const char *name, const char *const *names,
                       size_t count) {
  for (size_t i = 0; i < count; i++)
    if (!strcmp(name, names[i])) return *index = i, CZ_OK;
  return CZ_FAIL(CZ_EUSAGE, "no %s is called '%s'%s", what, name,
                 cz_suggest(name, names, count).text);
}

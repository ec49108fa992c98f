/* Exact match and token F1 of answers (SQuAD 1.1, Rajpurkar et al. 2016, section 6.1). */
#include "metrics/scores.h"
#include "metrics/words.h"

#include <string.h>
#include <utf8proc.h>

static bool is_letter_or_number(int32_t c) {
  utf8proc_category_t k = utf8proc_category(c);
  return (k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO) ||
         (k >= UTF8PROC_CATEGORY_ND && k <= UTF8PROC_CATEGORY_NO);
}

static bool is_article(const char *word, size_t n) {
  return (n == 1 && *word == 'a') || (n == 2 && !memcmp(word, "an", 2)) ||
         (n == 3 && !memcmp(word, "the", 3));
}

static size_t run_of_letters(const char *s) {
  size_t n = 0;
  utf8proc_int32_t c;
  for (utf8proc_ssize_t k; s[n]; n += (size_t)k) {
    k = utf8proc_iterate((const utf8proc_uint8_t *)s + n, -1, &c);
    if (k <= 0 || !is_letter_or_number(c)) break;
  }
  return n;
}

static void drop_punctuation(cz_buf *text) {
  size_t kept = 0;
  for (size_t i = 0; i < text->len; i++)
    if (!strchr("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", text->data[i]))
      text->data[kept++] = text->data[i];
  text->data[kept] = '\0';
  text->len = kept;
}

/* Lower case, without ASCII punctuation, articles out, one token a word. */
static cz_status normalize(cz__grams *out, cz__names *names, const char *answer) {
  cz_buf text = {0};
  cz_status st = cz__score_lower(&text, answer);
  if (st == CZ_OK) {
    drop_punctuation(&text);
    for (char *s = text.data; *s;) {
      size_t n = run_of_letters(s);
      if (is_article(s, n)) memset(s, ' ', n);
      s += n ? n : 1;
    }
    st = cz__split_spaces(out, names, text.data);
  }
  cz_buf_free(&text);
  return st;
}

static cz_status one_reference(double *exact, double *f1, const cz__grams *predicted,
                               cz__names *names, const char *reference) {
  cz__grams wanted = {0};
  size_t common = 0;
  cz_status st = normalize(&wanted, names, reference);
  if (st == CZ_OK) st = cz__grams_common(&common, predicted, &wanted, names->n);
  if (st == CZ_OK) {
    bool same = predicted->n == wanted.n &&
                (!wanted.n || !memcmp(predicted->ids, wanted.ids, wanted.n * sizeof *wanted.ids));
    double f = common ? 2.0 * (double)common / (double)(predicted->n + wanted.n) : 0;
    if (same) *exact = 1;
    if (f > *f1) *f1 = f;
  }
  cz__grams_free(&wanted);
  return st;
}

/** Exact match (0 or 1) and token F1 of one answer, each the best over its references,
 * after lower-casing, deleting ASCII punctuation and a/an/the, and joining white space
 * (t5.md 7.2). Two answers that are both empty then match exactly and have F1 0, as in
 * the official script of version 1.1. CZ_EINVAL when a text is not UTF-8. */
cz_status cz_score_squad(double *exact, double *f1, const char *prediction,
                         const char *const *references, size_t n_references) {
  cz__names names = {0};
  cz__grams predicted = {0};
  *exact = *f1 = 0;
  cz_status st = normalize(&predicted, &names, prediction);
  for (size_t i = 0; i < n_references && st == CZ_OK; i++)
    st = one_reference(exact, f1, &predicted, &names, references[i]);
  cz__grams_free(&predicted);
  cz__names_free(&names);
  return st;
}

/* WNLI (GLUE), only evaluated, as a Winograd task (docs/t5.md 7.1): the pronoun of
 * the premise that the hypothesis replaces is put between stars, and what the hypothesis
 * says in its place is the candidate noun. */
#include "tasks/format_t5.h"
#include "tasks/readers/fields.h"
#include "tasks/readers/uniform.h"
#include "tasks/readers/wsc.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { WORDS = 256 };

static const char *const truth[] = {"False", "True", NULL};
static const char *const digits[] = {"0", "1"};

/* Words of a text; punctuation at their ends is left out, so that they compare. */
typedef struct words {
  const char *at[WORDS];
  size_t len[WORDS], n;
} words;

static void split(words *w, const char *text) {
  w->n = 0;
  while (w->n < WORDS) {
    while (*text && !isalnum((unsigned char)*text) && !((unsigned char)*text & 0x80)) text++;
    if (!*text) return;
    size_t n = strcspn(text, " \t");
    w->at[w->n] = text;
    w->len[w->n] = n;
    while (w->len[w->n] > 1 && ispunct((unsigned char)text[w->len[w->n] - 1])) w->len[w->n]--;
    w->n++;
    text += n;
  }
}

static bool same(const words *a, size_t i, const words *b, size_t j) {
  return a->len[i] == b->len[j] && !strncasecmp(a->at[i], b->at[j], a->len[i]);
}

static bool is_pronoun(const words *w, size_t i) {
  static const char *const pronouns[] = {"he",  "she",   "they", "it", "her",
                                         "his", "their", "them", "him"};
  for (size_t k = 0; k < sizeof pronouns / sizeof *pronouns; k++)
    if (strlen(pronouns[k]) == w->len[i] && !strncasecmp(w->at[i], pronouns[k], w->len[i]))
      return true;
  return false;
}

/* How the hypothesis fits around one pronoun: `before` words to its left end where the
 * candidate begins, `after` words to its right begin where it ends; [begin, end) is the
 * candidate in the hypothesis. */
typedef struct fit {
  size_t pronoun, before, after, begin, end;
} fit;

/* The longest stretches of the hypothesis' start and end that stand to the left and right
 * of the pronoun. */
static fit fit_at(const words *premise, const words *hypothesis, size_t p) {
  fit f = {.pronoun = p};
  for (size_t k = 1; k <= p && k < hypothesis->n;
       k++) { /* hypothesis starts with the k words before the pronoun */
    size_t i = 0;
    while (i < k && same(premise, p - k + i, hypothesis, i)) i++;
    if (i == k) f.before = k;
  }
  for (size_t k = 1; p + k < premise->n && k + f.before < hypothesis->n;
       k++) { /* it ends with the k words after it */
    size_t i = 0;
    while (i < k && same(premise, p + 1 + i, hypothesis, hypothesis->n - k + i)) i++;
    if (i == k) f.after = k;
  }
  f.begin = f.before;
  f.end = hypothesis->n - f.after;
  return f;
}

/* The candidate's text: cut back to its last article, without a possessive ending. */
static size_t candidate(char *out, size_t size, const words *h, const fit *f) {
  static const char *const articles[] = {"a", "an", "the"};
  size_t begin = f->begin;
  for (size_t i = f->begin; i + 1 < f->end; i++)
    for (size_t k = 0; k < sizeof articles / sizeof *articles; k++)
      if (h->len[i] == strlen(articles[k]) && !strncasecmp(h->at[i], articles[k], h->len[i]))
        begin = i;
  size_t n = (size_t)(h->at[f->end - 1] + h->len[f->end - 1] - h->at[begin]);
  if (n >= size) n = size - 1;
  memcpy(out, h->at[begin], n);
  out[n] = '\0';
  if (n > 2 && (!strcmp(out + n - 2, "'s") || !strcmp(out + n - 2, "s'")))
    out[n - 2 + (out[n - 2] == 's')] = '\0';
  return strlen(out);
}

/* The pronoun of the premise around which the hypothesis fits best; false when there is
 * none. */
static bool best_fit(fit *best, const words *premise, const words *hypothesis) {
  bool found = false;
  for (size_t i = 0; i < premise->n && hypothesis->n; i++) {
    if (!is_pronoun(premise, i)) continue;
    fit x = fit_at(premise, hypothesis, i);
    if (found && x.before + x.after <= best->before + best->after) continue;
    *best = x;
    found = true;
  }
  return found;
}

/* TEXTS: premise and hypothesis. */
static cz_status add_line(cz_task_set *set, const char *const *texts, const char *label_text,
                          const char *place) {
  words premise, hypothesis;
  fit best = {0};
  char noun[1024];
  int32_t label;
  split(&premise, texts[0]);
  split(&hypothesis, texts[1]);
  if (!best_fit(&best, &premise, &hypothesis))
    return CZ_FAIL(CZ_EINVAL, "%s: no pronoun in the premise, or no hypothesis", place);
  candidate(noun, sizeof noun, &hypothesis, &best);
  CZ_TRY(cz_task_label(set, &label, digits, label_text, place));
  return cz_wsc_add(set, texts[0], premise.at[best.pronoun], premise.len[best.pronoun], noun,
                    label);
}

static const cz_uniform layout = {
    .fields = {{"premise", "sentence1"}, {"hypothesis", "sentence2"}},
    .label = "label",
    .add = add_line,
};

const cz_task_row cz_task_row_wnli = {
    .name = "wnli",
    .help = "what the premise's pronoun stands for (GLUE); evaluation only",
    .section = CZ_TASK_SECTION("what a pronoun stands for (GLUE)"),
    .labels = truth,
    .metrics = {CZ_METRIC_ACCURACY},
    .comparison = CZ_COMPARE_NOUN,
    .baseline = CZ_BASELINE_COPY,
    .layout = &layout,
    .read = cz_read_uniform_tsv,
    .format = cz_wsc_format,
};

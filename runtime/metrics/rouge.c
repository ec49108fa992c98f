/* ROUGE-1, -2, -L and -Lsum (Lin 2004), as the package `rouge_score` computes them
 * without stemming. */
#include "metrics/scores.h"
#include "metrics/words.h"

#include <stdlib.h>
#include <string.h>

/* Lower case, runs of [a-z0-9] are words, everything else separates. */
static cz_status split_words(cz__grams *out, cz__names *names, const char *text) {
  cz_buf lower = {0};
  cz_status st = cz__score_lower(&lower, text);
  for (const char *s = lower.data; st == CZ_OK && *s;) {
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789");
    int32_t id;
    if (n && (st = cz__name(names, &id, s, n)) == CZ_OK) st = cz__grams_add(out, id);
    s += n ? n : 1;
  }
  cz_buf_free(&lower);
  return st;
}

static cz_rouge rouge_of(size_t hits, size_t predicted, size_t wanted) {
  double p = (double)hits / (double)(predicted ? predicted : 1),
         r = (double)hits / (double)(wanted ? wanted : 1);
  return (cz_rouge){p, r, p + r > 0 ? 2 * p * r / (p + r) : 0};
}

/* The table of longest common subsequences: at [i][j] that of the first i words of A and
 * the first j of B. */
static cz_status lcs_table(int32_t **out, const cz__grams *a, const cz__grams *b) {
  int32_t *t;
  size_t w = b->n + 1;
  CZ_TRY(cz_alloc(&t, (a->n + 1) * w, sizeof *t));
  for (size_t i = 1; i <= a->n; i++)
    for (size_t j = 1; j <= b->n; j++) {
      int32_t up = t[(i - 1) * w + j], left = t[i * w + j - 1];
      t[i * w + j] = a->ids[i - 1] == b->ids[j - 1] ? t[(i - 1) * w + j - 1] + 1
                     : up > left                    ? up
                                                    : left;
    }
  *out = t;
  return CZ_OK;
}

/* Marks the words of REFERENCE that lie on one longest common subsequence with SENTENCE;
 * the package's choice among several: up, unless left is longer. */
static cz_status mark_lcs(bool *marked, const cz__grams *reference, const cz__grams *sentence) {
  int32_t *t;
  size_t w = sentence->n + 1, i = reference->n, j = sentence->n;
  CZ_TRY(lcs_table(&t, reference, sentence));
  while (i && j) {
    if (reference->ids[i - 1] == sentence->ids[j - 1]) {
      marked[--i] = true;
      j--;
    } else if (t[i * w + j - 1] > t[(i - 1) * w + j]) {
      j--;
    } else {
      i--;
    }
  }
  free(t);
  return CZ_OK;
}

/* A text cut into sentences at line ends; sentence k is words[ends[k-1]..ends[k]). */
typedef struct sentences {
  cz__grams words;
  size_t *ends;
  size_t n, cap;
} sentences;

static cz_status split_sentences(sentences *out, cz__names *names, const char *text) {
  cz_buf line = {0};
  cz_status st = CZ_OK;
  for (const char *s = text; st == CZ_OK && *s;) {
    size_t n = strcspn(s, "\n");
    line.len = 0;
    st = cz_buf_add(&line, s, n);
    if (st == CZ_OK) st = split_words(&out->words, names, line.data);
    if (st == CZ_OK) st = cz_grow(&out->ends, &out->cap, out->n + 1, sizeof *out->ends);
    if (st == CZ_OK) out->ends[out->n++] = out->words.n;
    s += n + (s[n] == '\n');
  }
  cz_buf_free(&line);
  return st;
}

static cz__grams sentence_at(const sentences *s, size_t k) {
  size_t from = k ? s->ends[k - 1] : 0;
  return (cz__grams){s->words.ids ? s->words.ids + from : NULL, s->ends[k] - from, 0};
}

/* Marks in MARKED (a flag per word of the reference) the union over the prediction's
 * sentences of their longest common subsequences with each sentence. */
static cz_status mark_unions(bool *marked, const sentences *reference,
                             const sentences *prediction) {
  for (size_t k = 0; k < reference->n; k++) {
    cz__grams wanted = sentence_at(reference, k);
    size_t from = k ? reference->ends[k - 1] : 0;
    for (size_t j = 0; j < prediction->n; j++) {
      cz__grams predicted = sentence_at(prediction, j);
      CZ_TRY(mark_lcs(marked + from, &wanted, &predicted));
    }
  }
  return CZ_OK;
}

/* Hits: marked words, each counted at most as often as the prediction has it (the
 * reference's own count can't run out). */
static cz_status count_hits(size_t *hits, const bool *marked, const sentences *reference,
                            const sentences *prediction, size_t n_names) {
  size_t *left;
  CZ_TRY(cz_alloc(&left, n_names, sizeof *left));
  for (size_t i = 0; i < prediction->words.n; i++) left[prediction->words.ids[i]]++;
  *hits = 0;
  for (size_t i = 0; i < reference->words.n; i++) {
    int32_t id = reference->words.ids[i];
    if (marked[i] && left[id]) {
      left[id]--;
      ++*hits;
    }
  }
  free(left);
  return CZ_OK;
}

/* Lin 2004, section 3.2, with the counts of the package. */
static cz_status summary_level(cz_rouge *out, cz__names *names, const char *prediction,
                               const char *reference) {
  sentences predicted = {0}, wanted = {0};
  bool *marked = NULL;
  size_t hits = 0;
  cz_status st;
  CZ_GO(st, split_sentences(&predicted, names, prediction), done);
  CZ_GO(st, split_sentences(&wanted, names, reference), done);
  CZ_GO(st, cz_alloc(&marked, wanted.words.n, sizeof *marked), done);
  CZ_GO(st, mark_unions(marked, &wanted, &predicted), done);
  CZ_GO(st, count_hits(&hits, marked, &wanted, &predicted, names->n), done);
  *out = rouge_of(hits, predicted.words.n, wanted.words.n);
done:
  free(marked);
  free(predicted.ends);
  free(wanted.ends);
  cz__grams_free(&predicted.words);
  cz__grams_free(&wanted.words);
  return st;
}

static cz_status count_bigrams(size_t *hits, cz__grams *predicted, cz__grams *wanted) {
  cz__names pairs = {0};
  cz__grams words[2] = {{0}, {0}};
  cz__grams *grams[2] = {predicted, wanted};
  cz_status st = CZ_OK;
  for (int k = 0; k < 2 && st == CZ_OK; k++) {
    for (size_t i = 0; i < grams[k]->n && st == CZ_OK; i++)
      st = cz__grams_add(&words[k], grams[k]->ids[i]);
    if (st == CZ_OK) st = cz__grams_extend(grams[k], &pairs, &words[k], 1);
    cz__grams_free(&words[k]);
  }
  if (st == CZ_OK) st = cz__grams_common(hits, predicted, wanted, pairs.n);
  cz__names_free(&pairs);
  return st;
}

static cz_status word_level(cz_rouge *out, cz__names *names, const char *prediction,
                            const char *reference, cz_rouge_kind kind) {
  cz__grams predicted = {0}, wanted = {0};
  int32_t *table = NULL;
  size_t hits = 0;
  cz_status st;
  CZ_GO(st, split_words(&predicted, names, prediction), done);
  CZ_GO(st, split_words(&wanted, names, reference), done);
  if (kind == CZ_ROUGE_1) CZ_GO(st, cz__grams_common(&hits, &predicted, &wanted, names->n), done);
  if (kind == CZ_ROUGE_2) CZ_GO(st, count_bigrams(&hits, &predicted, &wanted), done);
  if (kind == CZ_ROUGE_L) {
    CZ_GO(st, lcs_table(&table, &wanted, &predicted), done);
    hits = (size_t)table[(wanted.n + 1) * (predicted.n + 1) - 1];
  }
  *out = rouge_of(hits, predicted.n, wanted.n);
done:
  free(table);
  cz__grams_free(&predicted);
  cz__grams_free(&wanted);
  return st;
}

/** ROUGE of one text against one reference. Lsum cuts both at line ends (T5 replaces " .
 * " by " .\n" before, t5.md 7.2). CZ_EINVAL when a text is not UTF-8. */
cz_status cz_score_rouge(cz_rouge *out, const char *prediction, const char *reference,
                         cz_rouge_kind kind) {
  cz__names names = {0};
  cz_status st = kind == CZ_ROUGE_LSUM ? summary_level(out, &names, prediction, reference)
                                       : word_level(out, &names, prediction, reference, kind);
  cz__names_free(&names);
  return st;
}

/** How many of N texts have no word that ROUGE sees: its tokenizer keeps a to z and 0 to 9
 * only, so a text in another script scores 0 against anything. */
cz_status cz_score_rouge_wordless(size_t *count, const char *const *texts, size_t n) {
  *count = 0;
  for (size_t i = 0; i < n; i++) {
    cz__names names = {0};
    cz__grams words = {0};
    cz_status st = split_words(&words, &names, texts[i]);
    *count += words.n == 0;
    cz__grams_free(&words);
    cz__names_free(&names);
    if (st != CZ_OK) return CZ_NOTE(st, "text %zu", i);
  }
  return CZ_OK;
}

/** The mean F-measure over N texts; NaN when N is 0. (T5 reports the middle of a
 * bootstrap, which estimates this mean.) */
cz_status cz_score_rouge_mean(double *f1, const char *const *predictions,
                              const char *const *references, size_t n, cz_rouge_kind kind) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) {
    cz_rouge r;
    cz_status st = cz_score_rouge(&r, predictions[i], references[i], kind);
    if (st != CZ_OK) return CZ_NOTE(st, "text %zu", i);
    sum += r.f1;
  }
  *f1 = sum / (double)n;
  return CZ_OK;
}

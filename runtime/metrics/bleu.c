/* Corpus BLEU (Papineni et al. 2002), as sacreBLEU computes it (Post 2018): cased, one
 * reference, smoothing "exp", no effective order. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "metrics/scores.h"
#include "metrics/words.h"

#include <math.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

typedef struct rule {
  const char *pattern, *replacement;
} rule;

/* mteval-v13a's language-dependent part: punctuation apart, except full stop and comma
 * between digits, and a dash after a digit. */
static const rule rules_13a[] = {{"([\\{-\\~\\[-\\` -\\&\\(-\\+\\:-\\@\\/])", " $1 "},
                                 {"([^0-9])([\\.,])", "$1 $2 "},
                                 {"([\\.,])([^0-9])", " $1 $2"},
                                 {"([0-9])(-)", "$1 $2 "},
                                 {0}};

/* mteval-v14's international tokenization: punctuation apart unless a number stands on
 * both sides, every symbol apart. */
static const rule rules_intl[] = {
    {"(\\P{N})(\\p{P})", "$1 $2 "}, {"(\\p{P})(\\P{N})", " $1 $2"}, {"(\\p{S})", " $1 "}, {0}};

enum { MAXIMUM_RULES = 4 };

typedef struct tokenizer {
  cz_bleu_tokens kind;
  const rule *rules;
  pcre2_code *code[MAXIMUM_RULES];
  cz_buf text, spare;
} tokenizer;

static void tokenizer_close(tokenizer *t) {
  for (int i = 0; i < MAXIMUM_RULES; i++) pcre2_code_free(t->code[i]);
  cz_buf_free(&t->text);
  cz_buf_free(&t->spare);
}

static cz_status tokenizer_open(tokenizer *t, cz_bleu_tokens kind) {
  static const rule none[] = {{0}};
  *t = (tokenizer){.kind = kind,
                   .rules = kind == CZ_BLEU_13A    ? rules_13a
                            : kind == CZ_BLEU_INTL ? rules_intl
                                                   : none};
  for (int i = 0; t->rules[i].pattern; i++) {
    int error;
    PCRE2_SIZE at;
    t->code[i] = pcre2_compile((PCRE2_SPTR)t->rules[i].pattern, PCRE2_ZERO_TERMINATED,
                               PCRE2_UTF | PCRE2_UCP, &error, &at, NULL);
    if (t->code[i]) continue;
    tokenizer_close(t);
    return CZ_FAIL(CZ_EINVAL, "PCRE2 refuses %s at %zu (error %d); was it built without Unicode?",
                   t->rules[i].pattern, (size_t)at, error);
  }
  return CZ_OK;
}

/* text = every match replaced, left to right. */
static cz_status apply_rule(tokenizer *t, int i) {
  PCRE2_SIZE room = 2 * t->text.len + 64;
  for (;;) {
    CZ_TRY(cz_grow(&t->spare.data, &t->spare.cap, room, 1));
    PCRE2_SIZE n = t->spare.cap;
    int found = pcre2_substitute(t->code[i], (PCRE2_SPTR)t->text.data, t->text.len, 0,
                                 PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_OVERFLOW_LENGTH, NULL,
                                 NULL, (PCRE2_SPTR)t->rules[i].replacement, PCRE2_ZERO_TERMINATED,
                                 (PCRE2_UCHAR *)t->spare.data, &n);
    if (found == PCRE2_ERROR_NOMEMORY && n > room) {
      room = n;
      continue;
    }
    if (found < 0)
      return CZ_FAIL(CZ_EINVAL, "not UTF-8 (PCRE2 error %d): %.80s", found, t->text.data);
    t->spare.len = n;
    cz_buf swap = t->text;
    t->text = t->spare;
    t->spare = swap;
    return CZ_OK;
  }
}

static cz_status replace_all(tokenizer *t, const char *from, const char *to) {
  size_t n = strlen(from);
  t->spare.len = 0;
  CZ_TRY(cz_buf_add(&t->spare, "", 0));
  for (const char *s = t->text.data, *hit; s; s = hit ? hit + n : NULL) {
    hit = strstr(s, from);
    CZ_TRY(cz_buf_add(&t->spare, s, hit ? (size_t)(hit - s) : strlen(s)));
    if (hit) CZ_TRY(cz_buf_add(&t->spare, to, strlen(to)));
  }
  cz_buf swap = t->text;
  t->text = t->spare;
  t->spare = swap;
  return CZ_OK;
}

/* mteval-v13a's language-independent part, and a space at both ends. */
static cz_status prepare_13a(tokenizer *t) {
  static const char *const pairs[][2] = {{"<skipped>", ""}, {"-\n", ""},    {"\n", " "},
                                         {"&quot;", "\""},  {"&amp;", "&"}, {"&lt;", "<"},
                                         {"&gt;", ">"}};
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
    CZ_TRY(replace_all(t, pairs[i][0], pairs[i][1]));
  t->spare.len = 0;
  CZ_TRY(cz_buf_addf(&t->spare, " %s ", t->text.data));
  cz_buf swap = t->text;
  t->text = t->spare;
  t->spare = swap;
  return CZ_OK;
}

/* The length of TEXT without white space at its end. */
static size_t stripped(const char *text) {
  size_t end = 0;
  utf8proc_int32_t c;
  for (size_t i = 0; text[i];) {
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text + i, -1, &c);
    i += n > 0 ? (size_t)n : 1;
    if (n <= 0 || !cz__score_is_space(c)) end = i;
  }
  return end;
}

/* Leaves the tokens, apart by white space, in t->text. */
static cz_status tokenize(tokenizer *t, const char *text) {
  t->text.len = 0;
  CZ_TRY(cz_buf_add(&t->text, text, stripped(text)));
  if (t->kind == CZ_BLEU_13A) CZ_TRY(prepare_13a(t));
  for (int i = 0; t->rules[i].pattern; i++) CZ_TRY(apply_rule(t, i));
  return CZ_OK;
}

/** Appends TEXT tokenized as sacreBLEU's "13a", "intl" or "none" would; tokens are apart
 * by one or more spaces. CZ_EINVAL when TEXT is not UTF-8. */
cz_status cz_score_bleu_tokenize(cz_buf *out, const char *text, cz_bleu_tokens tokens) {
  tokenizer t;
  CZ_TRY(tokenizer_open(&t, tokens));
  cz_status st = tokenize(&t, text);
  if (st == CZ_OK) st = cz_buf_add(out, t.text.data, t.text.len);
  tokenizer_close(&t);
  return st;
}

static cz_status count_grams(cz_bleu *out, const cz__grams words[2], cz__grams grams[2],
                             size_t n_words) {
  size_t n_names = n_words;
  cz_status st = CZ_OK;
  for (size_t order = 1; order <= CZ_BLEU_ORDERS && st == CZ_OK; order++) {
    cz__names names = {0};
    for (int k = 0; k < 2 && order > 1 && st == CZ_OK; k++)
      st = cz__grams_extend(&grams[k], &names, &words[k], order - 1);
    if (order > 1) n_names = names.n;
    size_t common = 0;
    if (st == CZ_OK) st = cz__grams_common(&common, &grams[0], &grams[1], n_names);
    out->correct[order - 1] += (int64_t)common;
    out->total[order - 1] += (int64_t)grams[0].n;
    cz__names_free(&names);
  }
  return st;
}

/* Adds one pair's counts. */
static cz_status count_pair(cz_bleu *out, tokenizer *t, const char *prediction,
                            const char *reference) {
  const char *texts[2] = {prediction, reference};
  cz__grams words[2] = {{0}, {0}}, grams[2] = {{0}, {0}};
  cz__names names = {0};
  cz_status st = CZ_OK;
  for (int k = 0; k < 2 && st == CZ_OK; k++) {
    st = tokenize(t, texts[k]);
    if (st == CZ_OK) st = cz__split_spaces(&words[k], &names, t->text.data);
    for (size_t i = 0; i < words[k].n && st == CZ_OK; i++)
      st = cz__grams_add(&grams[k], words[k].ids[i]);
  }
  if (st == CZ_OK) st = count_grams(out, words, grams, names.n);
  out->predicted_tokens += (int64_t)words[0].n;
  out->reference_tokens += (int64_t)words[1].n;
  for (int k = 0; k < 2; k++) {
    cz__grams_free(&words[k]);
    cz__grams_free(&grams[k]);
  }
  cz__names_free(&names);
  return st;
}

/** Fills in score, precisions and brevity from the counts. score = brevity exp(mean of
 * log precisions); an order without a match gets 1 / (2^k total), k counting such orders
 * (Chen and Cherry 2014, method 3). */
void cz_score_bleu_finish(cz_bleu *b) {
  double mean_log = 0, smooth = 1;
  double longer = (double)b->reference_tokens / (double)b->predicted_tokens;
  b->brevity = b->predicted_tokens >= b->reference_tokens ? 1
               : b->predicted_tokens                      ? exp(1 - longer)
                                                          : 0;
  if (!b->correct[0]) return; /* then no longer gram matches either */
  for (int i = 0; i < CZ_BLEU_ORDERS && b->total[i]; i++) {
    if (!b->correct[i]) smooth *= 2;
    b->precisions[i] =
        100.0 * (b->correct[i] ? (double)b->correct[i] : 1 / smooth) / (double)b->total[i];
  }
  for (int i = 0; i < CZ_BLEU_ORDERS; i++) mean_log += log(b->precisions[i]) / CZ_BLEU_ORDERS;
  b->score = b->brevity * exp(mean_log);
}

/** Corpus BLEU of N predictions, one reference each. 0 when no word matches or no
 * prediction has four tokens. CZ_EINVAL when a text is not UTF-8. */
cz_status cz_score_bleu(cz_bleu *out, const char *const *predictions, const char *const *references,
                        size_t n, cz_bleu_tokens tokens) {
  tokenizer t;
  *out = (cz_bleu){0};
  CZ_TRY(tokenizer_open(&t, tokens));
  cz_status st = CZ_OK;
  for (size_t i = 0; i < n && st == CZ_OK; i++) {
    st = count_pair(out, &t, predictions[i], references[i]);
    if (st != CZ_OK) CZ_NOTE(st, "text %zu", i);
  }
  tokenizer_close(&t);
  if (st == CZ_OK) cz_score_bleu_finish(out);
  return st;
}

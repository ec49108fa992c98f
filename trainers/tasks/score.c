#include "tasks/score.h"
#include "base/log.h"
#include "base/nearest.h"
#include "base/number.h"
#include "metrics/scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Outputs of a task turned into what its scores take; arrays of set->n, owned by an arena
 * that dies with the call. */
typedef struct compared {
  int32_t *predicted, *expected; /* classes */
  double *x, *y;                 /* numbers: predicted, expected */
  const char **outputs, **references;
  size_t n;
} compared;

enum { NOUN_WORDS = 64 };

/* Lower-case words of a noun phrase without determiners. */
typedef struct noun {
  const char *word[NOUN_WORDS];
  size_t len[NOUN_WORDS], n;
  bool apostrophe;
} noun;

static bool is_determiner(const char *word, size_t n) {
  static const char *const all[] = {"a",     "an",    "few",  "her",   "his",   "each",  "every",
                                    "many",  "much",  "my",   "our",   "some",  "that",  "the",
                                    "their", "these", "this", "those", "which", "whose", "your"};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (strlen(all[i]) == n && !strncasecmp(all[i], word, n)) return true;
  return false;
}

static void read_noun(noun *x, const char *text) {
  *x = (noun){0};
  while (*text && x->n < NOUN_WORDS) {
    text += strspn(text, " \t\n\r");
    size_t n = strcspn(text, " \t\n\r");
    if (n && !is_determiner(text, n)) {
      x->word[x->n] = text;
      x->len[x->n++] = n;
      x->apostrophe |= memchr(text, '\'', n) != NULL;
    }
    text += n;
  }
}

static bool is_part(const noun *a, const noun *b) {
  for (size_t i = 0; i < a->n; i++) {
    bool found = false;
    for (size_t j = 0; j < b->n && !found; j++)
      found = a->len[i] == b->len[j] && !strncasecmp(a->word[i], b->word[j], a->len[i]);
    if (!found) return false;
  }
  return true;
}

/* WSC (t5.md 7.1): does the output name the record's noun? 1 or 0; -1 for an output
 * without a word. Longer phrases than NOUN_WORDS are cut. */
static int32_t same_noun(const char *output, const char *candidate) {
  noun a, b;
  read_noun(&a, output);
  read_noun(&b, candidate);
  if (a.n == 0) return -1;
  return a.apostrophe == b.apostrophe && (is_part(&a, &b) || is_part(&b, &a));
}

/* As Python's float() reads it; -1 when it is no finite number (docs/t5.md 7.2). */
static double read_number(const char *text) {
  double v;
  if (cz_parse_python_float(text, &v) == CZ_OK && isfinite(v)) return v;
  cz_error_clear();
  return -1;
}

static cz_status compare(compared *j, cz_arena *arena, const cz_task_set *set,
                         const char *const *outputs) {
  size_t n = j->n = set->n;
  CZ_TRY(cz_arena_alloc(arena, &j->predicted, n, sizeof *j->predicted));
  CZ_TRY(cz_arena_alloc(arena, &j->expected, n, sizeof *j->expected));
  CZ_TRY(cz_arena_alloc(arena, &j->x, n, sizeof *j->x));
  CZ_TRY(cz_arena_alloc(arena, &j->y, n, sizeof *j->y));
  CZ_TRY(cz_arena_alloc(arena, &j->outputs, n, sizeof *j->outputs));
  CZ_TRY(cz_arena_alloc(arena, &j->references, n, sizeof *j->references));
  for (size_t i = 0; i < n; i++) {
    const cz_task_record *r = &set->records[i];
    j->expected[i] = r->label;
    j->y[i] = r->number;
    j->outputs[i] = outputs[i];
    j->references[i] = r->targets;
    if (set->comparison == CZ_COMPARE_LABEL)
      j->predicted[i] = cz_score_label(outputs[i], set->labels, (size_t)set->n_labels);
    if (set->comparison == CZ_COMPARE_NOUN) j->predicted[i] = same_noun(outputs[i], r->targets);
    if (set->comparison == CZ_COMPARE_NUMBER) j->x[i] = read_number(outputs[i]);
  }
  return CZ_OK;
}

static cz_status accuracy(double *out, const compared *j, const cz_task_set *set, cz_arena *arena) {
  *out = cz_score_accuracy(j->predicted, j->expected, j->n);
  return CZ_OK;
}

/* Of class 1; an output that is no label counts as the other label (t5.md 7.2). */
static cz_status binary_f1(double *out, const compared *j, const cz_task_set *set,
                           cz_arena *arena) {
  *out = cz_score_f1(j->predicted, j->expected, j->n, 1);
  return CZ_OK;
}

static cz_status macro_f1(double *out, const compared *j, const cz_task_set *set, cz_arena *arena) {
  *out = cz_score_f1_macro(j->predicted, j->expected, j->n, set->n_labels);
  return CZ_OK;
}

static cz_status mcc(double *out, const compared *j, const cz_task_set *set, cz_arena *arena) {
  return cz_score_matthews(out, j->predicted, j->expected, j->n, set->n_labels);
}

static cz_status pearson(double *out, const compared *j, const cz_task_set *set, cz_arena *arena) {
  *out = cz_score_pearson(j->x, j->y, j->n);
  return CZ_OK;
}

static cz_status spearman(double *out, const compared *j, const cz_task_set *set, cz_arena *arena) {
  return cz_score_spearman(out, j->x, j->y, j->n);
}

/* Share of groups, which lie side by side, that are right throughout. */
static cz_status group_exact(double *out, const compared *j, const cz_task_set *set,
                             cz_arena *arena) {
  size_t groups = 0, right = 0;
  for (size_t i = 0, end; i < j->n; i = end) {
    bool all = true;
    for (end = i; end < j->n && set->records[end].group == set->records[i].group; end++)
      all &= j->predicted[end] == j->expected[end];
    groups++;
    right += all;
  }
  *out = (double)right / (double)groups;
  return CZ_OK;
}

static cz_status squad(double *out, const compared *j, const cz_task_set *set, bool exact) {
  double sum = 0;
  for (size_t i = 0; i < j->n; i++) {
    double em, f1;
    CZ_TRY(cz_score_squad(&em, &f1, j->outputs[i], set->records[i].answers,
                          (size_t)set->records[i].n_answers));
    sum += exact ? em : f1;
  }
  *out = sum / (double)j->n;
  return CZ_OK;
}

static cz_status squad_exact(double *out, const compared *j, const cz_task_set *set,
                             cz_arena *arena) {
  return squad(out, j, set, true);
}

static cz_status squad_f1(double *out, const compared *j, const cz_task_set *set, cz_arena *arena) {
  return squad(out, j, set, false);
}

static cz_status rouge1(double *out, const compared *j, const cz_task_set *set, cz_arena *arena) {
  return cz_score_rouge_mean(out, j->outputs, j->references, j->n, CZ_ROUGE_1);
}

static cz_status rouge2(double *out, const compared *j, const cz_task_set *set, cz_arena *arena) {
  return cz_score_rouge_mean(out, j->outputs, j->references, j->n, CZ_ROUGE_2);
}

/* Sentences on lines of their own, as the summary-level ROUGE-L wants them: " . " becomes
 * " ." and a line end (t5.md 7.2). */
static cz_status by_sentences(const char ***out, cz_arena *arena, const char *const *texts,
                              size_t n) {
  CZ_TRY(cz_arena_alloc(arena, out, n, sizeof **out));
  for (size_t i = 0; i < n; i++) {
    char *copy;
    CZ_TRY(cz_arena_strdup(arena, &copy, texts[i]));
    for (char *at = copy; (at = strstr(at, " . ")); at += 3) at[2] = '\n';
    (*out)[i] = copy;
  }
  return CZ_OK;
}

static cz_status summary_rouge(double *out, const compared *j, const cz_task_set *set,
                               cz_arena *arena) {
  const char **outputs, **references;
  CZ_TRY(by_sentences(&outputs, arena, j->outputs, j->n));
  CZ_TRY(by_sentences(&references, arena, j->references, j->n));
  return cz_score_rouge_mean(out, outputs, references, j->n, CZ_ROUGE_LSUM);
}

static cz_status bleu(double *out, const compared *j, const cz_task_set *set, cz_arena *arena) {
  cz_bleu b;
  CZ_TRY(cz_score_bleu(&b, j->outputs, j->references, j->n, CZ_BLEU_INTL));
  *out = b.score / 100;
  return CZ_OK;
}

static cz_status accuracy_part(double *part, const compared *j, const cz_task_set *set, size_t i,
                               cz_arena *arena) {
  part[0] = j->predicted[i] == j->expected[i] ? 100 : 0;
  return CZ_OK;
}

static cz_status pair_part(double *part, const compared *j, const cz_task_set *set, size_t i,
                           cz_arena *arena) {
  part[0] = j->predicted[i];
  part[1] = j->expected[i];
  return CZ_OK;
}

static cz_status classes_part(double *part, const compared *j, const cz_task_set *set, size_t i,
                              cz_arena *arena) {
  part[2] = set->n_labels;
  return pair_part(part, j, set, i, arena);
}

static cz_status numbers_part(double *part, const compared *j, const cz_task_set *set, size_t i,
                              cz_arena *arena) {
  part[0] = j->x[i];
  part[1] = j->y[i];
  return CZ_OK;
}

/* A group's value stands at its first record; NaN at the others. */
static cz_status group_part(double *part, const compared *j, const cz_task_set *set, size_t i,
                            cz_arena *arena) {
  bool first = i == 0 || set->records[i - 1].group != set->records[i].group, all = true;
  for (size_t k = i; k < j->n && set->records[k].group == set->records[i].group; k++)
    all &= j->predicted[k] == j->expected[k];
  part[0] = !first ? NAN : all ? 100 : 0;
  return CZ_OK;
}

static cz_status squad_part(double *em, double *f1, const compared *j, const cz_task_set *set,
                            size_t i) {
  return cz_score_squad(em, f1, j->outputs[i], set->records[i].answers,
                        (size_t)set->records[i].n_answers);
}

static cz_status squad_exact_part(double *part, const compared *j, const cz_task_set *set, size_t i,
                                  cz_arena *arena) {
  double f1;
  CZ_TRY(squad_part(part, &f1, j, set, i));
  part[0] *= 100;
  return CZ_OK;
}

static cz_status squad_f1_part(double *part, const compared *j, const cz_task_set *set, size_t i,
                               cz_arena *arena) {
  double em;
  CZ_TRY(squad_part(&em, part, j, set, i));
  part[0] *= 100;
  return CZ_OK;
}

static cz_status rouge_part(double *part, const char *output, const char *reference,
                            cz_rouge_kind kind) {
  cz_rouge r;
  CZ_TRY(cz_score_rouge(&r, output, reference, kind));
  *part = 100 * r.f1;
  return CZ_OK;
}

static cz_status rouge1_part(double *part, const compared *j, const cz_task_set *set, size_t i,
                             cz_arena *arena) {
  return rouge_part(part, j->outputs[i], j->references[i], CZ_ROUGE_1);
}

static cz_status rouge2_part(double *part, const compared *j, const cz_task_set *set, size_t i,
                             cz_arena *arena) {
  return rouge_part(part, j->outputs[i], j->references[i], CZ_ROUGE_2);
}

static cz_status rougeL_part(double *part, const compared *j, const cz_task_set *set, size_t i,
                             cz_arena *arena) {
  const char **output, **reference;
  CZ_TRY(by_sentences(&output, arena, &j->outputs[i], 1));
  CZ_TRY(by_sentences(&reference, arena, &j->references[i], 1));
  return rouge_part(part, *output, *reference, CZ_ROUGE_LSUM);
}

static cz_status bleu_part(double *part, const compared *j, const cz_task_set *set, size_t i,
                           cz_arena *arena) {
  cz_bleu b;
  CZ_TRY(cz_score_bleu(&b, &j->outputs[i], &j->references[i], 1, CZ_BLEU_INTL));
  part[0] = (double)b.predicted_tokens;
  part[1] = (double)b.reference_tokens;
  for (size_t k = 0; k < CZ_BLEU_ORDERS; k++) {
    part[2 + k] = (double)b.correct[k];
    part[2 + CZ_BLEU_ORDERS + k] = (double)b.total[k];
  }
  return CZ_OK;
}

/* What is known of each score, in the order of metrics.def. */
static const struct {
  cz_parts_kind parts;
  double range[2];
  cz_status (*score)(double *out, const compared *j, const cz_task_set *set, cz_arena *arena);
  cz_status (*part)(double *part, const compared *j, const cz_task_set *set, size_t i,
                    cz_arena *arena);
} rows[CZ_METRICS] = {
    [CZ_METRIC_NONE] = {.range = {-INFINITY, INFINITY}},
#define CZ_METRIC(id, name, parts_, takes, low, high, ...)                                         \
  [CZ_METRIC_##id] = {CZ_PARTS_##parts_, {low, high}, __VA_ARGS__},
#include "tasks/metrics.def"
#undef CZ_METRIC
};

/** How METRIC, which is not CZ_METRIC_NONE, is made of what the records add to it. */
cz_parts_kind cz_task_parts_kind(cz_task_metric metric) { return rows[metric].parts; }

static cz_task_metric metric_named(const char *name) {
  for (int m = CZ_METRIC_NONE + 1; m < CZ_METRICS; m++)
    if (!strcmp(name, cz_task_metric_names[m])) return (cz_task_metric)m;
  return CZ_METRIC_NONE;
}

/** The score called NAME. CZ_EINVAL with the nearest when there is none. */
cz_status cz_task_metric_find(cz_task_metric *metric, const char *name) {
  *metric = metric_named(name);
  return *metric ? CZ_OK
                 : CZ_FAIL(CZ_EINVAL, "no score is called '%s'%s", name,
                           cz_suggest(name, cz_task_metric_names + 1, CZ_METRICS - 1).text);
}

/** The least and the most that the score called NAME can be, in points; infinities where it has
 * no bound or no score is called so. */
void cz_task_metric_range(double range[2], const char *name) {
  memcpy(range, rows[metric_named(name)].range, 2 * sizeof *range);
}

/** CZ_EINVAL when SET has a record without a known answer, as test files do: there is
 * nothing to learn or to score against. */
cz_status cz_task_answered(const cz_task_set *set) {
  bool classes = set->comparison == CZ_COMPARE_LABEL || set->comparison == CZ_COMPARE_NOUN;
  for (size_t i = 0; i < set->n; i++) {
    if (!set->records[i].unknown && !(classes && set->records[i].label < 0)) continue;
    return set->unlabelled ? CZ_FAIL(CZ_EINVAL, "%s", set->unlabelled)
                           : CZ_FAIL(CZ_EINVAL, "%s: record %zu has no answer", set->path, i + 1);
  }
  return CZ_OK;
}

/* ROUGE's tokenizer keeps a to z and 0 to 9, so what is written in another script scores 0
 * against anything, itself included. */
static cz_status warn_of_wordless(const compared *j, const cz_task_set *set) {
  size_t n = 0;
  bool words = false;
  for (int m = 0; m < CZ_TASK_METRICS && set->metrics[m]; m++)
    words |= cz_task_metric_takes[set->metrics[m]] == CZ_TAKES_WORDS;
  if (words) CZ_TRY(cz_score_rouge_wordless(&n, j->references, j->n));
  if (n)
    cz_warn("%s: %zu of %zu references have no letter a to z and no digit, all that ROUGE sees: "
            "they score 0 whatever is written",
            set->path, n, j->n);
  return CZ_OK;
}

/** Scores OUTPUTS, one text a record of SET, by the set's metrics:
 * SCORES[CZ_TASK_METRICS], times 100 as the papers print them, those of absent metrics
 * 0. CZ_EINVAL for a set that cz_task_answered refuses. */
cz_status cz_task_score(double *scores, const cz_task_set *set, const char *const *outputs) {
  cz_arena *arena = NULL;
  compared j;
  cz_status st;
  CZ_TRY(cz_task_answered(set));
  memset(scores, 0, CZ_TASK_METRICS * sizeof *scores);
  CZ_TRY(cz_arena_create(&arena, "score"));
  CZ_GO(st, compare(&j, arena, set, outputs), done);
  CZ_GO(st, warn_of_wordless(&j, set), done);
  for (int m = 0; m < CZ_TASK_METRICS && set->metrics[m]; m++) {
    CZ_GO(st, rows[set->metrics[m]].score(&scores[m], &j, set, arena), done);
    scores[m] *= 100;
  }
done:
  cz_arena_destroy(&arena);
  return st;
}

/** Why METRIC has no value for OUTPUTS, one text a record of SET, as a phrase; null when it has
 * one. A correlation needs numbers that differ. */
cz_status cz_task_undefined(const char **why, cz_task_metric metric, const cz_task_set *set,
                            const char *const *outputs) {
  cz_arena *arena = NULL;
  compared j;
  cz_status st;
  *why = NULL;
  if (cz_task_metric_takes[metric] != CZ_TAKES_NUMBERS) return CZ_OK;
  CZ_TRY(cz_arena_create(&arena, "score"));
  CZ_GO(st, compare(&j, arena, set, outputs), done);
  *why = cz_score_undefined(j.x, j.y, j.n);
done:
  cz_arena_destroy(&arena);
  return st;
}

/** What each record adds to METRIC under OUTPUTS: PARTS[set->n][CZ_TASK_PARTS], of which
 * the first cz_parts_width(cz_task_parts_kind(METRIC)) count; NaN: the record does not count. The
 * score can be made of them again, with the records drawn anew (cz_parts_score). */
cz_status cz_task_parts(double *parts, cz_task_metric metric, const cz_task_set *set,
                        const char *const *outputs) {
  cz_arena *arena = NULL;
  compared j;
  cz_status st;
  CZ_TRY(cz_task_answered(set));
  CZ_TRY(cz_arena_create(&arena, "parts of scores"));
  CZ_GO(st, compare(&j, arena, set, outputs), done);
  for (size_t i = 0; i < set->n; i++)
    CZ_GO(st, rows[metric].part(parts + i * CZ_TASK_PARTS, &j, set, i, arena), done);
done:
  cz_arena_destroy(&arena);
  return st;
}

/* The folder metrics: what is measured and where it is written. Scores (this header) take
 * predictions and references as labels, numbers or texts and give one number each;
 * statistics.h says how far such numbers can be trusted over seeds. During training a run
 * appends lines to metrics.jsonl (jsonl.h) and points to TensorBoard's files (events.h),
 * both of which survive a kill. Nothing here knows tasks or models.
 *
 * Each score is computed as the field's usual Python package does; equality is tested on
 * random cases (scripts/make_score_fixtures.py).
 *
 * Labels are int32 class indices; -1 is an output that is no label and is always wrong
 * (T5, docs/t5.md 7.2). Texts are UTF-8. Shares and F-measures lie in [0, 1],
 * correlations in [-1, 1], BLEU in [0, 100]. A score that is not defined (a correlation
 * with a constant) is NaN. */
#ifndef CZ_METRICS_SCORES_H
#define CZ_METRICS_SCORES_H

#include "base/mem.h"

/* Labels. */
int32_t cz_score_label(const char *output, const char *const *labels, size_t n_labels);
double cz_score_accuracy(const int32_t *predicted, const int32_t *wanted, size_t n);
double cz_score_f1(const int32_t *predicted, const int32_t *wanted, size_t n, int32_t positive);
double cz_score_f1_macro(const int32_t *predicted, const int32_t *wanted, size_t n,
                         int32_t classes);
CZ_MUST cz_status cz_score_matthews(double *out, const int32_t *predicted, const int32_t *wanted,
                                    size_t n, int32_t classes);

/* Numbers. */
const char *cz_score_undefined(const double *x, const double *y, size_t n);
double cz_score_pearson(const double *x, const double *y, size_t n);
CZ_MUST cz_status cz_score_spearman(double *out, const double *x, const double *y, size_t n);
double cz_score_kendall(const double *x, const double *y, size_t n);

/* Likelihoods. */
double cz_score_perplexity(double nats, int64_t tokens);
CZ_MUST cz_status cz_score_calibration(double *out, const double *confidence,
                                       const int32_t *predicted, const int32_t *wanted, size_t n,
                                       size_t bins);

/* Confidence: a bin of a reliability diagram, accuracy of the most certain part. */
typedef struct cz_reliability {
  size_t n;
  double accuracy, confidence; /* means of the bin */
} cz_reliability;
CZ_MUST cz_status cz_score_reliability(cz_reliability *out, const double *confidence,
                                       const int32_t *predicted, const int32_t *wanted, size_t n,
                                       size_t bins);
CZ_MUST cz_status cz_score_coverage(double *accuracy, double *threshold, const double *confidence,
                                    const int32_t *predicted, const int32_t *wanted, size_t n,
                                    int percent);
void cz_score_abstain(double *share, double *accuracy, const double *confidence,
                      const int32_t *predicted, const int32_t *wanted, size_t n, double threshold);

/* Answers. */
CZ_MUST cz_status cz_score_squad(double *exact, double *f1, const char *prediction,
                                 const char *const *references, size_t n_references);

/* Summaries. */
typedef enum cz_rouge_kind { CZ_ROUGE_1, CZ_ROUGE_2, CZ_ROUGE_L, CZ_ROUGE_LSUM } cz_rouge_kind;
typedef struct cz_rouge {
  double precision, recall, f1;
} cz_rouge;
CZ_MUST cz_status cz_score_rouge(cz_rouge *out, const char *prediction, const char *reference,
                                 cz_rouge_kind kind);
CZ_MUST cz_status cz_score_rouge_mean(double *f1, const char *const *predictions,
                                      const char *const *references, size_t n, cz_rouge_kind kind);
CZ_MUST cz_status cz_score_rouge_wordless(size_t *count, const char *const *texts, size_t n);

/* Translations. */
typedef enum cz_bleu_tokens { CZ_BLEU_13A, CZ_BLEU_INTL, CZ_BLEU_NONE } cz_bleu_tokens;
enum { CZ_BLEU_ORDERS = 4 };
typedef struct cz_bleu {
  double score;                      /* 0 to 100 */
  double precisions[CZ_BLEU_ORDERS]; /* per cent, smoothed */
  double brevity;                    /* penalty, 0 to 1 */
  int64_t correct[CZ_BLEU_ORDERS], total[CZ_BLEU_ORDERS];
  int64_t predicted_tokens, reference_tokens;
} cz_bleu;
CZ_MUST cz_status cz_score_bleu(cz_bleu *out, const char *const *predictions,
                                const char *const *references, size_t n, cz_bleu_tokens tokens);
void cz_score_bleu_finish(cz_bleu *b);
CZ_MUST cz_status cz_score_bleu_tokenize(cz_buf *out, const char *text, cz_bleu_tokens tokens);

#endif

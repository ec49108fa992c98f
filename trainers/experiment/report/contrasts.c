#include "experiment/report/contrasts.h"
#include "experiment/report/plot.h"
#include "experiment/report/table.h"
#include "json/json.h"
#include "stages/stage.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/** The test number PAIR of the plan under COLUMN. Borrowed. */
const cz_pair_cell *cz_contrasts_at(const cz_comparison *t, size_t column, size_t pair) {
  return &t->pairs[column * t->results->plan.n_pairs + pair];
}

/* Corrects the probabilities of one column's tests for their number. */
static cz_status correct(cz_comparison *t, size_t column) {
  const size_t n = t->results->plan.n_pairs;
  cz_pair_cell *cells = t->pairs + column * n;
  double *p;
  CZ_TRY(cz_alloc(&p, n, sizeof *p));
  for (size_t i = 0; i < n; i++) {
    p[i] = cz_compare_probability(t->results, column, &cells[i].difference);
    t->pair_tests[column] += !isnan(p[i]);
  }
  cz_status st = cz_stats_holm(p, p, n);
  for (size_t i = 0; i < n && st == CZ_OK; i++) cells[i].p = p[i];
  free(p);
  return st;
}

/** Works out all contrasts of T, whose results are there: each difference with its interval, and
 * the probability that it is 0, corrected (Holm) for all tests of its column. */
cz_status cz_contrasts_fill(cz_comparison *t) {
  const cz_plan *p = &t->results->plan;
  if (!p->n_pairs) return CZ_OK;
  CZ_TRY(cz_alloc(&t->pairs, p->n_columns * p->n_pairs, sizeof *t->pairs));
  CZ_TRY(cz_alloc(&t->pair_tests, p->n_columns, sizeof *t->pair_tests));
  for (size_t c = 0; c < p->n_columns; c++) {
    for (size_t i = 0; i < p->n_pairs; i++)
      CZ_TRY(cz_compare_difference(&t->pairs[c * p->n_pairs + i].difference, t->results, c,
                                   p->pairs[i].row, p->pairs[i].other,
                                   &t->results->pair_noise[c * p->n_pairs + i]));
    CZ_TRY(correct(t, c));
  }
  return CZ_OK;
}

/* Whether each of ROWS has a number under COLUMN and seed number S. */
static bool all_have(const cz_results *r, size_t column, const size_t *rows, size_t n, size_t s) {
  for (size_t i = 0; i < n; i++)
    if (isnan(r->values[(column * r->plan.n_rows + rows[i]) * r->plan.n_seeds + s])) return false;
  return true;
}

/** MEANS[n]: of each of ROWS[n] under COLUMN over the SEEDS that all of them have: a seed may
 * stand for a draw of T, and means over unlike ones differ by that too. Without such a seed they
 * are NaN. */
cz_status cz_contrasts_means(double *means, size_t *seeds, const cz_results *r, size_t column,
                             const size_t *rows, size_t n) {
  double *x;
  CZ_TRY(cz_alloc(&x, r->plan.n_seeds, sizeof *x));
  *seeds = 0;
  for (size_t i = 0; i < n; i++) {
    const double *all = &r->values[(column * r->plan.n_rows + rows[i]) * r->plan.n_seeds];
    *seeds = 0;
    for (size_t s = 0; s < r->plan.n_seeds; s++)
      if (all_have(r, column, rows, n, s)) x[(*seeds)++] = all[s];
    means[i] = *seeds ? cz_stats_mean(x, *seeds) : NAN;
  }
  free(x);
  return CZ_OK;
}

/* What is said of a difference, as a phrase behind its number. */
static const char *verdict_of(const cz_pair_cell *c) {
  if (c->difference.n == 0) return "-";
  if (c->difference.n == 1) return "one seed, no interval";
  if (isnan(c->p)) return "examples unknown";
  return c->p <= 0.05 ? "beyond the noise" : "within the noise";
}

/** What the seeds of both rows of a test draw. */
cz_seeds_draw cz_contrasts_draws(const cz_plan *p, const cz_pair *pair) {
  const cz_seeds_draw a = cz_plan_row_draws(p, pair->row), b = cz_plan_row_draws(p, pair->other);
  return a > b ? a : b;
}

static const char *const over[][2] = {
    [CZ_SEEDS_PLAIN] = {"seeds", "seed"},
    [CZ_SEEDS_DRAWS] = {"draws of T", "draw of T"},
    [CZ_SEEDS_ONE_T] = {"repetitions on one T", "repetition on one T"}};

/** What a deviation over such seeds is over, in words. */
const char *cz_contrasts_over(cz_seeds_draw d) { return over[d][0]; }

/** The same behind N of them, as `1 draw of T`. */
const char *cz_contrasts_counted(cz_seeds_draw d, size_t n) { return over[d][n == 1]; }

/* " at 50 labelled texts"; nothing without an axis. */
static cz_status add_point(cz_buf *out, const cz_plan *p, const cz_pair *pair, bool named) {
  if (pair->point == SIZE_MAX) return CZ_OK;
  return cz_buf_addf(out, " at %s%s%s", p->axis.values[pair->point], named ? " " : "",
                     named ? p->axis.name : "");
}

static const char *side_of(double difference) {
  return difference < 0 ? "below" : difference > 0 ? "above" : "level with";
}

/* "PET is above supervised at 50 labelled texts by 24.10 ± 5.00, beyond the noise". */
static cz_status add_phrase(cz_buf *out, const cz_comparison *t, size_t column, size_t i,
                            bool first) {
  const cz_plan *p = &t->results->plan;
  const cz_pair *pair = &p->pairs[i];
  const cz_pair_cell *c = cz_contrasts_at(t, column, i);
  const cz_interval *d = &c->difference;
  const char *const *rows = p->contrasts[pair->contrast].rows;
  if (first) CZ_TRY(cz_buf_addf(out, "%s is %s %s", rows[0], side_of(d->mean), rows[1]));
  CZ_TRY(add_point(out, p, pair, first));
  if (!first) CZ_TRY(cz_buf_addf(out, " %s", d->mean ? side_of(d->mean) : "level"));
  if (d->mean) CZ_TRY(cz_buf_addf(out, " by %s", cz_number_of(fabs(d->mean), 2).text));
  if (d->n == 1) return cz_buf_addf(out, ", with one seed and so without an interval");
  CZ_TRY(cz_buf_addf(out, " ± %s", cz_number_of(d->half, 2).text));
  if (isnan(c->p)) return cz_buf_addf(out, ", the noise of the test examples not known");
  CZ_TRY(cz_buf_addf(out, ", %s", verdict_of(c)));
  return first ? cz_buf_addf(out, " after Holm over %zu", t->pair_tests[column]) : CZ_OK;
}

/* One sentence: a contrast at each value that is known. */
static cz_status contrast_words(cz_buf *out, const cz_comparison *t, size_t column, size_t k) {
  const cz_plan *p = &t->results->plan;
  bool said = false;
  for (size_t i = 0; i < p->n_pairs; i++) {
    if (p->pairs[i].contrast != k || !cz_contrasts_at(t, column, i)->difference.n) continue;
    CZ_TRY(said ? cz_buf_addf(out, ";") : cz_buf_addf(out, "%s: ", p->columns[column].name));
    CZ_TRY(add_phrase(out, t, column, i, !said));
    said = true;
  }
  return said ? cz_buf_addf(out, ".\n") : CZ_OK;
}

/* Whether nothing in a row is trained but logistic regression on a frozen encoder's vectors: what
 * somebody would do who knows nothing of prompts. */
static bool is_encoder(const cz_plan *p, size_t row) {
  bool found = false;
  for (size_t i = 0; i < p->n_stages; i++) {
    const cz_plan_stage *s = cz_plan_at(p, 0, row, i);
    if (s->left_out) continue;
    if (!cz_stage_encodes(s->node)) return false;
    found = true;
  }
  return found;
}

/* How a row stands to another that it leads by so much; a verdict where that is SHOWN. */
static const char *stands(double lead, bool shown) {
  if (shown) return lead > 0 ? "beats" : "is beaten by";
  return lead > 0 ? "is above" : lead < 0 ? "is below" : "is level with";
}

/* "accuracy at 10 labelled: a frozen sentence encoder with logistic regression (row vectors, 45.20)
 * beats PET (33.10) by 12.10 ± 3.00, beyond the noise after Holm over 6." Means are of the seeds
 * that the difference is over; where a row has more, it is said. */
static cz_status encoder_words(cz_buf *out, const cz_comparison *t, size_t column, size_t i,
                               bool turned) {
  const cz_plan *p = &t->results->plan;
  const cz_pair *pair = &p->pairs[i];
  const cz_pair_cell *c = cz_contrasts_at(t, column, i);
  const cz_interval *d = &c->difference;
  const char *const *rows = p->contrasts[pair->contrast].rows;
  const size_t encoder = turned ? pair->row : pair->other, other = turned ? pair->other : pair->row;
  const double lead = turned ? d->mean : -d->mean;
  const bool shown = d->n > 1 && c->p <= 0.05;
  const bool more = cz_compare_at(t, column, encoder)->ours.n > d->n ||
                    cz_compare_at(t, column, other)->ours.n > d->n;
  double means[2] = {NAN, NAN};
  size_t seeds = 0;
  CZ_TRY(
      cz_contrasts_means(means, &seeds, t->results, column, (const size_t[]){encoder, other}, 2));
  CZ_TRY(cz_buf_addf(out, "%s", p->columns[column].name));
  CZ_TRY(add_point(out, p, pair, true));
  CZ_TRY(cz_buf_addf(out,
                     ": a frozen sentence encoder with logistic regression (row %s, %s) %s %s (%s) "
                     "by %s",
                     rows[!turned], cz_number_of(means[0], 2).text, stands(lead, shown),
                     rows[turned], cz_number_of(means[1], 2).text,
                     cz_number_of(fabs(lead), 2).text));
  if (d->n > 1) CZ_TRY(cz_buf_addf(out, " ± %s", cz_number_of(d->half, 2).text));
  if (more)
    CZ_TRY(cz_buf_addf(out, " over the %zu seed%s that both have", seeds, seeds == 1 ? "" : "s"));
  CZ_TRY(cz_buf_addf(out, ", %s", verdict_of(c)));
  if (!isnan(c->p)) CZ_TRY(cz_buf_addf(out, " after Holm over %zu", t->pair_tests[column]));
  return cz_buf_addf(out, "%s.\n", isnan(c->p) || shown ? "" : ": neither is shown to be better");
}

/* Where contrast K is one with a frozen encoder, a sentence at each value. */
static cz_status opponent_words(cz_buf *out, const cz_comparison *t, size_t column, size_t k) {
  const cz_plan *p = &t->results->plan;
  if (!cz_column_all_scores(&p->columns[column])) return CZ_OK;
  for (size_t i = 0; i < p->n_pairs; i++) {
    const cz_pair *pair = &p->pairs[i];
    if (pair->contrast != k || !cz_contrasts_at(t, column, i)->difference.n) continue;
    const bool turned = is_encoder(p, pair->row);
    if (turned != is_encoder(p, pair->other)) CZ_TRY(encoder_words(out, t, column, i, turned));
  }
  return CZ_OK;
}

/** Appends a sentence for each contrast under COLUMN: at which values the row is above or below the
 * other, by how much, and whether beyond the noise; and one at each value where one of the two is a
 * frozen sentence encoder, which says who wins. */
cz_status cz_contrasts_words(cz_buf *out, const cz_comparison *t, size_t column) {
  for (size_t k = 0; k < t->results->plan.n_contrasts; k++) {
    CZ_TRY(contrast_words(out, t, column, k));
    CZ_TRY(opponent_words(out, t, column, k));
  }
  return CZ_OK;
}

/** Appends a sentence that says which deviation the report's numbers are, where rows have a T:
 * over draws of it, or over repetitions on one. One seed has no deviation. */
cz_status cz_contrasts_deviation(cz_buf *out, const cz_comparison *t) {
  const cz_plan *p = &t->results->plan;
  size_t n[3] = {0};
  cz_buf one = {0};
  cz_status st = CZ_OK;
  if (p->n_seeds < 2) return CZ_OK;
  for (size_t r = 0; r < p->n_rows && st == CZ_OK; r++) {
    const cz_seeds_draw d = cz_plan_row_draws(p, r);
    if (d == CZ_SEEDS_ONE_T) st = cz_buf_addf(&one, "%s%s", one.len ? ", " : "", p->rows[r].name);
    n[d]++;
  }
  if (st == CZ_OK && n[CZ_SEEDS_DRAWS])
    st = cz_buf_addf(out,
                     "Each seed draws its own T%s: deviations, intervals and differences are "
                     "over draws of the training set.\n",
                     n[CZ_SEEDS_ONE_T] ? ", but for the rows named next" : "");
  if (st == CZ_OK && n[CZ_SEEDS_ONE_T])
    st = cz_buf_addf(out,
                     "All seeds have one and the same T in %s: deviations, intervals and "
                     "differences are over repetitions on it, as papers print them, and do "
                     "not say how far another T would move the numbers.\n",
                     n[CZ_SEEDS_DRAWS] ? one.data : "every row that has one");
  cz_buf_free(&one);
  return st;
}

/* Whether test I of the plan says something under COLUMN: a difference, or that one is missing as
 * yet. Both rows may have the column's number under no seed at all. */
static bool shows(const cz_comparison *t, size_t column, size_t i) {
  return t->results->done < t->results->total || cz_contrasts_at(t, column, i)->difference.n;
}

static bool shows_some(const cz_comparison *t, size_t column) {
  for (size_t i = 0; i < t->results->plan.n_pairs; i++)
    if (shows(t, column, i)) return true;
  return false;
}

static cz_status pair_cells(cz_grid *g, const cz_comparison *t, size_t column, size_t i) {
  const cz_plan *p = &t->results->plan;
  const cz_pair *pair = &p->pairs[i];
  const cz_pair_cell *c = cz_contrasts_at(t, column, i);
  const cz_interval *d = &c->difference;
  CZ_TRY(cz_grid_add(g, "%s minus %s", p->contrasts[pair->contrast].rows[0],
                     p->contrasts[pair->contrast].rows[1]));
  CZ_TRY(cz_grid_add(g, "%s", pair->point == SIZE_MAX ? "-" : p->axis.values[pair->point]));
  CZ_TRY(cz_grid_add(g, "%zu %s", d->n, cz_contrasts_counted(cz_contrasts_draws(p, pair), d->n)));
  CZ_TRY(cz_grid_add(g, "%s ± %s", cz_number_signed(d->n ? d->mean : NAN).text,
                     cz_number_of(d->n > 1 ? d->half : NAN, 2).text));
  CZ_TRY(cz_grid_add(g, "%s, %s", cz_number_of(d->n ? d->seeds.error : NAN, 2).text,
                     cz_number_of(d->n ? d->examples.error : NAN, 2).text));
  CZ_TRY(cz_grid_add(g, "%s", cz_number_of(c->p, 4).text));
  return cz_grid_add(g, "%s", verdict_of(c));
}

static const char *const header[] = {
    "contrast", "value",  "over", "difference, 95 % interval", "error: seeds, examples",
    "p (Holm)", "verdict"};
enum { FIELDS = sizeof header / sizeof *header };

static cz_status fill_grid(cz_grid *g, const cz_comparison *t, size_t column) {
  g->columns = FIELDS;
  for (size_t i = 0; i < FIELDS; i++)
    CZ_TRY(cz_grid_add(
        g, "%s", i == 1 && t->results->plan.axis.node ? t->results->plan.axis.name : header[i]));
  for (size_t i = 0; i < t->results->plan.n_pairs; i++)
    if (shows(t, column, i)) CZ_TRY(pair_cells(g, t, column, i));
  return CZ_OK;
}

/** Appends the contrasts as tables, one a column that has some; nothing without contrasts. */
cz_status cz_contrasts_text(cz_buf *out, const cz_comparison *t, bool colours) {
  const cz_plan *p = &t->results->plan;
  for (size_t c = 0; c < p->n_columns && p->n_pairs; c++) {
    cz_grid g = {0};
    cz_status st;
    if (!shows_some(t, c)) continue;
    CZ_GO(st,
          cz_buf_addf(out,
                      "%s: contrasts, paired over seeds and test examples; corrected for %zu "
                      "test%s (Holm)\n",
                      p->columns[c].name, t->pair_tests[c], t->pair_tests[c] == 1 ? "" : "s"),
          done);
    CZ_GO(st, fill_grid(&g, t, c), done);
    CZ_GO(st, cz_grid_print(out, &g, 1 | 1 << 2 | 1 << 6, colours), done);
    st = cz_buf_addf(out, "\n");
  done:
    cz_grid_free(&g);
    CZ_TRY(st);
  }
  return CZ_OK;
}

/** Appends the contrasts as tables of the page, one a column that has some; nothing without any. */
cz_status cz_contrasts_page(cz_buf *out, const cz_comparison *t) {
  const cz_plan *p = &t->results->plan;
  cz_grid g = {0};
  cz_status st = CZ_OK;
  size_t first = 0;
  while (first < p->n_columns && !shows_some(t, first)) first++;
  if (first == p->n_columns) return CZ_OK;
  CZ_TRY(cz_buf_addf(out, "<h2>Contrasts</h2>\n<p class=\"soft\">The difference of two rows at the "
                          "same value, paired over seeds and test examples, with its 95 %% "
                          "interval; probabilities are corrected for all tests of a column "
                          "(Holm).</p>\n"));
  for (size_t c = first; c < p->n_columns && st == CZ_OK; c++) {
    if (!shows_some(t, c)) continue;
    CZ_GO(st, fill_grid(&g, t, c), done);
    CZ_GO(st, cz_grid_page(out, &g, p->columns[c].name), done);
    cz_grid_free(&g);
  }
done:
  cz_grid_free(&g);
  return st;
}

/** Adds to ROOT the key `contrasts`: every test with its difference (as INTERVAL prints it), the
 * corrected probability, for how many it is corrected, and what the seeds draw; nothing without
 * contrasts. */
cz_status cz_contrasts_json(json_t *root, const cz_comparison *t,
                            json_t *(*interval)(const cz_interval *)) {
  const cz_plan *p = &t->results->plan;
  json_t *list = json_array();
  if (!p->n_pairs) return json_decref(list), CZ_OK;
  CZ_TRY(cz_json_set(root, "contrasts", list));
  for (size_t i = 0; i < p->n_columns * p->n_pairs; i++) {
    const cz_pair *pair = &p->pairs[i % p->n_pairs];
    const size_t column = i / p->n_pairs;
    const cz_pair_cell *c = &t->pairs[i];
    json_t *o = json_pack(
        "{s:s, s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:I}", "column", p->columns[column].name, "row",
        p->contrasts[pair->contrast].rows[0], "other", p->contrasts[pair->contrast].rows[1],
        "value", pair->point == SIZE_MAX ? json_null() : json_string(p->axis.values[pair->point]),
        "deviation_over", cz_contrasts_over(cz_contrasts_draws(p, pair)), "difference",
        interval(&c->difference), "p_holm", cz_json_real(c->p), "beyond_noise",
        isnan(c->p) ? json_null() : json_boolean(c->p <= 0.05), "comparisons",
        (json_int_t)t->pair_tests[column]);
    CZ_TRY(cz_json_add(list, o));
  }
  return CZ_OK;
}

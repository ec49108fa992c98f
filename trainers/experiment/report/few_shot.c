#include "experiment/report/few_shot_internal.h"
#include "ensemble/judge.h"
#include "json/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A number of a line: what stands at PATH, over the items of a list their mean, less what stands
 * at MINUS; times SCALE. BESIDE: a second one, which is printed behind it. */
typedef struct fact {
  const char *said, *path, *minus;
  double scale;
  const char *beside;
} fact;

/* What `cloze predict --abstain 0.P` would have done to the test texts. */
#define ABSTAIN(P)                                                                                 \
  { "0." #P, "abstain." #P ".coverage", NULL, 100, "abstain." #P ".accuracy" }

static const fact sure[] = {{"accuracy %", "accuracy", NULL, 100, NULL},
                            {"macro F1 %", "macro_f1", NULL, 100, NULL},
                            {"ECE %", "ece", NULL, 100, NULL},
                            {"of 100 %", "coverage.100", NULL, 100, NULL},
                            {"of 90 %", "coverage.90", NULL, 100, NULL},
                            {"of 80 %", "coverage.80", NULL, 100, NULL},
                            {"of 50 %", "coverage.50", NULL, 100, NULL}},
                  abstaining[] = {{"P for 90 %", "abstain_for.90", NULL, 1, NULL},
                                  {"P for 80 %", "abstain_for.80", NULL, 1, NULL},
                                  {"P for 50 %", "abstain_for.50", NULL, 1, NULL},
                                  ABSTAIN(10),
                                  ABSTAIN(20),
                                  ABSTAIN(30),
                                  ABSTAIN(40),
                                  ABSTAIN(50),
                                  ABSTAIN(60),
                                  ABSTAIN(70),
                                  ABSTAIN(80),
                                  ABSTAIN(90),
                                  ABSTAIN(95),
                                  ABSTAIN(99)},
                  patterns[] = {{"members %", "members.accuracy", NULL, 100, NULL},
                                {"best %", "agreement.best", NULL, 100, NULL},
                                {"worst %", "agreement.worst", NULL, 100, NULL},
                                {"best - worst", "agreement.best", "agreement.worst", 100, NULL},
                                {"mean %", "agreement.mean", NULL, 100, NULL},
                                {"deviation %", "agreement.deviation", NULL, 100, NULL},
                                {"pairs agree %", "agreement.pairs", NULL, 100, NULL},
                                {"kappa", "agreement.kappa", NULL, 1, NULL}},
                  forgetting[] = {
                      {"before", "members.heldout_mlm_before", NULL, 1, NULL},
                      {"after", "members.heldout_mlm_after", NULL, 1, NULL},
                      {"rise", "members.heldout_mlm_after", "members.heldout_mlm_before", 1, NULL}};

_Static_assert(sizeof abstaining / sizeof *abstaining == 3 + CZ_JUDGE_ABSTAINS,
               "each P that is judged is a column");

/* The tables; of classifiers, or of stages that have members. With FACTS they are numbers of a
 * line, else FILL writes them. */
static const struct table {
  const char *key, *title, *note;
  bool judged;
  const fact *facts;
  size_t n;
  cz_status (*fill)(cz_grid *g, const cz_results *r, const cz__lines *all, double *x);
} tables[] = {
    {"sure", "How sure it is",
     "ECE is the expected calibration error; `of 90 %` is the accuracy on the most certain 90 % of "
     "the test texts",
     true, sure, sizeof sure / sizeof *sure, NULL},
    {"abstaining", "What cloze predict --abstain P would have answered",
     "under each P per cent of the test texts that are answered: per cent of those that are right; "
     "`P for 90 %` is the P that leaves the most certain 90 %",
     true, abstaining, sizeof abstaining / sizeof *abstaining, NULL},
    {"shares", "Which classes are answered", "share of each label among the answers, per cent",
     true, NULL, 0, cz__few_shot_shares},
    {"patterns", "How far patterns differ",
     "test accuracy of the members; best, worst, mean and deviation of the patterns' means; how "
     "often two members agree",
     false, patterns, sizeof patterns / sizeof *patterns, NULL},
    {"each_pattern", "Each pattern",
     "test accuracy of the members of each, per cent, numbered as in the pattern file", false, NULL,
     0, cz__few_shot_each_pattern},
    {"forgetting", "What members forget",
     "masked-LM loss of held-out text before and after their training, mean over members, nats; "
     "alpha is the weight of the auxiliary loss",
     false, forgetting, sizeof forgetting / sizeof *forgetting, NULL}};
enum { TABLES = sizeof tables / sizeof *tables };

/** The metrics of a line under SEED, or null. Borrowed. */
const json_t *cz__line_metrics(const cz_results *r, const cz__line *l, size_t seed) {
  const cz_plan *p = &r->plan;
  const json_t *m = r->few_shot[(l->row * p->n_stages + l->stage) * p->n_seeds + seed];
  return l->name ? json_object_get(m, l->name) : m;
}

static bool is_judged(const json_t *value) {
  return json_object_get(value, "ece") || json_object_get(value, "shares");
}

static cz_status add_line(cz__lines *all, size_t row, size_t stage, const char *name) {
  for (size_t i = all->n; i-- > 0 && all->at[i].row == row && all->at[i].stage == stage;)
    if (!name || !strcmp(all->at[i].name, name)) return CZ_OK;
  CZ_TRY(cz_grow(&all->at, &all->cap, all->n + 1, sizeof *all->at));
  all->at[all->n++] = (cz__line){row, stage, name};
  return CZ_OK;
}

/* The lines of JUDGED classifiers or of members. A stage that rows share stands in the first. */
static cz_status find_lines(cz__lines *all, const cz_results *r, bool judged) {
  const cz_plan *p = &r->plan;
  for (size_t k = 0; k < p->n_rows * p->n_stages; k++) {
    const cz__line l = {k / p->n_stages, k % p->n_stages, NULL};
    if (!cz_plan_at(p, 0, l.row, l.stage)->first) continue;
    for (size_t s = 0; s < p->n_seeds; s++) {
      json_t *metrics = (json_t *)cz__line_metrics(r, &l, s), *value;
      const char *name;
      if (metrics && !judged && json_array_size(json_object_get(metrics, "members")))
        CZ_TRY(add_line(all, l.row, l.stage, NULL));
      if (!judged) continue;
      json_object_foreach(metrics, name, value) {
        if (is_judged(value)) CZ_TRY(add_line(all, l.row, l.stage, name));
      }
    }
  }
  return CZ_OK;
}

/** The number at PATH less that at MINUS, which may be null, times SCALE, over the seeds that have
 * it; X: room for them. */
cz_interval cz__line_number(const cz_results *r, const cz__line *l, const char *path,
                            const char *minus, double scale, double *x) {
  size_t n = 0;
  for (size_t s = 0; s < r->plan.n_seeds; s++) {
    const json_t *m = cz__line_metrics(r, l, s);
    double v = m ? cz_results_number(m, path) : NAN;
    if (minus && m) v -= cz_results_number(m, minus);
    if (!isnan(v)) x[n++] = scale * v;
  }
  return cz_stats_interval(x, n);
}

static cz_status add_interval(cz_grid *g, const cz_interval *x) {
  if (x->n < 2) return cz_grid_add(g, "%s", cz_number_of(x->n ? x->mean : NAN, 2).text);
  return cz_grid_add(g, "%s ± %s", cz_number_of(x->mean, 2).text,
                     cz_number_of(x->deviation, 2).text);
}

/** Row, what of it, and what its seeds draw; three cells. */
cz_status cz__line_head(cz_grid *g, const cz_results *r, const cz__line *l) {
  const cz_plan_stage *s = cz_plan_at(&r->plan, 0, l->row, l->stage);
  CZ_TRY(cz_grid_add(g, "%s", r->plan.rows[l->row].name));
  CZ_TRY(cz_grid_add(g, "%s%s%s", s->name, l->name ? "." : "", l->name ? l->name : ""));
  return cz_grid_add(g, "%s", cz_contrasts_over(cz_plan_stage_draws(s->node)));
}

/** The names of those cells. */
cz_status cz__line_header(cz_grid *g) {
  CZ_TRY(cz_grid_add(g, "row"));
  CZ_TRY(cz_grid_add(g, "of"));
  return cz_grid_add(g, "± over");
}

/* The weight of the auxiliary loss of the stage, as the file has it. */
static const char *alpha_of(const cz_results *r, const cz__line *l) {
  const cz_plan_stage *stage = cz_plan_at(&r->plan, 0, l->row, l->stage);
  return cz_config_text_or(cz_config_get(stage->node, "classify"), "lm", "0");
}

/* Whether a line has any number of the table. */
static bool has_fact(const cz_results *r, const struct table *t, const cz__line *l, double *x) {
  for (size_t k = 0; k < t->n; k++)
    if (cz__line_number(r, l, t->facts[k].path, t->facts[k].minus, 1, x).n) return true;
  return false;
}

static cz_status add_fact(cz_grid *g, const cz_results *r, const cz__line *l, const fact *f,
                          double *x) {
  const cz_interval v = cz__line_number(r, l, f->path, f->minus, f->scale, x);
  if (!f->beside) return add_interval(g, &v);
  const double answered = v.n ? v.mean : NAN;
  const cz_interval right = cz__line_number(r, l, f->beside, NULL, f->scale, x);
  return cz_grid_add(g, "%s: %s", cz_number_of(answered, 1).text,
                     cz_number_of(right.n ? right.mean : NAN, 1).text);
}

static cz_status fill_table(cz_grid *g, const cz_results *r, const struct table *t,
                            const cz__lines *all, double *x) {
  const bool alpha = t->facts == forgetting;
  bool any = false;
  for (size_t i = 0; i < all->n; i++) any |= has_fact(r, t, &all->at[i], x);
  if (!any) return CZ_OK;
  g->columns = 3 + alpha + t->n;
  CZ_TRY(cz__line_header(g));
  if (alpha) CZ_TRY(cz_grid_add(g, "alpha"));
  for (size_t k = 0; k < t->n; k++) CZ_TRY(cz_grid_add(g, "%s", t->facts[k].said));
  for (size_t i = 0; i < all->n; i++) {
    const cz__line *l = &all->at[i];
    if (!has_fact(r, t, l, x)) continue;
    CZ_TRY(cz__line_head(g, r, l));
    if (alpha) CZ_TRY(cz_grid_add(g, "%s", alpha_of(r, l)));
    for (size_t k = 0; k < t->n; k++) CZ_TRY(add_fact(g, r, l, &t->facts[k], x));
  }
  return CZ_OK;
}

/* The forms. Each prints what the grids have. */

typedef struct sheet {
  cz__lines judged, members;
  double *x; /* [seeds] scratch */
} sheet;

static void close_sheet(sheet *s) {
  free(s->judged.at);
  free(s->members.at);
  free(s->x);
}

static cz_status open_sheet(sheet *s, const cz_results *r) {
  *s = (sheet){0};
  CZ_TRY(cz_alloc(&s->x, r->plan.n_seeds, sizeof *s->x));
  CZ_TRY(find_lines(&s->judged, r, true));
  return find_lines(&s->members, r, false);
}

static const cz__lines *lines_of(const sheet *s, const struct table *t) {
  return t->judged ? &s->judged : &s->members;
}

static cz_status fill(cz_grid *g, const cz_results *r, const sheet *s, const struct table *t) {
  const cz__lines *all = lines_of(s, t);
  if (!all->n) return CZ_OK;
  return t->fill ? t->fill(g, r, all, s->x) : fill_table(g, r, t, all, s->x);
}

/** Appends the tables as text; nothing where no stage has what they show. */
cz_status cz_few_shot_text(cz_buf *out, const cz_results *r, bool colours) {
  sheet s;
  cz_status st = open_sheet(&s, r);
  for (size_t k = 0; k < TABLES && st == CZ_OK; k++) {
    cz_grid g = {0};
    st = fill(&g, r, &s, &tables[k]);
    if (st == CZ_OK && g.n) st = cz_buf_addf(out, "\n%s: %s\n", tables[k].title, tables[k].note);
    if (st == CZ_OK && g.n) st = cz_grid_print(out, &g, 7, colours);
    cz_grid_free(&g);
  }
  close_sheet(&s);
  return st;
}

/** Appends the tables to the page, and the plots of each row; nothing where no stage has what they
 * show. */
cz_status cz_few_shot_page(cz_buf *out, const cz_results *r) {
  sheet s;
  cz_status st = open_sheet(&s, r);
  for (size_t k = 0; k < TABLES && st == CZ_OK; k++) {
    const struct table *t = &tables[k];
    cz_grid g = {0};
    st = fill(&g, r, &s, t);
    if (st == CZ_OK && g.n)
      st = cz_buf_addf(out, "<h2>%s</h2>\n<p class=\"soft\">%s.</p>\n", t->title, t->note);
    if (st == CZ_OK && g.n) st = cz_grid_page(out, &g, "");
    if (st == CZ_OK && g.n && t->facts == sure) st = cz__few_shot_plots(out, r, &s.judged, s.x);
    cz_grid_free(&g);
  }
  close_sheet(&s);
  return st;
}

/** A number with its deviation, as files have it; null where there is none. */
json_t *cz__line_json(const cz_interval *x) {
  if (!x->n) return json_null();
  return json_pack("{s:o, s:o, s:I}", "mean", cz_json_real(x->mean), "deviation",
                   cz_json_real(x->n > 1 ? x->deviation : NAN), "seeds", (json_int_t)x->n);
}

static cz_status fact_json(json_t *o, const cz_results *r, const cz__line *l, const char *path,
                           const char *minus, double *x) {
  char name[160];
  snprintf(name, sizeof name, "%s%s", path, minus ? " rise" : "");
  const cz_interval v = cz__line_number(r, l, path, minus, 1, x); /* shares as results have them */
  return cz_json_set(o, name, cz__line_json(&v));
}

static cz_status line_json(json_t *list, const cz_results *r, const sheet *s, const struct table *t,
                           const cz__line *l) {
  const cz_plan_stage *stage = cz_plan_at(&r->plan, 0, l->row, l->stage);
  json_t *o = json_pack("{s:s, s:s, s:o, s:s}", "row", r->plan.rows[l->row].name, "stage",
                        stage->name, "name", l->name ? json_string(l->name) : json_null(),
                        "deviation_over", cz_contrasts_over(cz_plan_stage_draws(stage->node)));
  CZ_TRY(cz_json_add(list, o));
  for (size_t k = 0; k < t->n; k++) {
    CZ_TRY(fact_json(o, r, l, t->facts[k].path, t->facts[k].minus, s->x));
    if (t->facts[k].beside) CZ_TRY(fact_json(o, r, l, t->facts[k].beside, NULL, s->x));
  }
  if (t->facts == forgetting) CZ_TRY(cz_json_set_text(o, "alpha", alpha_of(r, l)));
  if (t->facts == patterns) CZ_TRY(cz__each_pattern_json(o, r, l, s->x));
  if (t->facts != sure) return CZ_OK;
  CZ_TRY(cz__shares_json(o, r, l, s->x));
  return cz__bins_json(o, r, l);
}

/** Adds to ROOT the key `few_shot`: the tables, with the shares and the bins of each classifier and
 * the accuracy of each pattern; nothing where no stage has what they show. */
cz_status cz_few_shot_json(json_t *root, const cz_results *r) {
  sheet s;
  cz_status st = open_sheet(&s, r);
  json_t *all = NULL;
  if (st == CZ_OK && s.judged.n + s.members.n)
    st = cz_json_set(root, "few_shot", all = json_object());
  for (size_t k = 0; k < TABLES && st == CZ_OK && all; k++) {
    const cz__lines *lines = lines_of(&s, &tables[k]);
    json_t *list;
    if (!tables[k].facts) continue; /* in the lines of another */
    st = cz_json_set(all, tables[k].key, list = json_array());
    for (size_t i = 0; i < lines->n && st == CZ_OK; i++)
      st = line_json(list, r, &s, &tables[k], &lines->at[i]);
  }
  close_sheet(&s);
  return st;
}

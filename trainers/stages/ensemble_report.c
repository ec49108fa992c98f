/* What a stage leaves of its members together. */
#include "base/fs.h"
#include "ensemble/agreement.h"
#include "ensemble/calibrate.h"
#include "few_shot/candidates.h"
#include "few_shot/summary.h"
#include "few_shot/task_view.h"
#include "metrics/jsonl.h"
#include "stages/few_shot.h"
#include "stages/scoring.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Members' scores as one, on each set. */
typedef struct together {
  const cz_generation *g;
  const cz_ensemble_report *report;
  double *weights; /* [members] */
} together;

/* MEAN [n, C] over the members' scores of SET. */
static cz_status mean_on(double **mean, const together *t, const cz_text_set *set) {
  const cz_ensemble e = cz_generation_on(t->g, set);
  *mean = NULL;
  if (!set->n) return CZ_OK;
  CZ_TRY(cz_alloc(mean, set->n * (size_t)e.classes, sizeof **mean));
  cz_ensemble_mean(*mean, &e, t->weights);
  return CZ_OK;
}

/* logits.h5 of the stage's folder: what a student learns from. */
static cz_status write_scores(const together *t, const char *folder) {
  const cz_examples *e = t->g->examples;
  cz_member_scores s;
  cz_status st;
  CZ_GO(st, cz_member_scores_create(&s, e), done);
  CZ_GO(st, cz_generation_mean(s.t, t->g, &e->t, t->weights), done);
  CZ_GO(st, cz_generation_mean(s.d, t->g, &e->d, t->weights), done);
  CZ_GO(st, cz_generation_mean(s.test, t->g, &e->test, t->weights), done);
  st = cz_member_scores_write(&s, e, folder);
done:
  cz_member_scores_free(&s);
  return st;
}

/* Of T, or without T, where there is nothing to count, of one text of each label. */
static cz_status training_view(cz_task_set **set, const cz_examples *e) {
  CZ_TRY(cz_task_view(set, e, &e->t));
  cz_task_set *s = *set;
  if (s->n || e->file->candidates) return CZ_OK;
  cz_status st = cz_grow(&s->records, &s->cap, (size_t)e->classes, sizeof *s->records);
  for (int32_t c = 0; c < e->classes && st == CZ_OK; c++)
    s->records[s->n++] = (cz_task_record){.label = c,
                                          .inputs = "",
                                          .source = "",
                                          .targets = e->file->labels[c],
                                          .answers = &e->file->labels[c],
                                          .n_answers = 1};
  if (st != CZ_OK) cz_task_set_destroy(set);
  return st;
}

/* The scores of SCORED without a value, and why what is judged has none: {KEY: reason}. */
static cz_status put_unscored(json_t *metrics, const cz_scored *scored, const char *why) {
  static const char *const judged[] = {"accuracy", "ece"}; /* what else a report may ask for */
  json_t *o = json_object(), *scores = json_object(), *reasons = json_object();
  if (!why) why = "a test text has no label";
  CZ_TRY(cz_json_set(metrics, scored->label, o));
  CZ_TRY(cz_json_set(o, "scores", scores));
  CZ_TRY(cz_json_set(o, "undefined", reasons));
  const cz_task_metric *of = scored->set->metrics;
  for (int k = 0; k < CZ_TASK_METRICS && of[k] != CZ_METRIC_NONE; k++) {
    CZ_TRY(cz_json_set(scores, cz_task_metric_names[of[k]], json_null()));
    CZ_TRY(cz_json_set_text(reasons, cz_task_metric_names[of[k]], why));
  }
  for (size_t k = 0; k < sizeof judged / sizeof *judged; k++)
    CZ_TRY(cz_json_set_text(reasons, judged[k], why));
  return CZ_OK;
}

/* *OUT: the SCORES of all candidates of R, for its line among the predictions. */
static cz_status list_candidates(const char **out, cz_arena *arena, const cz_record *r,
                                 const double *scores) {
  cz_buf text = {0};
  char *copy = NULL;
  cz_status st = cz_buf_addf(&text, ", \"candidates\": {");
  for (size_t c = 0; c < r->n_candidates && st == CZ_OK; c++) {
    if (c) st = cz_buf_addf(&text, ", ");
    if (st == CZ_OK) st = cz_jsonl_quote(&text, r->candidates[c]);
    if (st == CZ_OK) st = cz_buf_addf(&text, ": %.9g", scores[c]);
  }
  if (st == CZ_OK) st = cz_buf_addf(&text, "}");
  if (st == CZ_OK) st = cz_arena_strdup(arena, &copy, text.data);
  *out = copy;
  cz_buf_free(&text);
  return st;
}

/* OUTPUTS [n]: the answers to TEXTS, and of candidates what else is said of each in MORE_JSON [n].
 */
static cz_status answer(const char **outputs, const char **more_json, cz_arena *arena,
                        const cz_examples *e, const cz_text_set *texts, const double *mean) {
  for (size_t i = 0; i < texts->n; i++) {
    const double *scores = mean + i * (size_t)e->classes;
    const int32_t best = cz_scores_label(scores, e->classes);
    outputs[i] = e->file->candidates ? texts->records[i]->candidates[best] : e->file->labels[best];
    if (e->file->candidates)
      CZ_TRY(list_candidates(&more_json[i], arena, texts->records[i], scores));
  }
  return CZ_OK;
}

/* The answers to TEXTS, by their scores MEAN [n, C], as those of a task: scored beside the simple
 * programs, where every text has a label, and written down. */
static cz_status score(json_t *metrics, const char *name, const char *folder, const cz_examples *e,
                       const cz_text_set *texts, const double *mean) {
  cz_task_set *train = NULL, *test = NULL;
  const char **outputs = NULL, **more_json = NULL;
  bool *cut = NULL;
  cz_status st;
  CZ_GO(st, training_view(&train, e), done);
  CZ_GO(st, cz_task_view(&test, e, texts), done);
  CZ_GO(st, cz_alloc(&outputs, test->n, sizeof *outputs), done);
  CZ_GO(st, cz_alloc(&cut, test->n, sizeof *cut), done);
  CZ_GO(st, cz_alloc(&more_json, test->n, sizeof *more_json), done);
  CZ_GO(st, answer(outputs, more_json, test->arena, e, texts, mean), done);
  const cz_scored scored = {.label = name,
                            .train = train,
                            .set = test,
                            .outputs = outputs,
                            .more_json = e->file->candidates ? more_json : NULL,
                            .cut = cut};
  if (texts->labelled) {
    st = cz_scoring_write(metrics, folder, &scored);
  } else {
    CZ_GO(st, cz_scoring_write_unscored(folder, &scored), done);
    st = put_unscored(metrics, &scored, texts->no_label);
  }
done:
  free(outputs);
  free(more_json);
  free(cut);
  cz_task_set_destroy(&train);
  cz_task_set_destroy(&test);
  return st;
}

/* Judges MEAN [n, C], the scores of TEXTS, as NAME. */
static cz_status judge_texts(cz_stage_output *out, const char *name, const cz_examples *e,
                             const cz_text_set *texts, const double *mean) {
  double *p;
  CZ_TRY(cz_alloc(&p, texts->n * (size_t)e->classes, sizeof *p));
  cz_scores_softmax(p, mean, texts->n, e->classes, 1);
  cz_status st = score(out->metrics, name, out->folder, e, texts, mean);
  if (st == CZ_OK) st = cz_summary_judged(json_object_get(out->metrics, name), e, texts, p);
  free(p);
  return st;
}

/* Judges MEAN [n, C], the scores of the test set: its first file as NAME, others as NAME_FILE. */
static cz_status judge(cz_stage_output *out, const char *name, const cz_examples *e,
                       const double *mean) {
  for (size_t k = 0; k < e->n_parts; k++) {
    const cz_text_set texts = cz_examples_part(e, k);
    char label[256];
    cz_few_shot_judged(label, sizeof label, name, e->parts[k].name);
    CZ_TRY(judge_texts(out, label, e, &texts, mean + e->parts[k].first * (size_t)e->classes));
  }
  return CZ_OK;
}

static cz_status judge_ensemble(cz_stage_output *out, const together *t) {
  const cz_examples *e = t->g->examples;
  double *mean;
  CZ_TRY(mean_on(&mean, t, &e->test));
  cz_status st = mean ? judge(out, t->report->name, e, mean) : CZ_OK;
  free(mean);
  return st;
}

/* The same with each member's scores less the offsets of its pattern: their mean is less the mean
 * of the offsets. */
static cz_status judge_calibrated(cz_stage_output *out, const together *t) {
  const cz_examples *e = t->g->examples;
  const size_t C = (size_t)e->classes;
  double *mean, total = 0;
  if (!t->report->offsets) return CZ_OK;
  CZ_TRY(mean_on(&mean, t, &e->test));
  for (size_t m = 0; m < t->g->n; m++) total += t->weights[m];
  for (size_t m = 0; m < t->g->n && mean; m++)
    for (size_t i = 0; i < e->test.n; i++)
      for (size_t c = 0; c < C; c++)
        mean[i * C + c] -=
            t->weights[m] / total * t->report->offsets[(size_t)t->report->plans[m].pattern * C + c];
  cz_status st = mean ? judge(out, "calibrated", e, mean) : CZ_OK;
  free(mean);
  return st;
}

/* On the first of the test files. */
static double test_accuracy(const cz_examples *e, const cz_member_scores *s) {
  const cz_text_set test = cz_examples_part(e, 0);
  return test.n && test.labelled ? cz_text_set_accuracy(&test, s->test, e->classes) : NAN;
}

static cz_status add_member(json_t *list, const cz_examples *e, const cz_member_plan *plan,
                            const cz_member_scores *s) {
  json_t *o = json_object();
  CZ_TRY(cz_json_add(list, o));
  CZ_TRY(cz_json_set_int(o, "pattern", plan->pattern));
  CZ_TRY(cz_json_set_int(o, "repetition", plan->repetition));
  CZ_TRY(cz_json_set_int(o, "generation", plan->generation));
  CZ_TRY(cz_json_set_real(o, "zero_shot", s->before_training));
  CZ_TRY(cz_json_set_real(o, "accuracy", test_accuracy(e, s)));
  CZ_TRY(cz_json_set_real(o, "heldout_mlm_before", s->held_out_before));
  return cz_json_set_real(o, "heldout_mlm_after", s->held_out_after);
}

static cz_status put_spread(json_t *o, const cz_generation *g) {
  const cz_examples *e = g->examples;
  cz_spread patterns;
  double *accuracy;
  CZ_TRY(cz_alloc(&accuracy, g->n, sizeof *accuracy));
  for (size_t m = 0; m < g->n; m++) accuracy[m] = test_accuracy(e, &g->scores[m]);
  cz_status st = cz_patterns_spread(&patterns, g->on_test, accuracy, g->n);
  free(accuracy);
  CZ_TRY(st);
  CZ_TRY(cz_json_set_real(o, "best", patterns.best));
  CZ_TRY(cz_json_set_real(o, "worst", patterns.worst));
  CZ_TRY(cz_json_set_real(o, "mean", patterns.mean));
  return cz_json_set_real(o, "deviation", patterns.deviation);
}

/* How far the members differ on the first of the test files; nothing where there is none, or one
 * member. Chance has no share of its own in each candidate's number, so of candidates there is no
 * kappa. */
static cz_status put_agreement(json_t *metrics, const cz_generation *g) {
  const cz_text_set test = cz_examples_part(g->examples, 0);
  cz_ensemble e = cz_generation_on(g, &g->examples->test);
  json_t *o = json_object();
  cz_agreement a;
  int32_t *labels;
  e.n = test.n;
  CZ_TRY(cz_json_set(metrics, "agreement", o));
  if (!e.n || e.n_members < 2) return CZ_OK;
  if (test.labelled) CZ_TRY(put_spread(o, g));
  CZ_TRY(cz_alloc(&labels, e.n_members * e.n, sizeof *labels));
  cz_ensemble_votes(labels, &e);
  cz_status st = cz_members_agreement(&a, labels, e.n_members, e.n, e.classes);
  free(labels);
  CZ_TRY(st);
  CZ_TRY(cz_json_set_real(o, "pairs", a.pairs));
  return cz_json_set_real(o, "kappa", g->examples->file->candidates ? NAN : a.kappa);
}

/* What the members took. A score file's numbers are of whole work, so these are the same bytes
 * whoever did it and however often it was stopped. */
static cz_status put_counts(json_t *metrics, const together *t) {
  double steps = 0, trained = 0, scored = t->report->scored;
  for (size_t m = 0; m < t->g->n; m++) {
    const cz_member_scores *s = &t->g->scores[m];
    steps += s->steps;
    trained += s->trained_tokens;
    scored += s->scored_tokens;
  }
  CZ_TRY(cz_json_set_int(metrics, "steps", (int64_t)steps));
  CZ_TRY(cz_json_set_int(metrics, "input_tokens", (int64_t)trained));
  CZ_TRY(cz_json_set_int(metrics, "target_tokens", 0));
  return cz_json_set_int(metrics, "scored_tokens", (int64_t)scored);
}

static cz_status write_all(cz_stage_output *out, const together *t) {
  const cz_generation *g = t->g;
  json_t *members = json_array();
  CZ_TRY(cz_json_set_int(out->metrics, "generation", t->report->generation));
  CZ_TRY(cz_json_set(out->metrics, "members", members));
  for (size_t m = 0; m < g->n; m++)
    CZ_TRY(add_member(members, g->examples, &t->report->plans[m], &g->scores[m]));
  CZ_TRY(put_counts(out->metrics, t));
  CZ_TRY(put_agreement(out->metrics, g));
  CZ_TRY(write_scores(t, out->folder));
  CZ_TRY(judge_ensemble(out, t));
  return judge_calibrated(out, t);
}

/** Puts together what the members of G scored, as REPORT has it, and writes it: logits.h5, the
 * predictions, and the values of few_shot.h in OUT. */
cz_status cz_ensemble_write(cz_stage_output *out, const cz_generation *g,
                            const cz_ensemble_report *report) {
  together t = {.g = g, .report = report};
  cz_status st = cz_generation_weights(&t.weights, g, report->weighting, report->fidelity);
  if (st == CZ_OK) st = write_all(out, &t);
  free(t.weights);
  return st;
}

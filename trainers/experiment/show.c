/* What an experiment file would do, and what it would cost. */
#include "experiment/show.h"
#include "device/probe.h"
#include "experiment/cost.h"
#include "experiment/report/table.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const double share_of_products = 0.75;

/* RoBERTa-large's PET step, 16 texts of 128 tokens, in bfloat16 on an H200: its FLOP, and the least
 * time that is possible by what is counted of its kernels (docs/kernels.md). */
static const double card_flop = 3.79e12, card_seconds = 7.86e-3;

static cz_status measure_rate(cz_show_request *r) {
  cz_product_probe *probe;
  r->bound = !(r->card > 0);
  if (r->bound) r->card = 1e-9 * card_flop / card_seconds;
  if (r->rate > 0 || !r->cost) return CZ_OK;
  CZ_TRY(cz_product_probe_create(&probe, NULL, CZ_F32));
  for (int i = 0; i < 3; i++)
    r->rate = fmax(r->rate, share_of_products * cz_product_probe_round(probe));
  r->measured = true;
  cz_product_probe_destroy(&probe);
  return CZ_OK;
}

/* The stages that S starts from: "pretrain, finetune", or "-". */
static cz_status add_from(cz_grid *g, const cz_plan *p, const cz_plan_stage *s) {
  cz_buf text = {0};
  cz_status st = CZ_OK;
  for (size_t i = 0; i < s->n_from && st == CZ_OK; i++)
    st = cz_buf_addf(&text, "%s%s", i ? ", " : "",
                     cz_plan_from(p, (size_t)(s - p->stages), i)->name);
  if (st == CZ_OK) st = cz_grid_add(g, "%s", text.data ? text.data : "-");
  cz_buf_free(&text);
  return st;
}

static cz_status add_settings(cz_grid *g, const cz_config_node *set) {
  cz_buf text = {0};
  cz_status st = CZ_OK;
  for (size_t i = 0; set && i < cz_config_count(set) && st == CZ_OK; i++) {
    const cz_config_node *value = cz_config_at(set, i);
    const char *said = "...";
    if (cz_config_kind_of(value) == CZ_CONFIG_SCALAR) CZ_GO(st, cz_config_text(&said, value), done);
    st = cz_buf_addf(&text, "%s%s=%s", i ? " " : "", cz_config_key_at(set, i), said);
  }
  if (st == CZ_OK) st = cz_grid_add(g, "%s", text.data ? text.data : "");
done:
  cz_buf_free(&text);
  return st;
}

/* Several columns may stand beside one of the paper's. */
static bool shows_paper(const cz_plan *p, size_t column) {
  const char *paper = p->columns[column].paper;
  for (size_t i = 0; i < column && paper; i++)
    if (p->columns[i].paper && !strcmp(p->columns[i].paper, paper)) return false;
  return paper != NULL;
}

static cz_status print_rows(cz_buf *out, const cz_plan *p) {
  cz_grid g = {.columns = 2};
  cz_status st;
  CZ_GO(st, cz_grid_add(&g, "row"), done);
  CZ_GO(st, cz_grid_add(&g, "set"), done);
  for (size_t c = 0; c < p->n_columns; c++) {
    g.columns += shows_paper(p, c);
    if (shows_paper(p, c)) CZ_GO(st, cz_grid_add(&g, "paper's %s", p->columns[c].paper), done);
  }
  for (size_t r = 0; r < p->n_rows; r++) {
    CZ_GO(st,
          cz_grid_add(&g, "%s%s%s", p->rows[r].name,
                      r == cz_plan_baseline_of(p, r) ? " (baseline)" : "",
                      r >= p->control ? " (control)" : ""),
          done);
    CZ_GO(st, add_settings(&g, cz_config_get(p->rows[r].node, "set")), done);
    for (size_t c = 0; c < p->n_columns; c++) {
      if (!shows_paper(p, c)) continue;
      const cz_config_node *n =
          p->rows[r].paper ? cz_config_get(p->rows[r].paper, p->columns[c].paper) : NULL;
      const char *text = "-";
      if (n) CZ_GO(st, cz_config_text(&text, n), done);
      CZ_GO(st, cz_grid_add(&g, "%s", text), done);
    }
  }
  st = cz_grid_print(out, &g, 3, false);
done:
  cz_grid_free(&g);
  return st;
}

static cz_status print_stages(cz_buf *out, const cz_plan *p) {
  cz_grid g = {.columns = 5};
  const char *const header[] = {"stage", "kind", "starts from", "runs", "asked for"};
  cz_status st = CZ_OK;
  for (size_t i = 0; i < g.columns; i++) CZ_GO(st, cz_grid_add(&g, "%s", header[i]), done);
  for (size_t i = 0; i < p->n_stages; i++) {
    const cz_plan_stage *s = cz_plan_at(p, 0, 0, i);
    CZ_GO(st, cz_grid_add(&g, "%s", s->name), done);
    CZ_GO(st, cz_grid_add(&g, "%s", s->kind->name), done);
    size_t runs;
    CZ_GO(st, add_from(&g, p, s), done);
    CZ_GO(st, cz_plan_distinct(&runs, p, i), done);
    CZ_GO(st, cz_grid_add(&g, "%zu", runs), done);
    CZ_GO(st, cz_grid_add(&g, "%zu", cz_plan_uses(p, i)), done);
  }
  st = cz_grid_print(out, &g, 7, false);
done:
  cz_grid_free(&g);
  return st;
}

static double hours(double flop, double rate) { return flop / (1e9 * rate) / 3600; }

/* What stands for what few-shot stages would read. */
static cz_status print_assumed_texts(cz_buf *out, const cz_cost *c) {
  static const struct {
    size_t at;
    const char *said;
  } notes[] = {
      {offsetof(cz_cost, assumed_texts),
       "texts of few-shot stages, or a pretrained model's tokenizer, are not there: sets were "
       "taken "
       "to be as large as the keys say, and each text as long as examples.max_length, which is an "
       "upper bound"},
      {offsetof(cz_cost, assumed_sizes),
       "nothing says how many texts a set has, or a pattern file how many patterns: they count as "
       "none, and as one pattern, which is a lower bound"},
      {offsetof(cz_cost, assumed_model),
       "a pretrained model is not there: the size that its name begins with was taken"},
      {offsetof(cz_cost, unknown_model), "a pretrained model is not there, and its name is of no "
                                         "known size: its FLOP are not known"}};
  for (size_t i = 0; i < sizeof notes / sizeof *notes; i++)
    if (*(const bool *)((const char *)c + notes[i].at))
      CZ_TRY(cz_buf_addf(out, "%s\n", notes[i].said));
  return CZ_OK;
}

static cz_status print_assumptions(cz_buf *out, const cz_show_request *r, const cz_cost *c) {
  CZ_TRY(cz_buf_addf(out, "hours at %.0f GFLOP/s%s; a stage that rows share is counted in each\n",
                     r->rate,
                     r->measured ? ", three quarters of what matrix products reach on this machine "
                                   "now (--gflops chooses another rate)"
                                 : ""));
  CZ_TRY(cz_buf_addf(out, "GPU hours at %.0f GFLOP/s%s\n", r->card,
                     r->bound
                         ? ", which is no measurement: the least time that RoBERTa-large's PET "
                           "step can take on an H200, in bfloat16, by what is counted of its "
                           "kernels (docs/kernels.md; --gpu-gflops: what `cloze bench step` "
                           "measures on a card)"
                         : ""));
  CZ_TRY(cz_buf_addf(
      out, "lengths in pretraining are those of full pieces under the row's objective\n"));
  if (c->assumed_vocabulary)
    CZ_TRY(cz_buf_addf(out,
                       "the tokenizer is not there: the model's vocab_size, or T5's, was taken\n"));
  if (c->assumed_lengths)
    CZ_TRY(cz_buf_addf(out, "files of tasks are not there: fine-tuning examples were taken to be "
                            "as long as the batch allows, which is an upper bound\n"));
  return print_assumed_texts(out, c);
}

/* Whether a row has stages that score texts. */
static bool scores_texts(const cz_plan *p) {
  for (size_t i = 0; i < p->n_rows * p->n_stages; i++)
    if (!p->stages[i].left_out && cz_stage_takes(p->stages[i].kind, cz_part_examples.key.name))
      return true;
  return false;
}

/* FLOP and hours here and on a card; - where stages are in them whose model nothing tells. */
static cz_status add_flop(cz_grid *g, const cz_show_request *r, double flop, bool unknown) {
  const double figures[] = {1e-15 * flop, hours(flop, r->rate), hours(flop, r->card)};
  for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
    CZ_TRY(unknown ? cz_grid_add(g, "-") : cz_grid_add(g, i ? "%.3g" : "%.4g", figures[i]));
  return CZ_OK;
}

static cz_status add_cost(cz_grid *g, const cz_show_request *r, const char *name, const cz_cost *c,
                          bool scores) {
  CZ_TRY(cz_grid_add(g, "%s", name));
  CZ_TRY(cz_grid_add(g, "%.0f", c->steps));
  CZ_TRY(cz_grid_add(g, "%.3f", 1e-6 * c->tokens));
  CZ_TRY(add_flop(g, r, c->flop, c->unknown_model));
  if (!scores) return CZ_OK;
  CZ_TRY(cz_grid_add(g, "%.3f", 1e-6 * c->scored));
  return add_flop(g, r, c->scoring_flop, c->unknown_model);
}

/* A line a row, and one of all of them, whose costs SUM has then. */
static cz_status add_costs(cz_grid *g, cz_cost *sum, const cz_show_request *r, const cz_plan *p,
                           bool scores) {
  for (size_t row = 0; row < p->n_rows; row++) {
    cz_cost c, fresh;
    CZ_TRY(cz_cost_row(&c, p, row, false));
    fresh = c;
    if (p->axis.steps) CZ_TRY(cz_cost_row(&fresh, p, row, true));
    cz_cost_add(sum, &fresh);
    CZ_TRY(add_cost(g, r, p->rows[row].name, &c, scores));
  }
  return add_cost(g, r, "all rows", sum, scores);
}

static cz_status print_cost(cz_buf *out, const cz_show_request *r, const cz_plan *p) {
  static const char *const header[] = {"cost of one seed",
                                       "steps",
                                       "million tokens",
                                       "PFLOP",
                                       "hours",
                                       "GPU hours",
                                       "million tokens scored",
                                       "PFLOP of scoring",
                                       "hours of scoring",
                                       "GPU hours of scoring"};
  const bool scores = scores_texts(p);
  cz_grid g = {.columns = scores ? 10 : 6};
  cz_cost sum = {0};
  cz_status st = CZ_OK;
  for (size_t i = 0; i < g.columns; i++) CZ_GO(st, cz_grid_add(&g, "%s", header[i]), done);
  CZ_GO(st, add_costs(&g, &sum, r, p, scores), done);
  CZ_GO(st, cz_buf_addf(out, "\n"), done);
  CZ_GO(st, cz_grid_print(out, &g, 1, false), done);
  if (p->axis.steps)
    CZ_GO(st,
          cz_buf_addf(out, "all rows: a %s that goes on from a shorter one counts its own steps\n",
                      p->axis.name),
          done);
  st = print_assumptions(out, r, &sum);
done:
  cz_grid_free(&g);
  return st;
}

/* Where a column's value comes from; of a mean over many, the first and the last. */
static cz_status print_column(cz_buf *out, const cz_column *c) {
  CZ_TRY(cz_buf_addf(out, "  column %s: ", c->name));
  for (size_t i = 1; i <= c->paths->n_else; i++)
    CZ_TRY(cz_buf_addf(out, "%s, or else ", c->paths[i - 1].text));
  if (c->n_paths == 1)
    CZ_TRY(cz_buf_addf(out, "%s", c->paths[c->paths->n_else].text));
  else
    CZ_TRY(cz_buf_addf(out, "mean of %zu, %s %s %s", c->n_paths, c->paths[0].text,
                       c->n_paths > 2 ? "to" : "and", c->paths[c->n_paths - 1].text));
  return cz_buf_addf(out, "%s%s\n", c->note ? "; " : "", c->note ? c->note : "");
}

static cz_status print_text(cz_buf *out, const cz_show_request *r, const cz_plan *p) {
  CZ_TRY(cz_buf_addf(out, "%s%s%s\n", p->title ? p->title : r->file, p->source ? " - " : "",
                     p->source ? p->source : ""));
  CZ_TRY(cz_buf_addf(out, "seeds"));
  for (size_t i = 0; i < p->n_seeds; i++) CZ_TRY(cz_buf_addf(out, " %lld", (long long)p->seeds[i]));
  CZ_TRY(cz_buf_addf(out, "\n\n"));
  CZ_TRY(print_rows(out, p));
  CZ_TRY(cz_buf_addf(out, "\n"));
  CZ_TRY(print_stages(out, p));
  CZ_TRY(cz_buf_addf(out, "\n"));
  for (size_t c = 0; c < p->n_columns; c++) CZ_TRY(print_column(out, &p->columns[c]));
  return r->cost ? print_cost(out, r, p) : CZ_OK;
}

static cz_status cost_json(json_t *stage, const cz_show_request *r, const cz_cost *c) {
  const double flop = c->unknown_model ? NAN : c->flop,
               scoring = c->unknown_model ? NAN : c->scoring_flop;
  const struct {
    const char *key;
    double value;
  } facts[] = {{"steps", c->steps},
               {"examples_per_step", c->segments},
               {"mean_inputs", c->inputs},
               {"mean_targets", c->targets},
               {"tokens", c->tokens},
               {"flop", flop},
               {"hours", hours(flop, r->rate)},
               {"gpu_hours", hours(flop, r->card)},
               {"scored_tokens", c->scored},
               {"scoring_flop", scoring},
               {"scoring_hours", hours(scoring, r->rate)},
               {"gpu_scoring_hours", hours(scoring, r->card)}};
  const struct {
    const char *key;
    bool value;
  } assumed[] = {
      {"assumed_vocabulary", c->assumed_vocabulary}, {"assumed_lengths", c->assumed_lengths},
      {"assumed_texts", c->assumed_texts},           {"assumed_sizes", c->assumed_sizes},
      {"assumed_model", c->assumed_model},           {"unknown_model", c->unknown_model}};
  for (size_t k = 0; k < sizeof facts / sizeof *facts; k++)
    CZ_TRY(cz_json_set_real(stage, facts[k].key, facts[k].value));
  for (size_t k = 0; k < sizeof assumed / sizeof *assumed; k++)
    CZ_TRY(cz_json_set(stage, assumed[k].key, json_boolean(assumed[k].value)));
  return CZ_OK;
}

static cz_status row_json(json_t *rows, const cz_show_request *r, const cz_plan *p, size_t row) {
  json_t *paper = json_object(), *stages = json_array();
  json_t *object =
      json_pack("{s:s, s:o, s:o}", "name", p->rows[row].name, "paper", paper, "stages", stages);
  if (json_array_append_new(rows, object)) return CZ_FAIL(CZ_ENOMEM, "no memory");
  for (size_t i = 0; p->rows[row].paper && i < cz_config_count(p->rows[row].paper); i++) {
    double value;
    CZ_TRY(cz_config_real(&value, cz_config_at(p->rows[row].paper, i), -INFINITY, INFINITY));
    CZ_TRY(cz_json_set_real(paper, cz_config_key_at(p->rows[row].paper, i), value));
  }
  for (size_t i = 0; i < p->n_stages; i++) {
    const cz_plan_stage *s = cz_plan_at(p, 0, row, i);
    if (s->left_out) continue;
    json_t *stage =
        json_pack("{s:s, s:s, s:s}", "name", s->name, "kind", s->kind->name, "key", s->key);
    if (json_array_append_new(stages, stage)) return CZ_FAIL(CZ_ENOMEM, "no memory");
    cz_cost c;
    if (!r->cost) continue;
    CZ_TRY(cz_cost_stage(&c, p, s));
    CZ_TRY(cost_json(stage, r, &c));
  }
  return CZ_OK;
}

static cz_status stages_json(json_t *stages, const cz_plan *p) {
  for (size_t i = 0; i < p->n_stages; i++) {
    const cz_plan_stage *s = cz_plan_at(p, 0, 0, i);
    size_t runs;
    CZ_TRY(cz_plan_distinct(&runs, p, i));
    if (json_array_append_new(stages, json_pack("{s:s, s:s, s:I, s:I}", "name", s->name, "kind",
                                                s->kind->name, "runs", (json_int_t)runs,
                                                "asked_for", (json_int_t)cz_plan_uses(p, i))))
      return CZ_FAIL(CZ_ENOMEM, "no memory");
  }
  return CZ_OK;
}

static cz_status print_as_json(cz_buf *out, const cz_show_request *r, const cz_plan *p) {
  json_t *rows = json_array(), *seeds = json_array(), *stages = json_array();
  for (size_t i = 0; i < p->n_seeds; i++) json_array_append_new(seeds, json_integer(p->seeds[i]));
  json_t *root = json_pack("{s:s, s:o, s:o, s:o}", "title", p->title ? p->title : "", "seeds",
                           seeds, "stages", stages, "rows", rows);
  cz_status st = stages_json(stages, p);
  for (size_t i = 0; i < p->n_rows && st == CZ_OK; i++) st = row_json(rows, r, p, i);
  if (r->cost && st == CZ_OK) st = cz_json_set_real(root, "gflop_per_s", r->rate);
  if (r->cost && st == CZ_OK) st = cz_json_set_real(root, "gpu_gflop_per_s", r->card);
  if (st == CZ_OK) return cz_print_json(out, root);
  json_decref(root);
  return st;
}

/** Appends what the experiment of R would do, as text or JSON, and the files that a run wants
 * and that do not exist, a line each, to MISSING. CZ_EUSAGE for an experiment that cannot
 * run. */
cz_status cz_experiment_show(cz_buf *out, cz_buf *missing, cz_show_request *r) {
  cz_plan plan = {0};
  cz_status st;
  CZ_GO(st, cz_plan_open(&plan, r->file, r->scale, r->seeds, r->words, r->n_words, NULL), done);
  CZ_GO(st, cz_plan_check(&plan, missing, NULL), done);
  CZ_GO(st, measure_rate(r), done);
  st = r->json ? print_as_json(out, r, &plan) : print_text(out, r, &plan);
done:
  cz_plan_close(&plan);
  return st;
}

/* The kind of stage `evaluate`: a saved model writes an output for each record of each
 * task, and outputs and baselines are scored. */
#include "base/clock.h"
#include "base/log.h"
#include "base/stop.h"
#include "decoding/search.h"
#include "objectives/vocabulary.h"
#include "recipe/tasks.h"
#include "stages/check.h"
#include "stages/scoring.h"
#include "stages/stage.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The section `evaluate`. */
typedef struct evaluate_keys {
  int64_t max_examples; /* per task; 0: all */
  int64_t max_inputs;   /* tokens of an input with EOS; longer ones are cut */
  int split;            /* index into split_names */
  int precision;        /* cz_precision */
  cz_search_options search;
} evaluate_keys;

static const char *const split_names[] = {"dev", "test", "train", NULL};
static const cz_key_spec section_keys[] = {
    CZ_KEY(evaluate_keys, split, ENUM, .fallback = "dev", .choices = split_names,
           .help = "which of a task's files is scored"),
    CZ_KEY(evaluate_keys, max_examples, INT, .fallback = "0", .min = 0, .max = 1e9,
           .unit = "examples",
           .help = "examples per task, spread evenly over the file; 0: all; about so many where a "
                   "score takes several examples together (MultiRC)"),
    CZ_KEY(evaluate_keys, precision, ENUM, .fallback = "f32", .choices = cz_precision_names,
           .help = "of products, activations and caches; logits are float32"),
    CZ_KEY_AS("beams", evaluate_keys, search.beams, INT, .fallback = "1", .min = 1, .max = 64,
              .help = "width of the beam search; 1 is greedy"),
    CZ_KEY_AS("length_penalty", evaluate_keys, search.length_penalty, REAL, .fallback = "0.6",
              .min = 0, .max = 10, .help = "alpha of ((5 + length) / 6)^alpha, beams above 1"),
    CZ_KEY_AS("max_length", evaluate_keys, search.max_length, INT, .fallback = "64", .min = 1,
              .max = 1 << 16, .unit = "tokens", .help = "longest output"),
    CZ_KEY(evaluate_keys, max_inputs, INT, .fallback = "512", .min = 2, .max = 1 << 20,
           .unit = "tokens", .help = "longest input with EOS; the rest is cut"),
    CZ_KEY_AS("batch_tokens", evaluate_keys, search.batch_tokens, INT, .fallback = "4096", .min = 1,
              .max = 1 << 24, .unit = "tokens", .help = "encoder tokens decoded together"),
};
const cz_section cz_evaluate_section =
    CZ_SECTION("evaluate", "How a model is scored.", section_keys);

typedef struct job {
  const cz_recipe *recipe;
  cz_model *model;
  evaluate_keys keys;
  cz_tasklist tasks;
  cz_stage_output *out;
} job;

/* A task's rows on their way from text to score. */
typedef struct task_run {
  cz_task_set *train, *set;
  cz_ids *inputs, *outputs; /* [n] */
  bool *cut;                /* [n] the input was longer than max_inputs */
  int64_t n_cut;
  int64_t n_unfinished; /* outputs that max_length cut off */
  char **texts;         /* [n] decoded outputs */
} task_run;

static void free_run(task_run *r) {
  size_t n = r->set ? r->set->n : 0;
  for (size_t i = 0; i < n; i++) {
    if (r->inputs) free(r->inputs[i].data);
    if (r->outputs) free(r->outputs[i].data);
    if (r->texts) free(r->texts[i]);
  }
  free(r->inputs);
  free(r->outputs);
  free(r->cut);
  free(r->texts);
  cz_task_set_destroy(&r->train);
  cz_task_set_destroy(&r->set);
}

/* A question that stands at the end of an input is what is cut off first. */
static void warn_of_cut_inputs(const job *j, const task_run *r, const char *label) {
  if (r->n_cut)
    cz_warn("evaluate: %s: %lld of %zu inputs were longer than evaluate.max_inputs %lld and were "
            "cut",
            label, (long long)r->n_cut, r->set->n, (long long)j->keys.max_inputs);
}

/* An output without an end may be right so far, and is scored as it stands. */
static void warn_of_cut_outputs(const job *j, const task_run *r, const char *label) {
  if (r->n_unfinished)
    cz_warn("evaluate: %s: %lld of %zu outputs were cut off at evaluate.max_length %lld", label,
            (long long)r->n_unfinished, r->set->n, (long long)j->keys.search.max_length);
}

/* Inputs as the model reads them: cut to the budget less EOS, EOS appended. */
static cz_status encode_inputs(job *j, task_run *r) {
  cz_tokenizer_scratch *scratch;
  cz_status st = CZ_OK;
  CZ_TRY(cz_tokenizer_scratch_create(&scratch, j->recipe->tokenizer));
  for (size_t i = 0; i < r->set->n && st == CZ_OK; i++) {
    cz_ids *ids = &r->inputs[i];
    st = cz_encode_text(ids, j->recipe->tokenizer, scratch, r->set->records[i].inputs,
                        strlen(r->set->records[i].inputs), false);
    r->cut[i] = (int64_t)ids->len > j->keys.max_inputs - 1;
    r->n_cut += r->cut[i];
    if (r->cut[i]) ids->len = (size_t)j->keys.max_inputs - 1;
    if (st == CZ_OK) st = cz_ids_add(ids, j->recipe->vocabulary.eos);
  }
  cz_tokenizer_scratch_destroy(&scratch);
  return st;
}

static cz_status decode_outputs(job *j, task_run *r) {
  for (size_t i = 0; i < r->set->n; i++) {
    cz_buf text = {0};
    cz_status st = cz_tokenizer_decode(j->recipe->tokenizer, &text, r->outputs[i].data,
                                       r->outputs[i].len, true);
    if (st == CZ_OK) st = cz_buf_add(&text, "", 0);
    r->texts[i] = text.data;
    CZ_TRY(st);
  }
  return CZ_OK;
}

static cz_status open_run(job *j, task_run *r, const cz_task_entry *e) {
  CZ_TRY(cz_tasklist_load(&r->train, e, "train", CZ_TASK_TRAIN));
  CZ_TRY(cz_tasklist_load(&r->set, e, split_names[j->keys.split], CZ_TASK_EVALUATE));
  cz_task_subsample(r->set, (size_t)j->keys.max_examples);
  CZ_TRY(cz_alloc(&r->inputs, r->set->n, sizeof *r->inputs));
  CZ_TRY(cz_alloc(&r->outputs, r->set->n, sizeof *r->outputs));
  CZ_TRY(cz_alloc(&r->cut, r->set->n, sizeof *r->cut));
  return cz_alloc(&r->texts, r->set->n, sizeof *r->texts);
}

static cz_status show(void *self, int64_t done) {
  cz_progress *p = self;
  p->units = (double)(p->done = done);
  cz_progress_show(p, done == p->total);
  return cz_stop_check("evaluate");
}

static cz_status run_task(job *j, const cz_task_entry *e) {
  task_run r = {0};
  cz_status st;
  CZ_GO(st, open_run(j, &r, e), done);
  CZ_GO(st, encode_inputs(j, &r), done);
  warn_of_cut_inputs(j, &r, e->label);
  cz_progress p = {.what = e->label,
                   .item = "example",
                   .unit = "examples",
                   .total = (int64_t)r.set->n,
                   .loss = NAN,
                   .began = cz_seconds()};
  cz_search_options search = j->keys.search;
  search.unfinished = &r.n_unfinished;
  CZ_GO(st, cz_search(r.outputs, NULL, j->model, r.inputs, (int64_t)r.set->n, &search, show, &p),
        done);
  warn_of_cut_outputs(j, &r, e->label);
  CZ_GO(st, decode_outputs(j, &r), done);
  const cz_scored scored = {.label = e->label,
                            .train = r.train,
                            .set = r.set,
                            .outputs = (const char *const *)r.texts,
                            .cut = r.cut,
                            .inputs_cut = r.n_cut,
                            .outputs_cut = r.n_unfinished};
  CZ_GO(st, cz_scoring_write(j->out->metrics, j->out->folder, &scored), done);
done:
  free_run(&r);
  return st;
}

/* The stage's configuration, bound once for the check and for the run. */
static cz_status bind(job *j, const cz_recipe *recipe) {
  j->recipe = recipe;
  CZ_TRY(cz_recipe_section(recipe, &cz_evaluate_section, &j->keys));
  j->keys.search.banned_from = recipe->vocabulary.size;
  return CZ_OK;
}

/* Rank 0 decodes; the others wait for its result at the end of the stage. */
static cz_status run(cz_session *s, const cz_recipe *recipe, cz_stage_output *out) {
  job j = {.out = out};
  cz_status st;
  if (s->comm->rank != 0) return CZ_OK;
  CZ_GO(st, bind(&j, recipe), done);
  CZ_GO(st, cz_tasklist_read(&j.tasks, recipe), done);
  CZ_GO(st, cz_recipe_model(&j.model, recipe), done);
  CZ_GO(st, cz_model_compute(j.model, (cz_precision)j.keys.precision, false), done);
  for (int i = 0; i < j.tasks.n; i++) CZ_GO(st, run_task(&j, &j.tasks.entries[i]), done);
done:
  cz_model_destroy(&j.model);
  cz_tasklist_free(&j.tasks);
  return st;
}

static cz_status check(cz_check *c, const cz_recipe *recipe) {
  job j = {0};
  if (!c->stage.starts)
    return cz_config_error(recipe->node, "`init: FOLDER` is missing: which model is to be scored?");
  CZ_TRY(bind(&j, recipe));
  CZ_TRY(cz_check_precision(c, recipe, "evaluate", (cz_precision)j.keys.precision, false));
  return cz_check_tasks(c, recipe, split_names[j.keys.split]);
}

static const cz_stage_part *const parts[] = {&cz_part_tokenizer, &cz_part_model, &cz_part_tasks,
                                             &cz_part_evaluate,  &cz_part_init,  NULL};

const cz_stage_kind cz_stage_row_evaluate = {
    .name = "evaluate",
    .help = "score a saved model on tasks",
    .usage = CZ_STAGE_USAGE("evaluate", "Scores a saved model (init: FOLDER) on the dev or test "
                                        "rows of tasks.\n"),
    .parts = parts,
    .leaves = CZ_LEAVES_PREDICTIONS,
    .check = check,
    .run = run};

/* What cloze pet leaves beside its experiment's folder. */
#include "base/fs.h"
#include "base/log.h"
#include "experiment/pet_internal.h"
#include "few_shot/chosen.h"
#include "few_shot/classifier.h"
#include "few_shot/scores_file.h"
#include "few_shot/summary.h"
#include "json/json.h"
#include "metrics/jsonl.h"
#include "stages/model_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A finished run: its metrics by stage, and where stages lie. */
typedef struct results {
  const cz_pet_request *r;
  const char *run;
  json_t *result, *plan;
  const json_t *stages; /* {STAGE: metrics}, in result */
  int64_t generations;
  const char *first; /* stage of the first ensemble */
  cz_tokenizer *tokenizer;
  cz_config *config;
  cz_examples *examples;
} results;

/* The folder of the stage called NAME. */
static cz_status folder_of(char *out, size_t n, const results *r, const char *name) {
  size_t i;
  json_t *entry;
  json_array_foreach(r->plan, i, entry) {
    const char *stage = json_string_value(json_object_get(entry, "stage")),
               *folder = json_string_value(json_object_get(entry, "folder"));
    if (stage && folder && !strcmp(stage, name))
      return cz_fs_join(out, n, r->run, folder[0] == '/' ? folder + 1 : folder);
  }
  return CZ_FAIL(CZ_ECORRUPT, "%s/plan.json has no stage %s", r->run, name);
}

/* The stage of the ensemble that taught the student. */
static void teacher_name(char out[32], const results *r) {
  if (r->generations)
    snprintf(out, 32, "generation%lld", (long long)r->generations);
  else
    snprintf(out, 32, "%s", r->first);
}

/* Of several seeds or rows the first, which is also the one whose folders folder_of finds. */
static cz_status find_metrics(results *r) {
  const json_t *first = json_array_get(r->plan, 0);
  const char *name = json_string_value(json_object_get(first, "name"));
  char seed[32];
  snprintf(seed, sizeof seed, "%lld",
           (long long)json_integer_value(json_object_get(first, "seed")));
  const json_t *rows = json_object_get(r->result, "metrics"),
               *row = name ? json_object_get(rows, name) : NULL;
  r->stages = json_object_get(row, seed);
  return r->stages ? CZ_OK
                   : CZ_FAIL(CZ_ECORRUPT, "%s/result.json has no row %s, seed %s", r->run,
                             name ? name : "of plan.json", seed);
}

static cz_status open_files(results *r) {
  char path[4096];
  CZ_TRY(cz_fs_join(path, sizeof path, r->run, "result.json"));
  CZ_TRY(cz_json_open(&r->result, path));
  CZ_TRY(cz_fs_join(path, sizeof path, r->run, "plan.json"));
  CZ_TRY(cz_json_open(&r->plan, path));
  return find_metrics(r);
}

/* The texts again, as the student's stage drew them. */
static cz_status open_examples(results *r) {
  cz_examples_keys keys;
  char folder[4096], path[4096];
  int64_t seed;
  const cz_config_node *root, *n;
  CZ_TRY(folder_of(folder, sizeof folder, r, "student"));
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "config.yaml"));
  CZ_TRY(cz_config_open(&r->config, path));
  root = cz_config_root(r->config);
  CZ_TRY(cz_config_need(&n, root, "seed"));
  CZ_TRY(cz_config_int(&seed, n, 0, 4503599627370496.0));
  CZ_TRY(cz_examples_bind(&keys, cz_config_get(root, cz_examples_section.name)));
  CZ_TRY(cz_tokenizer_open(&r->tokenizer, r->r->model));
  CZ_TRY(cz_examples_open_for(&r->examples, &keys, r->tokenizer, (uint64_t)seed, CZ_READS_PLAIN));
  return cz_examples_choose(r->examples, &keys);
}

/* The keys of WHAT that a judgement has, under NAME; null where the stage has none. */
static cz_status put_judged(json_t *into, const char *name, const json_t *what) {
  json_t *o = what ? json_object() : json_null();
  CZ_TRY(cz_json_set(into, name, o));
  for (int k = 0; what && k < CZ_SUMMARY_KEYS; k++) {
    json_t *value = json_object_get(what, cz_summary_keys[k].name);
    CZ_TRY(cz_json_set(o, cz_summary_keys[k].name, value ? json_incref(value) : json_null()));
  }
  return CZ_OK;
}

static const json_t *metrics_of(const results *r, const char *stage, const char *name) {
  return json_object_get(json_object_get(r->stages, stage), name);
}

/* Members of all generations in one list. */
static cz_status put_members(json_t *metrics, const results *r) {
  json_t *list = json_array(), *member;
  size_t i;
  char stage[32];
  CZ_TRY(cz_json_set(metrics, "members", list));
  for (int64_t g = 0; g <= r->generations; g++) {
    snprintf(stage, sizeof stage, "%s", r->first);
    if (g) snprintf(stage, sizeof stage, "generation%lld", (long long)g);
    json_array_foreach(metrics_of(r, stage, "members"), i, member) {
      CZ_TRY(cz_json_add(list, json_incref(member)));
    }
  }
  return CZ_OK;
}

static cz_status write_result(const results *r) {
  char path[4096], teacher[32];
  json_t *root = json_object(), *metrics = json_object(), *zero = json_object();
  cz_status st;
  teacher_name(teacher, r);
  CZ_GO(st, cz_json_set(root, "metrics", metrics), done);
  CZ_GO(st, cz_json_set(metrics, "zero_shot", zero), done);
  CZ_GO(st, put_judged(zero, "raw", metrics_of(r, "zero_shot", "ensemble")), done);
  CZ_GO(st, put_judged(zero, "calibrated", metrics_of(r, "zero_shot", "calibrated")), done);
  CZ_GO(st, put_judged(metrics, "supervised", metrics_of(r, "supervised", "ensemble")), done);
  CZ_GO(st, put_members(metrics, r), done);
  CZ_GO(st, put_judged(metrics, "ensemble", metrics_of(r, teacher, "ensemble")), done);
  CZ_GO(st, put_judged(metrics, "student", metrics_of(r, "student", "student")), done);
  CZ_GO(st, cz_fs_join(path, sizeof path, r->r->out, "result.json"), done);
  st = cz_json_write(root, path, JSON_INDENT(1) | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
done:
  json_decref(root);
  return st;
}

/* What the student says of the file `test`. */
static cz_status write_predictions(const results *r) {
  const cz_examples *e = r->examples;
  const size_t C = (size_t)e->classes, n = cz_examples_part(e, 0).n;
  char folder[4096], path[4096];
  cz_member_scores s = {0};
  double *row = NULL;
  cz_buf text = {0};
  cz_status st;
  if (!n) return CZ_OK;
  CZ_GO(st, folder_of(folder, sizeof folder, r, "student"), done);
  CZ_GO(st, cz_member_scores_read(&s, e, folder), done);
  CZ_GO(st, cz_alloc(&row, 2 * C, sizeof *row), done);
  for (size_t i = 0; i < n; i++) {
    for (size_t c = 0; c < C; c++) row[C + c] = s.test[i * C + c];
    cz_scores_softmax(row, row + C, 1, e->classes, 1);
    CZ_GO(st, cz_answer_add(&text, e->test.records[i]->row, e->file, row, 0), done);
  }
  CZ_GO(st, cz_fs_join(path, sizeof path, r->r->out, "predictions.jsonl"), done);
  st = cz_fs_write_atomic(path, text.data, text.len);
done:
  cz_buf_free(&text);
  cz_member_scores_free(&s);
  free(row);
  return st;
}

static cz_status add_next(cz_buf *out, const cz_examples *e, const cz_next *next) {
  const cz_record *record = e->d.records[next->row];
  CZ_TRY(cz_buf_addf(out, "{\"row\": %lld, \"vote_entropy\": %.9g, \"entropy\": %.9g",
                     (long long)record->row, next->votes, next->entropy));
  for (size_t i = 0; i < e->file->n_fields; i++) {
    CZ_TRY(cz_buf_addf(out, ", "));
    CZ_TRY(cz_jsonl_quote(out, e->file->columns[i]));
    CZ_TRY(cz_buf_addf(out, ": "));
    CZ_TRY(cz_jsonl_quote(out, record->fields[i]));
  }
  return cz_buf_addf(out, "}\n");
}

static cz_status write_next(const results *r) {
  char folder[4096], path[4096], teacher[32];
  cz_next *order = NULL;
  cz_buf text = {0};
  size_t n = 0;
  cz_status st;
  teacher_name(teacher, r);
  CZ_GO(st, folder_of(folder, sizeof folder, r, teacher), done);
  CZ_GO(st, cz_alloc(&order, r->examples->d.n, sizeof *order), done);
  CZ_GO(st, cz_label_order(order, &n, r->examples, folder), done);
  for (size_t i = 0; i < n; i++) CZ_GO(st, add_next(&text, r->examples, &order[i]), done);
  CZ_GO(st, cz_fs_join(path, sizeof path, r->r->out, "label_next.jsonl"), done);
  st = cz_fs_write_atomic(path, text.data ? text.data : "", text.len);
done:
  free(order);
  cz_buf_free(&text);
  return st;
}

static cz_status put_student(const results *r) {
  char stage[4096];
  CZ_TRY(folder_of(stage, sizeof stage, r, "student"));
  return cz__pet_put_student(r->r->out, stage);
}

/* Where the answers are, what answers more texts, and of which seed that is where there are
 * several. */
static void say_what_is_there(const results *r) {
  const json_t *first = json_object_get(json_array_get(r->plan, 0), "seed");
  const char *out = r->r->out;
  bool several = false;
  json_t *entry;
  size_t i;
  json_array_foreach(r->plan, i, entry) {
    several |= !json_equal(json_object_get(entry, "seed"), first);
  }
  cz_log("answers: %s/predictions.jsonl; classifier: %s/student, as in cloze predict --model "
         "%s/student --input FILE --out FILE",
         out, out, out);
  if (several)
    cz_log("both, result.json and label_next.jsonl are of seed %lld, the first; %s/run/report.txt "
           "has all seeds",
           (long long)json_integer_value(first), out);
}

/** Lays out what the experiment in RUN has left: student/, predictions.jsonl, label_next.jsonl and,
 * last, result.json in R->out. FIRST: the stage of the first ensemble, which GENERATIONS came
 * after. */
cz_status cz__pet_lay_out(const cz_pet_request *request, const char *run, const char *first,
                          int64_t generations) {
  results r = {.r = request, .run = run, .first = first, .generations = generations};
  cz_status st;
  CZ_GO(st, open_files(&r), done);
  CZ_GO(st, open_examples(&r), done);
  CZ_GO(st, put_student(&r), done); /* may find no room: the others stay with the old one then */
  CZ_GO(st, write_predictions(&r), done);
  CZ_GO(st, write_next(&r), done);
  st = write_result(&r);
  if (st == CZ_OK) say_what_is_there(&r);
done:
  cz_examples_close(&r.examples);
  cz_tokenizer_destroy(&r.tokenizer);
  cz_config_destroy(&r.config);
  json_decref(r.result);
  json_decref(r.plan);
  return st;
}

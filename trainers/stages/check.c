#include "stages/check.h"
#include "base/fs.h"
#include "nn/attention.h"
#include "recipe/tasks.h"
#include "stages/overlap.h"
#include "stages/train.h"
#include "tasks/baseline.h"
#include "tasks/score.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** Begins a round of checks. MISSING null: every file must exist; otherwise the names of
 * those that do not are appended to it. DATA is the folder that files are expected in, or
 * null. Close with cz_check_close, also after a failure. */
cz_status cz_check_open(cz_check *c, cz_buf *missing, const char *data, const cz_session *session) {
  *c = (cz_check){.files = {.missing = missing, .data = data}, .session = session};
  c->seen = json_object();
  c->results = json_object();
  c->trained = json_object();
  return c->seen && c->results && c->trained ? CZ_OK : CZ_FAIL(CZ_ENOMEM, "no memory for checks");
}

/** Stages of another row follow, which start from none of those before. */
void cz_check_begin_row(cz_check *c) { json_object_clear(c->trained); }

/** Frees what the round kept. */
void cz_check_close(cz_check *c) {
  cz_tokenizer_destroy(&c->tokenizer.opened);
  json_decref(c->seen);
  json_decref(c->results);
  json_decref(c->trained);
}

/* Adds TEXT to a set; *FIRST when it was not in it. Texts may hold paths, which are bytes. */
static cz_status add_once(json_t *set, const char *text, bool *first) {
  *first = !json_object_get(set, text);
  return *first && json_object_set_new_nocheck(set, text, json_true())
             ? CZ_FAIL(CZ_ENOMEM, "no memory for checks")
             : CZ_OK;
}

/** Whether this was not seen in this round yet; from now on it was. */
cz_status cz_check_once(cz_check *c, bool *first, const char *format, ...) {
  char text[8192];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return add_once(c->seen, text, first);
}

/** Notes the place of a value in the stage's result: `debian_section.scores.accuracy`. */
cz_status cz_check_result(cz_check *c, const char *format, ...) {
  char text[1024];
  const char *stage = c->stage.name;
  bool first;
  va_list args;
  int n = snprintf(text, sizeof text, "%s%s", stage ? stage : "", stage ? "." : "");
  if (n < 0 || (size_t)n >= sizeof text)
    return CZ_FAIL(CZ_EUSAGE, "the name of the stage '%s' is too long", stage);
  va_start(args, format);
  vsnprintf(text + n, sizeof text - (size_t)n, format, args);
  va_end(args);
  return add_once(c->results, text, &first);
}

/* The end of the message about a missing file: what makes it, as far as that is known. */
static void how_made(const cz_check_files *f, char *out, size_t n, const char *path) {
  *out = '\0';
  size_t length = f->data ? strlen(f->data) : 0;
  if (f->made_by && *f->made_by && length && !strncmp(path, f->data, length) && path[length] == '/')
    snprintf(out, n, "%s makes %s", f->made_by, f->data);
  else if (f->data && !cz_fs_is_dir(f->data))
    snprintf(out, n, "the folder %s (key `data`) is not there at all", f->data);
}

/* Whether PATH, `$STAGE` or `$STAGE/file`, is left by a stage that runs before this one. */
static bool left_by_stage(const cz_check_stage_facts *s, const char *path) {
  size_t length = strcspn(path, "/");
  for (size_t i = 0; i < s->n_from && *path == '$'; i++)
    if (strlen(s->from[i].name) == length - 1 && !strncmp(s->from[i].name, path + 1, length - 1))
      return true;
  return false;
}

/** Looks for the file that NODE names, or the files of parallel text when it is in a task
 * of ROW (else null), where an empty name is none. CZ_EUSAGE with the place, and what makes the
 * file, when it is missing; *EXISTS is false instead when missing files are only listed, and
 * for a file that an earlier stage of the plan leaves. */
cz_status cz_check_file(cz_check *c, bool *exists, const cz_config_node *node,
                        const cz_task_row *row) {
  const char *path;
  char how[sizeof c->files.hint], file[4096];
  bool first;
  CZ_TRY(cz_config_text(&path, node));
  if (!*path && !row) return cz_config_error(node, "the name of a file is missing");
  *exists = false;
  if (left_by_stage(&c->stage, path)) return CZ_OK;
  *exists = cz_inputs_exist(file, sizeof file, path, row);
  if (*exists || !*path) return CZ_OK;
  how_made(&c->files, how, sizeof how, file);
  if (!c->files.missing)
    return cz_config_error(node, "there is no file %s%s%s", file, *how ? "; " : "", how);
  CZ_TRY(cz_check_once(c, &first, "missing %s", file));
  if (*how) memcpy(c->files.hint, how, sizeof how);
  return first ? cz_buf_addf(c->files.missing, "  %s\n", file) : CZ_OK;
}

/** The corpus that NODE names: there, whole at first sight, and of the stage's
 * tokenizer. */
cz_status cz_check_corpus(cz_check *c, const cz_recipe *recipe, const cz_config_node *node) {
  const char *path;
  cz_reader *reader;
  bool there, first;
  CZ_TRY(cz_check_file(c, &there, node, NULL));
  CZ_TRY(cz_config_text(&path, node));
  if (!there || !recipe->tokenizer) return CZ_OK;
  CZ_TRY(cz_check_once(c, &first, "corpus %s of %s", path, recipe->tokenizer_path));
  if (!first) return CZ_OK;
  CZ_TRY(cz_recipe_corpus(&reader, recipe, node));
  cz_reader_close(&reader);
  return CZ_OK;
}

/* One file of a task, read whole: its columns and labels are right and, where it must be
 * ANSWERED, no answer is missing, or the message names the line. */
static cz_status check_records(cz_check *c, const cz_task_entry *e, const char *split,
                               cz_task_use use, bool answered) {
  const cz_config_node *n = cz_config_get(e->node, split);
  cz_task_set *set = NULL;
  cz_buf text = {0};
  const char *path = "";
  bool there = false, first = false;
  if (n) CZ_TRY(cz_config_text(&path, n));
  if (n) CZ_TRY(cz_check_file(c, &there, n, e->row));
  if (*path && !there) return CZ_OK; /* without a name cz_tasklist_load refuses the split */
  cz_status st = cz_config_canonical(&text, e->node);
  if (st == CZ_OK)
    st = cz_check_once(c, &first, "%s for use %d, %d: %s", split, (int)use, (int)answered,
                       text.data);
  if (st == CZ_OK && first) st = cz_tasklist_load(&set, e, split, use);
  if (st == CZ_OK && first && answered) st = cz_task_answered(set);
  cz_task_set_destroy(&set);
  cz_buf_free(&text);
  return st;
}

/* The task's keys; when it is SCORED also the values that this leaves. */
static cz_status check_keys(cz_check *c, const cz_task_entry *e, bool scored) {
  cz_task_set *set;
  CZ_TRY(cz_tasklist_describe(&set, e));
  cz_status st = scored ? cz_check_result(c, "%s.examples", e->label) : CZ_OK;
  if (st == CZ_OK && scored) st = cz_check_result(c, "%s.cut", e->label);
  for (int k = 0; k < CZ_TASK_METRICS && set->metrics[k] != CZ_METRIC_NONE && st == CZ_OK && scored;
       k++) {
    st = cz_check_result(c, "%s.scores.%s", e->label, cz_task_metric_names[set->metrics[k]]);
    if (st == CZ_OK)
      st = cz_check_result(c, "%s.baseline.%s", e->label, cz_task_metric_names[set->metrics[k]]);
    for (const cz_simple *s = cz_task_simple; s->name && st == CZ_OK; s++)
      if (s->answers(set))
        st = cz_check_result(c, "%s.%s.%s", e->label, s->name,
                             cz_task_metric_names[set->metrics[k]]);
  }
  cz_task_set_destroy(&set);
  return st;
}

/** The tasks of the stage: keys, labels, and the records of training; with SPLIT also
 * those, and the scores that they will get. */
cz_status cz_check_tasks(cz_check *c, const cz_recipe *recipe, const char *split) {
  cz_tasklist tasks;
  cz_status st = cz_tasklist_read(&tasks, recipe);
  for (int i = 0; i < tasks.n && st == CZ_OK; i++) {
    const cz_task_entry *e = &tasks.entries[i];
    st = check_keys(c, e, split != NULL);
    if (st == CZ_OK)
      st = check_records(c, e, "train", CZ_TASK_TRAIN,
                         !split); /* of a stage that scores: for the baseline alone */
    if (st == CZ_OK && split) st = check_records(c, e, split, CZ_TASK_EVALUATE, true);
    if (st == CZ_OK) st = cz_overlap_task(c, e, split);
    if (st != CZ_OK) CZ_NOTE(st, "task %s", e->label);
  }
  cz_tasklist_free(&tasks);
  return st;
}

/* Whether the ranks can divide the stage's shards; the message has the number of shards
 * that would do and is nearest from below, but one a rank. */
static cz_status check_ranks(const cz_check *c, const cz_recipe *recipe, int64_t shards) {
  const cz_comm *comm = c->session ? c->session->comm : NULL;
  int64_t first, count, enough = comm ? comm->size : 1;
  if (!comm || cz_comm_shards(comm, &first, &count, shards) == CZ_OK) return CZ_OK;
  while (2 * enough <= shards) enough *= 2;
  const cz_config_node *batch = cz_config_get(recipe->node, "batch"),
                       *node = batch ? cz_config_get(batch, "shards") : NULL;
  return cz_config_error(node    ? node
                         : batch ? batch
                                 : recipe->node,
                         "%s%s; %lld shards would do", node ? "" : "shards: ", cz_error_message(),
                         (long long)enough);
}

/** Whether the session's device has what KEY of SECTION asks for, as the model that the stage
 * builds needs it. */
cz_status cz_check_precision(const cz_check *c, const cz_recipe *recipe, const char *section,
                             cz_precision precision, bool wide_stream) {
  const cz_config_node *keys = cz_config_get(recipe->node, section),
                       *node = keys ? cz_config_get(keys, "precision") : NULL;
  if (!c->session) return CZ_OK;
  cz_status st = cz_precision_check(&c->stage.model, c->session->device, precision, wide_stream);
  return CZ_AT(node ? node : keys ? keys : recipe->node, st);
}

/* The node of KEY, "section.name", or the nearest one around it. */
static const cz_config_node *node_of(const cz_recipe *recipe, const char *key) {
  char section[32];
  const char *name = strchr(key, '.') + 1;
  snprintf(section, sizeof section, "%.*s", (int)(name - 1 - key), key);
  const cz_config_node *keys = cz_config_get(recipe->node, section),
                       *node = keys ? cz_config_get(keys, name) : NULL;
  return node ? node : keys ? keys : recipe->node;
}

/* Whether cuDNN computes the attentions, where the stage says that it is to: by the recipe, and
 * where there is a device by asking the library. */
static cz_status check_attention(const cz_check *c, const cz_recipe *recipe,
                                 const cz_train_keys *train) {
  const cz_attention_wish wish = {.config = &c->stage.model,
                                  .device = c->session ? c->session->device : NULL,
                                  .precision = (cz_precision)train->precision,
                                  .dropout = recipe->model.dropout};
  const char *key = "train.attention";
  if (train->attention != CZ_ATTENTION_BY_CUDNN) return CZ_OK;
  const cz_status st = cz_attention_refused_to_run(&wish, &key);
  if (st != CZ_OK) return CZ_AT(node_of(recipe, key), st);
  return wish.device ? CZ_AT(node_of(recipe, key), cz_attention_try_cudnn(&wish)) : CZ_OK;
}

/** Whether `train.freeze` names parameters of a model of CONFIG, and leaves some. */
cz_status cz_check_freeze(const cz_recipe *recipe, const cz_model_config *config,
                          const cz_train_keys *train) {
  cz_model *m;
  CZ_TRY(cz_model_declare(&m, config, NULL));
  const cz_status st = cz_model_freeze(m, train->freeze);
  cz_model_destroy(&m);
  return CZ_AT(node_of(recipe, "train.freeze"), st);
}

/** What every training stage has: batch, optimizer and loop, which JOB has been given. */
cz_status cz_check_job(cz_check *c, const cz_recipe *recipe, cz_loop_job *job) {
  job->layout = cz_train_layout(&c->stage.model);
  const cz_config_node *batch = cz_config_get(recipe->node, "batch");
  CZ_TRY(CZ_AT(node_of(recipe, "train.loss_scale"), cz_loop_check_scale(&job->train)));
  CZ_TRY(CZ_AT(batch ? batch : recipe->node, cz_loop_check(job)));
  CZ_TRY(cz_check_precision(c, recipe, "train", (cz_precision)job->train.precision,
                            job->train.residual_stream == CZ_STREAM_F32));
  CZ_TRY(check_attention(c, recipe, &job->train));
  CZ_TRY(cz_check_freeze(recipe, &c->stage.model, &job->train));
  return check_ranks(c, recipe, job->batch.shards);
}

/* The tokenizer, opened once for the stages that share it. */
static cz_status give_tokenizer(cz_check *c, cz_recipe *recipe) {
  bool exists;
  CZ_TRY(cz_check_file(c, &exists, cz_config_get(recipe->node, "tokenizer"), NULL));
  if (!c->tokenizer.opened || strcmp(c->tokenizer.path, recipe->tokenizer_path)) {
    cz_tokenizer_destroy(&c->tokenizer.opened);
    cz_status st = cz_recipe_open_if_present(recipe);
    c->tokenizer.opened = recipe->tokenizer;
    c->tokenizer.path = recipe->tokenizer_path;
    c->tokenizer.vocabulary = recipe->vocabulary;
    return st;
  }
  recipe->tokenizer = c->tokenizer.opened;
  recipe->vocabulary = c->tokenizer.vocabulary;
  return CZ_OK;
}

/* The model that the stage starts from. */
static cz_status check_init(cz_check *c, const cz_recipe *recipe) {
  bool first;
  if (!recipe->init) return CZ_OK;
  c->stage.starts = true;
  if (!c->files.missing || cz_fs_exists(recipe->init)) return cz_recipe_check_init(recipe);
  CZ_TRY(cz_check_once(c, &first, "missing %s", recipe->init));
  return first ? cz_buf_addf(c->files.missing, "  %s (a model)\n", recipe->init) : CZ_OK;
}

/* Each file that the parts name exists: those that the kind's own check did not read too, since
 * their contents will be hashed. */
static cz_status file_exists(void *self, const cz_config_node *node, const cz_task_row *row) {
  bool there;
  const char *path;
  CZ_TRY(cz_config_text(&path, node));
  return *path ? cz_check_file(self, &there, node, row) : CZ_OK;
}

static cz_status model_was_checked(void *self, const cz_config_node *node) {
  (void)self;
  (void)node;
  return CZ_OK;
}

static cz_status add_results(cz_check *c, const char *const *names) {
  for (; names && *names; names++) CZ_TRY(cz_check_result(c, "%s", *names));
  return CZ_OK;
}

/* The values that the kind and the parts that NODE has add to every result. */
static cz_status list_results(cz_check *c, const cz_config_node *node, const cz_stage_kind *kind) {
  CZ_TRY(add_results(c, kind->results));
  for (const cz_stage_part *const *p = kind->parts; *p; p++)
    if (cz_config_get(node, (*p)->key.name)) CZ_TRY(add_results(c, (*p)->results));
  return CZ_OK;
}

/** Checks one stage: unknown keys, types, ranges, what must fit together, files and their
 * contents, the model that it starts from. NODE must outlive the round. CZ_EUSAGE for
 * the configuration, other codes for the contents of files. */
cz_status cz_check_stage(cz_check *c, const cz_config_node *node, const cz_stage_kind *kind) {
  const cz_file_visitor files = {c, file_exists, model_was_checked};
  cz_recipe recipe;
  CZ_TRY(cz_stage_known(kind, node));
  CZ_TRY(cz_stage_bind(&recipe, kind, node, NULL));
  if (recipe.tokenizer_path) CZ_TRY(give_tokenizer(c, &recipe));
  if (cz_stage_takes(kind, cz_part_model.key.name)) {
    CZ_TRY(cz_recipe_model_config(&c->stage.model, &recipe));
    CZ_TRY(check_init(c, &recipe));
  }
  if (kind->check) CZ_TRY(kind->check(c, &recipe));
  CZ_TRY(cz_part_files(&files, kind->parts, node));
  return list_results(c, node, kind);
}

/** Checks a stage that is to run by itself in SESSION; every file must be
 * there. */
cz_status cz_check_one(const cz_config_node *node, const cz_session *session) {
  const cz_stage_kind *kind;
  cz_check c;
  cz_status st;
  CZ_TRY(cz_stage_kind_of(&kind, node));
  CZ_GO(st, cz_check_open(&c, NULL, NULL, session), done);
  CZ_GO(st, cz_check_stage(&c, node, kind), done);
done:
  cz_check_close(&c);
  return st;
}

/* `cloze predict`: a classifier answers records, from a file or a pipe, in order. */
#include "commands/commands.h"
#include "commands/outputs.h"
#include "base/args.h"
#include "base/number.h"
#include "device/help.h"
#include "few_shot/classifier.h"
#include "metrics/jsonl.h"
#include "recipe/recipe.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const char cz_predict_usage[] =
    "cloze predict --model DIR --input FILE|- --out FILE|- [--abstain P] [--batch N] [--columns "
    "a,b] [--backslashes H] [--device D]\n"
    "Answers each record of the input, in order, with a line\n"
    "  {\"row\": n, \"label\": \"...\", \"probabilities\": {\"...\": p, ...}}\n"
    "rows numbered from 0. DIR is all it needs: a classifier with cloze_task.json, as `cloze "
    "distill` leaves it in the folder `model`.\n"
    "The input is .csv or .tsv, whose first line names the columns, or .jsonl, lines of JSON with "
    "the fields by name; - is standard\n"
    "input, which is lines of JSON. Answers are written when N records are there or the input "
    "pauses, so it can sit in a pipe; memory\n"
    "does not grow with the input. A record that is wrong is answered with {\"row\": n, \"error\": "
    "\"...\"}, the others are answered, and\n"
    "the exit code is 1.\n"
    "  --abstain P       from 0 to 1: the label is null where its probability is below P; which "
    "part "
    "of the test texts each P leaves, and how\n"
    "                    many of those are right, is `abstain` of the student in result.json of "
    "cloze "
    "pet (docs/reports.md 4.4)\n"
    "  --batch N         records that are computed together, 64 by default\n" CZ_COLUMNS_HELP
    "  --device D        " CZ_DEVICE_HELP "\n";

/* One that was read and is not answered yet. */
typedef struct waiting {
  int64_t number;
  size_t error; /* place of its text in errors, of a wrong record; SIZE_MAX: it is right */
} waiting;

typedef struct session {
  const char *folder, *input, *out, *device_name, *columns, *backslashes;
  double abstain;
  int64_t batch;
  cz_arena *arena; /* of the names of columns */
  cz_device *device;
  cz_classifier *classifier;
  cz_table *table;
  cz_line_output output;
  waiting *records; /* [batch] */
  size_t n;
  cz_buf errors, lines;
  int64_t wrong, read;
} session;

static cz_status parse(session *s, int argc, char **argv) {
  const char *abstain = "0", *batch = "64";
  const cz_option options[] = {
      {"--model", &s->folder, NULL},    {"--input", &s->input, NULL},
      {"--out", &s->out, NULL},         {"--abstain", &abstain, NULL},
      {"--batch", &batch, NULL},        {"--device", &s->device_name, NULL},
      {"--columns", &s->columns, NULL}, {"--backslashes", &s->backslashes, NULL}};
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 0, 0, cz_predict_usage));
  if (!s->folder || !s->input || !s->out)
    return CZ_FAIL(CZ_EUSAGE, "predict: %s is missing",
                   !s->folder  ? "--model DIR"
                   : !s->input ? "--input FILE"
                               : "--out FILE");
  if (cz_parse_real(abstain, &s->abstain) != CZ_OK || !(s->abstain >= 0 && s->abstain <= 1))
    return CZ_FAIL(CZ_EUSAGE, "--abstain: '%s' is no probability from 0 to 1", abstain);
  if (cz_parse_int(batch, &s->batch) != CZ_OK || s->batch < 1 || s->batch > 1 << 16)
    return CZ_FAIL(CZ_EUSAGE, "--batch: '%s' is not between 1 and %d", batch, 1 << 16);
  return cz_output_is_new(s->out, s->input, s->folder);
}

static cz_status open_all(session *s) {
  CZ_TRY(cz_alloc(&s->records, (size_t)s->batch, sizeof *s->records));
  CZ_TRY(cz_device_open(&s->device, s->device_name));
  CZ_TRY(cz_recipe_model_folder(s->folder));
  CZ_TRY(cz_classifier_open(&s->classifier, s->folder, s->device, 4096));
  const cz_pattern_file *file = s->classifier->file;
  cz_table_layout layout = {.columns = file->columns, .n_columns = file->n_fields};
  CZ_TRY(cz_arena_create(&s->arena, "columns"));
  CZ_TRY(cz_table_layout_take(&layout, s->arena, s->columns, s->backslashes));
  CZ_TRY(cz_table_open(&s->table, s->input, &layout));
  return cz_line_output_open(&s->output, s->out);
}

/* Answers what was read, in order. */
static cz_status answer(session *s) {
  const cz_classifier *c = s->classifier;
  const double *p;
  if (!s->n) return CZ_OK;
  CZ_TRY(cz_classifier_run(s->classifier));
  p = c->chance;
  for (size_t i = 0; i < s->n; i++) {
    const waiting *w = &s->records[i];
    if (w->error == SIZE_MAX) {
      CZ_TRY(cz_answer_add(&s->lines, w->number, c->file, p, s->abstain));
      p += c->file->n_labels;
      continue;
    }
    CZ_TRY(cz_buf_addf(&s->lines, "{\"row\": %" PRId64 ", \"error\": ", w->number));
    CZ_TRY(cz_jsonl_quote(&s->lines, s->errors.data + w->error));
    CZ_TRY(cz_buf_addf(&s->lines, "}\n"));
  }
  s->n = s->errors.len = 0;
  cz_classifier_clear(s->classifier);
  return cz_line_output_flush(&s->output, &s->lines);
}

/* Keeps the message of a wrong record, with its NUL. */
static cz_status note_wrong(session *s, waiting *w) {
  const char *why = cz_error_message();
  w->error = s->errors.len;
  s->wrong++;
  CZ_TRY(cz_buf_add(&s->errors, why, strlen(why) + 1));
  cz_error_clear();
  return CZ_OK;
}

/* Reads one record, unless there is none any more. */
static cz_status take(session *s, bool *more) {
  cz_table_record row;
  waiting *w = &s->records[s->n];
  cz_status st = cz_table_next(s->table, &row, more);
  if (st == CZ_OK && !*more) return CZ_OK;
  const cz_record record = {.fields = row.fields, .label = -1, .row = row.number};
  *w = (waiting){.number = row.number, .error = SIZE_MAX};
  if (st == CZ_OK) st = cz_classifier_add(s->classifier, &record);
  if (st == CZ_EINVAL)
    CZ_TRY(note_wrong(s, w));
  else
    CZ_TRY(st);
  s->read++;
  s->n++;
  return CZ_OK;
}

static cz_status answer_all(session *s) {
  bool more = true;
  while (more) {
    if (s->n == (size_t)s->batch || !cz_table_has_line(s->table)) CZ_TRY(answer(s));
    CZ_TRY(take(s, &more));
  }
  CZ_TRY(answer(s));
  if (!s->wrong) return CZ_OK;
  return CZ_FAIL(CZ_EINVAL, "predict: %" PRId64 " of %" PRId64 " records were wrong, see \"error\"",
                 s->wrong, s->read);
}

/** The command `cloze predict`; its usage says what it reads and writes. */
cz_status cz_command_predict(int argc, char **argv) {
  session s = {.device_name = "cpu"};
  CZ_TRY(parse(&s, argc, argv));
  cz_status st = open_all(&s);
  if (st == CZ_OK) st = answer_all(&s);
  cz_status closed = cz_line_output_close(&s.output);
  cz_table_close(&s.table);
  cz_arena_destroy(&s.arena);
  cz_classifier_close(&s.classifier);
  cz_device_close(&s.device);
  cz_buf_free(&s.errors);
  cz_buf_free(&s.lines);
  free(s.records);
  return st == CZ_OK ? closed : st;
}

/* Tasks that a user describes: a TSV or CSV file, which columns are the input, which is
 * the target, a prefix, and labels or free text.
 *
 * TSV is cut at tabs and knows no quotes; CSV is libcsv's, so quotes, doubled quotes and
 * line ends inside quotes work. Zhang et al.'s sets (AG news, Yelp, Yahoo, DBpedia) are
 * `csv` with input_columns "2,3", target_column 1, class_numbers from_one and unescape
 * true. */
#include "base/nearest.h"
#include "base/number.h"
#include "tasks/format_t5.h"
#include "tasks/readers/csv_rows.h"
#include "tasks/score.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBERS_NONE, NUMBERS_FROM_ZERO, NUMBERS_FROM_ONE };
static const char *const numbers_names[] = {"none", "from_zero", "from_one", NULL};

static const cz_key_spec keys[] = {
    CZ_TASK_FILES,
    CZ_KEY(cz_task_config, prefix, TEXT, .fallback = "",
           .help =
               "what stands before every input, so that the model knows the task; a space follows"),
    CZ_KEY(cz_task_config, labels, TEXT, .fallback = "",
           .help = "the classes' texts, with commas between; empty: targets are free text"),
    CZ_KEY(cz_task_config, metrics, TEXT, .fallback = "",
           .help = "scores, with commas between; empty: accuracy with labels, ROUGE without"),
    CZ_KEY(cz_task_config, input_columns, TEXT, .fallback = "1",
           .help = "numbers from 1, or names in the header, with commas between; joined by spaces"),
    CZ_KEY(cz_task_config, target_column, TEXT, .fallback = "2",
           .help = "number from 1, or name in the header"),
    CZ_KEY(cz_task_config, group_column, TEXT, .fallback = "",
           .help = "as target_column: what an example comes from (a document, a person), in files "
                   "that are scored; a report's intervals draw the examples of one source "
                   "together; empty: each is its own"),
    CZ_KEY(cz_task_config, header, BOOL, .fallback = "false",
           .help = "the first line names the columns"),
    CZ_KEY(cz_task_config, class_numbers, ENUM, .fallback = "none", .choices = numbers_names,
           .help = "the target column holds the label's number instead of its text"),
    CZ_KEY(cz_task_config, unescape, BOOL, .fallback = "false",
           .help = "a backslash followed by n means a line end (Zhang et al.) and becomes a space"),
    CZ_KEY(cz_task_config, baseline, ENUM, .fallback = "majority",
           .choices = cz_task_baseline_names, .help = "what the model has to beat"),
    CZ_KEY(cz_task_config, lead_words, INT, .fallback = "12", .min = 1, .max = 1000,
           .unit = "words", .help = "length of the baseline `lead`"),
};

/** True for scores that need no more than a label or a target on each line. */
bool cz_task_metric_is_own(cz_task_metric m) {
  const cz_task_takes takes = cz_task_metric_takes[m];
  return takes == CZ_TAKES_CLASSES || takes == CZ_TAKES_TEXTS || takes == CZ_TAKES_WORDS;
}

/* What the configuration says, resolved against the file. */
typedef struct layout {
  cz_task_set *set;
  char **input_names;
  size_t n_inputs, inputs[CZ_FIELDS], target, group, width; /* columns from 0; width 0: no line
                                                               seen */
} layout;

/* A column's number, from its number or its name. */
static cz_status find_column(size_t *column, const layout *x, const char *name,
                             const cz_fields *first, const char *place) {
  int64_t number;
  if (cz_parse_int(name, &number) == CZ_OK) {
    if (number < 1 || (size_t)number > first->n)
      return CZ_FAIL(CZ_EINVAL, "%s: there are %zu columns, %s is none of them", place, first->n,
                     name);
    *column = (size_t)number - 1;
    return CZ_OK;
  }
  cz_error_clear();
  if (!x->set->config.header)
    return CZ_FAIL(CZ_EUSAGE, "column '%s' is no number, and header is false", name);
  return cz_fields_unique(column, first, name, x->set->row->name, place, "; name it by its number");
}

/* Whether records have a group: training draws its examples one by one. */
static bool is_grouped(const cz_task_set *set) {
  return *set->config.group_column && set->use == CZ_TASK_EVALUATE;
}

static cz_status resolve(layout *x, const cz_fields *first, const char *place) {
  x->width = first->n;
  for (size_t i = 0; i < x->n_inputs; i++)
    CZ_TRY(find_column(&x->inputs[i], x, x->input_names[i], first, place));
  if (is_grouped(x->set))
    CZ_TRY(find_column(&x->group, x, x->set->config.group_column, first, place));
  return find_column(&x->target, x, x->set->config.target_column, first, place);
}

static cz_status class_of(const cz_task_set *set, int32_t *label, const char *text,
                          const char *place) {
  int64_t number;
  if (set->config.class_numbers == NUMBERS_NONE) {
    if (!*text) return CZ_FAIL(CZ_EINVAL, "%s: the label is empty", place);
    return cz_task_label(set, label, NULL, text, place);
  }
  int64_t first = set->config.class_numbers == NUMBERS_FROM_ONE;
  if (cz_parse_int(text, &number) != CZ_OK || number < first || number >= first + set->n_labels)
    return CZ_FAIL(CZ_EINVAL, "%s: expected a class number from %lld to %lld, found '%s'", place,
                   (long long)first, (long long)(first + set->n_labels - 1), text);
  *label = (int32_t)(number - first);
  return CZ_OK;
}

static void unescape(char *text) {
  char *out = text;
  for (; *text; text++) {
    bool end = text[0] == '\\' && text[1] == 'n';
    *out = *text;
    if (end) *out = ' ';
    out++;
    text += end;
  }
  *out = '\0';
}

/* What the record comes from, where a column says it. An empty name would join all that have
 * none. */
static cz_status add_group(const layout *x, cz_task_record *record, const cz_fields *f,
                           const char *place) {
  if (!is_grouped(x->set)) return CZ_OK;
  if (!*f->text[x->group]) return CZ_FAIL(CZ_EINVAL, "%s: the group is empty", place);
  return cz_task_own(x->set, &record->origin, f->text[x->group]);
}

/* One record from the fields of a line; the first line may be the header. */
static cz_status add_row(layout *x, const cz_fields *f, const char *place) {
  cz_task_set *set = x->set;
  if (x->width == 0) {
    CZ_TRY(resolve(x, f, place));
    if (set->config.header) return CZ_OK;
  }
  if (f->n != x->width)
    return CZ_FAIL(CZ_EINVAL, "%s: %zu fields, the first line has %zu", place, f->n, x->width);
  cz_task_record record = {.label = -1, .group = (int64_t)set->n};
  cz_task_field fields[CZ_FIELDS];
  bool empty = true;
  for (size_t i = 0; i < x->n_inputs; i++) {
    char *text = f->text[x->inputs[i]];
    if (set->config.unescape) unescape(text);
    empty = empty && !*text;
    fields[i].name = x->input_names[i];
    CZ_TRY(cz_task_own(set, &fields[i].text, text));
  }
  if (empty) return CZ_FAIL(CZ_EINVAL, "%s: the input is empty", place);
  CZ_TRY(add_group(x, &record, f, place));
  const char *target = f->text[x->target];
  if (set->labels)
    CZ_TRY(class_of(set, &record.label, target, place));
  else if (!*target)
    return CZ_FAIL(CZ_EINVAL, "%s: the target is empty", place);
  else
    CZ_TRY(cz_task_answers(set, &record, &target, 1));
  return cz_task_add(set, &record, fields, x->n_inputs);
}

/* The prefix and the fields, with spaces between. */
static cz_status format(cz_task_set *set, cz_task_record *record) {
  const char *prefix = set->config.prefix;
  cz_buf b = {0};
  cz_status st =
      cz_buf_addf(&b, "%s%s", prefix, *prefix && prefix[strlen(prefix) - 1] != ' ' ? " " : "");
  size_t skip = b.len;
  for (int32_t i = 0; i < record->n_fields && st == CZ_OK; i++)
    st = cz_buf_addf(&b, "%s%s", i ? " " : "", record->fields[i].text);
  if (st == CZ_OK) st = cz_format_text(set, &record->inputs, "%s", b.data);
  cz_buf_free(&b);
  CZ_TRY(st);
  record->source = record->inputs + skip;
  return CZ_OK;
}

static cz_status choose_metrics(cz_task_set *set) {
  static const cz_task_metric labelled[CZ_TASK_METRICS] = {CZ_METRIC_ACCURACY};
  static const cz_task_metric texts[CZ_TASK_METRICS] = {CZ_METRIC_ROUGE1, CZ_METRIC_ROUGE2,
                                                        CZ_METRIC_ROUGEL};
  char **words;
  size_t n;
  memcpy(set->metrics, set->labels ? labelled : texts, sizeof set->metrics);
  CZ_TRY(cz_words(&words, &n, set->arena, set->config.metrics));
  if (n > CZ_TASK_METRICS)
    return CZ_FAIL(CZ_EUSAGE, "metrics: %zu are too many, at most %d", n, CZ_TASK_METRICS);
  if (n) memset(set->metrics, 0, sizeof set->metrics);
  for (size_t i = 0; i < n; i++) {
    cz_task_metric m;
    if (cz_task_metric_find(&m, words[i]) != CZ_OK)
      return CZ_FAIL(CZ_EUSAGE, "metrics: %s", cz_error_message());
    bool classes = cz_task_metric_takes[m] == CZ_TAKES_CLASSES, two = m == CZ_METRIC_F1;
    if (!cz_task_metric_is_own(m))
      return CZ_FAIL(CZ_EUSAGE, "metrics: %s is not for tasks of files with one target a line",
                     words[i]);
    if (classes != !!set->labels)
      return CZ_FAIL(CZ_EUSAGE, "metrics: %s is for %s", words[i],
                     classes ? "labels, and none are declared" : "free text");
    if (two && set->n_labels != 2)
      return CZ_FAIL(CZ_EUSAGE, "metrics: f1 is for two labels, %d are declared", set->n_labels);
    set->metrics[i] = m;
  }
  return CZ_OK;
}

static cz_status describe(cz_task_set *set) {
  char **labels;
  size_t n;
  CZ_TRY(cz_words(&labels, &n, set->arena, set->config.labels));
  if (n == 1) return CZ_FAIL(CZ_EUSAGE, "labels: one label leaves nothing to decide");
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < i; j++)
      if (!strcmp(labels[i], labels[j]))
        return CZ_FAIL(CZ_EUSAGE, "labels: '%s' is declared twice", labels[i]);
  if (n) set->labels = (const char *const *)labels;
  set->n_labels = (int32_t)n;
  if (set->config.class_numbers != NUMBERS_NONE && !n)
    return CZ_FAIL(CZ_EUSAGE, "class_numbers needs labels");
  set->comparison = n ? CZ_COMPARE_LABEL : CZ_COMPARE_TEXT;
  set->baseline = (cz_task_baseline)set->config.baseline;
  set->lead_words = set->config.lead_words;
  return choose_metrics(set);
}

static cz_status configure(layout *x, cz_task_set *set) {
  *x = (layout){.set = set};
  CZ_TRY(cz_words(&x->input_names, &x->n_inputs, set->arena, set->config.input_columns));
  if (x->n_inputs == 0 || x->n_inputs > CZ_FIELDS)
    return CZ_FAIL(CZ_EUSAGE, "input_columns names %zu columns", x->n_inputs);
  return CZ_OK;
}

static cz_status read_tsv(cz_task_set *set, const char *path) {
  layout x;
  cz_lines l = {0};
  cz_fields f;
  char *line;
  cz_status st;
  CZ_GO(st, configure(&x, set), done);
  CZ_GO(st, cz_lines_open(&l, path), done);
  while (cz_lines_next_record(&l, &line)) {
    CZ_GO(st, cz_fields_split(&f, &l, line), done);
    CZ_GO(st, add_row(&x, &f, cz_lines_place(&l, 0).text), done);
  }
done:
  cz_lines_close(&l);
  return st;
}

static cz_status read_csv(cz_task_set *set, const char *path) {
  layout x;
  cz_lines l = {0};
  cz_csv_rows rows = {0};
  cz_fields f;
  char *line;
  bool whole;
  cz_status st;
  CZ_GO(st, configure(&x, set), done);
  CZ_GO(st, cz_csv_rows_open(&rows), done);
  CZ_GO(st, cz_lines_open(&l, path), done);
  while (cz_lines_next(&l, &line)) {
    CZ_GO(st, cz_csv_rows_feed(&rows, &f, &whole, &l, line), done);
    const cz_lines at = {.path = path, .number = rows.row_line};
    if (whole) CZ_GO(st, add_row(&x, &f, cz_lines_place(&at, 0).text), done);
  }
  st = cz_csv_rows_end(&rows, &l);
done:
  cz_csv_rows_close(&rows);
  cz_lines_close(&l);
  return st;
}

#define CUSTOM_TASK(task, what, reader)                                                            \
  const cz_task_row cz_task_row_##task = {.name = #task,                                           \
                                          .help = what,                                            \
                                          .section = CZ_SECTION("task", what, keys),               \
                                          .comparison = CZ_COMPARE_TEXT,                           \
                                          .describe = describe,                                    \
                                          .format = format,                                        \
                                          .read = reader}

CUSTOM_TASK(tsv, "a task of your own from a tab-separated file", read_tsv);
CUSTOM_TASK(csv, "a task of your own from a comma-separated file; the same keys for tsv", read_csv);

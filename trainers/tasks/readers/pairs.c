/* Tasks from one text to another: summaries, translations, and Debian's descriptions
 * (made by scripts/fetch_debian_text.py).
 *
 * Layouts: a TSV line `input TAB target`, or `input TAB target TAB source`, where records of
 * one source package are drawn together; JSON lines with "article" and "highlights"
 * (CNN/Daily Mail); parallel text in two files whose lines pair up, given as PATH for
 * PATH.en and PATH.de. */
#include "tasks/format_t5.h"
#include "tasks/readers/fields.h"

#include <string.h>

typedef struct pairs {
  const char *prefix; /* with the space after it */
  const char *field;  /* what the source text is called */
} pairs;

/* ORIGIN: what the record comes from, or null. */
static cz_status add_pair(cz_task_set *set, const char *source, const char *target,
                          const char *origin, const char *place) {
  const pairs *p = set->row->layout;
  cz_task_record record = {.label = -1, .group = (int64_t)set->n};
  cz_task_field field = {.name = p->field};
  CZ_TRY(cz_task_own(set, &field.text, source));
  if (origin) CZ_TRY(cz_task_own(set, &record.origin, origin));
  CZ_TRY(set->labels ? cz_task_label(set, &record.label, NULL, target, place)
                     : cz_task_answers(set, &record, &target, 1));
  return cz_task_add(set, &record, &field, 1);
}

static cz_status format(cz_task_set *set, cz_task_record *record) {
  const pairs *p = set->row->layout;
  CZ_TRY(cz_format_text(set, &record->inputs, "%s%s", p->prefix, record->fields[0].text));
  record->source = record->inputs + strlen(p->prefix);
  return CZ_OK;
}

/* A line of WIDTH fields, 2 or 3. */
static cz_status add_fields(cz_task_set *set, const cz_fields *f, size_t width, const cz_lines *l) {
  static const char *const names[] = {"input", "target", "source"};
  if (f->n < 2 || f->n > 3)
    return CZ_FAIL(CZ_EINVAL,
                   "%s: %zu fields, expected input, tab, target, and perhaps tab, source",
                   cz_lines_place(l, f->column[f->n > 3 ? 3 : 0]).text, f->n);
  if (f->n != width)
    return CZ_FAIL(CZ_EINVAL, "%s: %zu fields, the first line has %zu", cz_lines_place(l, 0).text,
                   f->n, width);
  for (size_t i = 0; i < f->n; i++)
    if (!*f->text[i])
      return CZ_FAIL(CZ_EINVAL, "%s: the %s is empty", cz_lines_place(l, f->column[i]).text,
                     names[i]);
  return add_pair(set, f->text[0], f->text[1], f->n == 3 ? f->text[2] : NULL,
                  cz_lines_place(l, f->column[1]).text);
}

static cz_status read_tsv(cz_task_set *set, const char *path) {
  cz_lines l;
  cz_fields f;
  char *line;
  size_t width = 0;
  cz_status st;
  CZ_GO(st, cz_lines_open(&l, path), done);
  while (cz_lines_next_record(&l, &line)) {
    CZ_GO(st, cz_fields_split(&f, &l, line), done);
    if (!width) width = f.n;
    CZ_GO(st, add_fields(set, &f, width, &l), done);
  }
done:
  cz_lines_close(&l);
  return st;
}

static cz_status add_article(cz_task_set *set, const json_t *object, const char *place) {
  const char *article, *highlights;
  CZ_TRY(cz_json_text(&article, object, "article", place));
  CZ_TRY(cz_json_text(&highlights, object, "highlights", place));
  return add_pair(set, article, highlights, NULL, place);
}

static cz_status read_articles(cz_task_set *set, const char *path) {
  return cz_json_records(set, path, add_article);
}

static cz_status read_parallel(cz_task_set *set, const char *path) {
  cz_lines side[2] = {{0}, {0}};
  char names[2][4096], *line[2];
  cz_status st = CZ_OK;
  for (int i = 0; i < 2; i++) {
    CZ_GO(st, cz_task_file(names[i], sizeof names[i], set->row, path, i), done);
    CZ_GO(st, cz_lines_open(&side[i], names[i]), done);
  }
  for (;;) {
    bool more[2] = {cz_lines_next(&side[0], &line[0]), cz_lines_next(&side[1], &line[1])};
    if (more[0] != more[1]) {
      const int64_t last = side[more[0]].number;
      if (!cz_line_is_blank(line[more[1]], strlen(line[more[1]])) ||
          cz_lines_next_record(&side[more[1]], &line[more[1]]))
        st = CZ_FAIL(CZ_EINVAL, "%s ends after line %lld, %s goes on", names[more[0]],
                     (long long)last, names[more[1]]);
      break;
    }
    if (!more[0]) break;
    /* WMT's files have empty lines on one side: no pair */
    if (cz_line_is_blank(line[0], strlen(line[0])) || cz_line_is_blank(line[1], strlen(line[1])))
      continue;
    CZ_GO(st, add_pair(set, line[0], line[1], NULL, cz_lines_place(&side[1], 1).text), done);
  }
done:
  cz_lines_close(&side[0]);
  cz_lines_close(&side[1]);
  return st;
}

static const char *const sections[] = {"games", "science",  "sound", "graphics", "fonts", "mail",
                                       "math",  "database", "video", "web",      NULL};
static const char *const languages[] = {"python",  "perl",  "ruby",   "java", "javascript",
                                        "haskell", "rust",  "golang", "php",  "ocaml",
                                        "lisp",    "gnu-r", NULL};

#define PAIRS_TASK(task, what, reader, ...)                                                        \
  const cz_task_row cz_task_row_##task = {.name = #task,                                           \
                                          .help = what,                                            \
                                          .section = CZ_TASK_SECTION(what),                        \
                                          .read = reader,                                          \
                                          .format = format,                                        \
                                          .layout = &task,                                         \
                                          .comparison = CZ_COMPARE_TEXT,                           \
                                          __VA_ARGS__}
#define ROUGE .metrics = {CZ_METRIC_ROUGE1, CZ_METRIC_ROUGE2, CZ_METRIC_ROUGEL}
#define BLEU  .metrics = {CZ_METRIC_BLEU}, .baseline = CZ_BASELINE_COPY

static const pairs cnn_dm = {"summarize: ", "article"};
static const pairs wmt_en_de = {"translate English to German: ", "text"};
static const pairs wmt_en_fr = {"translate English to French: ", "text"};
static const pairs wmt_en_ro = {"translate English to Romanian: ", "text"};
static const pairs debian_section = {"section description: ", "text"};
static const pairs debian_language = {"language description: ", "text"};
static const pairs debian_summarize = {"summarize: ", "text"};
static const pairs debian_en_de = {"translate English to German: ", "text"};
static const pairs debian_en_fr = {"translate English to French: ", "text"};

PAIRS_TASK(cnn_dm, "highlights of news articles (CNN/Daily Mail)", read_articles, ROUGE,
           .baseline = CZ_BASELINE_LEAD, .lead_words = 56);
PAIRS_TASK(wmt_en_de, "English to German (WMT)", read_parallel, BLEU, .sides = {"en", "de"});
PAIRS_TASK(wmt_en_fr, "English to French (WMT)", read_parallel, BLEU, .sides = {"en", "fr"});
PAIRS_TASK(wmt_en_ro, "English to Romanian (WMT)", read_parallel, BLEU, .sides = {"en", "ro"});
PAIRS_TASK(debian_summarize, "a package's synopsis from its description (Debian)", read_tsv, ROUGE,
           .baseline = CZ_BASELINE_LEAD, .lead_words = 12);
PAIRS_TASK(debian_en_de, "English to German, package descriptions (Debian)", read_tsv, BLEU);
PAIRS_TASK(debian_en_fr, "English to French, package descriptions (Debian)", read_tsv, BLEU);

const cz_task_row cz_task_row_debian_section = {
    .name = "debian_section",
    .help = "a package's archive section from its description (Debian)",
    .section = CZ_TASK_SECTION("archive section of a package (Debian)"),
    .labels = sections,
    .metrics = {CZ_METRIC_ACCURACY, CZ_METRIC_MACRO_F1},
    .read = read_tsv,
    .format = format,
    .layout = &debian_section,
};

const cz_task_row cz_task_row_debian_language = {
    .name = "debian_language",
    .help = "a library's programming language from its description (Debian)",
    .section = CZ_TASK_SECTION("programming language of a library (Debian)"),
    .labels = languages,
    .metrics = {CZ_METRIC_ACCURACY, CZ_METRIC_MACRO_F1},
    .read = read_tsv,
    .format = format,
    .layout = &debian_language,
};

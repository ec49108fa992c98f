#include "prompts/patterns.h"
#include "base/nearest.h"
#include "prompts/plain.h"
#include "prompts/template.h"
#include "tasks/readers/fields.h"
#include "tasks/task.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* A list of single values, or one value, as texts with their nodes. */
static cz_status read_texts(const char ***texts, const cz_config_node ***nodes, size_t *n,
                            cz_arena *arena, const cz_config_node *node) {
  bool one = cz_config_kind_of(node) == CZ_CONFIG_SCALAR;
  if (!one) CZ_TRY(cz_config_expect(node, CZ_CONFIG_SEQUENCE));
  *n = one ? 1 : cz_config_count(node);
  CZ_TRY(cz_arena_alloc(arena, texts, *n, sizeof **texts));
  CZ_TRY(cz_arena_alloc(arena, nodes, *n, sizeof **nodes));
  for (size_t i = 0; i < *n; i++) {
    (*nodes)[i] = one ? node : cz_config_at(node, i);
    CZ_TRY(cz_config_text(&(*texts)[i], (*nodes)[i]));
  }
  return CZ_OK;
}

static cz_status check_name(const cz_config_node *node, const char *name) {
  bool plain = *name != '\0';
  for (const char *s = name; *s; s++) plain &= isalnum((unsigned char)*s) || *s == '_';
  if (!plain)
    return cz_config_error(node, "'%s': the name of a field is letters, digits and _", name);
  return strcmp(name, "mask") ? CZ_OK
                              : cz_config_error(node, "a field can't be called 'mask', which is "
                                                      "the place of the answer");
}

static cz_status read_fields(cz_pattern_file *f, const cz_config_node *root) {
  const cz_config_node *node;
  const char **names, **columns;
  CZ_TRY(cz_config_need(&node, root, "fields"));
  CZ_TRY(cz_config_expect(node, CZ_CONFIG_MAPPING));
  f->n_fields = cz_config_count(node);
  if (f->n_fields == 0 || f->n_fields > CZ_PATTERN_FIELDS)
    return cz_config_error(node, "%zu fields, expected 1 to %d", f->n_fields, CZ_PATTERN_FIELDS);
  CZ_TRY(cz_arena_alloc(f->arena, &names, f->n_fields, sizeof *names));
  CZ_TRY(cz_arena_alloc(f->arena, &columns, f->n_fields, sizeof *columns));
  for (size_t i = 0; i < f->n_fields; i++) {
    names[i] = cz_config_key_at(node, i);
    CZ_TRY(check_name(cz_config_at(node, i), names[i]));
    CZ_TRY(cz_config_text(&columns[i], cz_config_at(node, i)));
    if (!*columns[i]) return cz_config_error(cz_config_at(node, i), "the column's name is empty");
  }
  f->fields = names;
  f->columns = columns;
  f->label_column = "label";
  const cz_config_node *label = cz_config_get(root, "label_column");
  return label ? cz_config_text(&f->label_column, label) : CZ_OK;
}

/* What the caller says must agree with what the file says. */
static cz_status agree(const cz_pattern_file *f, const cz_config_node *node, char *const *given,
                       size_t n) {
  bool same = n == f->n_labels;
  for (size_t i = 0; same && i < n; i++) same = !strcmp(given[i], f->labels[i]);
  return same ? CZ_OK
              : cz_config_error(node,
                                "these are not the labels that were given (%zu, the first is "
                                "'%s'); leave one of the two out",
                                n, given[0]);
}

static cz_status given_labels(cz_pattern_file *f, const cz_config_node *root, char **given,
                              size_t n) {
  const cz_config_node **nodes;
  CZ_TRY(cz_arena_alloc(f->arena, &nodes, n, sizeof *nodes));
  for (size_t i = 0; i < n; i++) nodes[i] = root;
  f->labels = (const char *const *)given;
  f->label_nodes = nodes;
  f->n_labels = n;
  return CZ_OK;
}

static cz_status check_labels(const cz_pattern_file *f, const cz_config_node *node) {
  if (f->n_labels == 1)
    return cz_config_error(node, "one label ('%s') leaves nothing to decide", f->labels[0]);
  for (size_t i = 0; i < f->n_labels; i++) {
    if (!*f->labels[i]) return cz_config_error(f->label_nodes[i], "the label is empty");
    for (size_t j = 0; j < i; j++)
      if (!strcmp(f->labels[i], f->labels[j]))
        return cz_config_error(f->label_nodes[i], "the label '%s' is declared twice", f->labels[i]);
  }
  return CZ_OK;
}

static cz_status read_labels(cz_pattern_file *f, const cz_config_node *root, const char *labels) {
  const cz_config_node *node = cz_config_get(root, "labels"), **nodes;
  const char **texts;
  char **given;
  size_t n = 0;
  if (labels) {
    CZ_TRY(cz_words(&given, &n, f->arena, labels));
    if (n == 0) return CZ_FAIL(CZ_EUSAGE, "labels: '%s' names none", labels);
  }
  if (node) {
    CZ_TRY(cz_config_expect(node, CZ_CONFIG_SEQUENCE));
    CZ_TRY(read_texts(&texts, &nodes, &f->n_labels, f->arena, node));
    f->labels = texts;
    f->label_nodes = nodes;
    if (f->n_labels == 0) return cz_config_error(node, "the list of labels is empty");
    if (n) CZ_TRY(agree(f, node, given, n));
  } else if (n) {
    CZ_TRY(given_labels(f, root, given, n));
  }
  return check_labels(f, node ? node : root);
}

static cz_status check_words(const cz_label_words *w, const cz_config_node *node,
                             const char *label) {
  if (w->n == 0) return cz_config_error(node, "the label '%s' has no word", label);
  for (size_t i = 0; i < w->n; i++) {
    const char *word = w->words[i];
    size_t n = strlen(word);
    if (n == 0) return cz_config_error(w->nodes[i], "a word of '%s' is empty", label);
    if (strchr(" \t\n", word[0]) || strchr(" \t\n", word[n - 1]))
      return cz_config_error(w->nodes[i],
                             "the word '%s' of '%s' has a space at its %s; the space before a word "
                             "comes by itself",
                             word, label, strchr(" \t\n", word[n - 1]) ? "end" : "beginning");
  }
  return CZ_OK;
}

/* The words of NODE (null: none), over those of UNDER (null: each label is its own word). */
static cz_status read_words(const cz_label_words **out, const cz_pattern_file *f,
                            const cz_config_node *node, const cz_label_words *under) {
  cz_label_words *words;
  if (node) CZ_TRY(cz_config_expect(node, CZ_CONFIG_MAPPING));
  for (size_t k = 0; node && k < cz_config_count(node) && f->n_labels; k++) {
    const char *label = cz_config_key_at(node, k);
    size_t i = 0;
    while (i < f->n_labels && strcmp(label, f->labels[i])) i++;
    if (i == f->n_labels)
      return cz_config_error(cz_config_at(node, k), "unknown label '%s'%s", label,
                             cz_suggest(label, f->labels, f->n_labels).text);
  }
  CZ_TRY(cz_arena_alloc(f->arena, &words, f->n_labels, sizeof *words));
  for (size_t i = 0; i < f->n_labels; i++) {
    const cz_config_node *own = node ? cz_config_get(node, f->labels[i]) : NULL, **nodes;
    const char **texts;
    words[i] = under ? under[i] : (cz_label_words){&f->labels[i], &f->label_nodes[i], 1};
    if (own) {
      CZ_TRY(read_texts(&texts, &nodes, &words[i].n, f->arena, own));
      words[i].words = texts;
      words[i].nodes = nodes;
    }
    CZ_TRY(check_words(&words[i], own ? own : words[i].nodes[0], f->labels[i]));
  }
  *out = words;
  return CZ_OK;
}

/* The answer of a label: one field, or one text with fields inside it. */
static cz_status read_choice(size_t *source, const cz_config_node *node, cz__template_room *room) {
  cz_pattern p = {.node = node};
  CZ_TRY(cz_config_text(&p.text, node));
  CZ_TRY(cz__template_parse_pattern(&p, room, false));
  if (p.n != 1 || p.second != p.n)
    return cz_config_error(node,
                           "'%s' is more than one piece; an answer is one field, as {a}, or one "
                           "text with {a|inline} in it",
                           p.text);
  if (p.pieces[0].shortenable)
    return cz_config_error(node, "'%s': an answer is never cut, so leave out the star", p.text);
  *source = p.pieces[0].source;
  return CZ_OK;
}

/* The one answer, a field as it is. */
static cz_status read_target(cz_pattern_file *f, const cz_config_node *root,
                             cz__template_room *room) {
  cz_pattern p = {.node = root};
  cz_buf text = {0};
  char *copy = NULL;
  size_t *source;
  cz_status st = cz_buf_addf(&text, "{%s}", f->fields[f->target]);
  if (st == CZ_OK) st = cz_arena_strdup(f->arena, &copy, text.data);
  cz_buf_free(&text);
  CZ_TRY(st);
  p.text = copy;
  CZ_TRY(cz__template_parse_pattern(&p, room, false));
  CZ_TRY(cz_arena_alloc(f->arena, &source, 1, sizeof *source));
  *source = p.pieces[0].source;
  f->choices = source;
  return CZ_OK;
}

/* The answers that each record has of its own, one a label, in the labels' order. */
static cz_status read_choices(cz_pattern_file *f, const cz_config_node *root,
                              cz__template_room *room) {
  const cz_config_node *node = cz_config_get(root, "choices"),
                       *words = cz_config_get(root, "words");
  size_t *choices;
  if (f->generates) return read_target(f, root, room);
  if (!node) return CZ_OK;
  CZ_TRY(cz_config_expect(node, CZ_CONFIG_SEQUENCE));
  const size_t n = cz_config_count(node);
  if (words)
    return cz_config_error(words, "labels have `choices`, answers of each record's own, so they "
                                  "can't have words as well");
  if (f->n_labels && n != f->n_labels)
    return cz_config_error(node, "%zu choices for %zu labels; each label has one, in their order",
                           n, f->n_labels);
  CZ_TRY(cz_arena_alloc(f->arena, &choices, n, sizeof *choices));
  for (size_t i = 0; i < n; i++) CZ_TRY(read_choice(&choices[i], cz_config_at(node, i), room));
  f->choices = choices;
  return CZ_OK;
}

static cz_status read_pattern(cz_pattern *p, cz_pattern_file *f, const cz_config_node *node,
                              const cz_label_words *words, cz__template_room *room) {
  static const char *const keys[] = {"pattern", "words", NULL};
  *p = (cz_pattern){.node = node, .words = words};
  if (cz_config_kind_of(node) == CZ_CONFIG_MAPPING) {
    CZ_TRY(cz_config_only(node, keys));
    CZ_TRY(cz_config_need(&p->node, node, "pattern"));
    if (f->choices && cz_config_get(node, "words"))
      return cz_config_error(cz_config_get(node, "words"),
                             "the answers are each record's own (`choices`), not words");
    CZ_TRY(read_words(&p->words, f, cz_config_get(node, "words"), words));
  }
  CZ_TRY(cz_config_text(&p->text, p->node));
  return cz__template_parse_pattern(p, room, true);
}

static cz_status keep_sources(cz_pattern_file *f, const cz__template_room *room) {
  cz_pattern_source *kept;
  CZ_TRY(cz_arena_alloc(f->arena, &kept, room->n_sources, sizeof *kept));
  memcpy(kept, room->sources, room->n_sources * sizeof *kept);
  f->sources = kept;
  f->n_sources = room->n_sources;
  return CZ_OK;
}

static cz_status read_patterns(cz_pattern_file *f, const cz_config_node *root) {
  const cz_config_node *node = cz_config_get(root, "patterns");
  const cz_label_words *words;
  cz__template_room room = {.arena = f->arena, .fields = f->fields, .n_fields = f->n_fields};
  cz_status st = CZ_OK;
  CZ_TRY(read_words(&words, f, cz_config_get(root, "words"), NULL));
  if (node) CZ_TRY(cz_config_expect(node, CZ_CONFIG_SEQUENCE));
  f->n_patterns = node ? cz_config_count(node) : 0;
  if (node && f->n_patterns == 0) return cz_config_error(node, "there is no pattern");
  CZ_TRY(cz_arena_alloc(f->arena, &f->patterns, f->n_patterns, sizeof *f->patterns));
  CZ_GO(st, read_choices(f, root, &room), done);
  for (size_t i = 0; i < f->n_patterns; i++)
    CZ_GO(st, read_pattern(&f->patterns[i], f, cz_config_at(node, i), words, &room), done);
  CZ_GO(st, cz__plain_read(f, root, &room, false), done);
  CZ_GO(st, keep_sources(f, &room), done);
done:
  free(room.sources);
  return st;
}

/* Brown et al. 2020, section 2.4: one line end between examples, or two. */
static cz_status read_separator(cz_pattern_file *f, const cz_config_node *root) {
  const cz_config_node *node = cz_config_get(root, "separator");
  f->separator = "\n\n";
  return node ? cz_config_text(&f->separator, node) : CZ_OK;
}

static const char no_labels[] =
    "each record of this task has candidates of its own, in any number, "
    "so there are no labels",
                  own_labels[] = "this task's labels say whether the model writes the target, so "
                                 "they are known, and no word stands for one";

/* The labels of a task that generates are its own. */
static cz_status take_labels(cz_pattern_file *f, const cz_config_node *root) {
  size_t n = 0;
  while (f->task->labels[n]) n++;
  return given_labels(f, root, (char **)f->task->labels, n);
}

/* The field that the task's target is in. */
static cz_status find_target(cz_pattern_file *f, const cz_config_node *root) {
  for (f->target = 0; f->target < f->n_fields; f->target++)
    if (!strcmp(f->columns[f->target], f->task->target)) return CZ_OK;
  return cz_config_error(
      cz_config_get(root, "fields"),
      "no field is the '%s' of task %s, which the model is to write at the masks", f->task->target,
      f->task->name);
}

/* The task whose files the data are, where records have candidates or a target is generated: what
 * is said of labels or of classifiers has no place beside it. */
static cz_status read_task(cz_pattern_file *f, const cz_config_node *root, const char *labels) {
  static const char *const others[] = {"label_column", "labels", "words", "choices",
                                       "input",        "plain",  NULL};
  const cz_config_node *node = cz_config_get(root, "task");
  const char *name;
  if (!node) return CZ_OK;
  CZ_TRY(cz_config_text(&name, node));
  CZ_TRY(CZ_AT(node, cz_task_find(&f->task, name)));
  f->candidates = f->task->candidates;
  f->generates = f->task->target != NULL;
  if (!f->candidates && !f->generates)
    return cz_config_error(node,
                           "records of task %s have labels, not candidates of their own: its files "
                           "are read by `fields` and `label_column`, without `task`",
                           name);
  for (size_t i = 0; others[i]; i++)
    if (cz_config_get(root, others[i]))
      return cz_config_error(cz_config_get(root, others[i]), "%s",
                             f->candidates ? no_labels : own_labels);
  if (labels)
    return cz_config_error(node, "labels were given ('%s'); %s", labels,
                           f->candidates ? no_labels : own_labels);
  return f->generates ? take_labels(f, root) : CZ_OK;
}

static cz_status read_root(cz_pattern_file *f, const char *labels) {
  static const char *const keys[] = {"fields",    "label_column", "labels",  "words",
                                     "input",     "plain",        "choices", "patterns",
                                     "separator", "task",         NULL};
  const cz_config_node *root = cz_config_root(f->config);
  CZ_TRY(cz_config_only(root, keys));
  CZ_TRY(read_task(f, root, labels));
  CZ_TRY(read_separator(f, root));
  CZ_TRY(read_fields(f, root));
  if (f->generates) CZ_TRY(find_target(f, root));
  if (!f->task) CZ_TRY(read_labels(f, root, labels));
  return read_patterns(f, root);
}

/* What a classifier needs of it: neither words nor patterns. */
static cz_status read_classifier(cz_pattern_file *f, const char *labels) {
  static const char *const keys[] = {"fields", "labels", "input", "plain", NULL};
  const cz_config_node *root = cz_config_root(f->config);
  cz__template_room room = {.arena = f->arena};
  CZ_TRY(cz_config_only(root, keys));
  CZ_TRY(read_fields(f, root));
  CZ_TRY(read_labels(f, root, labels));
  room.fields = f->fields;
  room.n_fields = f->n_fields;
  cz_status st = cz__plain_read(f, root, &room, true);
  if (st == CZ_OK) st = keep_sources(f, &room);
  free(room.sources);
  return st;
}

/* Takes CONFIG over. READ makes the file of it. */
static cz_status read_config(cz_pattern_file **file, cz_config *config, const char *name,
                             const char *labels,
                             cz_status (*read)(cz_pattern_file *f, const char *labels)) {
  cz_status st = cz_alloc(file, 1, sizeof **file);
  if (st != CZ_OK) {
    cz_config_destroy(&config);
    return st;
  }
  (*file)->config = config;
  char *path;
  CZ_GO(st, cz_arena_create(&(*file)->arena, "pattern file"), fail);
  CZ_GO(st, cz_arena_strdup((*file)->arena, &path, name), fail);
  (*file)->path = path;
  CZ_GO(st, read(*file, labels), fail);
  return CZ_OK;
fail:
  cz_patterns_close(file);
  return st;
}

/** Reads the pattern file at PATH. LABELS, with commas between them, for a file that names none;
 * null: none are given; where both are, they must be the same. CZ_EUSAGE with file, line, column
 * and a caret for everything that can be seen without a tokenizer. The caller closes the file. */
cz_status cz_patterns_open(cz_pattern_file **file, const char *path, const char *labels) {
  cz_config *config;
  *file = NULL;
  CZ_TRY(cz_config_open(&config, path));
  return read_config(file, config, path, labels, read_root);
}

/** The same for N bytes of TEXT; NAME appears in messages. */
cz_status cz_patterns_parse(cz_pattern_file **file, const char *name, const char *text, size_t n,
                            const char *labels) {
  cz_config *config;
  *file = NULL;
  CZ_TRY(cz_config_parse(&config, name, text, n));
  return read_config(file, config, name, labels, read_root);
}

/** A file for classifiers alone, without words and patterns: N bytes of TEXT with `fields`,
 * `labels` and, if wanted, `input` and `plain`. The same errors. The caller closes the file. */
cz_status cz_patterns_parse_classifier(cz_pattern_file **file, const char *name, const char *text,
                                       size_t n) {
  cz_config *config;
  *file = NULL;
  CZ_TRY(cz_config_parse(&config, name, text, n));
  return read_config(file, config, name, NULL, read_classifier);
}

/** Frees the file and all that it handed out, clears the pointer, accepts null. */
void cz_patterns_close(cz_pattern_file **file) {
  if (!*file) return;
  cz_config_destroy(&(*file)->config);
  cz_arena_destroy(&(*file)->arena);
  free(*file);
  *file = NULL;
}

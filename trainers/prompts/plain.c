#include "prompts/plain.h"
#include "base/nearest.h"

#include <string.h>

const char *const cz_input_names[CZ_INPUT_KINDS + 1] = {[CZ_INPUT_SINGLE] = "single",
                                                        [CZ_INPUT_PAIR] = "pair",
                                                        [CZ_INPUT_SIMILARITY] = "similarity",
                                                        [CZ_INPUT_CHOICE] = "choice",
                                                        [CZ_INPUT_KINDS] = NULL};

/* The first field, and behind || those from FROM to UNTIL, all of them shortenable. */
static cz_status default_plain(const char **out, const cz_pattern_file *f, size_t from,
                               size_t until) {
  cz_buf text = {0};
  char *copy = NULL;
  cz_status st = cz_buf_addf(&text, "{%s*}", f->fields[0]);
  for (size_t i = from; i < until && st == CZ_OK; i++)
    st = cz_buf_addf(&text, "%s{%s*}", i == from ? " || " : " ", f->fields[i]);
  if (st == CZ_OK) st = cz_arena_strdup(f->arena, &copy, text.data);
  cz_buf_free(&text);
  *out = copy;
  return st;
}

static cz_status parse(cz_pattern *p, const cz_config_node *node, const char *text,
                       cz__template_room *room) {
  *p = (cz_pattern){.node = node, .text = text};
  return cz__template_parse_pattern(p, room, false);
}

static bool has_two(const cz_pattern *p) { return p->second < p->n; }

/* Segments in the other order, the first behind the second. */
static cz_status swap_segments(cz_pattern *out, const cz_pattern *p, cz_arena *arena) {
  cz_pattern_piece *pieces;
  const size_t first = p->second, second = p->n - p->second;
  CZ_TRY(cz_arena_alloc(arena, &pieces, p->n, sizeof *pieces));
  memcpy(pieces, p->pieces + first, second * sizeof *pieces);
  memcpy(pieces + second, p->pieces, first * sizeof *pieces);
  *out = *p;
  out->pieces = pieces;
  out->second = second;
  return CZ_OK;
}

/* One pattern, and of SIMILARITY the other order of its two. NODE null: none is written. */
static cz_status read_one(cz_pattern_file *f, const cz_config_node *node,
                          const cz_config_node *root, cz__template_room *room) {
  const char *text = NULL;
  CZ_TRY(node ? cz_config_text(&text, node) : default_plain(&text, f, 1, f->n_fields));
  CZ_TRY(cz_arena_alloc(f->arena, &f->plains, 2, sizeof *f->plains));
  CZ_TRY(parse(&f->plains[0], node ? node : root, text, room));
  f->n_plains = 1;
  if (f->input != CZ_INPUT_SIMILARITY || !has_two(&f->plains[0])) return CZ_OK;
  f->n_plains = 2;
  return swap_segments(&f->plains[1], &f->plains[0], f->arena);
}

static cz_status refuse_count(const cz_pattern_file *f, const cz_config_node *node, size_t n) {
  return cz_config_error(node,
                         "input: choice reads a text for each of the %zu labels, in their order, "
                         "and here are %zu",
                         f->n_labels, n);
}

/* A pattern a label; without NODE the first field with each of the others. */
static cz_status read_choices(cz_pattern_file *f, const cz_config_node *node,
                              const cz_config_node *root, cz__template_room *room) {
  if (node) CZ_TRY(cz_config_expect(node, CZ_CONFIG_SEQUENCE));
  const size_t n = node ? cz_config_count(node) : f->n_fields - 1;
  if (n != f->n_labels)
    return node ? refuse_count(f, node, n)
                : cz_config_error(cz_config_get(root, "fields"),
                                  "input: choice without `plain` reads the first field with each "
                                  "of the others, one for each of the %zu labels, and there are "
                                  "%zu others",
                                  f->n_labels, n);
  if (n > CZ_PATTERN_CHOICES)
    return cz_config_error(node ? node : root, "input: choice among %zu, at most %d are computed",
                           n, CZ_PATTERN_CHOICES);
  CZ_TRY(cz_arena_alloc(f->arena, &f->plains, n, sizeof *f->plains));
  for (size_t k = 0; k < n; k++) {
    const cz_config_node *one = node ? cz_config_at(node, k) : root;
    const char *text = NULL;
    CZ_TRY(node ? cz_config_text(&text, one) : default_plain(&text, f, k + 1, k + 2));
    CZ_TRY(parse(&f->plains[k], one, text, room));
  }
  f->n_plains = n;
  return CZ_OK;
}

/* The key, or what `plain` says by itself. */
static cz_status read_kind(bool *said, cz_pattern_file *f, const cz_config_node *root) {
  const cz_config_node *node = cz_config_get(root, "input");
  const char *word = "";
  size_t kind = 0;
  *said = node != NULL;
  if (!node) return CZ_OK;
  CZ_TRY(cz_config_text(&word, node));
  if (cz_find_name(&kind, "kind of input", word, cz_input_names, CZ_INPUT_KINDS) != CZ_OK)
    return cz_config_error(node, "%s", cz_error_message());
  f->input = (cz_input_kind)kind;
  return CZ_OK;
}

/** Reads the keys `input` and `plain` of the mapping ROOT into F, whose fields and labels are
 * there. Without `input` the file says single or pair by `plain`, or, where it MAY_BE_BARE, nothing
 * at all. CZ_EUSAGE at the key where the two do not fit. */
cz_status cz__plain_read(cz_pattern_file *f, const cz_config_node *root, cz__template_room *room,
                         bool may_be_bare) {
  const cz_config_node *node = cz_config_get(root, "plain");
  bool said = false;
  CZ_TRY(read_kind(&said, f, root));
  if (said && f->input == CZ_INPUT_CHOICE) return read_choices(f, node, root, room);
  CZ_TRY(read_one(f, node, root, room));
  const cz_pattern *p = &f->plains[0];
  if (!said) f->input = has_two(p) ? CZ_INPUT_PAIR : CZ_INPUT_SINGLE;
  if (!said && may_be_bare) f->input = CZ_INPUT_BARE;
  if (!said || has_two(p) == (f->input != CZ_INPUT_SINGLE)) return CZ_OK;
  return cz_config_error(cz_config_get(root, "input"),
                         "input: %s reads %s, and `plain` is '%s', %s", cz_input_names[f->input],
                         f->input == CZ_INPUT_SINGLE ? "one text" : "two texts", p->text,
                         has_two(p) ? "two with || between them" : "without || between two");
}

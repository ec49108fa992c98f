/* `cloze objective`: shows what an objective does to a text. */
#include "commands/commands.h"
#include "base/args.h"
#include "base/fs.h"
#include "base/lines.h"
#include "base/log.h"
#include "base/number.h"
#include "base/utf8.h"
#include "config/config.h"
#include "json/json.h"
#include "objectives/objective.h"
#include "objectives/vocabulary.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char cz_objective_usage[] =
    "usage: cloze objective NAME [key=value ...] --tokenizer FILE (--text FILE | --ids FILE.jsonl) "
    "[--seed N] [--json]\n"
    "       cloze objective NAME --keys\n"
    "\n"
    "Shows what a pretraining objective makes of each document, taken alone as one raw segment: "
    "what the model reads and what it must write.\n"
    "Document i draws the noise of piece i of the first epoch. Inputs and targets are cut to their "
    "caps as in training, EOS kept. Where an objective takes a run of another document, it is of "
    "the document that follows, the first one after the last.\n"
    "\n"
    "  --tokenizer FILE   tokenizer.json; its <extra_id_0>, <extra_id_1>, ... are the sentinels\n"
    "  --text FILE        text; a blank line ends a document\n"
    "  --ids FILE.jsonl   one JSON list of token ids a line, each a document\n"
    "  --seed N           seed of the noise (default 0)\n"
    "  --json             one line {\"inputs\": [...], \"targets\": [...]} a document; of "
    "objectives "
    "whose tokens are read as they are {\"inputs\", \"types\", \"labels\", \"class\"}: labels "
    "stand where a token is predicted, -100 elsewhere, class is null where there is none\n"
    "  --keys             the keys of objective NAME, with ranges and defaults\n"
    "\n"
    "The objectives: cloze list objectives. The keys of one: cloze objective NAME --keys.\n";

typedef struct request {
  const char *name, *tokenizer, *text, *ids;
  const char *const *words; /* key=value; borrowed from argv */
  size_t n_words;
  int64_t seed;
  bool json, keys;
} request;

static cz_status read_request(request *r, int argc, char **argv) {
  const char *seed = "0";
  const cz_option options[] = {{"--tokenizer", &r->tokenizer, NULL},
                               {"--text", &r->text, NULL},
                               {"--ids", &r->ids, NULL},
                               {"--seed", &seed, NULL},
                               {"--json", NULL, &r->json},
                               {"--keys", NULL, &r->keys}};
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 1, -1, cz_objective_usage));
  r->name = argv[1];
  r->words = (const char *const *)argv + 2;
  r->n_words = (size_t)argc - 2;
  if (cz_parse_int(seed, &r->seed) != CZ_OK || r->seed < 0)
    return CZ_FAIL(CZ_EUSAGE, "--seed: expected a number from 0 up, found '%s'", seed);
  if (r->keys) return CZ_OK;
  if (!r->tokenizer) return CZ_FAIL(CZ_EUSAGE, "--tokenizer FILE is missing");
  if (!r->text == !r->ids) return CZ_FAIL(CZ_EUSAGE, "give either --text FILE or --ids FILE.jsonl");
  return CZ_OK;
}

/* Documents of the file, one after another: ids of document i end at ends[i]. */
typedef struct documents {
  cz_ids ids;
  size_t *ends, n, cap;
} documents;

static cz_status end_document(documents *d) {
  CZ_TRY(cz_grow(&d->ends, &d->cap, d->n + 1, sizeof *d->ends));
  d->ends[d->n++] = d->ids.len;
  return CZ_OK;
}

static cz_status add_list(documents *d, const json_t *list, const char *path, int line,
                          int32_t size) {
  if (!json_is_array(list))
    return CZ_FAIL(CZ_EINVAL, "%s:%d: expected a JSON list of token ids", path, line);
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *item = json_array_get(list, i);
    if (!json_is_integer(item))
      return CZ_FAIL(CZ_EINVAL, "%s:%d: item %zu of the list is not a whole number", path, line,
                     i + 1);
    json_int_t id = json_integer_value(item);
    if (id < 0 || id >= size)
      return CZ_FAIL(CZ_EINVAL, "%s:%d: item %zu, id %lld, is not in the vocabulary of %d", path,
                     line, i + 1, (long long)id, size);
    CZ_TRY(cz_ids_add(&d->ids, (int32_t)id));
  }
  return end_document(d);
}

typedef struct id_file {
  documents *documents;
  int32_t size;
} id_file;

static cz_status add_line(void *self, const json_t *value, const cz_json_place *at) {
  const id_file *f = self;
  return add_list(f->documents, value, at->file, (int)at->line, f->size);
}

static cz_status read_ids(documents *d, const char *path, int32_t size) {
  id_file file = {d, size};
  return cz_json_lines(path, add_line, &file);
}

static cz_status add_text(documents *d, const cz_tokenizer *t, cz_tokenizer_scratch *scratch,
                          const char *text, size_t n) {
  CZ_TRY(cz_encode_text(&d->ids, t, scratch, text, n, false));
  return end_document(d);
}

/* A document is the lines between blank ones, joined by line feeds. */
static cz_status read_text(documents *d, const char *path, const cz_buf *file,
                           const cz_tokenizer *t) {
  cz_tokenizer_scratch *scratch = NULL;
  cz_buf text = {0};
  const char *line;
  size_t n;
  int64_t first = 0;
  cz_status st;
  CZ_TRY(cz_utf8_expect(file->data, file->len, path));
  CZ_GO(st, cz_tokenizer_scratch_create(&scratch, t), done);
  cz_line_walk walk = cz_line_walk_over(file->data, file->len, path);
  for (bool more = true; more;) {
    more = cz_line_next(&walk, &line, &n);
    if (more && !cz_line_is_blank(line, n)) {
      if (!text.len) first = walk.number;
      if (text.len) CZ_GO(st, cz_buf_add(&text, "\n", 1), done);
      CZ_GO(st, cz_buf_add(&text, line, n), done);
      continue;
    }
    if (text.len && (st = add_text(d, t, scratch, text.data, text.len)) != CZ_OK)
      CZ_GO(st, CZ_NOTE(st, "the document that begins at %s:%lld", path, (long long)first), done);
    text.len = 0;
  }
done:
  cz_buf_free(&text);
  cz_tokenizer_scratch_destroy(&scratch);
  return st;
}

static cz_status read_documents(documents *d, const request *r, const cz_tokenizer *t) {
  cz_buf file = {0};
  const char *path = r->ids ? r->ids : r->text;
  cz_status st;
  CZ_GO(st, cz_fs_read(path, &file), done);
  if (file.len == 0) CZ_GO(st, CZ_FAIL(CZ_EINVAL, "%s: the file is empty", path), done);
  CZ_GO(st,
        r->ids ? read_ids(d, path, cz_tokenizer_get_facts(t)->size) : read_text(d, path, &file, t),
        done);
  if (d->n == 0) st = CZ_FAIL(CZ_EINVAL, "%s: no document in it", path);
done:
  cz_buf_free(&file);
  return st;
}

static void print_list(const char *name, const cz_ids *ids) {
  printf("\"%s\": [", name);
  for (size_t i = 0; i < ids->len; i++) printf("%s%d", i ? ", " : "", ids->data[i]);
  printf("]");
}

static void print_json(const cz_example *e, cz_form form) {
  printf("{");
  print_list("inputs", &e->inputs);
  printf(", ");
  if (form == CZ_FORM_TEXT_TO_TEXT) {
    print_list("targets", &e->targets);
  } else {
    print_list("types", &e->types);
    printf(", ");
    print_list("labels", &e->labels);
    printf(e->klass < 0 ? ", \"class\": null" : ", \"class\": %d", e->klass);
  }
  printf("}\n");
}

/* How a token is shown: plain text, a token with a role of its own (sentinels, EOS), or
 * one that the document does not have. */
typedef enum token_kind { PLAIN, SPECIAL, FOREIGN } token_kind;

static token_kind kind_of(const cz_vocabulary *v, const cz_piece *piece, int32_t id) {
  if (id == v->eos || id == v->pad || id == v->cls || id == v->sep || id == v->mask) return SPECIAL;
  for (int32_t k = 0; k < v->n_sentinels; k++)
    if (id == v->sentinels[k]) return SPECIAL;
  for (int64_t i = 0; i < piece->n; i++)
    if (id == piece->ids[i]) return PLAIN;
  return FOREIGN;
}

/* Tokens of one kind in a row; on a terminal colours tell them apart, elsewhere `<...>`
 * (special tokens spell it themselves) and `*...*` do. */
static cz_status print_run(const cz_tokenizer *t, const int32_t *ids, size_t n, token_kind kind,
                           bool colours) {
  cz_buf text = {0};
  cz_status st;
  if (kind == SPECIAL) {
    size_t bytes;
    const char *token = cz_tokenizer_token(t, ids[0], &bytes);
    st = token ? cz_buf_add(&text, token, bytes)
               : CZ_FAIL(CZ_EINVAL, "the tokenizer has no token %d", ids[0]);
  } else {
    st = cz_tokenizer_decode(t, &text, ids, n, false);
  }
  if (st == CZ_OK) {
    static const char *const begin[2][3] = {{"", "", "*"}, {"", "\033[36m", "\033[33m"}};
    static const char *const end[2][3] = {{"", "", "*"}, {"", "\033[0m", "\033[0m"}};
    printf(" %s%s%s", begin[colours][kind], text.len ? text.data : "", end[colours][kind]);
  }
  cz_buf_free(&text);
  return st;
}

static cz_status print_side(const char *name, const cz_objective *o, const cz_tokenizer *t,
                            const cz_piece *piece, const cz_ids *side, bool colours) {
  printf("  %-8s", name);
  for (size_t i = 0, n; i < side->len; i += n) {
    token_kind kind = kind_of(&o->vocabulary, piece, side->data[i]);
    n = 1;
    while (kind == PLAIN && i + n < side->len &&
           kind_of(&o->vocabulary, piece, side->data[i + n]) == PLAIN)
      n++;
    CZ_TRY(print_run(t, side->data + i, n, kind, colours));
  }
  printf("%s\n", side->len ? "" : " (none)");
  return CZ_OK;
}

/* What is predicted in place: "place:token" for each. */
static cz_status print_labels(const cz_objective *o, const cz_tokenizer *t, const cz_piece *piece,
                              const cz_example *e, bool colours) {
  printf("  %-8s", "labels");
  size_t n = 0;
  for (size_t i = 0; i < e->labels.len; i++) {
    const int32_t *id = &e->labels.data[i];
    if (*id == CZ_NOT_COUNTED) continue;
    printf(" %zu:", i);
    CZ_TRY(print_run(t, id, 1, kind_of(&o->vocabulary, piece, *id), colours));
    n++;
  }
  printf("%s\n", n ? "" : " (none)");
  if (e->rows.len && e->klass >= 0) printf("  %-8s %d\n", "class", e->klass);
  return CZ_OK;
}

static size_t count_labels(const cz_example *e) {
  size_t n = 0;
  for (size_t i = 0; i < e->labels.len; i++) n += e->labels.data[i] != CZ_NOT_COUNTED;
  return n;
}

/* The example of document NUMBER, from 1. */
static cz_status print_example(const cz_objective *o, const cz_tokenizer *t, const cz_piece *piece,
                               const cz_example *e, size_t number) {
  const bool colours = cz_terminal_escapes(STDOUT_FILENO),
             tokens = o->row->form != CZ_FORM_TEXT_TO_TEXT;
  printf("document %zu: %lld tokens -> %zu inputs, %zu %s\n", number, (long long)piece->n,
         e->inputs.len, tokens ? count_labels(e) : e->targets.len, tokens ? "labels" : "targets");
  CZ_TRY(print_side("inputs", o, t, piece, &e->inputs, colours));
  return tokens ? print_labels(o, t, piece, e, colours)
                : print_side("targets", o, t, piece, &e->targets, colours);
}

/* Document I as a piece, with the next one beside it where the objective takes runs of others. */
static cz_status piece_of(cz_piece *piece, const cz_objective *o, const documents *d, size_t i) {
  const size_t begin = i ? d->ends[i - 1] : 0, next = (i + 1) % d->n,
               other = next ? d->ends[next - 1] : 0;
  *piece = (cz_piece){.ids = d->ids.data + begin,
                      .n = (int64_t)(d->ends[i] - begin),
                      .index = (uint32_t)i,
                      .ends = true};
  if (!o->cut.other) return CZ_OK;
  if (d->n < 2)
    return CZ_FAIL(CZ_EINVAL, "%s takes runs of other documents; there is one document",
                   o->row->name);
  piece->other = d->ids.data + other;
  piece->n_other = (int64_t)(d->ends[next] - other);
  return CZ_OK;
}

static cz_status show(const cz_objective *o, const cz_tokenizer *t, const documents *d, bool json) {
  cz_example e = {0};
  cz_status st = CZ_OK;
  for (size_t i = 0; i < d->n; i++) {
    cz_piece piece;
    CZ_GO(st, piece_of(&piece, o, d, i), done);
    CZ_GO(st, cz_objective_apply(o, &e, &piece), done);
    if (piece.n > o->cut.piece_tokens)
      cz_warn("document %zu has %lld tokens; training cuts pieces of %lld: what is beyond the caps "
              "is not shown",
              i + 1, (long long)piece.n, (long long)o->cut.piece_tokens);
    if (json)
      print_json(&e, o->row->form);
    else
      CZ_GO(st, print_example(o, t, &piece, &e, i + 1), done);
  }
  if (fflush(stdout) || ferror(stdout)) st = CZ_FAIL(CZ_EIO, "standard output can't be written");
done:
  cz_example_free(&e);
  return st;
}

static cz_status print_keys(const cz_objective_row *row) {
  cz_buf help = {0};
  cz_status st = cz_config_help(&help, &row->section);
  if (st == CZ_OK) printf("%s: %s\n%s", row->name, row->help, help.data);
  cz_buf_free(&help);
  return st;
}

static cz_status configure(cz_objective *o, const request *r, const cz_objective_row *row,
                           const cz_tokenizer *t) {
  cz_vocabulary vocabulary;
  cz_objective_config values = {.seed = (uint64_t)r->seed};
  cz_config *config;
  CZ_TRY(cz_config_from_words(&config, r->words, r->n_words));
  cz_status st = cz_config_bind(cz_config_root(config), &row->section, &values, NULL);
  cz_config_destroy(&config);
  CZ_TRY(st);
  cz_vocabulary_of(&vocabulary, t);
  return cz_objective_init(o, row, &values, &vocabulary);
}

static cz_status run(const request *r, const cz_objective_row *row) {
  cz_tokenizer *t = NULL;
  documents d = {0};
  cz_objective o;
  cz_status st;
  CZ_GO(st, cz_tokenizer_open(&t, r->tokenizer), done);
  CZ_GO(st, configure(&o, r, row, t), done);
  CZ_GO(st, read_documents(&d, r, t), done);
  CZ_GO(st, show(&o, t, &d, r->json), done);
done:
  free(d.ids.data);
  free(d.ends);
  cz_tokenizer_destroy(&t);
  return st;
}

/** `cloze objective ...`: ARGV[0] is the command's own name. CZ_EUSAGE for what the user
 * should have written differently, else what went wrong. */
cz_status cz_command_objective(int argc, char **argv) {
  request r = {0};
  const cz_objective_row *row;
  CZ_TRY(read_request(&r, argc, argv));
  CZ_TRY(cz_objective_find(&row, r.name));
  return r.keys ? print_keys(row) : run(&r, row);
}

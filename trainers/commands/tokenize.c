/* `cloze tokenize`: shows what a tokenizer.json does to each line of standard input, and
 * the way back. */
#include "commands/commands.h"

#include "base/args.h"
#include "base/log.h"
#include "base/clock.h"
#include "text/tokenizer.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char cz_tokenize_usage[] =
    "usage: cloze tokenize FILE_OR_DIR [--json] [--pair] [--truncate] [--no-special] < text\n"
    "       cloze tokenize FILE_OR_DIR --count [--pair] [--truncate] [--no-special] < text\n"
    "       cloze tokenize FILE_OR_DIR --decode [--skip-special] < ids\n"
    "\n"
    "Runs a tokenizer.json, or the one in a folder, over each line of standard input, taken "
    "without "
    "its newline.\n"
    "\n"
    "  --json          one object a line: {\"ids\": [...], \"offsets\": [[a, b], ...]}; offsets "
    "count characters\n"
    "                  (Unicode code points) of the line; an added special token has [0, 0]\n"
    "                  without --json: the tokens themselves, separated by spaces, for reading\n"
    "  --pair          a line is two texts with a tab between them; offsets are of a token's own "
    "text, and with\n"
    "                  --json the object has \"type_ids\" too\n"
    "  --truncate      cuts to the length that the file's \"truncation\" says, in its way\n"
    "  --no-special    without the special tokens that the post-processor adds\n"
    "  --count         only what it took: {\"lines\": n, \"bytes\": n, \"tokens\": n, \"seconds\": "
    "s, \"mb_per_s\": r}, of one thread\n"
    "  --decode        the other way: each line is a JSON list of ids, or an object with \"ids\"; "
    "prints the text\n"
    "  --skip-special  with --decode: without special tokens\n";

typedef struct options {
  const char *file;
  bool json, pair, truncate, no_special, count, decode, skip_special;
} options;

/* One session of the command: what each line needs. */
typedef struct session {
  const options *o;
  cz_tokenizer *tokenizer;
  cz_tokenizer_scratch *scratch;
  cz_encoding encoding;
  cz_buf out;
  size_t line;          /* number of the current one */
  size_t bytes, tokens; /* so far */
  double seconds;       /* spent encoding */
} session;

static cz_status parse_options(options *o, int argc, char **argv) {
  const cz_option table[] = {{"--json", NULL, &o->json},
                             {"--pair", NULL, &o->pair},
                             {"--truncate", NULL, &o->truncate},
                             {"--no-special", NULL, &o->no_special},
                             {"--count", NULL, &o->count},
                             {"--decode", NULL, &o->decode},
                             {"--skip-special", NULL, &o->skip_special}};
  CZ_TRY(cz_args_parse(&argc, argv, table, sizeof table / sizeof *table));
  CZ_TRY(cz_args_count(argc, argv, 1, 1, cz_tokenize_usage));
  o->file = argv[1];
  bool encodes = o->json || o->pair || o->truncate || o->no_special || o->count;
  bool wrong = o->decode ? encodes : o->skip_special;
  return wrong
             ? CZ_FAIL(CZ_EUSAGE, "tokenize: --json, --pair, --truncate, --no-special and --count "
                                  "encode, --skip-special decodes")
             : CZ_OK;
}

/* Refuses to cut where the file does not say how. */
static cz_status check_truncation(const session *s) {
  const int64_t longest = cz_tokenizer_get_facts(s->tokenizer)->max_length;
  if (!s->o->truncate && longest >= 0)
    cz_warn("%s: its truncation to %lld tokens is applied with --truncate", s->o->file,
            (long long)longest);
  if (!s->o->truncate || longest >= 0) return CZ_OK;
  return CZ_FAIL(CZ_EINVAL, "%s: --truncate, but its \"truncation\" is null", s->o->file);
}

static cz_status write_json(session *s) {
  const cz_encoding *e = &s->encoding;
  CZ_TRY(cz_buf_addf(&s->out, "{\"ids\": ["));
  for (size_t i = 0; i < e->n; i++)
    CZ_TRY(cz_buf_addf(&s->out, "%s%d", i ? ", " : "", (int)e->ids[i]));
  CZ_TRY(cz_buf_addf(&s->out, "], \"offsets\": ["));
  for (size_t i = 0; i < e->n; i++)
    CZ_TRY(
        cz_buf_addf(&s->out, "%s[%u, %u]", i ? ", " : "", e->offsets[i].begin, e->offsets[i].end));
  CZ_TRY(cz_buf_addf(&s->out, "]"));
  if (s->o->pair) {
    CZ_TRY(cz_buf_addf(&s->out, ", \"type_ids\": ["));
    for (size_t i = 0; i < e->n; i++)
      CZ_TRY(cz_buf_addf(&s->out, "%s%d", i ? ", " : "", (int)e->types[i]));
    CZ_TRY(cz_buf_addf(&s->out, "]"));
  }
  return cz_buf_addf(&s->out, "}\n");
}

static cz_status write_tokens(session *s) {
  for (size_t i = 0; i < s->encoding.n; i++) {
    size_t n = 0;
    const char *token = cz_tokenizer_token(s->tokenizer, s->encoding.ids[i], &n);
    if (i) CZ_TRY(cz_buf_add(&s->out, " ", 1));
    CZ_TRY(cz_buf_add(&s->out, token, n));
  }
  return cz_buf_add(&s->out, "\n", 1);
}

/* The tab between the two texts of a line. */
static cz_status find_tab(const char **tab, const char *text, size_t n) {
  *tab = n > 0 ? memchr(text, '\t', n) : NULL;
  if (!*tab) return CZ_FAIL(CZ_EINVAL, "no tab between two texts");
  if (memchr(*tab + 1, '\t', n - (size_t)(*tab + 1 - text)))
    return CZ_FAIL(CZ_EINVAL, "more than one tab; a line is two texts with a tab between them");
  return CZ_OK;
}

static cz_status encode_text(session *s, const char *text, size_t n) {
  cz_encode_options o = {
      .add_special = !s->o->no_special, .truncate = s->o->truncate, .characters = s->o->json};
  const char *tab;
  if (!s->o->pair) return cz_tokenizer_encode(s->tokenizer, &s->encoding, text, n, o, s->scratch);
  CZ_TRY(find_tab(&tab, text, n));
  size_t first = (size_t)(tab - text);
  return cz_tokenizer_encode_pair(s->tokenizer, &s->encoding, text, first, tab + 1, n - first - 1,
                                  o, s->scratch);
}

static cz_status encode_line(session *s, const char *text, size_t n) {
  double began = cz_seconds();
  CZ_TRY(encode_text(s, text, n));
  s->seconds += cz_seconds() - began;
  s->bytes += n + 1;
  s->tokens += s->encoding.n;
  if (s->o->count) return CZ_OK;
  return s->o->json ? write_json(s) : write_tokens(s);
}

static cz_status decode_ids(session *s, const json_t *ids) {
  if (json_is_object(ids)) ids = json_object_get(ids, "ids");
  if (!json_is_array(ids))
    return CZ_FAIL(CZ_EINVAL, "expected a list of ids, or an object with \"ids\"");
  size_t n = json_array_size(ids);
  int32_t *list, size = cz_tokenizer_get_facts(s->tokenizer)->size;
  CZ_TRY(cz_alloc(&list, n, sizeof *list));
  cz_status st = CZ_OK;
  for (size_t i = 0; i < n && st == CZ_OK; i++) {
    const json_t *id = json_array_get(ids, i);
    list[i] = (int32_t)json_integer_value(id);
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= size)
      st = CZ_FAIL(CZ_EINVAL, "item %zu is not an id from 0 to %d", i, (int)size - 1);
  }
  if (st == CZ_OK) st = cz_tokenizer_decode(s->tokenizer, &s->out, list, n, s->o->skip_special);
  if (st == CZ_OK) st = cz_buf_add(&s->out, "\n", 1);
  free(list);
  return st;
}

static cz_status decode_line(session *s, const char *text, size_t n) {
  json_error_t error;
  json_t *ids = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
  if (!ids) return CZ_FAIL(CZ_EINVAL, "column %d: %s", error.column, error.text);
  cz_status st = decode_ids(s, ids);
  json_decref(ids);
  return st;
}

static cz_status run_lines(session *s, FILE *in, FILE *out) {
  char *line = NULL;
  size_t cap = 0;
  cz_status st = CZ_OK;
  for (ssize_t n; st == CZ_OK && (n = getline(&line, &cap, in)) >= 0;) {
    s->line++;
    s->out.len = 0;
    if (n > 0 && line[n - 1] == '\n') n--;
    st = s->o->decode ? decode_line(s, line, (size_t)n) : encode_line(s, line, (size_t)n);
    if (st != CZ_OK) {
      char why[1024];
      snprintf(why, sizeof why, "%s", cz_error_message());
      st = CZ_FAIL(st, "standard input:%zu: %s", s->line, why);
    } else if (s->out.len > 0 && fwrite(s->out.data, 1, s->out.len, out) != s->out.len) {
      st = CZ_FAIL(CZ_EIO, "standard output: %s", strerror(errno));
    }
  }
  if (st == CZ_OK && ferror(in)) st = CZ_FAIL(CZ_EIO, "standard input: %s", strerror(errno));
  if (st == CZ_OK && fflush(out)) st = CZ_FAIL(CZ_EIO, "standard output: %s", strerror(errno));
  free(line);
  return st;
}

static cz_status write_count(const session *s, FILE *out) {
  double rate = s->seconds > 0 ? (double)s->bytes / 1e6 / s->seconds : 0;
  int n = fprintf(
      out,
      "{\"lines\": %zu, \"bytes\": %zu, \"tokens\": %zu, \"seconds\": %.6f, \"mb_per_s\": %.3f}\n",
      s->line, s->bytes, s->tokens, s->seconds, rate);
  return n < 0 || fflush(out) ? CZ_FAIL(CZ_EIO, "standard output: %s", strerror(errno)) : CZ_OK;
}

/** The command: argv[0] is "tokenize". Reads lines from standard input, writes to
 * standard output. CZ_EUSAGE for wrong arguments; CZ_EINVAL with the line's number for
 * text that is not UTF-8 or ids that are none. */
cz_status cz_command_tokenize(int argc, char **argv) {
  options o = {0};
  CZ_TRY(parse_options(&o, argc, argv));
  session s = {.o = &o};
  cz_status st;
  CZ_GO(st, cz_tokenizer_open(&s.tokenizer, o.file), done);
  CZ_GO(st, check_truncation(&s), done);
  CZ_GO(st, cz_tokenizer_scratch_create(&s.scratch, s.tokenizer), done);
  CZ_GO(st, run_lines(&s, stdin, stdout), done);
  if (o.count) CZ_GO(st, write_count(&s, stdout), done);
done:
  cz_encoding_free(&s.encoding);
  cz_buf_free(&s.out);
  cz_tokenizer_scratch_destroy(&s.scratch);
  cz_tokenizer_destroy(&s.tokenizer);
  return st;
}

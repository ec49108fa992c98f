/* From text files to a corpus: cuts lines into documents, encodes, writes. */
#include "base/fs.h"
#include "base/hash.h"
#include "data/corpus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct build {
  const cz_corpus_job *job;
  cz_corpus_writer *writer;
  cz_buf text; /* lines of the document so far */
  long first;  /* number of the first of them */
  cz_ids ids;
} build;

/* The file being read. */
typedef struct input {
  const char *path;
  FILE *file;
  char *line;
  size_t room;
  long number;    /* of the line, from 1 */
  uint64_t bytes; /* read so far */
  uint64_t hash;  /* of these, line by line */
} input;

/* The document can't be encoded: the first of its lines that can't be by itself is to
 * blame, or else all of it. */
static cz_status refuse_document(build *b, const input *in, cz_status st) {
  char why[1024];
  long number = b->first;
  snprintf(why, sizeof why, "%s", cz_error_message());
  for (const char *line = b->text.data, *end = line + b->text.len; line < end; number++) {
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    if (!stop) stop = end;
    cz_status own = b->job->encode(b->job->encoder, &b->ids, line, (size_t)(stop - line));
    if (own != CZ_OK) return CZ_FAIL(own, "%s:%ld: %s", in->path, number, cz_error_message());
    line = stop + 1;
  }
  return CZ_FAIL(st, "%s:%ld: %s", in->path, b->first, why);
}

static cz_status end_document(build *b, const input *in) {
  if (!b->text.len) return CZ_OK;
  b->ids.len = 0;
  cz_status st = b->job->encode(b->job->encoder, &b->ids, b->text.data, b->text.len);
  if (st != CZ_OK) return refuse_document(b, in, st);
  b->text.len = 0;
  return cz_corpus_add(b->writer, &b->ids);
}

static bool is_blank(const char *line, size_t n) {
  while (n && (line[n - 1] == ' ' || line[n - 1] == '\t')) n--;
  return n == 0;
}

static cz_status add_line(build *b, const input *in, const char *line, size_t n) {
  if (b->job->split == CZ_SPLIT_BLANK_LINE && is_blank(line, n)) return end_document(b, in);
  if (b->text.len)
    CZ_TRY(cz_buf_add(&b->text, "\n", 1));
  else
    b->first = in->number;
  CZ_TRY(cz_buf_add(&b->text, line, n));
  return b->job->split == CZ_SPLIT_LINE ? end_document(b, in) : CZ_OK;
}

static cz_status read_lines(build *b, input *in) {
  for (;;) {
    errno = 0;
    ssize_t got = getline(&in->line, &in->room, in->file);
    if (got < 0) break;
    in->number++;
    in->hash = cz_hash64(in->line, (size_t)got, in->hash);
    in->bytes += (uint64_t)got;
    const char *line = in->line;
    size_t n = (size_t)got;
    if (in->number == 1 && n >= 3 &&
        memcmp(line, "\xEF\xBB\xBF", 3) == 0) { /* a byte order mark is no text */
      line += 3;
      n -= 3;
    }
    if (n && line[n - 1] == '\n') n--;
    if (n && line[n - 1] == '\r') n--;
    CZ_TRY(add_line(b, in, line, n));
  }
  if (ferror(in->file) || errno) return CZ_FAIL(CZ_EIO, "%s: %s", in->path, strerror(errno));
  return end_document(b, in);
}

static cz_status add_file(build *b, const char *path) {
  input in = {.path = path};
  if (cz_fs_is_dir(path)) return CZ_FAIL(CZ_EINVAL, "%s: is a folder; name text files", path);
  CZ_TRY(cz_fs_open_stream(&in.file, path));
  cz_status st = read_lines(b, &in);
  fclose(in.file);
  free(in.line);
  if (st == CZ_OK && in.bytes == 0) st = CZ_FAIL(CZ_EINVAL, "%s: the file is empty", path);
  return st == CZ_OK ? cz_corpus_add_source(b->writer, path, in.bytes, in.hash) : st;
}

/** Builds the corpus PATH from the text files of JOB and tells what went into it in
 * TOTALS. A document begins at each line or after blank lines (JOB's split) and never
 * crosses a file. CZ_EINVAL with file and line for text that can't be encoded, for empty
 * files and when no document is left. Nothing is left at PATH on failure, or what was
 * there before. */
cz_status cz_corpus_build(const char *path, cz_corpus_totals *totals, const cz_corpus_job *job) {
  build b = {.job = job};
  cz_status st;
  CZ_GO(st, cz_corpus_create(&b.writer, path, job->vocabulary), done);
  for (size_t i = 0; i < job->n_files; i++) CZ_GO(st, add_file(&b, job->files[i]), done);
  CZ_GO(st, cz_corpus_commit(&b.writer, totals), done);
done:
  cz_corpus_abandon(&b.writer);
  cz_buf_free(&b.text);
  free(b.ids.data);
  return st;
}

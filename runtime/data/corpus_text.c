/* From text files to a corpus: cuts lines into documents, encodes, writes. */
#include "base/fs.h"
#include "base/hash.h"
#include "base/lines.h"
#include "base/stop.h"
#include "base/utf8.h"
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

static cz_status add_line(build *b, const input *in, const char *line, size_t n) {
  if (cz_line_is_blank(line, n)) return end_document(b, in); /* of lines, all have ended */
  if (b->text.len)
    CZ_TRY(cz_buf_add(&b->text, "\n", 1));
  else
    b->first = in->number;
  CZ_TRY(cz_buf_add(&b->text, line, n));
  return b->job->split == CZ_SPLIT_LINE ? end_document(b, in) : CZ_OK;
}

/* A line of text, or CZ_EINVAL with its place and the byte that no text has. */
static cz_status check_line(const input *in, const char *line, size_t n) {
  size_t sound = cz_utf8_check(line, n);
  const char *nul = sound ? memchr(line, '\0', sound) : NULL;
  if (nul) sound = (size_t)(nul - line);
  if (sound == n) return CZ_OK;
  return CZ_FAIL(CZ_EINVAL, "%s:%ld:%zu: the byte 0x%02x does not belong in a UTF-8 text", in->path,
                 in->number, sound + 1, (unsigned char)line[sound]);
}

/* GOT bytes up to a line feed: one line, or several where lines end in CR. */
static cz_status add_piece(build *b, input *in, size_t got) {
  const char *line;
  size_t n;
  cz_line_walk walk = cz_line_walk_over(in->line, got, in->path);
  if (in->bytes > got && walk.at != in->line) walk.at = in->line; /* a mark stands at the start */
  while (cz_line_next(&walk, &line, &n)) {
    in->number++;
    CZ_TRY(check_line(in, line, n));
    CZ_TRY(add_line(b, in, line, n));
  }
  return CZ_OK;
}

static cz_status read_lines(build *b, input *in) {
  for (;;) {
    CZ_TRY(cz_stop_check(in->path));
    errno = 0;
    ssize_t got = getline(&in->line, &in->room, in->file);
    if (got < 0) break;
    in->hash = cz_hash64(in->line, (size_t)got, in->hash);
    in->bytes += (uint64_t)got;
    CZ_TRY(add_piece(b, in, (size_t)got));
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
 * files and when no document is left; CZ_EINTERRUPT when a signal asks to stop. Nothing is left
 * at PATH or beside it on failure, or what was there before. */
cz_status cz_corpus_build(const char *path, cz_corpus_totals *totals, const cz_corpus_job *job) {
  build b = {.job = job};
  cz_status st;
  CZ_GO(st, cz_corpus_create(&b.writer, path, job->vocabulary), done);
  for (size_t i = 0; i < job->n_files; i++) CZ_GO(st, add_file(&b, job->files[i]), done);
  CZ_GO(st, cz_stop_check(path), done); /* the last document may have taken long */
  CZ_GO(st, cz_corpus_commit(&b.writer, totals), done);
done:
  cz_corpus_abandon(&b.writer);
  cz_buf_free(&b.text);
  free(b.ids.data);
  return st;
}

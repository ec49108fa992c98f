#include "tasks/readers/csv_rows.h"

#include <string.h>

enum { ROW_BYTES = 64 << 20 }; /* that a row may have: a quote that is never closed takes all */

static int is_no_space(unsigned char c) { return 0; }

static cz_status start(cz_csv_rows *r) {
  if (csv_init(&r->parser, CSV_STRICT)) return CZ_FAIL(CZ_ENOMEM, "no memory for a CSV parser");
  csv_set_space_func(&r->parser, is_no_space);
  csv_set_blk_size(&r->parser, 1 << 16); /* a field of 1 MB should not grow 8,000 times */
  r->is_open = true;
  r->n = r->text.len = r->fed = 0;
  return CZ_OK;
}

/** Ready for the first line. Close it in any case. */
cz_status cz_csv_rows_open(cz_csv_rows *r) {
  *r = (cz_csv_rows){.first_line = 1};
  return start(r);
}

/** Drops the row under way: the next line begins another. */
cz_status cz_csv_rows_drop(cz_csv_rows *r) {
  csv_free(&r->parser);
  r->is_open = false;
  r->st = CZ_OK;
  return start(r);
}

static void take_field(void *bytes, size_t n, void *self) {
  cz_csv_rows *r = self;
  if (r->st != CZ_OK) return;
  if (r->n == CZ_FIELDS) {
    r->st = CZ_FAIL(CZ_EINVAL, "more than %d fields", CZ_FIELDS);
    return;
  }
  r->begins[r->n++] = r->text.len;
  if (n) r->st = cz_buf_add(&r->text, bytes, n);
  if (r->st == CZ_OK) r->st = cz_buf_add(&r->text, "", 1);
}

static void take_row(int how, void *self) { ((cz_csv_rows *)self)->whole = true; }

/* Why the parser gave up at the line last read. */
static cz_status refuse(cz_csv_rows *r, const cz_lines *at) {
  const cz_field_place place = cz_lines_place(at, 0);
  int why = csv_error(&r->parser);
  if (why != CSV_EPARSE) return CZ_FAIL(CZ_EINVAL, "%s: %s", place.text, csv_strerror(why));
  return CZ_FAIL(CZ_EINVAL,
                 "%s: a quote inside a field: write it twice and put the field in quotes (the "
                 "record began at line %lld)",
                 place.text, (long long)r->first_line);
}

static cz_status parse(cz_csv_rows *r, const cz_lines *at, const char *line, size_t n) {
  r->fed += n + 1;
  if (r->fed > ROW_BYTES)
    return CZ_FAIL(CZ_EINVAL,
                   "%s: the record that began at line %lld has more than %d MiB; is a quote never "
                   "closed?",
                   cz_lines_place(at, 0).text, (long long)r->first_line, ROW_BYTES >> 20);
  bool parsed = csv_parse(&r->parser, line, n, take_field, take_row, r) == n &&
                csv_parse(&r->parser, "\n", 1, take_field, take_row, r) == 1;
  if (r->st == CZ_EINVAL)
    return CZ_FAIL(CZ_EINVAL, "%s:%lld: %s", at->path, (long long)r->first_line,
                   cz_error_message());
  CZ_TRY(r->st);
  return parsed ? CZ_OK : refuse(r, at);
}

/** Takes LINE, the one last read from AT, without its end. *WHOLE: a row ends with it, and ROW
 * has its fields, good until the next call, in the file's line R->row_line. Blank lines between
 * rows are skipped. CZ_EINVAL with the line; the row under way is then dropped, and the next
 * line begins another. */
cz_status cz_csv_rows_feed(cz_csv_rows *r, cz_fields *row, bool *whole, const cz_lines *at,
                           const char *line) {
  size_t n = strlen(line);
  *whole = false;
  if (r->fed == 0) {
    r->n = r->text.len = 0;
    r->first_line = at->number;
    if (cz_line_is_blank(line, n)) return CZ_OK; /* inside quotes it is text */
  }
  r->whole = false;
  cz_status st = parse(r, at, line, n);
  if (st != CZ_OK) {
    CZ_TRY(cz_csv_rows_drop(r));
    return st;
  }
  if (!r->whole) return CZ_OK;
  row->n = r->n;
  for (size_t i = 0; i < r->n; i++) {
    row->text[i] = r->text.data + r->begins[i];
    row->column[i] = 0;
  }
  r->row_line = r->first_line;
  r->fed = 0;
  *whole = true;
  return CZ_OK;
}

/** After the last line: CZ_EINVAL when a row is still open, once. Every line was fed with its end,
 * so it stands in quotes. */
cz_status cz_csv_rows_end(cz_csv_rows *r, const cz_lines *at) {
  if (r->fed == 0) return CZ_OK;
  CZ_TRY(cz_csv_rows_drop(r));
  return CZ_FAIL(CZ_EINVAL, "%s:%lld: a quote that opens in this record is never closed", at->path,
                 (long long)r->first_line);
}

/** Frees parser and text. */
void cz_csv_rows_close(cz_csv_rows *r) {
  if (r->is_open) csv_free(&r->parser);
  r->is_open = false;
  cz_buf_free(&r->text);
}

#include "experiment/report/table.h"
#include "experiment/report/plot.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** VALUE with DIGITS decimals; in short form where it has more than twelve places before
 * the point, "-" where it is no number. */
cz_number cz_number_of(double value, int digits) {
  cz_number n = {"-"};
  if (isfinite(value))
    snprintf(n.text, sizeof n.text, fabs(value) < 1e12 ? "%.*f" : "%.*g",
             fabs(value) < 1e12 ? digits : 4, value);
  return n;
}

/** A difference, with its sign and two decimals. */
cz_number cz_number_signed(double value) {
  cz_number n = cz_number_of(fabs(value), 2), with = {"-"};
  if (isfinite(value))
    snprintf(with.text, sizeof with.text, "%c%.30s", value < 0 ? '-' : '+', n.text);
  return with;
}

/** Adds one cell: printf's format. */
cz_status cz_grid_add(cz_grid *g, const char *format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  CZ_TRY(cz_grow(&g->at, &g->cap, g->n + 1, sizeof *g->at));
  g->at[g->n++] = g->text.len;
  return cz_buf_add(&g->text, text, strlen(text) + 1);
}

/* Characters of a UTF-8 text: bytes that do not continue one. */
static size_t width_of(const char *text) {
  size_t n = 0;
  for (; *text; text++) n += ((unsigned char)*text & 0xC0) != 0x80;
  return n;
}

static const char *cell(const cz_grid *g, size_t i) { return g->text.data + g->at[i]; }

static cz_status print_cell(cz_buf *out, const char *text, size_t width, bool left, bool last) {
  size_t pad = width - width_of(text);
  if (left) return cz_buf_addf(out, "%s%*s", text, last ? 0 : (int)pad, "");
  return cz_buf_addf(out, "%*s%s", (int)pad, "", text);
}

/** Appends the grid with two spaces between columns; bit k of LEFT sets column k flush
 * left, the others are flush right. COLOURS: the header is bold. */
cz_status cz_grid_print(cz_buf *out, const cz_grid *g, unsigned left, bool colours) {
  size_t width[32] = {0};
  CZ_CHECK(g->columns > 0 && g->columns <= 32 && g->n % g->columns == 0);
  for (size_t i = 0; i < g->n; i++) {
    size_t w = width_of(cell(g, i)), *widest = &width[i % g->columns];
    if (w > *widest) *widest = w;
  }
  for (size_t i = 0; i < g->n; i++) {
    size_t k = i % g->columns;
    if (k == 0) CZ_TRY(cz_buf_addf(out, "%s  ", colours && i == 0 ? "\033[1m" : ""));
    CZ_TRY(print_cell(out, cell(g, i), width[k], left >> k & 1, k + 1 == g->columns));
    CZ_TRY(cz_buf_addf(out, "%s",
                       k + 1 < g->columns               ? "  "
                       : colours && i + 1 == g->columns ? "\033[0m\n"
                                                        : "\n"));
  }
  return CZ_OK;
}

/** Appends the grid as a table of the page, with CAPTION, which may be empty, as a heading. */
cz_status cz_grid_page(cz_buf *out, const cz_grid *g, const char *caption) {
  CZ_CHECK(g->columns > 0 && g->n % g->columns == 0);
  if (*caption) {
    CZ_TRY(cz_buf_addf(out, "<h3>"));
    CZ_TRY(cz_html_text(out, caption));
    CZ_TRY(cz_buf_addf(out, "</h3>\n"));
  }
  CZ_TRY(cz_buf_addf(out, "<div class=\"wide\"><table>\n<thead>"));
  for (size_t i = 0; i < g->n; i++) {
    const char *tag = i < g->columns ? "th" : "td";
    if (i % g->columns == 0) CZ_TRY(cz_buf_addf(out, "<tr>"));
    CZ_TRY(cz_buf_addf(out, "<%s>", tag));
    CZ_TRY(cz_html_text(out, cell(g, i)));
    CZ_TRY(cz_buf_addf(out, "</%s>", tag));
    if ((i + 1) % g->columns == 0)
      CZ_TRY(cz_buf_addf(out, "</tr>%s\n", i < g->columns ? "</thead><tbody>" : ""));
  }
  return cz_buf_addf(out, "</tbody></table></div>\n");
}

/** Frees the cells. */
void cz_grid_free(cz_grid *g) {
  cz_buf_free(&g->text);
  free(g->at);
  *g = (cz_grid){.columns = g->columns};
}

/** Appends TAKEN as indented JSON with a newline and releases it. */
cz_status cz_print_json(cz_buf *out, json_t *taken) {
  char *text = taken ? json_dumps(taken, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL;
  cz_status st = text ? cz_buf_addf(out, "%s\n", text) : CZ_FAIL(CZ_ENOMEM, "no memory for JSON");
  free(text);
  json_decref(taken);
  return st;
}

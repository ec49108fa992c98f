#include "experiment/report/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An axis: values LOW to HIGH lie at pixels FROM to TO. */
typedef struct axis {
  double low, high, step; /* step between ticks */
  double from, to;
  bool log; /* values are logarithms, base 10; ticks are at 1, 2 and 5 times powers of ten */
  double first,
      zero; /* of logarithms: the first tick, and where 0 stands left of it; NaN: nowhere */
} axis;

/* Of values with a logarithmic axis: the range of those above 0, and where 0 stands. */
typedef struct logs {
  double low, high, zero; /* zero NaN: none is 0 */
} logs;

static const char *const dashes[] = {"none", "7 3", "2 3", "9 3 2 3"};

/** Appends TEXT with the characters that HTML reads escaped, and control characters as
 * blanks. */
cz_status cz_html_text(cz_buf *out, const char *text) {
  for (; *text; text++) {
    const char *as = *text == '&'    ? "&amp;"
                     : *text == '<'  ? "&lt;"
                     : *text == '>'  ? "&gt;"
                     : *text == '"'  ? "&quot;"
                     : *text == '\'' ? "&#39;"
                                     : NULL;
    if (as)
      CZ_TRY(cz_buf_addf(out, "%s", as));
    else
      CZ_TRY(cz_buf_addf(out, "%c", (unsigned char)*text < ' ' ? ' ' : *text));
  }
  return CZ_OK;
}

/* Whether a place for it can be computed: differences of larger numbers are out of range. */
static bool drawable(double v) { return fabs(v) < 1e300; }

/* Widens [low, high] to round ticks, about COUNT of them. */
static axis round_axis(double low, double high, int count, double from, double to) {
  double size = fmax(fabs(low), fabs(high));
  if (!(high - low > 1e-9 * size)) { /* ticks would not be told apart */
    double pad = size != 0 ? size * 0.05 : 1;
    low -= pad, high += pad;
  }
  double raw = (high - low) / count, power = pow(10, floor(log10(raw))), unit = raw / power;
  axis a = {.step = power * (unit <= 1   ? 1
                             : unit <= 2 ? 2
                             : unit <= 5 ? 5
                                         : 10),
            .from = from,
            .to = to};
  a.low = floor(low / a.step) * a.step;
  a.high = ceil(high / a.step) * a.step;
  return a;
}

static double at(const axis *a, double v) {
  return a->from + (v - a->low) / (a->high - a->low) * (a->to - a->from);
}

/* The largest 1, 2 or 5 times a power of ten at most VALUE, or with ABOVE the smallest not below
 * it; as a logarithm, and VALUE too. */
static double round_log(double value, bool above) {
  static const double marks[] = {0, 0.30102999566398120, 0.69897000433601880, 1};
  const double whole = floor(value + 1e-9), part = value - whole;
  double found = marks[above ? 3 : 0];
  for (int i = 0; i < 4; i++) {
    const double mark = marks[above ? 3 - i : i];
    if (above ? mark >= part - 1e-9 : mark <= part + 1e-9) found = mark;
  }
  return whole + found;
}

/* An axis of logarithms that holds the range of L, and 0. */
static axis log_axis(const logs *l, double from, double to) {
  axis a = {.low = round_log(l->low, false),
            .high = round_log(l->high, true),
            .from = from,
            .to = to,
            .log = true,
            .zero = l->zero};
  if (a.high <= a.low) a.high = round_log(a.low + 0.05, true);
  a.first = a.low;
  if (!isnan(a.zero)) a.low = a.zero;
  return a;
}

static void tick_text(char out[32], const axis *a, double v) {
  int digits = a->step >= 1 ? 0 : (int)ceil(-log10(a->step) - 1e-9);
  if (fabs(v) < a->step * 1e-6) v = 0;
  if (a->step >= 1000 && fmod(a->high, 1000) == 0)
    snprintf(out, 32, "%.0fk", v / 1000);
  else
    snprintf(out, 32, "%.*f", digits, v);
}

static int n_ticks(const axis *a) { return (int)lround((a->high - a->low) / a->step) + 1; }

/* A vertical grid line and its number between the heights TOP and BOTTOM. */
static cz_status draw_x_tick(cz_buf *out, const axis *a, double v, const char *text, double top,
                             double bottom) {
  return cz_buf_addf(out,
                     "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" "
                     "y2=\"%.1f\"/><text class=\"tick\" x=\"%.1f\" y=\"%.1f\" "
                     "text-anchor=\"middle\">%s</text>\n",
                     at(a, v), at(a, v), top, bottom, at(a, v), bottom + 15, text);
}

static cz_status draw_x_axis(cz_buf *out, const axis *a, double top, double bottom) {
  char text[32];
  for (int k = 0; !a->log && k < n_ticks(a); k++) {
    const double tick = a->low + k * a->step;
    tick_text(text, a, tick);
    CZ_TRY(draw_x_tick(out, a, tick, text, top, bottom));
  }
  const bool many = a->high - a->first > 3.5; /* powers of ten alone have room */
  if (a->log && !isnan(a->zero)) CZ_TRY(draw_x_tick(out, a, a->zero, "0", top, bottom));
  double v = a->first;
  while (a->log && v <= a->high + 1e-9) {
    if (!many || fabs(v - round(v)) < 1e-9) {
      snprintf(text, sizeof text, "%.6g", pow(10, v));
      CZ_TRY(draw_x_tick(out, a, v, text, top, bottom));
    }
    v = round_log(v + 0.05, true);
  }
  return CZ_OK;
}

static cz_status draw_y_axis(cz_buf *out, const axis *a, double left, double right) {
  char text[32];
  for (int k = 0; k < n_ticks(a); k++) {
    double v = a->low + k * a->step;
    tick_text(text, a, v);
    CZ_TRY(cz_buf_addf(out,
                       "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" "
                       "y2=\"%.1f\"/><text class=\"tick\" x=\"%.1f\" y=\"%.1f\" "
                       "text-anchor=\"end\">%s</text>\n",
                       left, right, at(a, v), at(a, v), left - 6, at(a, v) + 4, text));
  }
  return CZ_OK;
}

static cz_status draw_text(cz_buf *out, const char *class, double x, double y, const char *anchor,
                           const char *text) {
  CZ_TRY(cz_buf_addf(out, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", class, x,
                     y, anchor));
  CZ_TRY(cz_html_text(out, text));
  return cz_buf_addf(out, "</text>\n");
}

static cz_status open_svg(cz_buf *out, double width, double height, const char *title) {
  CZ_TRY(cz_buf_addf(out, "<figure><figcaption>"));
  CZ_TRY(cz_html_text(out, title));
  CZ_TRY(cz_buf_addf(out,
                     "</figcaption><svg viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
                     "role=\"img\" aria-label=\"",
                     width, height, width, height));
  CZ_TRY(cz_html_text(out, title));
  return cz_buf_addf(out, "\">\n");
}

static bool good(const cz_series *s, size_t i) { return drawable(s->y[i]) && drawable(s->x[i]); }

/* Of all lines with their bands; X at least from FIRST on, unless that is -INFINITY. */
static void series_range(const cz_series *s, size_t n, double first, double *x, double *y) {
  x[0] = isfinite(first) ? first : INFINITY, x[1] = -INFINITY, y[0] = INFINITY, y[1] = -INFINITY;
  for (size_t k = 0; k < n; k++)
    for (size_t i = 0; i < s[k].n; i++) {
      if (!good(&s[k], i)) continue;
      double band = drawable(s[k].band[i]) ? s[k].band[i] : 0;
      x[0] = fmin(x[0], s[k].x[i]), x[1] = fmax(x[1], s[k].x[i]);
      y[0] = fmin(y[0], s[k].y[i] - band), y[1] = fmax(y[1], s[k].y[i] + band);
    }
}

/* The band as one closed outline: its upper edge forwards, its lower edge back. */
static cz_status draw_band(cz_buf *out, const cz_series *s, const axis *x, const axis *y,
                           size_t colour) {
  size_t first = 0, last = s->n;
  while (first < last && !(good(s, first) && isfinite(s->band[first]))) first++;
  while (last > first && !(good(s, last - 1) && isfinite(s->band[last - 1]))) last--;
  if (last - first < 2) return CZ_OK;
  CZ_TRY(cz_buf_addf(out, "<path class=\"band\" fill=\"var(--c%zu)\" d=\"M", colour));
  for (size_t i = first; i < last; i++)
    if (good(s, i) && isfinite(s->band[i]))
      CZ_TRY(cz_buf_addf(out, " %.1f %.1f", at(x, s->x[i]), at(y, s->y[i] + s->band[i])));
  for (size_t i = last; i-- > first;)
    if (good(s, i) && isfinite(s->band[i]))
      CZ_TRY(cz_buf_addf(out, " %.1f %.1f", at(x, s->x[i]), at(y, s->y[i] - s->band[i])));
  return cz_buf_addf(out, " Z\"/>\n");
}

static cz_status draw_line(cz_buf *out, const cz_series *s, const axis *x, const axis *y,
                           size_t k) {
  bool pen = false, any = false;
  for (size_t i = 0; i < s->n; i++) any |= good(s, i);
  if (!any) return CZ_OK;
  CZ_TRY(cz_buf_addf(out,
                     "<path class=\"line\" stroke=\"var(--c%zu)\" stroke-dasharray=\"%s\" d=\"",
                     k % CZ_PLOT_COLOURS, dashes[k % 4]));
  for (size_t i = 0; i < s->n; i++) {
    if (good(s, i))
      CZ_TRY(cz_buf_addf(out, "%s%.1f %.1f ", pen ? "L" : "M", at(x, s->x[i]), at(y, s->y[i])));
    pen = good(s, i);
  }
  return cz_buf_addf(out, "\"/>\n");
}

static cz_status plot_lines(cz_buf *out, const char *title, const char *x_name, const char *y_name,
                            const cz_series *series, size_t n, const logs *log) {
  const double left = 56, right = 560, top = 10, bottom = 270, line = 20;
  double xs[2], ys[2];
  series_range(series, n, log ? -INFINITY : 0, xs, ys);
  if (!(xs[0] <= xs[1])) return CZ_OK;
  axis x = log ? log_axis(log, left, right) : round_axis(xs[0], xs[1], 6, left, right);
  axis y = round_axis(ys[0], ys[1], 5, bottom, top);
  CZ_TRY(open_svg(out, 580, bottom + 44 + line * (double)n, title));
  CZ_TRY(draw_x_axis(out, &x, top, bottom));
  CZ_TRY(draw_y_axis(out, &y, left, right));
  CZ_TRY(draw_text(out, "axis", right, bottom + 32, "end", x_name));
  CZ_TRY(draw_text(out, "axis", left, bottom + 32, "start", y_name));
  for (size_t k = 0; k < n; k++) CZ_TRY(draw_band(out, &series[k], &x, &y, k % CZ_PLOT_COLOURS));
  for (size_t k = 0; k < n; k++) CZ_TRY(draw_line(out, &series[k], &x, &y, k));
  for (size_t k = 0; k < n; k++) {
    double at_y = bottom + 50 + line * (double)k;
    CZ_TRY(cz_buf_addf(out,
                       "<line class=\"line\" stroke=\"var(--c%zu)\" stroke-dasharray=\"%s\" "
                       "x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n",
                       k % CZ_PLOT_COLOURS, dashes[k % 4], left, left + 34, at_y, at_y));
    CZ_TRY(draw_text(out, "label", left + 42, at_y + 4, "start", series[k].name));
  }
  return cz_buf_addf(out, "</svg></figure>\n");
}

/** Appends a figure with the N series as lines, each with its band, and a legend; X counts from 0.
 * Nothing is drawn when no point is finite. */
cz_status cz_plot_lines(cz_buf *out, const char *title, const char *x_name, const char *y_name,
                        const cz_series *series, size_t n) {
  return plot_lines(out, title, x_name, y_name, series, n, NULL);
}

/* The range of the logarithms of all X above 0, and a place for 0 where there is one. */
static logs range_of_logs(const cz_series *series, size_t n) {
  logs l = {INFINITY, -INFINITY, NAN};
  bool zero = false;
  for (size_t k = 0; k < n; k++)
    for (size_t i = 0; i < series[k].n; i++) {
      if (!good(&series[k], i)) continue;
      zero |= series[k].x[i] == 0;
      if (!(series[k].x[i] > 0)) continue;
      l.low = fmin(l.low, log10(series[k].x[i])), l.high = fmax(l.high, log10(series[k].x[i]));
    }
  if (zero) l.zero = round_log(l.low, false) - fmax(0.2, 0.12 * (l.high - l.low));
  return l;
}

/** As cz_plot_lines, with a logarithmic X, left of which stands 0; points below 0 are left out. */
cz_status cz_plot_lines_log(cz_buf *out, const char *title, const char *x_name, const char *y_name,
                            const cz_series *series, size_t n) {
  const logs range = range_of_logs(series, n);
  size_t all = 0, at = 0;
  double *x;
  cz_series *of_logs = NULL;
  if (!isfinite(range.low)) /* nothing, or 0 alone */
    return plot_lines(out, title, x_name, y_name, series, n, NULL);
  for (size_t k = 0; k < n; k++) all += series[k].n;
  CZ_TRY(cz_alloc(&x, all + 1, sizeof *x));
  cz_status st = cz_alloc(&of_logs, n + 1, sizeof *of_logs);
  for (size_t k = 0; k < n && st == CZ_OK; k++) {
    of_logs[k] = series[k];
    of_logs[k].x = x + at;
    for (size_t i = 0; i < series[k].n; i++) {
      const double v = series[k].x[i];
      x[at++] = v > 0 ? log10(v) : v == 0 ? range.zero : NAN;
    }
  }
  if (st == CZ_OK) st = plot_lines(out, title, x_name, y_name, of_logs, n, &range);
  free(of_logs);
  free(x);
  return st;
}

static bool has_whisker(const cz_dot *d) { return drawable(d->low) && drawable(d->high); }

/* Values of the first panel (with intervals and the mark) or of the second. */
static bool dot_range(const cz_dot *d, size_t n, double mark, bool second, double range[2]) {
  range[0] = INFINITY, range[1] = -INFINITY;
  for (size_t i = 0; i < n; i++) {
    double v = second ? d[i].other : d[i].value;
    const bool whisker = !second && has_whisker(&d[i]);
    if (!drawable(v)) continue;
    range[0] = fmin(range[0], whisker ? d[i].low : v);
    range[1] = fmax(range[1], whisker ? d[i].high : v);
  }
  bool any = range[0] <= range[1];
  if (any && !second && drawable(mark))
    range[0] = fmin(range[0], mark), range[1] = fmax(range[1], mark);
  return any;
}

static cz_status draw_dots(cz_buf *out, const cz_dot *d, size_t n, const axis *a, double top,
                           double line, bool second) {
  for (size_t i = 0; i < n; i++) {
    double v = second ? d[i].other : d[i].value, y = top + line * ((double)i + 0.5);
    if (!drawable(v)) continue;
    if (!second && has_whisker(&d[i]))
      CZ_TRY(cz_buf_addf(out,
                         "<line class=\"whisker\" stroke=\"var(--c%zu)\" x1=\"%.1f\" x2=\"%.1f\" "
                         "y1=\"%.1f\" y2=\"%.1f\"/>\n",
                         i % CZ_PLOT_COLOURS, at(a, d[i].low), at(a, d[i].high), y, y));
    CZ_TRY(cz_buf_addf(out,
                       "<circle r=\"5\" %s=\"var(--c%zu)\" cx=\"%.1f\" cy=\"%.1f\" "
                       "class=\"%s\"><title>%.2f</title></circle>\n",
                       second ? "stroke" : "fill", i % CZ_PLOT_COLOURS, at(a, v), y,
                       second ? "hollow" : "dot", v));
  }
  return CZ_OK;
}

/** Appends a figure with one line a row: its value and interval in the panel FIRST, with
 * MARK as a dashed line (NaN: none), and the other value, hollow, in the panel SECOND,
 * which is left out when no row has one. */
cz_status cz_plot_dots(cz_buf *out, const char *title, const cz_dot *dots, size_t n, double mark,
                       const char *first, const char *second) {
  const double left = 170, middle = 400, gap = 40, right = 580, top = 26, line = 24,
               bottom = top + line * (double)n;
  double range[2], other[2];
  bool one = dot_range(dots, n, mark, false, range), two = dot_range(dots, n, NAN, true, other);
  if (!one && !two) return CZ_OK;
  CZ_TRY(open_svg(out, 600, bottom + 26, title));
  for (size_t i = 0; i < n; i++)
    CZ_TRY(draw_text(out, "label", left - 14, top + line * ((double)i + 0.5) + 4, "end",
                     dots[i].name));
  if (one) {
    axis a = round_axis(range[0], range[1], 5, left, two ? middle : right);
    CZ_TRY(draw_x_axis(out, &a, top, bottom));
    CZ_TRY(draw_text(out, "axis", left, top - 10, "start", first));
    if (drawable(mark))
      CZ_TRY(cz_buf_addf(out,
                         "<line class=\"mark\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>\n",
                         at(&a, mark), at(&a, mark), top, bottom));
    CZ_TRY(draw_dots(out, dots, n, &a, top, line, false));
  }
  if (two) {
    axis a = round_axis(other[0], other[1], 3, middle + gap, right);
    CZ_TRY(draw_x_axis(out, &a, top, bottom));
    CZ_TRY(draw_text(out, "axis", middle + gap, top - 10, "start", second));
    CZ_TRY(draw_dots(out, dots, n, &a, top, line, true));
  }
  return cz_buf_addf(out, "</svg></figure>\n");
}

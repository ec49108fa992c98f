#include "text/forms.h"

#include "base/utf8.h"
#include "text/unicode_tables.h"

#include <string.h>
#include <utf8proc.h>

/** The canonical combining class of C; 0: it begins a sequence. */
int cz__combining_class(uint32_t c) {
  return c < 0x300 || cz__newer_mark(c)
             ? 0
             : utf8proc_get_property((utf8proc_int32_t)c)->combining_class;
}

/* Stable insertion of the last change among the marks before it: canonical order. */
static void sort_last(cz__changes *s) {
  size_t i = s->len - 1;
  cz__change x = s->data[i];
  int class = cz__combining_class(x.c);
  if (class == 0) return;
  for (; i > 0 && cz__combining_class(s->data[i - 1].c) > class; i--) s->data[i] = s->data[i - 1];
  s->data[i] = x;
}

/** What C is decomposed into by itself: PARTS, *N of them. */
cz_status cz__form_parts(uint32_t parts[CZ__FORM_PARTS], size_t *n, uint32_t c, bool compatible) {
  utf8proc_option_t options = UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
  utf8proc_int32_t found[CZ__FORM_PARTS] = {(utf8proc_int32_t)c};
  bool whole = c < 0x80 || cz__newer_mark(c) || (compatible && cz__newer_composition(c));
  utf8proc_ssize_t count =
      whole ? 1
            : utf8proc_decompose_char((utf8proc_int32_t)c, found, CZ__FORM_PARTS, options, NULL);
  if (count < 0 || count > CZ__FORM_PARTS)
    return CZ_FAIL(CZ_EINVAL, "U+%04X has no decomposition of at most %d characters", (unsigned)c,
                   CZ__FORM_PARTS);
  *n = (size_t)count;
  for (size_t i = 0; i < *n; i++) parts[i] = (uint32_t)found[i];
  return CZ_OK;
}

static cz_status decompose(cz__work *w, bool compatible) {
  w->changes.len = 0;
  for (size_t i = 0, k; i < w->text.len; i += k) {
    uint32_t parts[CZ__FORM_PARTS], c = cz_utf8_next(w->text.bytes + i, &k);
    size_t n;
    CZ_TRY(cz__form_parts(parts, &n, c, compatible));
    for (size_t j = 0; j < n; j++) {
      CZ_TRY(cz__changes_add(&w->changes, parts[j], j > 0));
      sort_last(&w->changes);
    }
  }
  return CZ_OK;
}

/* The primary composite of a pair, or 0. */
static uint32_t compose_pair(uint32_t a, uint32_t b) {
  if (cz__newer_mark(b)) return 0;
  utf8proc_int32_t pair[3] = {(utf8proc_int32_t)a, (utf8proc_int32_t)b, 0};
  return utf8proc_normalize_utf32(pair, 2, UTF8PROC_COMPOSE | UTF8PROC_STABLE) == 1
             ? (uint32_t)pair[0]
             : 0;
}

/* Canonical composition: a mark joins the last starter unless one of its own or a higher
 * class stands between. A joined mark hands its place in the old text to the composite,
 * which so stands for one character more. */
static void compose(cz__changes *s) {
  size_t kept = 0, starter = SIZE_MAX;
  int last_class = -1; /* of the character kept last since the starter; -1: none */
  for (size_t i = 0; i < s->len; i++) {
    cz__change x = s->data[i];
    int class = cz__combining_class(x.c);
    uint32_t joined =
        starter != SIZE_MAX && last_class < class ? compose_pair(s->data[starter].c, x.c) : 0;
    if (joined) {
      s->data[starter].c = joined;
      s->data[starter].change += x.change - 1;
      continue;
    }
    if (class == 0) {
      starter = kept;
      last_class = -1;
    } else {
      last_class = class;
    }
    s->data[kept++] = x;
  }
  s->len = kept;
}

static cz_status normalise(cz__work *w, bool compatible, bool composed) {
  size_t at = 0;
  while (at < w->text.len && (unsigned char)w->text.bytes[at] < 0x80) at++;
  if (at == w->text.len) return CZ_OK; /* ASCII is in every form */
  CZ_TRY(decompose(w, compatible));
  if (composed) compose(&w->changes);
  return cz__aligned_transform(&w->text, &w->spare, &w->changes, 0, w->origin);
}

/** Canonical composition. */
cz_status cz__form_nfc(const void *data, cz__work *w) { return normalise(w, false, true); }

/** Canonical decomposition. */
cz_status cz__form_nfd(const void *data, cz__work *w) { return normalise(w, false, false); }

/** Compatibility composition. */
cz_status cz__form_nfkc(const void *data, cz__work *w) { return normalise(w, true, true); }

/** Compatibility decomposition. */
cz_status cz__form_nfkd(const void *data, cz__work *w) { return normalise(w, true, false); }

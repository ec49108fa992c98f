/* What several normalizers do to w->text. Internal. */
#ifndef CZ_TEXT_NORMALIZERS_H
#define CZ_TEXT_NORMALIZERS_H

#include "text/unicode.h"
#include "text/work.h"

CZ_MUST cz_status cz__changes_apply(cz__work *w, size_t removed_first);
CZ_MUST cz_status cz__filter(cz__work *w, cz_unicode_class drop);
CZ_MUST cz_status cz__lowercase(const void *data, cz__work *w);

#endif
